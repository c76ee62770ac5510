/*
 * The CA, as meshd sees it: a child process that alone holds the signing key, asked over a socket pair. The child is started anew, with backoff, when it dies; what was asked then fails.
 * Loop's thread.
 */
#ifndef MESHD_CA_H
#define MESHD_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/loop.h"
#include "io/pki.h"
#include "wire/json.h"
#include "wire/name.h"

struct meshd_ca;

struct meshd_ca_options {
	const char *program;      /* its path, or a name for PATH */
	const char *dir;          /* its directory */
	const char *trust_domain;
	int64_t max_ttl_ms;
	const char *user;         /* whom it runs as when started as root; "": the CA chooses */
	const char *log_level;
};

/* What the CA says of itself. */
struct meshd_ca_info {
	char *roots_pem;
	char root_pin[65];
	int64_t root_not_after_ms, issuer_not_after_ms;
};

/* A signed leaf; borrowed for the call. */
struct meshd_signed {
	const char *chain_pem;
	char serial[MESH__SERIAL_MAX];
	char spiffe[MESH__SPIFFE_MAX];
	int64_t not_before_ms, not_after_ms;
};

/* How a request ended: the leaf, or NULL and the reason. MESH_E_OVERLOADED is the CA's rate limit. A CA that died with the request in its hands may have signed, but nobody has what it signed. */
typedef void (*meshd_signed_fn)(void *user, const struct meshd_signed *leaf, const struct mesh__err *err);

/* The CA is up and has told of itself: at the first start, and again after each of its deaths. */
typedef void (*meshd_ca_up_fn)(void *user, const struct meshd_ca_info *info);

/* Begins to start the child. MESH_E_IO when there is no such program. */
int meshd_ca_new(struct mesh__loop *loop, const struct meshd_ca_options *options, meshd_ca_up_fn up, void *user, struct meshd_ca **out, struct mesh__err *err) MESH__MUST_USE;

/* Ends the child (it leaves at the end of its input) and frees; requests still open end with MESH_E_CLOSED. Accepts NULL. */
void meshd_ca_free(struct meshd_ca *ca);

bool meshd_ca_is_up(const struct meshd_ca *ca);

/* How often the child died before it ever came up; for the program's start. */
int meshd_ca_failed_starts(const struct meshd_ca *ca);

/* What it last told; NULL before it ever came up. */
const struct meshd_ca_info *meshd_ca_told(const struct meshd_ca *ca);

/* Asks for a leaf of `name` over the request's key. `fn` runs once, always, later or now. */
void meshd_ca_sign(struct meshd_ca *ca, const struct mesh__name *name, const char *csr_pem, int64_t ttl_ms, meshd_signed_fn fn, void *user);

#endif
