/*
 * The sessions: who watches, what each has been told, what it answered. A session is told only what changed since what it has: endpoints by their version, configuration by its generation.
 * Nothing here knows of HTTP: a session writes into a sink. Loop's thread.
 */
#ifndef MESHD_WATCH_H
#define MESHD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"
#include "io/pki.h"
#include "io/trust.h"
#include "meshd/config.h"
#include "meshd/registry.h"
#include "meshd/sync.h"
#include "telemetry/metrics.h"
#include "wire/message.h"

enum { MESHD_SESSIONS_MAX = 16384 };

struct meshd_watch;
struct meshd_report; /* report.h */

/*
 * Where a session's records go. `write` returns false when the peer has gone or reads too slowly: the session is then over. `room` returns 0 when so much is unread that nothing more should be written before meshd_watch_drained().
 * `close` ends the stream and frees the sink; it runs once.
 */
struct meshd_sink {
	bool (*write)(void *user, const void *bytes, size_t len);
	size_t (*room)(void *user);
	void (*close)(void *user);
	void *user;
};

struct meshd_subscription {
	struct meshd_session *session;
	struct meshd_topic *topic;
	struct meshd_subscription *next_of_session;
	struct meshd_subscription *next_of_topic, **link_of_topic;
	uint64_t endpoints_version;  /* what it has; 0 with `endpoints_told` false: nothing */
	uint64_t generation;
	uint64_t endpoints_sequence; /* of the newest ENDPOINTS record */
	uint64_t endpoints_refused_sequence;
	char *endpoints_refused;     /* why it refused that of the sequence before; NULL: it did not, or has taken a newer one. Of the configuration that says nothing */
	bool endpoints_told, config_told;
	bool config_only;            /* its endpoints are not asked for */
	uint64_t awaited;            /* the sequence of the newest CONFIG record that has no answer yet; 0: none */
	int64_t awaited_ms;          /* since when one has none, or could not even be sent, wall clock */
	char *refused;               /* why it refused the configuration that it was sent last; NULL: it did not */
	uint64_t refused_generation;
	int64_t refused_ms;
	bool keep;                   /* while a list is replaced */
	bool due, changed;           /* to be told when the session has room; because of a change */
	struct meshd_report *report; /* what the session last reported of its endpoints; NULL: nothing */
	struct meshd_report *fresh;  /* while a report is taken */
	bool lacks;                  /* its newest configuration could not be sent yet */
};

struct meshd_session {
	char id[MESHD_SESSION_ID + 1];
	struct mesh__leaf peer;
	char service[MESH__SERVICE_KEY_MAX];
	char address[MESH__ADDR_TEXT];
	char instance[MESH__LABEL_MAX + 1]; /* what it registered; "" nothing */
	int64_t since_ms;            /* wall clock */
	uint64_t sequence;           /* of the last record sent */
	uint64_t generation;         /* the newest that it ran whole, while it owes an answer or has refused something */
	int64_t taken_ms;            /* when it took a configuration last; 0: never */
	size_t n_refused;            /* subscriptions whose newest configuration it has refused */
	size_t n_awaited;            /* subscriptions whose configuration it has not answered yet */
	size_t n_lacks;              /* those of which it was not sent the newest, because it is behind or that could not be made */
	struct meshd_sync_client due;
	struct meshd_subscription *subscriptions;
	size_t n_subscriptions;
	int64_t reported_ms;         /* when it reported last, wall clock; 0: never */
	int64_t report_due_us;       /* meshd_report_admits() */
	bool behind, trust_due;      /* it has not read what it was sent: nothing more until it has */
	bool over;                   /* its stream has ended; it is freed soon */
	/* The watch's own. */
	struct meshd_watch *watch;
	struct meshd_sink sink;
	struct mesh__post post;
	struct meshd_session *next, **link;
};

struct meshd_watch_options {
	struct mesh__loop *loop;
	const struct meshd_registry *registry;
	const struct meshd_config *config;
	struct meshd_lease_rules rules;
	struct mesh__metrics *metrics; /* NULL: not counted */
	/* Fills in a TRUST record whose texts are its own. */
	int (*trust_record)(void *user, struct mesh__record *record, struct mesh__err *err);
	void *user;
};

