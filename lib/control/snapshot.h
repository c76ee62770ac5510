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
#include "telemetry/metrics.h"
#include "wire/name.h"

struct mesh__endpoint;    /* outbound's: the live state of one endpoint, counted */
struct mesh__destination; /* outbound's: the live state of one service as a destination of calls, counted */

/* What is known of one endpoint. Strings borrowed. */
struct mesh__endpoint_spec {
	struct mesh__destination *destination; /* whose endpoint it is; the state keeps it */
	const struct mesh__name *service;
	const char *instance;       /* of a static one: its address */
	struct mesh__addr address;
	const char *version, *zone; /* NULL: none */
	bool insecure_plaintext;
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
	struct mesh__counter *(*routed)(void *ctx, const char *to); /* of the calls that a route sends there */
	void *ctx;
};

/* Endpoints among which a call chooses: all of a service, or those of one of its subsets. */
struct mesh__group {
	_Atomic uint64_t turn;              /* of round robin */
	char apart[MESH__APART];
	const char *subset;                 /* its name; NULL: all */
	size_t n;
	struct mesh__endpoint *const *endpoints; /* the service's references */
};

/* Where a side of a split leads: to a group of the service itself, or, `group` NULL, to the service with that key. */
struct mesh__routed_side {
	struct mesh__group *group;
	const char *service;
	struct mesh__counter *calls;
};

/* A route of the policy: its sides in the same order; of one without sides, one: all endpoints. */
struct mesh__routed {
	_Atomic uint64_t turn;              /* of the split */
	char apart[MESH__APART];
	struct mesh__routed_side *sides;
};

/* One service as calls see it. Immutable but for the turns; counted, shared by the snapshots in which it did not change. */
struct mesh__service {
	_Atomic int refs;
	struct mesh__group all;
	const struct mesh__endpoint_source *source;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;
	bool known;                         /* false: the control plane has never heard of it */
	struct mesh__service_policy policy; /* with a reference to its arena */
	struct mesh__destination *destination; /* one reference */
	struct mesh__group *subsets;        /* those of the policy, in its order */
	struct mesh__routed *routes;        /* likewise */
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
