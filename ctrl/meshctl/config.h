/* Configuration documents from the command line to meshd: what apply, diff and validate have in common. */
#ifndef MESHCTL_CONFIG_H
#define MESHCTL_CONFIG_H

#include <stdint.h>

#include "meshctl/command.h"
#include "policy/document.h"
#include "wire/json.h"

/* Reads the file of --file into `text`, which is to be freed in any case. CTL_OK, or the exit code, its message given. */
int ctl_config_read(struct ctl *ctl, struct mesh__buf *text) MESH__MUST_USE;

/* A kind in any form; CTL_USAGE with a suggestion. */
int ctl_config_kind(struct ctl *ctl, const char *text, enum mesh__kind *kind) MESH__MUST_USE;

/* "/v1/config?kind=…", with namespace and name where there is a name ("name" or "name.namespace"); to be freed in any case. */
int ctl_config_target(struct ctl *ctl, const char *kind_text, const char *name_text, struct mesh__buf *target) MESH__MUST_USE;

/* --dry-run and --if-generation, for the options of every command that writes; and as members of a request's body, or of its query. */
#define CTL_CONFIG_TERMS                                                                                               \
	{"dry-run", 0, CTL_FLAG, NULL, "let meshd say what would change, and change nothing", 0, 0},                   \
	{"if-generation", 0, CTL_INTEGER, "N", "only if what this would change has not been changed after generation N", 0, INT64_MAX}
void ctl_config_put_terms(struct ctl *ctl, struct mesh__json_out *json);
void ctl_config_query_terms(struct ctl *ctl, struct mesh__buf *target);

/* Puts documents into force, with the terms of the command line: `file` is what faults call them, `ns` whose they are that name none. *answer is meshd's, to be freed. CTL_OK, or the exit code, its message given. */
int ctl_config_post(struct ctl *ctl, const char *file, const char *ns, const struct mesh__buf *text, struct mesh__json **answer) MESH__MUST_USE;

/* "payments", "payments.shop": the document that an object of meshd's is about, without its kind, into out[CTL_SUBJECT_MAX]. */
enum { CTL_SUBJECT_MAX = 160 };
void ctl_config_subject(const struct mesh__json *document, char *out);

/* Warnings to stderr, and what was changed (or would be, with --dry-run) to stdout. */
void ctl_config_show(struct ctl *ctl, const struct mesh__json *answer);

#endif
