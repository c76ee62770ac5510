/* Servers that break the rules, one script of raw_server each: of TLS, on a server without a tls conf, and of HTTP, on one with it. What a caller must make of each stands beside it. */
#ifndef TESTS_SUPPORT_BAD_PEER_H
#define TESTS_SUPPORT_BAD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raw_server.h"

struct bad_peer {
	const char *name;       /* of the fault */
	raw_script script;      /* its arg is the bad_peer itself */
	const char *code;       /* "MESH_E_..." */
	const char *bytes;      /* said after the ClientHello, or after the request */
	size_t n_bytes;
	const char *more;       /* repeated until the client has enough; NULL: nothing */
	size_t n_more;
	bool stays;             /* holds the connection open then: the caller's time must end it */
	int drip_ms;            /* between two of `more` */
};

/* Up to a NULL name. */
extern const struct bad_peer bad_tls_peers[];
extern const struct bad_peer bad_http_peers[];

struct raw_server *bad_peer_new(const struct bad_peer *peer, struct mesh__tls_conf *tls);

#endif
