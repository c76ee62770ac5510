/*
 * "payments" of two_meshes, serving in a mode and with a setting of the test's choice, and what its memory comes to. In mode "pull" threads of the test take the requests and call the handler with them, so that handlers which wait
 * serve in "pool" and "pull" alike.
 */
#ifndef TESTS_SUPPORT_SERVING_H
#define TESTS_SUPPORT_SERVING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "support/two_meshes.h"

enum { SERVING_PULLERS = 4 };

struct serving {
	struct two_meshes t;
	struct mesh__mem mem;              /* of payments */
	_Atomic long n_bytes, most_bytes;  /* live, of that */
	_Atomic long n_blocks, n_asked, fail_at; /* live; asked for since serving_fail(); the one that fails, 0: none */
	_Atomic int64_t ahead_us;          /* payments' clock is so far ahead */
	const char *mode;
	mesh_handler_fn handler;
	void *user;
	pthread_t pullers[SERVING_PULLERS];
	int n_pullers;
};

/* `bodies` as the option `request_bodies`; more options as pairs of strings up to NULL, or NULL. */
void serving_open(struct serving *s, const char *mode, const char *bodies, mesh_handler_fn handler, void *user, const char *const *more);

/* Closes it, where the test has not; its code. */
int32_t serving_close(struct serving *s, int64_t drain_ms);

/* After the close: the rest. Aborts when memory of payments is left. */
void serving_fini(struct serving *s);

/* The group fixtures of a program whose tests share one that serves in "pool", "streamed"; which, and with what handler, is said before. */
void serving_fixture(struct serving *s, mesh_handler_fn handler);
int serving_set_up(void **state);
int serving_tear_down(void **state);

/* From here on most_bytes is counted anew. */
void serving_forget_most(struct serving *s);

/* The n-th allocation of payments from now on fails; 0: none. */
void serving_fail(struct serving *s, long n);

/* A byte at a place of a long body, such that a hole, a repetition or an exchange shows. */
void serving_fill(char *bytes, size_t len, size_t at);
bool serving_is_filled(const char *bytes, size_t len, size_t at);

#endif
