/* What an attempt to get a certificate brings: a private key and, where it is made already, the request signed with it. */
#ifndef MESH__IDENTITY_JOIN_KEY_H
#define MESH__IDENTITY_JOIN_KEY_H

#include "base/env.h"
#include "base/error.h"

struct mesh__join_key {
	char *key_pem; /* wiped when it is freed */
	char *csr_pem; /* NULL: still to be made */
};

/* A new key, without its request. Any thread. */
int mesh__join_key_new(const struct mesh__env *env, struct mesh__join_key **out, struct mesh__err *err) MESH__MUST_USE;

/* Makes the request, with `spiffe` in it (NULL: no name), unless it is there already. */
int mesh__join_key_request(const struct mesh__env *env, struct mesh__join_key *key, const char *spiffe, struct mesh__err *err) MESH__MUST_USE;

/* Accepts NULL. */
void mesh__join_key_free(struct mesh__join_key *key);

#endif