int meshd_watch_new(const struct meshd_watch_options *options, struct meshd_watch **out, struct mesh__err *err) MESH__MUST_USE;

/* After the loop has been freed, and with it what was posted. Accepts NULL. */
void meshd_watch_free(struct meshd_watch *watch);

/* The two sources, once they are there (they in turn are made with this watch to tell). */
void meshd_watch_sources(struct meshd_watch *watch, const struct meshd_registry *registry, const struct meshd_config *config);

/* Opens a session and sends HELLO and TRUST. The sink is the session's from here on, also on failure. Errors: MESH_E_OVERLOADED, MESH_E_NO_MEMORY, MESH_E_RESET. */
int meshd_watch_open(struct meshd_watch *watch, const struct mesh__leaf *peer, const char *address, const struct meshd_sink *sink, struct meshd_session **out, struct mesh__err *err) MESH__MUST_USE;

/* The stream has gone: the session is over. */
void meshd_watch_gone(struct meshd_session *session);

/*
 * The sink has room again. What has changed since it had none is told now, as it is now: what one that reads slowly holds is bounded by what its sink holds and one record, however much changes.
 */
void meshd_watch_drained(struct meshd_session *session);

/* The session, or NULL when there is none (any more). */
struct meshd_session *meshd_watch_find(const struct meshd_watch *watch, const char *id);

/* Changes what a session is told of, and tells it what it lacks. MESH_E_NO_MEMORY, MESH_E_TOO_LARGE (more than MESH__MSG_MAX_SERVICES). */
int meshd_watch_subscribe(struct meshd_session *session, const struct mesh__msg_subscribe *msg, struct mesh__err *err) MESH__MUST_USE;

/* What a session answered to a record. */
void meshd_watch_ack(struct meshd_session *session, const struct mesh__msg_ack *ack);

/* The generation that a session runs: the current one when it took everything that it was sent. */
uint64_t meshd_watch_generation(const struct meshd_session *session);

/* Why the session refused the newest configuration of a service, or else the newest endpoints of one; NULL: it refused neither. */
const char *meshd_watch_refusal(const struct meshd_session *session);

/* The generation that the session owes an answer for, or is still to be sent: as soon as it has read what waits for it, or that can be made; 0: nothing. */
uint64_t meshd_watch_owed(const struct meshd_subscription *sub);

/* How the generations since the start have spread. */
const struct meshd_sync *meshd_watch_sync(const struct meshd_watch *watch);

/*
 * Between meshd_watch_ask(session, true) and (session, false): the session's subscription to that service, or NULL. Each topic knows it then: who has thousands, and asks for many of them, is not looked for in all of them each time. One
 * session at a time.
 */
void meshd_watch_ask(struct meshd_session *session, bool asks);
struct meshd_subscription *meshd_watch_asked(const struct meshd_session *session, const char *key);

/* The first of those to a service, of all sessions, some of which may be over; the others follow by next_of_topic. NULL: there is none. */
const struct meshd_subscription *meshd_watch_subscribers(const struct meshd_watch *watch, const char *key);

/* What a session's memory is of. */
const struct mesh__mem *meshd_watch_mem(const struct meshd_session *session);

/* The service that a subscription is about. */
const char *meshd_watch_subscribed(const struct meshd_subscription *sub);

/* Something changed: those who watch it are told before the loop waits again; several changes at once make one record. */
void meshd_watch_service_changed(struct meshd_watch *watch, const char *key);
void meshd_watch_config_changed(struct meshd_watch *watch, enum mesh__kind kind, const struct mesh__name *name);
void meshd_watch_trust_changed(struct meshd_watch *watch, const struct mesh__trust *trust);

/* Tells those now that are to be told before the loop waits again: for whoever asks how far a change has come. */
void meshd_watch_flush(struct meshd_watch *watch);

/* A PING to every session. */
void meshd_watch_ping(struct meshd_watch *watch);

/* All sessions, newest first; skip those that are over. */
const struct meshd_session *meshd_watch_sessions(const struct meshd_watch *watch);
size_t meshd_watch_n_sessions(const struct meshd_watch *watch);

/* Ends every session's stream, so that clients look for another meshd. */
void meshd_watch_end_all(struct meshd_watch *watch);

#endif
