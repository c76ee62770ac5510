/*
 * The identity of a process through its life: from the state directory, from files, or by joining with a token; renewed in place at a jittered point of its life, tried again with full-jitter backoff, joined
 * anew with the token should it ever expire. Loop's thread only, but for mesh__identity_new() and mesh__identity_prepare().
 */
#ifndef MESH__IDENTITY_IDENTITY_H
#define MESH__IDENTITY_IDENTITY_H

#include "http/client.h"
#include "identity/servers.h"
#include "identity/state_dir.h"
#include "identity/svid.h"
#include "io/loop.h"
#include "wire/token.h"

struct mesh__identity;

struct mesh__identity_options {
	struct mesh__loop *loop;
	const struct mesh__servers *servers; /* copied */
	const struct mesh__token *token;     /* copied; NULL: none */
	struct mesh__state_dir *state;       /* borrowed; NULL: none */
	struct mesh__svid *fixed;            /* from files: referenced, never renewed; NULL: none */
	const char *service, *ns, *instance; /* copied; service may be NULL */
	/* A new SVID: keep a reference. Never inside mesh__identity_new. */
	void (*changed)(void *arg, struct mesh__svid *svid);
	/* An attempt failed; `final`: the mesh will not get an identity by trying again. */
	void (*failed)(void *arg, const struct mesh__err *err, bool final);
	void *arg;
};

int mesh__identity_new(const struct mesh__identity_options *options, struct mesh__identity **out, struct mesh__err *err) MESH__MUST_USE;

/* Begins. */
void mesh__identity_start(struct mesh__identity *identity);

/*
 * Makes the key of the first join, and where no name goes into it the request, on a thread that waits for the loop's: two milliseconds of arithmetic beside the first handshake instead of before the second. Any thread, at
 * most once, and over before mesh__identity_free(). It does nothing where a kept identity may make a key superfluous, and its failure is none: the loop's thread makes what is missing.
 */
void mesh__identity_prepare(struct mesh__identity *identity);

/* What the next renewal shows and is verified by: the credentials that were made of the SVID (and of the trust learned since). Referenced. */
void mesh__identity_use(struct mesh__identity *identity, struct mesh__creds *creds);

/* Accepts NULL. */
void mesh__identity_free(struct mesh__identity *identity);

/* In a forked child. Accepts NULL. Memory stays: the thread that was changing it is not here. */
void mesh__identity_abandon(struct mesh__identity *identity);

#endif
