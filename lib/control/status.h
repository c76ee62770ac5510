/* Where a process stands with the control plane, and those who wait for it to get further. Any thread. */
#ifndef MESH__CONTROL_STATUS_H
#define MESH__CONTROL_STATUS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/env.h"
#include "base/error.h"
#include "http/client.h"

/* What may hold or not. */
enum mesh__fact {
	MESH__FACT_IDENTITY,   /* a snapshot with credentials is out */
	MESH__FACT_HEARD,      /* meshd has told of trust since the start, or the cached snapshot was read */
	MESH__FACT_APART,      /* no session is open, and the last attempt at one failed */
	MESH__FACT_SERVING,    /* a registration was asked for */
	MESH__FACT_GUARDED,    /* what this process lets in is known */
	MESH__FACT_REGISTERED,
	MESH__FACT_UNABLE,     /* the application says that it cannot serve: `unable` */
	MESH__FACT_REFUSED,    /* there will be no identity */
	MESH__FACT_CLOSED,
	MESH__N_FACTS
};

enum { MESH__UNABLE_MAX = 200 };

struct mesh__status {
	const struct mesh__env *env;
	bool has_servers;          /* there is a control plane */
	pthread_mutex_t mu;        /* guards facts, last, unable, listener */
	pthread_cond_t changed;
	bool facts[MESH__N_FACTS];
	struct mesh__err last;     /* the last thing that went wrong */
	char unable[MESH__UNABLE_MAX];
	void (*listener)(void *arg);
	void *listener_arg;
};

void mesh__status_init(struct mesh__status *status, const struct mesh__env *env, bool has_servers);
void mesh__status_fini(struct mesh__status *status);

/* States a fact, and wakes who waits. */
void mesh__status_set(struct mesh__status *status, enum mesh__fact fact, bool holds);

/* listener(arg) is called at each change, on whatever thread, under a lock: it only signals. One; NULL: none any more, and once this has returned it is not running. */
void mesh__status_listen(struct mesh__status *status, void (*listener)(void *arg), void *arg);

/* Wakes the threads that wait: something they look at has changed. */
void mesh__status_wake(struct mesh__status *status);

/* Notes what went wrong, for those who wait in vain. */
void mesh__status_trouble(struct mesh__status *status, const struct mesh__err *err);

/* The application can serve (`why` NULL) or cannot, for this reason, which is cut at its bound. */
void mesh__status_able(struct mesh__status *status, const char *why);

/*
 * Ready: an identity, the control plane's first word (or a cached one), and where a registration was asked for that, unless meshd was found out of reach, and what may be let in; and nothing from the application to the contrary, whose word is put
 * into why[MESH__UNABLE_MAX], unless that is NULL ("" when it has said nothing).
 */
bool mesh__status_is_ready(struct mesh__status *status, char *why);
int mesh__status_await_ready(struct mesh__status *status, int64_t deadline_us, struct mesh__err *err) MESH__MUST_USE;

/*
 * Waits until there(arg) is true; `what` names it in messages. `there` is called with the status' lock held: it takes no lock around which this one is taken. MESH_E_TIMEOUT, MESH_E_NOT_READY (no identity within the deadline),
 * MESH_E_CANCELLED, MESH_E_DENIED, or the code that `there` gives by *err.
 */
int mesh__status_await(struct mesh__status *status, const char *what, bool (*there)(void *arg, struct mesh__err *err), void *arg, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err) MESH__MUST_USE;

/* The same without waiting: MESH_E_WOULD_BLOCK: not yet. */
int mesh__status_look(struct mesh__status *status, const char *what, bool (*there)(void *arg, struct mesh__err *err), void *arg, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err) MESH__MUST_USE;

#endif
