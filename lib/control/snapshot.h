/*
 * The snapshot: everything that a call needs to know of the mesh, immutable, counted; one call uses one from its start to its end. Built on the control loop, read by any thread.
 * Endpoints' live state (latency, connections), and that of the service that they are of (calls under way), outlives snapshots and belongs to outbound: it comes in through a `struct mesh__endpoint_source`.
 */
#ifndef MESH__CONTROL_SNAPSHOT_H
#define MESH__CONTROL_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"
#include "http/client.h"
#include "policy/document.h"
#include "policy/ring.h"
#include "telemetry/metrics.h"
#include "wire/name.h"

struct mesh__endpoint;    /* outbound's: the live state of one endpoint, counted */
struct mesh__tables;      /* tables.h */
struct mesh__destination; /* outbound's: the live state of one service as a destination of calls, counted */

/* What is known of one endpoint. Strings borrowed. */
struct mesh__endpoint_spec {
	struct mesh__destination *destination; /* whose endpoint it is; the state keeps it */
	const struct mesh__name *service;
	const char *instance;       /* of a static one: its address */
	struct mesh__addr address;
	const char *version, *zone; /* NULL: none */
	bool insecure_plaintext;
	uint32_t weight;            /* 0: not said, which is 1 */
};

/* What the process makes of one endpoint. Strings borrowed. */
struct mesh__endpoint_view {
	const char *instance;
	bool ejected, failed_check;
	int64_t cost_us;            /* of one more call to it; 0: none has been made */
};

/* Where the states come from; any thread may unref. `destination` (of the service with that key, "service.namespace") and `make` give a new state with one reference, or NULL when out of memory. */
struct mesh__endpoint_source {
	struct mesh__destination *(*destination)(void *ctx, const char *key);
	void (*destination_ref)(struct mesh__destination *destination);
	void (*destination_unref)(struct mesh__destination *destination); /* accepts NULL */
	void (*tune)(struct mesh__destination *destination, const struct mesh__service_policy *policy); /* what concerns connections goes by it from here on: limits, protocol */
	struct mesh__endpoint *(*make)(void *ctx, const struct mesh__endpoint_spec *spec);
	void (*ref)(struct mesh__endpoint *endpoint);
	void (*unref)(struct mesh__endpoint *endpoint);
	void (*leave)(struct mesh__endpoint *endpoint); /* it has left the mesh: idle connections close */
	void (*labels)(const struct mesh__endpoint *endpoint, struct mesh__labels *out); /* borrowed from it */
	void (*view)(const struct mesh__endpoint *endpoint, struct mesh__endpoint_view *out);
	uint32_t (*health_epoch)(const struct mesh__destination *destination); /* moves with every change of an endpoint's health */
	void (*host)(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out); /* its stable id, borrowed from it, and its weight */
	struct mesh__counter *(*routed)(void *ctx, const char *to); /* of the calls that a route sends there */
	struct mesh__counter *(*faulted)(void *ctx, const char *fault); /* of the tries that it was injected into */
	const char *zone; /* of this process; NULL: none */
	void *ctx;
};

/* Endpoints among which a call chooses: all of a service, or those of one of its subsets. What is atomic is outbound's. */
struct mesh__group {
	_Atomic uint64_t turn;              /* of round robin */
	_Atomic uint64_t counted;           /* the healthy ones, when they were counted last (outbound/levels.c); 0: never */
	_Atomic int64_t standing;           /* policy/failover.h */
	_Atomic int64_t probe_due_us;       /* outbound/outlier.h's: when the first of its ejected endpoints may be probed, */
	_Atomic uint32_t probe_epoch;       /* and as of which change; 0: not looked at yet */
	char apart[MESH__APART];
	const char *subset;                 /* its name; NULL: all */
	size_t n;
	size_t n_near;                      /* the first so many are in this process's zone; 0: none is, or the service does not want to know */
	struct mesh__endpoint *const *endpoints; /* the service's references */
	bool weighted;                      /* they do not all weigh the same */
	struct mesh__tables *tables;        /* where the balancer hashes: what keys lead to (tables.h); its own, else NULL */
};

/* What the log has been told of the calls that lead to one place: that others have taken over, that health counts no more. Outbound's. */
struct mesh__told {
	_Atomic bool failover, panic;
};

/* Where a side of a split leads: to a group of the service itself, or, `group` NULL, to the service with that key. */
struct mesh__routed_side {
	struct mesh__group *group;
	const char *service;
	struct mesh__counter *calls;
	struct mesh__told told;
};

/* A route of the policy: its sides in the same order; of one without sides, one: all endpoints. */
struct mesh__routed {
	_Atomic uint64_t turn;              /* of the split */
	char apart[MESH__APART];
	struct mesh__routed_side *sides;
	size_t n_sides;
};

/* What is injected into the tries of the calls of a service is counted by these. */
struct mesh__faulted {
	bool on; /* false: nothing is */
	struct mesh__counter *delays, *aborts;
};

/* One service as calls see it. Immutable but for what is atomic; counted, shared by the snapshots in which it did not change. */
struct mesh__service {
	_Atomic int refs;
	struct mesh__group all;
	struct mesh__told told;             /* of the calls that no route leads */
	const struct mesh__endpoint_source *source;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;
	bool known;                         /* false: the control plane has never heard of it */
	struct mesh__service_policy policy; /* with a reference to its arena */
	struct mesh__destination *destination; /* one reference */
	struct mesh__group *subsets;        /* those of the policy, in its order */
	struct mesh__routed *routes;        /* likewise */
	struct mesh__faulted faulted;
	struct mesh__arena *prepared;       /* what these two lead to; NULL: there are none */
	size_t n;
	struct mesh__endpoint *endpoints[]; /* one reference each */
};

struct mesh__service *mesh__service_ref(struct mesh__service *service);
void mesh__service_unref(struct mesh__service *service);

/* Its subset of that name, or NULL. */
struct mesh__group *mesh__service_subset(const struct mesh__service *service, const char *name);

struct mesh__snapshot {
	_Atomic int refs;
	char apart[MESH__APART];
	struct mesh__creds *creds;   /* NULL: no identity yet */
	struct mesh__name self;      /* whose they are */
	struct mesh__service_policy own; /* of the service that this process is; built in while it is not known. With a reference to its arena */
	struct mesh__map services;   /* "service.namespace" -> struct mesh__service, one reference each */
};

/* Copies the references of `services`, and `own`, unless that is NULL: not known; `self` NULL without creds. NULL when out of memory. */
struct mesh__snapshot *mesh__snapshot_new(const struct mesh__env *env, struct mesh__creds *creds, const struct mesh__name *self, const struct mesh__map *services, const struct mesh__service_policy *own) MESH__MUST_USE;
struct mesh__snapshot *mesh__snapshot_ref(struct mesh__snapshot *snapshot);
void mesh__snapshot_unref(struct mesh__snapshot *snapshot);

/* Borrowed from the snapshot, or NULL: not subscribed to yet. */
struct mesh__service *mesh__snapshot_find(const struct mesh__snapshot *snapshot, const char *key);

#endif
