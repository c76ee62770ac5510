/*
 * The descriptors by which libcurl wakes a multi that waits. libcurl 7.88 makes them (a pair of AF_UNIX sockets) without close-on-exec, so that each program that the application starts would inherit two a connection; and it tells
 * nobody which they are. They are found by what waking the multi does to them, which no other descriptor shows.
 */
#ifndef MESH__HTTP_CURL_WAKEUP_H
#define MESH__HTTP_CURL_WAKEUP_H

struct mesh__wakeup {
	int fds[2]; /* -1: not known; newer versions make them close-on-exec themselves */
};

/* A new CURLM whose descriptors close on exec, or NULL. It may have been woken already, so that its first wait ends at once. */
void *mesh__wakeup_multi(struct mesh__wakeup *wakeup);

/* In a forked child: closes this process's copies. */
void mesh__wakeup_abandon(struct mesh__wakeup *wakeup);

#endif
