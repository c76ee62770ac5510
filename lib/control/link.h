/*
 * The link to meshd: one session at a time (a watch stream and small POSTs beside it), opened again with full-jitter backoff whenever it breaks, against the next of the servers. Control loop only.
 *
 * What is wanted (interests, registration) is state of the owner; the link asks for it whenever a session opens and when it is told that it changed.
 */
#ifndef MESH__CONTROL_LINK_H
#define MESH__CONTROL_LINK_H

#include "http/client.h"
#include "identity/servers.h"
#include "io/loop.h"
#include "wire/message.h"

struct mesh__link;

struct mesh__link_events {
	/* One record; the verdict goes back to meshd as its acknowledgement. HELLO and PING do not come here. */
	int (*record)(void *arg, const struct mesh__record *record, struct mesh__err *err);
	/* What to subscribe to now; the callee fills in services (an array to be freed with mesh__free(), strings borrowed) and trust_version. */
	int (*interests)(void *arg, struct mesh__msg_subscribe *out, struct mesh__err *err);
	/* The registration was taken (true) or refused. */
	void (*registered)(void *arg, bool yes, const struct mesh__err *err);
	/* Appends what is to be reported; NULL: mesh__link_report() is never called. */
	void (*report)(void *arg, struct mesh__buf *out);
	/* The report was not taken. */
	void (*report_refused)(void *arg);
	/* A session is open (err NULL), or broken with the reason. */
	void (*state)(void *arg, const struct mesh__err *err);
	void *arg;
};

int mesh__link_new(struct mesh__loop *loop, const struct mesh__servers *servers, const struct mesh__link_events *events, struct mesh__link **out, struct mesh__err *err) MESH__MUST_USE;

/* Accepts NULL. */
void mesh__link_free(struct mesh__link *link);

/* Connects, or connects anew, as these credentials. */
void mesh__link_use(struct mesh__link *link, struct mesh__creds *creds);

/* The interests have changed. */
void mesh__link_subscribe(struct mesh__link *link);

/* There is something to report: `report` is asked for it when its turn comes. A meshd that takes none is not asked again in that session. */
void mesh__link_report(struct mesh__link *link);

/* What this process serves (copied): registered now and after every reconnect. MESH_E_NO_MEMORY. */
int mesh__link_register(struct mesh__link *link, const struct mesh__msg_instance *instance, struct mesh__err *err) MESH__MUST_USE;

/* Deregisters; the link goes on, and mesh__link_register() registers again. */
void mesh__link_withdraw(struct mesh__link *link);

/* Deregisters; `done` runs on the loop when meshd has answered, or at once when there is nothing to say or nobody to say it to. Once. */
void mesh__link_deregister(struct mesh__link *link, mesh__loop_fn done, void *arg);

/* In a forked child. Accepts NULL. Memory stays, as with mesh__multi_abandon. */
void mesh__link_abandon(struct mesh__link *link);

#endif
