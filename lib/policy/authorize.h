/* Whether a caller may do what it asks for (POLICY.md, Authorization). Pure; no allocation; as long as the document is, times what a header may hold, whoever sent the request. */
#ifndef MESH__POLICY_AUTHORIZE_H
#define MESH__POLICY_AUTHORIZE_H

#include <stdbool.h>

#include "policy/match.h"

struct mesh__authz_verdict {
	bool allow;       /* the request goes on */
	bool audit_only;  /* though it would be denied, were the mode not `audit` */
	const char *rule; /* that decided, the document's; NULL: none held, and the default did */
};

/* Whether the rule holds for this caller; for this path, normalised: compared octet by octet, however they are encoded. */
bool mesh__authz_is_from(const struct mesh__authz_rule *rule, const struct mesh__request_view *view);
bool mesh__authz_speaks_of(const struct mesh__authz_rule *rule, const char *path);

/*
 * Whether the rule holds for the request: all that it says of caller, method, path and headers. Where a header comes more than once, each value must fit a rule that allows, and one is enough for a rule that denies: which of them the
 * handler will take nobody knows.
 */
bool mesh__authz_holds(const struct mesh__authz_rule *rule, struct mesh__request_view *view);

/* The first rule that holds decides; none: the default. */
struct mesh__authz_verdict mesh__authorize(const struct mesh__authorization *authorization, struct mesh__request_view *view);

#endif
