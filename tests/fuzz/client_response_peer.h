/*
 * The peer of an HTTP client in the same thread: the calls by which libcurl reaches the network (connect, send, recv, poll, the two addresses) are this file's, so that a response comes in exactly the pieces
 * that a script wants, and nothing waits. What is sent is read until it is a whole request; then the next response's bytes lie ready.
 */
#ifndef TESTS_FUZZ_CLIENT_RESPONSE_PEER_H
#define TESTS_FUZZ_CLIENT_RESPONSE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_PIECES_MAX = 64, PEER_BYTES_MAX = 8192 };

enum peer_end { PEER_STAYS, PEER_ENDS, PEER_RESETS };

/* What the peer does with one request. */
struct peer_response {
	char bytes[PEER_BYTES_MAX];
	size_t len;
	size_t cuts[PEER_PIECES_MAX]; /* no read goes beyond the next of these places */
	size_t n_cuts;
	enum peer_end end;
};

/*
 * What a peer makes of what is sent to it: how many of the bytes it has done with, and in *whole whether a request ended with them; `fresh`: they are the first of a connection. Called again with what is left. HTTP/1.1 unless
 * peer_speak() says otherwise; before a request is answered, `answers` may still change the response.
 */
typedef size_t (*peer_take_fn)(const char *bytes, size_t len, bool fresh, bool *whole);
void peer_speak(peer_take_fn take, void (*answers)(bool first_of_connection));

/* From here on: requests are answered so, and whoever would wait for more calls `stalled`. All is borrowed. */
void peer_answer(const struct peer_response *response, void (*stalled)(void));

int peer_n_requests(void); /* whole ones since peer_answer() */
void peer_close(void);     /* ends what is left of all connections */

#endif
