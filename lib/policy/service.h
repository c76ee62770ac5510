/*
 * What a service's calls go by, as its documents say it (POLICY.md): every field with its value, from a document or built in. Immutable once read; what its pointers lead to stands in one arena.
 * Decisions take parts of it; nothing in it is live state.
 */
#ifndef MESH__POLICY_SERVICE_H
#define MESH__POLICY_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "policy/aimd.h"
#include "policy/breaker.h"
#include "policy/gcra.h"
#include "policy/health.h"
#include "policy/outlier.h"

struct mesh__regex; /* policy/regex.h */

/* Percentages are kept in millionths: 100% is MESH__WHOLE, so that POLICY's four decimals are exact. */
enum { MESH__WHOLE = 1000000 };

/* What a document may hold of each. */
enum {
	MESH__SUBSETS_MAX = 64,
	MESH__ROUTES_MAX = 256,
	MESH__MATCHES_MAX = 64,        /* of a route: each is an alternative */
	MESH__MATCH_FIELDS_MAX = 32,   /* headers of a match; and so its parameters of the query */
	MESH__METHODS_MAX = 16,
	MESH__SIDES_MAX = 32,
	MESH__WEIGHT_MAX = 1000000,
	MESH__FAILOVER_MAX = 8,
	MESH__HEADER_EDITS_MAX = 32,   /* of each: set, add, remove */
	MESH__AUTHZ_RULES_MAX = 256,
	MESH__AUTHZ_SOURCES_MAX = 64,  /* of a rule */
	MESH__AUTHZ_PATHS_MAX = 64,
	MESH__REGEXES_MAX = 256,       /* of a document: what they take once compiled, and one request's time, have a bound */
	MESH__RETRIES_MAX = 10,
	MESH__TEXT_MAX = 1024,         /* of a value or a path */
	MESH__DIRECT_BODY_MAX = 16384
};

enum mesh__protocol { MESH__PROTOCOL_HTTP, MESH__PROTOCOL_HTTP2, MESH__PROTOCOL_GRPC };

/* X(NAME, "text") */
#define MESH__BALANCERS(X) X(PEAK_EWMA, "peakEwma") X(LEAST_REQUEST, "leastRequest") X(ROUND_ROBIN, "roundRobin") X(RANDOM, "random") X(RING_HASH, "ringHash") X(MAGLEV, "maglev")

#define X(name, text) MESH__BALANCER_##name,
enum mesh__balancer { MESH__BALANCERS(X) };
#undef X

/* ---- What a request is compared with ---- */

enum mesh__match_how { MESH__MATCH_ANY, MESH__MATCH_EXACT, MESH__MATCH_PREFIX, MESH__MATCH_SUFFIX, MESH__MATCH_REGEX, MESH__MATCH_PRESENT, MESH__MATCH_ABSENT };

/* Of a text. ANY is what nothing was said of. A path's PREFIX ends on the border of a segment. */
struct mesh__matcher {
	enum mesh__match_how how;
	const char *text;                /* EXACT, PREFIX, SUFFIX, and REGEX for messages */
	size_t len;
	const struct mesh__regex *regex; /* REGEX; of the arena */
};

/* Of a header (its name in lower case) or of a parameter of the query. */
struct mesh__named_match {
	const char *name;
	struct mesh__matcher value;
};

/* None: every method. */
struct mesh__methods {
	const char *const *names;
	size_t n;
};

/* NULL: any. */
struct mesh__labels {
	const char *version;
	const char *zone;
};

/* Who calls. The namespace is the document's own where it names a service alone; NULL: any. */
struct mesh__source {
	const char *service;
	const char *ns;
	struct mesh__labels labels;
};

/* ---- Routes ---- */

struct mesh__subset {
	const char *name;
	struct mesh__labels labels;
};

/* Where a part of the calls goes. At most one of the two is said; neither: all endpoints of the service itself. */
struct mesh__side {
	const char *subset;  /* its name, which stands in `subsets` */
	const char *service; /* another service's key, "service.namespace" */
	uint32_t weight;     /* at most MESH__WEIGHT_MAX; of a split one at least is over 0; of a mirror 1 */
};

enum mesh__sticky_on { MESH__STICKY_NONE, MESH__STICKY_HEADER, MESH__STICKY_COOKIE, MESH__STICKY_QUERY, MESH__STICKY_SOURCE };

struct mesh__sticky {
	enum mesh__sticky_on on;
	const char *name; /* of the header (lower case), the cookie, the parameter */
};

