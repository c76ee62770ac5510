/*
 * A way to make the same request, opened anew for each round, with connections of its own:
 *
 *	tls      libcurl as it is, with TLS and a client certificate, on a kept connection
 *	plain    the same without TLS: to a sidecar
 *	full     as tls, but each call on a connection of its own, with a full handshake
 *	resumed  the same, each handshake resuming the session of the one before
 *	mesh     mesh_call, with static endpoints and the same certificate
 *	join     mesh_call, joining as MESH_CONTROL and MESH_TOKEN say
 */
#ifndef BENCH_WAY_H
#define BENCH_WAY_H

#include <stdbool.h>
#include <stddef.h>

/* What every way asks for, and as whom. */
struct target {
	const char *host;        /* the DNS name in the server's certificate */
	const char *path;
	size_t bytes;            /* of the body that must come */
	const char *certificate; /* PEM files */
	const char *key;
	const char *bundle;
	const char *endpoints; /* for "mesh": a file of `kind: Endpoints` */
	int callers;
	int handles; /* a caller has, and uses in turn; for the kinds of libcurl alone */
};

struct way;

bool way_kind_known(const char *kind);

/* `to` is an address; for mesh and join a service, or several joined by '+' that are called in turn. NULL, and a line on stderr, when it cannot be. */
struct way *way_open(const char *kind, const char *to, const struct target *target);

/* Makes the request as caller `caller` (from 0), one at a time each; false, and for the first a line on stderr, unless the whole body came with 200. */
bool way_call(struct way *w, int caller);

/* Of the handshakes so far how many were resumed; kinds full and resumed alone. No call may be under way. */
unsigned long way_resumed(const struct way *w);

void way_close(struct way *w);

#endif
