/* An HTTP/2 client of the server on http_stage.h: h2_peer.h with what a test of that server asks and hears. It blocks, with a deadline; what does not come as said fails the test. */
#ifndef TESTS_SUPPORT_H2_CLIENT_H
#define TESTS_SUPPORT_H2_CLIENT_H

#include "support/h2_peer.h"

struct h2_client {
	struct raw_conn conn;
	struct h2_peer peer;
};

/* A connection on which nothing was said; and one with the preface. */
void h2_client_dial(struct h2_client *k);
void h2_client_open(struct h2_client *k);
void h2_client_close(struct h2_client *k);

/* Sends a request's head, `whole` with no body, and what waited in peer.out before it. `more` as in h2_request(). */
void h2_client_ask(struct h2_client *k, uint32_t stream, bool whole, const char *method, const char *path, const char *more);

/* A whole GET, and then what h2_client_hear() says. */
void h2_client_get(struct h2_client *k, uint32_t stream, const char *path, const char *status, struct h2_message *message);

/* The next head, which must be of this stream, with this status. */
void h2_client_hear(struct h2_client *k, uint32_t stream, const char *status, struct h2_message *message);
void h2_client_hear_body(struct h2_client *k, uint32_t stream, const char *expected);

/* RST_STREAM's code. */
uint32_t h2_client_hear_reset(struct h2_client *k, uint32_t stream);

/* GOAWAY's code; its last stream in *last. */
uint32_t h2_client_hear_goaway(struct h2_client *k, uint32_t *last);

/* The connection's end. */
void h2_client_hear_end(struct h2_client *k);

#endif
