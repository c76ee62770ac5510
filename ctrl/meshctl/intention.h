/*
 * Who may call whom, as one sentence: FROM may (or may not) call TO, with these methods and paths. An intention is one rule of TO's document; here it is written into one, and what a document says of a caller is read out of it. Pure.
 */
#ifndef MESHCTL_INTENTION_H
#define MESHCTL_INTENTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "policy/document.h"
#include "wire/json.h"

struct ctl_intention {
	bool allow;
	const char *service, *ns; /* who calls; NULL: any */
	const char *const *methods; /* none: every method */
	size_t n_methods;
	const char *const *paths, *const *prefixes; /* none of either: every path */
	size_t n_paths, n_prefixes;
	const char *fallback;     /* "allow", "deny": the default to be written too; NULL: as it is */
};

/* Writes TO's document with the one rule alone: what is wrong with the intention is wrong with this. */
void ctl_intention_alone(const struct ctl_intention *intention, const struct mesh__name *to, struct mesh__buf *out);

/*
 * Writes `document` (as meshd gave it; NULL: there is none) with the rule in it. `there` is what the document says, `rule` what ctl_intention_alone() said, both parsed. A rule of the same callers, methods and paths, whatever it says of
 * them, is replaced. The new one stands before the first that speaks of no narrower circle of callers, or of requests: so it decides, and what was said of some of them more narrowly stays.
 */
void ctl_intention_write(const struct ctl_intention *intention, const struct mesh__name *to, const struct mesh__json *document, const struct mesh__authorization *there, const struct mesh__authz_rule *rule, struct mesh__buf *out);

/* What is known of a request; NULL: nothing. */
struct ctl_question {
	const char *service, *ns;
	const char *method, *path; /* the path normalised */
};

enum ctl_answer { CTL_ALLOWED, CTL_WOULD_DENY, CTL_MAY_DENY, CTL_NOT_ALLOWED, CTL_DEPENDS };

struct ctl_finding {
	enum ctl_answer answer;              /* WOULD_DENY, MAY_DENY: allowed, for the mode is audit; else NOT_ALLOWED, DEPENDS */
	const struct mesh__authz_rule *rule; /* that decides where none of `may` does; NULL: the default */
	bool otherwise_allowed;              /* what that says */
	const struct mesh__authz_rule *may[MESH__AUTHZ_RULES_MAX]; /* before it: whether they hold depends on what is not known */
	size_t n_may;
};

void ctl_intention_find(const struct mesh__authorization *authorization, const struct ctl_question *question, struct ctl_finding *finding);

#endif
