/*
 * A route's mirror: of a share of its calls a copy goes to another side as well, as a started call of its own, on the call thread. The caller never hears of it: its answer is thrown away, it is not tried again, nobody waits for it, and
 * where there are too many of them it is left out. It takes no place of maxRequests from a call; connections and the queue for them it shares with the calls to the same destination. It carries `mesh-mirror: 1`, by which who gets it knows it (mesh_inbound_mirrored()).
 */
#ifndef MESH__OUTBOUND_MIRROR_H
#define MESH__OUTBOUND_MIRROR_H

#include "control/snapshot.h"

/* Copies under way at once, of the calls of one service, and the bytes of their bodies: those over either are left out. */
enum { MESH__MIRROR_COPIES_MAX = 64, MESH__MIRROR_BYTES_MAX = 16 * 1024 * 1024 };

struct mesh_request;

/* Of a call that is such a copy. Zeroed: it is the application's own. */
struct mesh__copy {
	struct mesh__destination *of;    /* whose call was copied; referenced */
	struct mesh__snapshot *from;     /* which that call had; referenced */
	const struct mesh__side *to;     /* in it */
};

/* The first try of a call that has a route is about to begin: its copy begins where route and dice want one. Nothing of it fails the call. */
void mesh__mirror_call(struct mesh_request *request);

/* Drops what a copy refers to; no effect on any other call. */
void mesh__mirror_let_go(struct mesh_request *request);

#endif
