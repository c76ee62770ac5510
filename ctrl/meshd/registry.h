/*
 * The registry: which instances each service has. It lives in memory and behind it in the store: a change counts once it is committed. Each change of a service's set makes its next version, and
 * removals stay as tombstones (the last MESHD_TOMBSTONES_MAX), so that what changed since a version can be told, also after a restart. Leases are in memory alone. Loop's thread.
 */
#ifndef MESHD_REGISTRY_H
#define MESHD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "meshd/lease.h"
#include "meshd/store.h"

enum { MESHD_SESSION_ID = 32, MESHD_SERVICES_MAX = 65536, MESHD_TOMBSTONES_MAX = 4096 };

struct meshd_registry;

/* One instance, or the tombstone of one: `msg.reason` is then set. */
struct meshd_instance {
	struct mesh__msg_instance msg;
	uint64_t version;                      /* of the set at its last change */
	int64_t renewed_ms;                    /* the lease */
	char session[MESHD_SESSION_ID + 1];    /* whose heartbeats renew it; "": nobody's since meshd's start */
	struct meshd_instance *older, *newer;  /* in its list, by version */
};

struct meshd_service {
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;
	uint64_t version;
	uint64_t floor;                        /* changes since this version or a later one can be told */
	struct mesh__map by_id;                /* of struct meshd_instance: live ones and tombstones */
	struct meshd_instance *newest;         /* live */
	struct meshd_instance *newest_gone, *oldest_gone;
	size_t n_live, n_gone;
};

struct meshd_registry_options {
	struct meshd_lease_rules rules;
	size_t tombstones_max; /* kept for each service; 0: MESHD_TOMBSTONES_MAX */
	void (*changed)(void *user, const char *key); /* after each committed change of the service `key`; it must not change the registry */
	void *user;
};

/* Reads what the store has. Every lease begins anew. */
int meshd_registry_new(const struct mesh__env *env, struct meshd_store *store, const struct meshd_registry_options *options, struct meshd_registry **out, struct mesh__err *err) MESH__MUST_USE;
void meshd_registry_free(struct meshd_registry *registry);

/*
 * Registers an instance of `name` for a session, or renews it when nothing changed (no write then). An instance id that another session holds passes to this one: it is the same service,
 * come back; `*taken` says so. Errors: MESH_E_INVALID (no address, one that nobody could call, no valid id), MESH_E_OVERLOADED (too many instances or services), the store's.
 */
int meshd_registry_register(struct meshd_registry *registry, const struct mesh__name *name, const struct mesh__msg_instance *msg, const char *session, bool *taken, struct mesh__err *err) MESH__MUST_USE;

/* A heartbeat: false when the session holds no such instance (any more). */
bool meshd_registry_renew(struct meshd_registry *registry, const char *key, const char *instance, const char *session);

/* Removes with a reason: "deregistered", "lease", "admin". MESH_E_NOT_FOUND. */
int meshd_registry_remove(struct meshd_registry *registry, const char *key, const char *instance, const char *reason, struct mesh__err *err) MESH__MUST_USE;

/*
 * Removes what has outlived its lease, and tells each by `ended` (may be NULL). What the store does not take stays, for the next time. To be called several times in a heartbeat's time:
 * after a longer pause, in which heartbeats could not be heard either, nothing ends for a lease's time. When the wall clock is set by more than a minute, or stood before the newest certificate at
 * the start, nothing ends until a first instance renews, and for a start's grace from there.
 */
typedef void (*meshd_ended_fn)(void *user, const char *key, const char *instance);
void meshd_registry_expire(struct meshd_registry *registry, meshd_ended_fn ended, void *user);

/* A service that registered at least once, or NULL. */
const struct meshd_service *meshd_registry_find(const struct meshd_registry *registry, const char *key);

/* All services: for (e = mesh__map_next(m, NULL); …), values struct meshd_service. */
const struct mesh__map *meshd_registry_services(const struct meshd_registry *registry);
size_t meshd_registry_n_live(const struct meshd_registry *registry);

/* "healthy" or "expiring". */
const char *meshd_registry_state(const struct meshd_registry *registry, const struct meshd_instance *instance);

/*
 * Fills in an ENDPOINTS record (type, service, version, full, known, instances, removed) with what changed after version `since`; everything when that cannot be told. Texts are borrowed from the
 * registry until its next change; only the two arrays are the record's: free it with meshd_registry_delta_fini(). False when out of memory.
 */
bool meshd_registry_delta(const struct meshd_registry *registry, const char *key, uint64_t since, struct mesh__record *out) MESH__MUST_USE;
void meshd_registry_delta_fini(struct mesh__record *record);

#endif
