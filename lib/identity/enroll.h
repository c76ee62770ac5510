/*
 * One attempt to get an SVID from the control server. With a token (enrolment): the bundle is fetched on a connection that trusts nothing and sends no secret, the root that matches the token's pin is kept, and only
 * then, on a new connection verified against it, the request goes out with the token. Without one (renewal): over mutual TLS with the SVID at hand. Each attempt makes a new key. Loop's thread only.
 */
#ifndef MESH__IDENTITY_ENROLL_H
#define MESH__IDENTITY_ENROLL_H

#include "base/error.h"
#include "http/client.h"
#include "identity/join_key.h"
#include "identity/servers.h"
#include "identity/svid.h"
#include "io/loop.h"
#include "wire/token.h"

struct mesh__enroll;

struct mesh__enroll_options {
	struct mesh__loop *loop;
	const struct mesh__servers *servers;
	const struct mesh__token *token; /* enrolment; NULL: renewal */
	struct mesh__creds *creds;       /* renewal: what to show; else NULL */
	const char *service;             /* enrolment: what the token is expected to give; NULL: whatever it does */
	const char *ns;
	const char *instance;
	/* Asked once, when the key is needed: one that was made beforehand, the callee's from then on, or NULL. */
	struct mesh__join_key *(*prepared)(void *arg);
	/*
	 * Once, not inside mesh__enroll_start. MESH_OK: `svid` is the callee's to unref. Otherwise `final` says that trying again cannot help (the token is spent, expired, unknown or for another service; the
	 * certificate was revoked).
	 */
	void (*done)(void *arg, int code, struct mesh__svid *svid, bool final, const struct mesh__err *err);
	void *arg;
};

int mesh__enroll_start(const struct mesh__enroll_options *options, struct mesh__enroll **out, struct mesh__err *err) MESH__MUST_USE;

/* Ends the attempt without its done callback, or frees it after. Accepts NULL. */
void mesh__enroll_free(struct mesh__enroll *enroll);

/* In a forked child. Accepts NULL. Memory stays, as with mesh__multi_abandon. */
void mesh__enroll_abandon(struct mesh__enroll *enroll);

#endif
