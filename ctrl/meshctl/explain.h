/*
 * What becomes of a call, and what decided it: the library's own decisions (policy/) over what is known of its services. Pure. What runs nowhere but in a process, its turn in a split, which endpoint it picks, is told as shares and
 * candidates.
 */
#ifndef MESHCTL_EXPLAIN_H
#define MESHCTL_EXPLAIN_H

#include "meshctl/command.h"
#include "meshctl/ground.h"
#include "policy/authorize.h"
#include "policy/levels.h"
#include "policy/match.h"
#include "wire/url.h"

enum { CTL_ASKED_HEADERS_MAX = 128, CTL_HEADERS_MAX = CTL_ASKED_HEADERS_MAX + 2 * MESH__HEADER_EDITS_MAX, CTL_LOCATION_MAX = MESH__TARGET_MAX + 2 * MESH__TEXT_MAX };

struct ctl_headers {
	struct mesh__header_value list[CTL_HEADERS_MAX];
	size_t n;
};

/* The call. */
struct ctl_ask {
	struct mesh__name from, to;
	const char *method, *target; /* the target as it is asked for, with its query */
	struct ctl_headers headers;  /* at most CTL_ASKED_HEADERS_MAX; names in any case */
	const char *instance;        /* who calls; NULL: any instance of `from` */
	struct mesh__labels labels;  /* of it */
	int64_t timeout_ms;          /* the caller's own; 0: none */
	int64_t wall_ms;             /* when it is made, by the wall clock: what is injected for a while ends */
};

/* X(NAME, "text", fine): how it comes out. The texts are those of -o json. */
#define CTL_OUTCOMES(X)                                                                                                \
	X(ALLOWED, "allowed", true)                                                                                     \
	X(AUDITED, "audited", true)          /* allowed, though denied: the mode is audit */                            \
	X(REDIRECT, "redirect", true)        /* the route answers by itself */                                          \
	X(DIRECT, "direct-response", true)                                                                              \
	X(DENIED, "denied", false)                                                                                      \
	X(BAD_PATH, "bad-path", false)       /* the server answers 400 */                                               \
	X(NO_ENDPOINT, "no-endpoint", false)                                                                            \
	X(NO_SERVICE, "no-service", false)                                                                              \
	X(DEPENDS, "depends", false)         /* on the side of the split */

#define X(name, text, fine) CTL_OUTCOME_##name,
enum ctl_outcome { CTL_OUTCOMES(X) };
#undef X

const char *ctl_outcome_name(enum ctl_outcome outcome);
bool ctl_outcome_fine(enum ctl_outcome outcome);

/* Endpoints that a call may go to. */
struct ctl_group {
	const struct ctl_ground *to;
	const char *subset;                /* NULL: all endpoints */
	const struct mesh__labels *labels; /* of the subset; NULL: any */
	struct mesh__level levels[2];      /* in the caller's zone, where zones count; and all others. Unhealthy: all of the caller's processes that report say so */
	size_t n, n_healthy;               /* of both */
};

/* One side of where it goes. */
struct ctl_way {
	struct ctl_group home;            /* where it leads */
	struct ctl_group place;           /* where it ends: at home, unless others take over */
	bool failover, panic;
	uint32_t near_share;              /* percent of its calls that stay in the caller's zone */
	double share;                     /* percent */
	struct mesh__authz_verdict authz; /* where there is an endpoint, and a path */
	enum ctl_outcome outcome;
};

struct ctl_explanation {
	const struct ctl_ask *ask;
	const struct ctl_ground *asked;        /* the service that the call names */
	const struct mesh__route *route;       /* NULL: none takes it */
	const struct mesh__route_match *match; /* the alternative that fits; NULL: the route has none */
	const struct mesh__fault *fault;       /* that is injected into its tries; NULL: none */
	uint32_t gave_up;                      /* regular expressions that were not decided within their bounds */
	bool by_key;                           /* a sticky key has chosen the side */
	char sent[MESH__TARGET_MAX + 1];       /* the target that is sent */
	struct ctl_headers headers;            /* that are sent */
	char location[CTL_LOCATION_MAX];       /* of a redirect */
	struct ctl_way ways[MESH__SIDES_MAX];
	size_t n_ways;                         /* 0: the route answers */
	enum ctl_outcome outcome;
};

/* Another service by its key; NULL: it cannot be found out (which the function has told). */
typedef const struct ctl_ground *(*ctl_ground_fn)(void *ctx, const char *key);

/* False when `ground` has failed, or what the route makes of the target does not fit. `x` is large: on the heap. */
bool ctl_explain(const struct ctl_ask *ask, const struct ctl_ground *asked, const char *trust_domain, ctl_ground_fn ground, void *ctx, struct ctl_explanation *x) MESH__MUST_USE;

/* Why a route does not take the request: what the first alternative that is nearest to fitting fails at ("header x-canary"), into out[CTL_WHY_TEXT]. */
enum { CTL_WHY_TEXT = 1200 };
void ctl_explain_why_not(const struct ctl_ask *ask, const struct mesh__route *route, char *out);

/* Whether an endpoint is one of the place's. */
bool ctl_group_has(const struct ctl_group *place, const struct ctl_endpoint *endpoint);

/* Whether the server is asked at all, and who decides there: the rule, or the default. */
bool ctl_way_is_authorized(const struct ctl_way *way);
struct ctl_origin ctl_way_authorization(const struct ctl_way *way);

/* Whether no later way leads to the same service: subsets of one have all in common but their endpoints. */
bool ctl_way_is_last_of_service(const struct ctl_explanation *x, size_t i);

/* When the call must be over, in ms after its beginning; *whose is the field that says so, or NULL: the caller. */
int64_t ctl_explain_deadline(const struct ctl_explanation *x, const char **whose);

/* What a field governs: the call, the way to its endpoints, what the server does with it. */
enum { CTL_OF_CALL = 1, CTL_OF_WAY = 2, CTL_OF_SERVER = 4 };

/* One setting that the call meets. */
struct ctl_setting_row {
	const char *path;  /* "retries.attempts", also where the route says it */
	const char *value; /* JSON */
	struct ctl_origin origin;
};
typedef void (*ctl_row_fn)(void *ctx, const struct ctl_setting_row *row);

/* Tells of each field of `ground` that governs `what` (one of the bits above), those of the call with what the route says in their place. False when out of memory. */
bool ctl_explain_settings(const struct ctl_explanation *x, const struct ctl_ground *ground, int what, const struct mesh__mem *mem, ctl_row_fn row, void *ctx) MESH__MUST_USE;

/* The explanation for people, and for programs (docs/EXPLAIN.md): into ctl->out. */
void ctl_explain_print(struct ctl *ctl, const struct ctl_explanation *x);
void ctl_explain_print_json(struct ctl *ctl, const struct ctl_explanation *x);

/* "routes[1]", the route's place in its document, into out[CTL_ROUTE_PATH]. */
enum { CTL_ROUTE_PATH = 32 };
void ctl_explain_route_path(const struct ctl_explanation *x, char *out);

#endif
