/*
 * What bounds the connections of one destination over all of its endpoints (http/client.h, mesh__circuit): the pools of its endpoints share it. Private to the pools (curl_pool.h).
 *
 * A place is leave to have one connection. Each endpoint (mesh__circuit_seat()), and so each pool, has one of its own, used or not, so that none goes without because the others have taken all; every further connection needs one of those
 * that are left. So there are never more connections than maxConnections, unless there are more endpoints than that. A pool that waits for a place is hungry: what becomes free anywhere goes to those, and idle connections of other
 * pools are closed for them.
 *
 * Locks: a pool's, then the circuit's. All of this is off the way of a call that finds an idle connection, but for mesh__circuit_wanted().
 */
#ifndef MESH__HTTP_CIRCUIT_H
#define MESH__HTTP_CIRCUIT_H

#include "http/curl_pool.h"

/* A pool's life in its circuit. No effect without one (pool->options.circuit NULL); so below. */
void mesh__circuit_join(struct mesh__pool *pool);
void mesh__circuit_leave(struct mesh__pool *pool);

/* One more connection of the pool, counted in pool->n_connections; false: there is no place, and the pool is hungry. The pool's lock is held; so for those that say so. */
bool mesh__circuit_connect_locked(struct mesh__pool *pool) MESH__MUST_USE;
/* One has gone. mesh__circuit_relieve() is to follow once the lock is free. */
void mesh__circuit_disconnect_locked(struct mesh__pool *pool);

/* One more call waits for a connection; false, and not counted, when as many as maxPending do. `anyway`: it waited before. */
bool mesh__circuit_wait_locked(struct mesh__pool *pool, bool anyway) MESH__MUST_USE;
void mesh__circuit_waited_locked(struct mesh__pool *pool);
/* Nobody waits in the pool any more. */
void mesh__circuit_sated_locked(struct mesh__pool *pool);

/* Fills in *err for what mesh__circuit_wait_locked() refused. */
int mesh__circuit_fail(const struct mesh__pool *pool, struct mesh__err *err);

/* A call has begun to wait in the pool: if that is for want of a place, an idle connection elsewhere is closed for it. No lock is held; so below. */
void mesh__circuit_make_room(struct mesh__pool *pool);

/* Places have become free: the hungry are served. */
void mesh__circuit_relieve(struct mesh__circuit *circuit);

/* Whether a connection that has just become idle should rather be closed: another pool is hungry, or there are too many since the limit was lowered. */
bool mesh__circuit_wanted(const struct mesh__circuit *circuit);

#endif
