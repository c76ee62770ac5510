/* The real client (pool, libcurl, our hooks) before the peer of client_response_peer.h, with memory under the fuzzer's hand: what is asked, and what must hold whatever the peer says. */
#ifndef TESTS_FUZZ_CLIENT_RESPONSE_STAGE_H
#define TESTS_FUZZ_CLIENT_RESPONSE_STAGE_H

#include "client_response_peer.h"
#include "http/client.h"
#include "check.h"

enum { RESPONSE_MAX = 1024, EXCHANGES_MAX = 8 };

enum way { WAY_GET, WAY_HEAD, WAY_POST, WAY_PUT_EMPTY, WAYS };

struct client_stage {
	struct mesh__client_response response;
	struct mesh__client_result result;
	int code;
	bool must_dial; /* the caller's: nothing is left that could be used again */
};

/* A pool to the peer. close: nothing of its memory may be left. */
void client_stage_open(struct client_stage *s, enum mesh__http_proto proto);
void client_stage_close(void);

/* One exchange, which is cancelled when the peer says no more; released by mesh__client_response_fini(). */
void client_stage_exchange(struct client_stage *s, enum way way, const struct peer_response *answer);

/* A response that was taken has a status, a body within its bound, and fields that could forge nothing. */
void client_stage_check_form(const struct mesh__client_response *r);

#endif
