/*
 * A way to make the same request: over libcurl as it is, with TLS and a client certificate ("tls") or in plaintext to a sidecar ("plain"), or
 * by mesh_call ("mesh"). Opened anew for each round, with connections of its own.
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
};

struct way;

/* `kind` is tls, plain or mesh; `to` an address, or for mesh a service. NULL, and a line on stderr, when it cannot be. */
struct way *way_open(const char *kind, const char *to, const struct target *target);

/* Makes the request as caller `caller` (from 0), one at a time each; false, and for the first a line on stderr, unless the whole body came with 200. */
bool way_call(struct way *w, int caller);

void way_close(struct way *w);

#endif
