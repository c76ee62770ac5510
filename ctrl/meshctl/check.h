/* The results of `meshctl check`, and those judgements that need no meshd. */
#ifndef MESHCTL_CHECK_H
#define MESHCTL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { CTL_CHECKS_MAX = 64, CTL_CHECK_TEXT = 512 };

enum ctl_check_state { CTL_CHECK_OK, CTL_CHECK_WARN, CTL_CHECK_FAIL };

struct ctl_check {
	const char *name;
	enum ctl_check_state state;
	char detail[CTL_CHECK_TEXT];
	char remedy[CTL_CHECK_TEXT]; /* "": nothing to do */
};

/* Those beyond the bound are left out. */
struct ctl_checks {
	struct ctl_check check[CTL_CHECKS_MAX];
	size_t n;
};

/* Adds the judgement of a certificate's end: fail when it has passed, warn within 30 days of it. */
void ctl_check_expiry(struct ctl_checks *checks, const char *name, int64_t not_after_ms, int64_t now_ms);

/* Adds the judgement of a file's mode: fail when it grants more than `allowed`. */
void ctl_check_mode(struct ctl_checks *checks, const char *name, const char *path, unsigned mode, unsigned allowed);

/* Adds the judgement of the space left for meshd's files: warn under 64 MiB. That it is full meshd tells itself. */
void ctl_check_space(struct ctl_checks *checks, const char *path, uint64_t free_bytes);

bool ctl_checks_failed(const struct ctl_checks *checks);
void ctl_checks_text(const struct ctl_checks *checks, bool color, struct mesh__buf *out);

/* An array of {"check", "state", "detail", "remedy"}. */
void ctl_checks_json(const struct ctl_checks *checks, struct mesh__buf *out);

#endif
