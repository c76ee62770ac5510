/*
 * A curl_multi that is driven on the loop for its whole life, and its connections. Loop's thread only (curl_multi.c and curl_shared.c are its users).
 */
#ifndef MESH__HTTP_CURL_LANE_H
#define MESH__HTTP_CURL_LANE_H

#include <stdbool.h>

#include "http/curl_conns.h"
#include "http/curl_drive.h"
#include "http/curl_wakeup.h"

struct mesh__lane {
	struct mesh__lane *next;
	void *curl;                       /* CURLM */
	struct mesh__wakeup wakeup;       /* its */
	struct mesh__drive drive;         /* its; the lane may be freed when it tells that libcurl has run */
	struct mesh__conns conns;
	size_t n_transfers;
	int places;                       /* curl_shared.c: how many connections it may have, */
	bool judged;                      /* and whether one of them has led to a good peer */
	bool spent;                       /* takes no new transfer */
};

int mesh__lane_new(struct mesh__loop *loop, void (*ran)(void *arg), void *arg, struct mesh__lane **out, struct mesh__err *err) MESH__MUST_USE;

/* Closes its connections. No handle is on it, and libcurl is not running. Accepts NULL. */
void mesh__lane_free(struct mesh__lane *lane);

#endif
