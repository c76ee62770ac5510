/*
 * A way to make the same request, opened anew for each round, with connections of its own:
 *
 *	tls      libcurl as it is, with TLS and a client certificate, on a kept connection
 *	tls2     the same over HTTP/2
 *	plain    the same without TLS: to a sidecar
 *	full     as tls, but each call on a connection of its own, with a full handshake
 *	resumed  the same, each handshake resuming the session of the one before
 *	mesh     mesh_call, with static endpoints and the same certificate
 *	mesh2    the same over HTTP/2
 *	multi    libcurl's multi, with TLS as above: one thread has as many requests under way as there are callers
 *	multi2   the same over HTTP/2, on as few connections as libcurl finds right
 *	async    mesh_call_start, likewise
 *	async2   the same over HTTP/2
 *	join     mesh_call, joining as MESH_CONTROL and MESH_TOKEN say
 */
#ifndef BENCH_WAY_H
#define BENCH_WAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What every way asks for, and as whom. */
struct target {
	const char *host;        /* the DNS name in the server's certificate */
	const char *path;
	size_t bytes;            /* of the body that must come */
	const char *certificate; /* PEM files */
	const char *key;
	const char *bundle;
	const char *endpoints;  /* for mesh and async: a file of `kind: Endpoints` */
	const char *endpoints2; /* for mesh2 and async2: the same with `protocol: http2` */
	int callers;
	int handles; /* a caller has, and uses in turn; for the kinds of libcurl alone */
};

struct way;

bool way_kind_known(const char *kind);

/* `to` is an address; for mesh and join a service, or several joined by '+' that are called in turn. NULL, and a line on stderr, when it cannot be. */
struct way *way_open(const char *kind, const char *to, const struct target *target);

/* Makes the request as caller `caller` (from 0), one at a time each; false, and for the first a line on stderr, unless the whole body came with 200. Not where way_flies(). */
bool way_call(struct way *w, int caller);

/* Whether one thread makes all requests, many at a time. */
bool way_flies(const struct way *w);

/* Keeps `n` requests under way for as long as more() says so, each followed by another when it has landed, then waits for the last. */
struct flying {
	bool (*more)(void *arg);
	void (*landed)(void *arg, uint64_t ns, bool ok); /* a request took so long; false as way_call() */
	void *arg;
};
void way_fly(struct way *w, int n, const struct flying *f);

/* Of the handshakes so far how many were resumed; kinds full and resumed alone. No call may be under way. */
unsigned long way_resumed(const struct way *w);

void way_close(struct way *w);

#endif
