/* One request on its way through the reverse proxy. Private to upstream.c and upstream_pass.c. */
#ifndef MESHCTL_UPSTREAM_PASS_H
#define MESHCTL_UPSTREAM_PASS_H

#include <pthread.h>
#include <stdbool.h>

#include <meshlib/mesh.h>

#include "meshctl/upstream_check.h"

struct ctl_pass;

struct ctl_upstream {
	const struct mesh__env *env;
	mesh *m;
	bool http2;
	struct mesh__target target;
	char url[256];                /* for messages */
	struct mesh__pool *pool;
	struct mesh__loop *loop;
	bool runs;
	/* Below: the loop's thread alone, but for what `mu` guards. */
	struct ctl_check *check;
	struct mesh__timer *sweep;
	struct mesh__post stop_post;
	bool stopping;
	char *own;                    /* the SPIFFE ID of this service; NULL until it is first asked for */
	struct ctl_pass *under_way;
	size_t n_under_way;
	pthread_mutex_t mu;           /* guards idle */
	struct ctl_pass *idle;        /* for the next ones: who rings a moment late still rings at one of ours */
};

/* Of a request; takes it. NULL when out of memory: it is still the caller's. Any thread. */
struct ctl_pass *ctl_pass_new(struct ctl_upstream *up, mesh_inbound *inbound) MESH__MUST_USE;

/* Any thread; from here on it is the loop's. */
void ctl_pass_begin(struct ctl_pass *pass);

/* Breaks off what is under way; the last to end stops the loop when up->stopping. Loop's thread. */
void ctl_pass_stop_all(struct ctl_upstream *up);

/* The mesh is closed and the loop has ended: first what stands on the loop, and, once that is freed too, the rest. */
void ctl_pass_free_timers(struct ctl_upstream *up);
void ctl_pass_free_all(struct ctl_upstream *up);

#endif
