/*
 * The loops of a server, "mesh-in-0" and on: each on a thread of its own with a server core of its own, over which the connections that the first accepts are spread. Any thread, unless it says otherwise; not two at once for open, start,
 * stop, close.
 */
#ifndef MESH__INBOUND_LOOPS_H
#define MESH__INBOUND_LOOPS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/thread_set.h"
#include "http/server.h"

enum { MESH__LOOPS_MAX = MESH__THREAD_SET_MAX };

struct mesh__loops;

struct mesh__loops_one {
	struct mesh__loops *all;
	struct mesh__loop *loop;
	struct mesh__http_server *http;
	struct mesh__post thread_post, rotate_post, drain_post;
	/* Guarded by all->mu. Rotations cross to the loop one at a time: of several the last counts. */
	bool rotate_posted;
	struct mesh__tls_conf *next_tls;
	struct mesh__trust *next_trust;
};

struct mesh__loops {
	struct mesh__thread_set *threads;
	struct mesh__loops_one *list;
	int32_t n;
	int64_t drain_ms;
	pthread_mutex_t mu; /* guards n_drained, cut_short, hurried, and what its comment says in `list` */
	pthread_cond_t changed;
	int32_t n_drained;
	bool cut_short;
	bool hurried;
};

void mesh__loops_init(struct mesh__loops *loops);

/* After mesh__loops_close(). */
void mesh__loops_fini(struct mesh__loops *loops);

/* How many there are where nobody says: one for each CPU that this process may run on, at most MESH__LOOPS_MAX. */
int32_t mesh__loops_default(void);

/* Makes `n` loops (0: the default) and listens at http->address. Each thread enters `threads` before anything is served on it. On failure mesh__loops_close() is due. */
int mesh__loops_open(struct mesh__loops *loops, const struct mesh__env *env, int32_t n, const struct mesh__http_options *http, struct mesh__thread_set *threads, struct mesh__err *err) MESH__MUST_USE;
int mesh__loops_start(struct mesh__loops *loops, struct mesh__err *err) MESH__MUST_USE;
void mesh__loops_address(const struct mesh__loops *loops, struct mesh__addr *out);

/* New credentials for all. References of its own. */
void mesh__loops_rotate(struct mesh__loops *loops, struct mesh__tls_conf *tls, struct mesh__trust *trust);

/* Drains all, and waits until they have; true when no request was cut. Once, and not on one of the threads. */
bool mesh__loops_drain(struct mesh__loops *loops, int64_t drain_ms);

/* The drain that another thread waits for is over. Any thread. */
void mesh__loops_hurry(struct mesh__loops *loops);

/* The threads are to end, and nothing is freed: for the exit of the process. Any thread, also one of them. */
void mesh__loops_halt(struct mesh__loops *loops);

/* After that: waits for the threads, but the one that this is, until `deadline_us` on the clock of `env`. */
void mesh__loops_join_until(struct mesh__loops *loops, const struct mesh__env *env, int64_t deadline_us);

/* Ends the threads and frees the server cores: replies from here on are dropped. Not on one of the threads. */
void mesh__loops_stop(struct mesh__loops *loops);

/* Frees what is left, after the stop. */
void mesh__loops_close(struct mesh__loops *loops);

/* In a forked child (io/loop.h). */
void mesh__loops_abandon(struct mesh__loops *loops);

/* Whether this thread is one of theirs. */
bool mesh__loops_is_current(const struct mesh__loops *loops);

#endif
