/* Whether a request is what a route or a rule speaks of. Pure; no allocation; bounded whoever chose pattern and request (policy/regex.h). */
#ifndef MESH__POLICY_MATCH_H
#define MESH__POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/service.h"

/* A request as decisions see it. */
struct mesh__request_view {
	const char *method;
	const char *path;    /* as wire/path.h normalises it, without query; NULL: it has no such form, and is no path that anything speaks of */
	const char *query;   /* behind the '?'; "": none */
	/* The next value of field `name` (lower case) from place *at on (0: the first), which moves behind it; NULL: no more. */
	const char *(*header)(const void *ctx, const char *name, size_t *at);
	const void *ctx;
	const char *service, *ns, *instance; /* who calls; NULL: nobody knows, and nothing that names one holds */
	struct mesh__labels labels;
	uint32_t gave_up;    /* counts regular expressions that were not decided within their bounds; after MESH__GIVE_UPS_MAX of them no other is tried, and none matches */
};

enum { MESH__GIVE_UPS_MAX = 4 };

/* Of several fields of one name: one that fits is enough, or all must. */
enum mesh__values { MESH__ANY_VALUE, MESH__EVERY_VALUE };

/* All that is said holds. Of several parameters of one name one that fits is enough; ABSENT: there is none. */
bool mesh__match_path(const struct mesh__matcher *matcher, struct mesh__request_view *view);
bool mesh__match_method(const struct mesh__methods *methods, const struct mesh__request_view *view);
bool mesh__match_headers(const struct mesh__named_match *headers, size_t n, enum mesh__values values, struct mesh__request_view *view);
bool mesh__match_query(const struct mesh__named_match *parameters, size_t n, struct mesh__request_view *view);
bool mesh__match_labels(const struct mesh__labels *said, const struct mesh__labels *found);
bool mesh__match_source(const struct mesh__source *source, const struct mesh__request_view *view);

#endif
