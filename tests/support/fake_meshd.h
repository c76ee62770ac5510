/*
 * A meshd under the test's hand: the real server core over real mutual TLS, on a loop of its own, that answers the control protocol as the test says. It keeps what came. Its own functions may be called from the
 * test's thread alone.
 */
#ifndef TESTS_SUPPORT_FAKE_MESHD_H
#define TESTS_SUPPORT_FAKE_MESHD_H

#include <pthread.h>
#include <stdbool.h>

#include "http/server.h"
#include "test_ca.h"
#include "test_peer.h"
#include "wire/message.h"

enum { FAKE_MESHD_POSTS = 256, FAKE_MESHD_TEXT = 2048 };

struct fake_post {
	char what[32];              /* "subscribe", "register", … */
	char body[FAKE_MESHD_TEXT];
};

struct fake_meshd {
	struct mesh__env env;
	struct test_ca *ca;
	struct test_peer self;
	struct mesh__loop *loop;
	struct mesh__http_server *http;
	struct mesh__addr address;
	pthread_mutex_t mu;         /* guards what follows */
	pthread_cond_t changed;
	struct fake_post posts[FAKE_MESHD_POSTS];
	size_t n_posts;
	int n_watches;
	struct mesh__exchange *watch; /* the stream of the moment */
	int status;                 /* of the answers to posts; 0: 200 */
	char answer[256];           /* their body; "": {} */
	char answered[32];          /* the kind that is answered so; "": all */
	uint64_t sequence;
	struct mesh__post post;     /* one thing at a time is asked of the loop */
	struct mesh__buf line;
	bool done, hanging;
	struct mesh__exchange *hung[16]; /* the loop's */
	size_t n_hung;
	struct mesh__buf greeting;  /* sent at each subscription */
	uint64_t n_greeting;
};

void fake_meshd_init(struct fake_meshd *meshd, struct test_ca *ca);
void fake_meshd_fini(struct fake_meshd *meshd);

/* Sends a record on the stream of the moment, its sequence filled in; or a line as it is. */
void fake_meshd_send(struct fake_meshd *meshd, struct mesh__record *record);
void fake_meshd_send_text(struct fake_meshd *meshd, const char *text);

/* Each subscription from here on is answered with this record, and those greeted with before, on the stream. Not while a client is there. */
void fake_meshd_greet(struct fake_meshd *meshd, struct mesh__record *record);

/* From here on posts are kept and never answered. */
void fake_meshd_hang(struct fake_meshd *meshd);

/* Ends the stream of the moment. */
void fake_meshd_hang_up(struct fake_meshd *meshd);

/* From here on posts are answered so (0 and "": 200 and {}). */
void fake_meshd_answer(struct fake_meshd *meshd, int status, const char *body);

/* Posts of this kind alone. */
void fake_meshd_answer_to(struct fake_meshd *meshd, const char *what, int status, const char *body);

/* Waits, at most ten seconds, for the n-th watch (from 1); for the n-th post of a kind (from 1), whose body is then in out[FAKE_MESHD_TEXT]. The test fails otherwise. */
void fake_meshd_await_watch(struct fake_meshd *meshd, int n);
void fake_meshd_await_post(struct fake_meshd *meshd, const char *what, size_t n, char *out);

/* How many of a kind have come so far. */
size_t fake_meshd_count(struct fake_meshd *meshd, const char *what);

#endif
