/* The control servers of MESH_CONTROL: tried in turn from a random start. Loop's thread after init; copied by value. */
#ifndef MESH__IDENTITY_SERVERS_H
#define MESH__IDENTITY_SERVERS_H

#include <stddef.h>

#include "base/env.h"
#include "base/error.h"
#include "http/client.h"
#include "wire/name.h"
#include "wire/url.h"

enum { MESH__SERVERS_MAX = 8 };

struct mesh__servers {
	struct mesh__origin_url list[MESH__SERVERS_MAX];
	size_t n;    /* 0: no control plane */
	size_t next; /* the one to use */
};

/* Parses "https://host:port[,…]"; NULL or "" gives none. */
int mesh__servers_parse(const struct mesh__env *env, const char *text, struct mesh__servers *out, struct mesh__err *err) MESH__MUST_USE;

/* The one at hand failed: the next one's turn. */
void mesh__servers_advance(struct mesh__servers *servers);

/* "host:port" of the one at hand into out[320]. */
void mesh__servers_format(const struct mesh__servers *servers, char *out);

/* Fills in where a transfer connects, whom it expects there (meshd of `trust_domain`; NULL: not known yet) and the time it may take to connect. */
void mesh__servers_address(const struct mesh__servers *servers, const char *trust_domain, struct mesh__transfer_options *options);

#endif
