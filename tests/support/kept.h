/*
 * Inbound requests in the test's hand: "payments" serves with a handler that gives each to the test's thread, whatever the mode, and an HTTP/1.1 client is connected to it. Fails the test where a step does not do what it says.
 */
#ifndef TESTS_SUPPORT_KEPT_H
#define TESTS_SUPPORT_KEPT_H

#include <pthread.h>

#include "support/h1_client.h"
#include "support/serving.h"

struct kept {
	struct serving serving;
	struct h1_client client;
	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t changed;
	mesh_inbound *list[8];
	int n;
	int n_told[MESH_EVENT_GONE + 1]; /* by kept_on_event, of each kind */
};

extern struct kept kept;

/* As serving_open(). */
void kept_open(const char *mode, const char *bodies, const char *const *more);

/* cmocka fixtures: "pool", "streamed". The test may tear down and open it otherwise. */
int kept_set_up(void **state);
int kept_tear_down(void **state);

/* The latest request that the handler got, once there is one. */
mesh_inbound *kept_next(void);

/* A request from the client: one whose body is yet to come, one without. */
mesh_inbound *kept_begin_upload(void);
mesh_inbound *kept_get(const char *method);

/* Reads this, waiting for it; "": the end. Writes all of it. */
void kept_expect_read(mesh_inbound *in, const char *text);
void kept_write(mesh_inbound *in, const char *text);

/* Of what kept.mu guards: waits until there are so many; how many there are. */
void kept_await(const int *what, int n);
int kept_count(const int *what);

/* What the handler is, and a function for mesh_inbound_on_stream() that counts. */
void kept_keep(void *user, mesh_inbound *in);
void kept_on_event(void *user, mesh_inbound *in, int32_t kind);

/* Longer than anything takes that is to happen. */
int64_t kept_patient_ms(void);

#endif
