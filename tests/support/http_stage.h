/*
 * A stage for the server core: a server on a loop of its own with a fake clock, a handler that behaves by the request's path, and a client that blocks, with a deadline.
 */
#ifndef TESTS_SUPPORT_HTTP_STAGE_H
#define TESTS_SUPPORT_HTTP_STAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "http/server.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/sockets.h"

enum { STAGE_BIG_BYTES = 16 * 1024 * 1024 }; /* what "/big" answers: more than any socket holds */

struct stage {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__loop *loop;
	struct mesh__http_server *server;
	struct mesh__metrics *metrics;
	struct mesh__http_limits limits;
	mesh__http_handler handler; /* in place of the one that behaves by path, which is NULL */
	bool stream_bodies, http2;
	struct mesh__addr addr;
	pthread_mutex_t mu; /* guards all below */
	pthread_cond_t changed;
	struct mesh__exchange *kept;
	int n_requests;
	int n_gone;
	bool drained;
	char seen[4096];
};

extern struct stage stage;

/* cmocka fixtures. The server opens later: limits may be set before. tear_down asserts that no memory is left. */
int stage_set_up(void **state);
int stage_set_up_http2(void **state);
int stage_tear_down(void **state);
void stage_open(void);

/* The client. hear returns what comes until the server closes, or until `until` has come. ask: one request on a connection of its own, until it closes. */
int stage_dial(void);
void stage_say(int fd, const char *text);
void stage_send(int fd, const void *bytes, size_t len);
const char *stage_hear(int fd, const char *until);
const char *stage_ask(const char *request);
void stage_assert_has(const char *text, const char *part);

/* Waits, with a deadline, for what the handler or a callback reports under stage.mu with stage_changed(). */
void stage_wait(bool (*done)(void));
void stage_changed(void);

/* Runs fn(arg) on the loop, and waits until it has. */
void stage_on_loop(mesh__loop_fn fn, void *arg);

/* The server begins to drain, for so long at most; stage_is_drained(), for stage_wait(), is then true some time. */
void stage_drain(int64_t drain_ms);
bool stage_is_drained(void);

/* The value of a series, such as mesh_connections{listener="test"}; 0 when there is none. */
long stage_count(const char *series);

/* The request that "/keep" or "/watch" has kept, once it is there; and a plain reply to it, from any thread. */
bool stage_is_kept(void);
struct mesh__exchange *stage_take_kept(void);
void stage_reply(struct mesh__exchange *x, int status, const char *text);

#endif