struct mesh__load_balancer {
	enum mesh__balancer balancer;
	int64_t slow_start_ms;      /* 0: an endpoint has its whole share at once */
	int32_t panic_threshold;    /* millionths; with a smaller part of the endpoints healthy all are used */
	struct mesh__sticky hash_on;
	bool zone_aware;
};

struct mesh__mirror {
	struct mesh__side to;
	int32_t share; /* millionths; 0: no mirror */
};

/* At most one of the two. */
struct mesh__rewrite {
	const char *path;   /* NULL; else the whole path, the query staying */
	const char *prefix; /* NULL; else what stands in the place of the prefix that matched */
};

struct mesh__redirect {
	int32_t status;     /* 0: no redirect; else 301, 302, 303, 307 or 308 */
	const char *scheme; /* NULL: https, where there is a host; with neither the location is a path */
	const char *host;   /* NULL: that which was asked */
	struct mesh__rewrite to;
};

struct mesh__direct_response {
	int32_t status; /* 0: none */
	const char *body;
	size_t body_len;
	const char *content_type; /* NULL: none said */
};

struct mesh__header_value {
	const char *name; /* lower case */
	const char *value;
};

/* In the order of the members: removed, set (in the place of all of the name), added. */
struct mesh__header_edits {
	const char *const *remove;
	size_t n_remove;
	const struct mesh__header_value *set;
	size_t n_set;
	const struct mesh__header_value *add;
	size_t n_add;
};

/* ---- Retries and hedging ---- */

/* X(NAME, "text"): what is tried again. */
#define MESH__RETRY_ON(X)                                                                                              \
	X(UNSENT, "unsent")                                                                                             \
	X(CONNECT_FAILURE, "connect-failure")                                                                           \
	X(RESET, "reset")                                                                                               \
	X(GATEWAY_ERROR, "gateway-error")           /* 502, 503, 504 */                                                 \
	X(5XX, "5xx")                                                                                                   \
	X(RETRIABLE_4XX, "retriable-4xx")           /* 409 */                                                           \
	X(RETRIABLE_429, "retriable-429")           /* marked not processed */                                          \
	X(GRPC_UNAVAILABLE, "unavailable")                                                                              \
	X(GRPC_CANCELLED, "cancelled")                                                                                  \
	X(GRPC_DEADLINE_EXCEEDED, "deadline-exceeded")                                                                  \
	X(GRPC_INTERNAL, "internal")                                                                                    \
	X(GRPC_RESOURCE_EXHAUSTED, "resource-exhausted")

#define X(name, text) MESH__RETRY_ON_##name,
enum mesh__retry_on { MESH__RETRY_ON(X) MESH__RETRY_ONS };
#undef X

/* Codes that a document names by number. */
enum { MESH__RETRY_CODE_MIN = 400, MESH__RETRY_CODE_MAX = 599, MESH__RETRY_CODE_WORDS = (MESH__RETRY_CODE_MAX - MESH__RETRY_CODE_MIN) / 64 + 1 };

struct mesh__retry_budget {
	int32_t share; /* millionths of the calls; 0: the floor alone */
	int32_t min_per_second;
	int64_t window_ms;
};

struct mesh__retries {
	int32_t attempts;           /* after the first try; 0: none */
	int64_t per_try_timeout_ms; /* 0: the call's deadline alone */
	uint32_t on;                /* bits 1 << MESH__RETRY_ON_… */
	uint64_t codes[MESH__RETRY_CODE_WORDS]; /* bit n: status MESH__RETRY_CODE_MIN + n */
	struct {
		int64_t base_ms, max_ms;
	} backoff;
	struct mesh__retry_budget budget;
};

struct mesh__hedging {
	bool on;            /* false: no document says a delay, or it says off */
	int32_t percentile; /* millionths of the recent latencies; 0: delay_ms holds */
	int64_t delay_ms;
	int32_t max_extra;  /* millionths of the calls; 0: none */
};

/* One alternative: all of it holds. */
struct mesh__route_match {
	struct mesh__matcher path; /* ANY, EXACT, PREFIX or REGEX */
	struct mesh__methods methods;
	const struct mesh__named_match *headers;
	size_t n_headers;
	const struct mesh__named_match *query;
	size_t n_query;
	struct mesh__source source;
};

/* ---- Injected faults ---- */

