/*
 * A curl_multi on the loop: libcurl says which sockets and which moment it waits for, the loop's watches and timer tell it. Loop's thread only (http/curl_multi.c is the one user).
 */
#ifndef MESH__HTTP_CURL_LANE_H
#define MESH__HTTP_CURL_LANE_H

#include <stdbool.h>

#include "http/curl_conns.h"
#include "http/curl_wakeup.h"
#include "io/loop.h"

struct mesh__lane_watch;

struct mesh__lane {
	struct mesh__lane *next;
	struct mesh__loop *loop;
	void *curl;                       /* CURLM */
	struct mesh__wakeup wakeup;       /* its */
	struct mesh__timer *timer;
	struct mesh__lane_watch *watches;
	struct mesh__conns conns;
	size_t n_transfers;
	bool entered;                     /* libcurl is running: no handle may be added or removed */
	bool dead;                        /* libcurl gave it up: what is left on it has failed */
	bool spent;                       /* takes no new transfer */
	void (*ran)(void *arg);           /* libcurl has run: some transfer may have ended. The lane may be freed in it. */
	void *arg;
};

int mesh__lane_new(struct mesh__loop *loop, void (*ran)(void *arg), void *arg, struct mesh__lane **out, struct mesh__err *err) MESH__MUST_USE;

/* Closes its connections. No handle is on it, and libcurl is not running. Accepts NULL. */
void mesh__lane_free(struct mesh__lane *lane);

#endif
