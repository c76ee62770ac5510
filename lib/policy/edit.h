/*
 * What a route does to a request besides choosing where it goes (POLICY.md, Routes): the target that is sent in the place of the caller's, the Location of a redirect, the fields that are taken away. Pure, into the caller's buffer.
 */
#ifndef MESH__POLICY_EDIT_H
#define MESH__POLICY_EDIT_H

#include "policy/service.h"

/* The request as its route saw it. */
struct mesh__edit_view {
	const char *host;                      /* that was asked: what stands in for a redirect's where it says a scheme alone */
	const char *path;                      /* normalised (wire/path.h) */
	const char *query;                     /* without '?'; NULL: none */
	const struct mesh__route_match *match; /* the alternative that matched; NULL: the route has none. Where its path is a PREFIX, that is what `prefix` of a rewrite replaces */
};

/*
 * The target that is sent, path and query, into out[cap], NUL-terminated: its length, or 0 when it does not fit. The query stays. A prefix is replaced on the borders of segments, so that no slash is doubled or lost: where "/v1" has matched
 * "/v1/pay", "/", "/v2" and "/v2/" for it make "/pay", "/v2/pay" and "/v2/pay"; a path without such a match stays.
 */
size_t mesh__edit_target(const struct mesh__rewrite *rewrite, const struct mesh__edit_view *view, char *out, size_t cap) MESH__MUST_USE;

/* The Location of a redirect, likewise: absolute where it says a host or a scheme ("https" where it does not), else a path, which is for the host that was asked (RFC 9110 section 10.2.2). */
size_t mesh__edit_location(const struct mesh__redirect *redirect, const struct mesh__edit_view *view, char *out, size_t cap) MESH__MUST_USE;

/* Whether fields named `name`, in any case, are taken away: for good, or because others stand in their place. What is set, then what is added, follows what is left. */
bool mesh__edit_drops(const struct mesh__header_edits *edits, const char *name);

/* True where there is nothing to be done. */
bool mesh__edit_is_none(const struct mesh__header_edits *edits);

#endif