/* What a try meets instead of an endpoint. Exactly one of the four is said. */
struct mesh__fault_abort {
	int32_t share;       /* millionths; 0: none */
	int32_t status;      /* HTTP's, 400 to 599; 0: not said */
	int32_t grpc_status; /* 1 to 16, for gRPC's calls alone: the others do not meet it; 0: not said */
	bool reset;          /* it was sent, and its connection broke */
	bool slow_body;      /* an answer begins, and does not end before the try does */
};

struct mesh__fault_delay {
	int32_t share; /* millionths; 0: none */
	int64_t duration_ms;
};

struct mesh__fault {
	struct mesh__fault_delay delay;
	struct mesh__fault_abort abort;
};

struct mesh__route_match;

/* What a document of kind Fault injects for a while. Where it holds for a call, what the call's route injects does not. */
struct mesh__injection {
	struct mesh__fault fault;
	int64_t until_ms;  /* by the wall clock, since 1970; 0: nothing is injected */
	const char *route; /* into calls that take the route of that name; NULL: into all, those that take none among them */
	const struct mesh__route_match *matches;
	size_t n_matches;  /* 0: every request */
};

/* At most one of sides, redirect and direct is there; none: all endpoints of the service. */
struct mesh__route {
	const char *name; /* unique in its service */
	const struct mesh__route_match *matches;
	size_t n_matches; /* 0: every request */
	const struct mesh__side *sides;
	size_t n_sides;
	struct mesh__sticky sticky;
	struct mesh__mirror mirror;
	struct mesh__rewrite rewrite;
	struct mesh__redirect redirect;
	struct mesh__direct_response direct;
	bool other_subsets;           /* where no endpoint of the side is healthy, those of the service's other subsets are called */
	struct {
		struct mesh__header_edits request, response;
	} headers;
	struct mesh__fault fault;
	int64_t timeout_ms;           /* 0: the service's */
	struct mesh__retries retries; /* whole: the service's, with the route's fields over it */
	struct mesh__hedging hedging; /* likewise */
};

/* ---- Failover ---- */

struct mesh__failover {
	const char *service; /* its key, "service.namespace"; each once, and never the service itself */
};

/* ---- Authorization ---- */

/* What it says nothing of, it holds for. */
struct mesh__authz_rule {
	const char *name; /* unique in its service */
	bool allow;
	const struct mesh__source *from;
	size_t n_from;
	struct mesh__methods methods;
	const struct mesh__matcher *paths; /* EXACT or PREFIX; of the normalised path */
	size_t n_paths;
	const struct mesh__named_match *headers;
	size_t n_headers;
};

struct mesh__authorization {
	bool default_deny;
	bool audit; /* what would be denied is logged and let in */
	const struct mesh__authz_rule *rules; /* the first that matches decides */
	size_t n_rules;
};

/* ---- All of it ---- */

struct mesh__service_policy {
	enum mesh__protocol protocol;
	int64_t timeout_ms;         /* built in 15000 */
	bool timeout_set;           /* a document says it, so it bounds a caller's own too; built in, it yields to one */
	int64_t connect_timeout_ms; /* built in 1000 */
	struct mesh__load_balancer load_balancer;
	struct mesh__breaker breaker;
	struct mesh__outlier outlier;
	struct mesh__health_check health;
	struct mesh__retries retries;
	struct mesh__hedging hedging;
	struct mesh__rate_limit rate;
	struct mesh__concurrency_limit concurrency;
	const struct mesh__subset *subsets;
	size_t n_subsets;
	const struct mesh__route *routes; /* the first that matches; none: all endpoints of the service */
	size_t n_routes;
	const struct mesh__failover *failover; /* where calls go, the first that has a healthy endpoint, when there is none here */
	size_t n_failover;
	struct mesh__authorization authorization;
	struct mesh__injection injection;
	struct mesh__arena *arena;        /* what the pointers lead to; NULL: nothing */
};

/* The built-in policy. It needs no mesh__service_policy_fini(). */
void mesh__service_policy_default(struct mesh__service_policy *policy);

/* A copy that shares the arena: it takes a reference, which mesh__service_policy_fini() gives back. */
void mesh__service_policy_copy(struct mesh__service_policy *to, const struct mesh__service_policy *from);
void mesh__service_policy_fini(struct mesh__service_policy *policy);

/* "http", "peakEwma": the words of the document. */
const char *mesh__protocol_name(enum mesh__protocol protocol);
const char *mesh__balancer_name(enum mesh__balancer balancer);

#endif
