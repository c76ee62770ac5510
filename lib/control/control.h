/*
 * The control side of a process: joins what identity gives (SVIDs) and what meshd says (records) into snapshots, and tells whoever waits. It owns the credentials' generations: each new SVID and each change of trust
 * makes the next, and no connection spans two.
 */
#ifndef MESH__CONTROL_CONTROL_H
#define MESH__CONTROL_CONTROL_H

#include "control/snapshot.h"
#include "identity/servers.h"
#include "identity/state_dir.h"
#include "identity/svid.h"
#include "io/loop.h"
#include "telemetry/metrics.h"
#include "wire/message.h"

struct mesh__control;

struct mesh__control_options {
	struct mesh__loop *loop;
	struct mesh__metrics *metrics;
	const struct mesh__servers *servers;            /* copied */
	struct mesh__state_dir *state;                  /* borrowed; NULL: nothing is cached */
	const struct mesh__endpoint_source *source;     /* borrowed */
	const struct mesh__document *documents;         /* of MESH_ENDPOINTS; borrowed; NULL: none */
	const char *ns;
	/* New credentials: for renewals, and for serving, before they are published. Loop's thread; keep references. After a failure the next generation is made soon. */
	int (*credentials)(void *arg, struct mesh__creds *creds, struct mesh__err *err);
	/* NULL, or: a new snapshot is given out from here on. Loop's thread. */
	void (*published)(void *arg);
	void *arg;
};

int mesh__control_new(const struct mesh__control_options *options, struct mesh__control **out, struct mesh__err *err) MESH__MUST_USE;

/* After the loop has ended, or on it. Accepts NULL. */
void mesh__control_free(struct mesh__control *control);

/* In a forked child. Accepts NULL. Memory stays: the thread that was changing it is not here. */
void mesh__control_abandon(struct mesh__control *control);

/* A new SVID (loop's thread; takes no reference of the caller's). */
void mesh__control_svid(struct mesh__control *control, struct mesh__svid *svid);

/* Identity failed: told to those who wait (loop's thread). */
void mesh__control_identity_failed(struct mesh__control *control, const struct mesh__err *err, bool final);

/* The snapshot of the moment, or NULL. Any thread; the caller unrefs. */
struct mesh__snapshot *mesh__control_snapshot(struct mesh__control *control) MESH__MUST_USE;

/*
 * What the serving side has to ask of each request. Any thread, and cheap: it is asked for every one. UNKNOWN: who may call is not known yet, so nobody; OPEN: everybody may, as often as he likes, as many at once as there are; RULED: the snapshot's `own` tells. It is true of the snapshot
 * that is given out afterwards, or of a newer one.
 */
enum mesh__guard { MESH__GUARD_UNKNOWN, MESH__GUARD_OPEN, MESH__GUARD_RULED };
enum mesh__guard mesh__control_guard(const struct mesh__control *control);

/*
 * Asks for service `key` where it is not subscribed to, and waits until it is in the snapshot and there is an identity; *out is that snapshot. Any thread but the loop's. MESH_E_TIMEOUT and MESH_E_NOT_READY (with the
 * last reason), MESH_E_CANCELLED, MESH_E_DENIED (no identity, for good), MESH_E_NO_SERVICE (no control plane, and not among the static ones).
 */
int mesh__control_await(struct mesh__control *control, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err) MESH__MUST_USE;

/* The same for one who does not wait: asks, once; looks, again and again: MESH_E_WOULD_BLOCK while it is not there yet. Any thread. */
int mesh__control_ask(struct mesh__control *control, const char *key, struct mesh__err *err) MESH__MUST_USE;
int mesh__control_look(struct mesh__control *control, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err) MESH__MUST_USE;

/* listener(arg) is called whenever a look may find something else, on whatever thread, under a lock: it only signals. One; NULL: none any more, and once this has returned it is not running. */
void mesh__control_listen(struct mesh__control *control, void (*listener)(void *arg), void *arg);

/* Waits until ready: an identity, the control plane's first word or a cached snapshot, and the registration where one was asked for. Any thread but the loop's. */
int mesh__control_await_ready(struct mesh__control *control, int64_t deadline_us, struct mesh__err *err) MESH__MUST_USE;
bool mesh__control_is_ready(struct mesh__control *control, char *why); /* status.h */

/* This process serves: it is registered as soon as can be (instance copied). Any thread. */
int mesh__control_serve(struct mesh__control *control, const struct mesh__msg_instance *instance, struct mesh__err *err) MESH__MUST_USE;

/* The application says whether it can serve (`why` NULL) or not, and why: while it cannot, nothing is registered. At first it can. Any thread. */
void mesh__control_able(struct mesh__control *control, const char *why);
bool mesh__control_is_able(const struct mesh__control *control);

/* Deregisters, and ends mesh__control_await_ready() with MESH_E_CLOSED; `done` on the loop, in the end. Any thread, once. */
void mesh__control_leave(struct mesh__control *control, mesh__loop_fn done, void *arg);

/* The SPIFFE ID, as a heap string, or NULL. Any thread. */
char *mesh__control_spiffe(struct mesh__control *control);

#endif
