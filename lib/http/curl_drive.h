/*
 * Drives a curl_multi on a loop: libcurl says which sockets and which moment it waits for, the loop's watches and timer tell it. For the multi's life (a lane), or for one exchange of a multi that a thread drives at other
 * times (a flight). Loop's thread only.
 */
#ifndef MESH__HTTP_CURL_DRIVE_H
#define MESH__HTTP_CURL_DRIVE_H

#include <stdbool.h>

#include "io/loop.h"

struct mesh__drive_watch;

struct mesh__drive {
	struct mesh__loop *loop;
	void *curl;                       /* CURLM, the owner's */
	struct mesh__timer *timer;
	struct mesh__drive_watch *watches;
	bool entered;                     /* libcurl is running: no handle may be added or removed */
	bool dead;                        /* libcurl gave it up: what is left on it has failed */
	int paused_end;                   /* a CURLcode: the exchange that was to go on has ended so, which libcurl tells nobody else; CURLE_OK: it goes on */
	void (*ran)(void *arg);           /* libcurl has run: some exchange may have ended. The drive may be detached in it, and its memory freed. */
	void *arg;
};

/* Before a handle is added to it; no socket is watched for a kept connection that no exchange uses. MESH_E_NO_MEMORY. */
int mesh__drive_attach(struct mesh__drive *drive, struct mesh__loop *loop, void *curl, void (*ran)(void *arg), void *arg, struct mesh__err *err) MESH__MUST_USE;

/* libcurl is not running, and asks for nothing more. A zeroed drive, and one that is detached, are accepted. */
void mesh__drive_detach(struct mesh__drive *drive);

/* Goes on with an exchange that had paused, both ways; for what follows it is as if a socket were ready. libcurl is not running. */
void mesh__drive_unpause(struct mesh__drive *drive, void *easy);

#endif
