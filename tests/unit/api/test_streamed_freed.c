/*
 * A streamed request that another thread frees at the very moment its call ends: nothing of it is touched afterwards, and its end is told once, or not at all where it was freed before. The two steps of that end are linked so that the
 * test stands in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "outbound/request.h"
#include "patience.h"
#include "raw_server.h"
#include "serving.h"

enum { LONG_MS = 20000 };

enum moment { NEVER, BEFORE_IT_IS_TOLD, BEFORE_IT_IS_BACK, ONCE_IT_IS_BACK };

bool __real_mesh__streamed_concluded(struct mesh_request *r);
bool __wrap_mesh__streamed_concluded(struct mesh_request *r);
bool __real_mesh__streamed_give_back(struct mesh_request *r, struct mesh__events *events);
bool __wrap_mesh__streamed_give_back(struct mesh_request *r, struct mesh__events *events);

static struct serving s;
static mesh *cart;
static _Atomic int freed_at;
static _Atomic long n_freed, n_done, n_events;

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

static void *free_it(void *arg)
{
	mesh_request_free(arg);
	return NULL;
}

/* On a thread that is not the call's, and the call goes on when that is through. */
static void free_elsewhere(mesh_request *r, int moment)
{
	int wanted = moment;
	pthread_t thread;

	if (atomic_compare_exchange_strong(&freed_at, &wanted, NEVER)) {
		assert_int_equal(pthread_create(&thread, NULL, free_it, r), 0);
		(void)pthread_join(thread, NULL);
		atomic_fetch_add(&n_freed, 1);
	}
}

bool __wrap_mesh__streamed_concluded(struct mesh_request *r)
{
	bool goes_on = __real_mesh__streamed_concluded(r);

	free_elsewhere(r, BEFORE_IT_IS_TOLD);
	return goes_on;
}

bool __wrap_mesh__streamed_give_back(struct mesh_request *r, struct mesh__events *events)
{
	bool wanted;

	free_elsewhere(r, BEFORE_IT_IS_BACK);
	if (mesh__streamed_is_given_up(r)) {
		assert_int_equal(r->telling.pending, 0); /* nobody finds it in a poll */
	}
	wanted = __real_mesh__streamed_give_back(r, events);
	if (wanted) {
		free_elsewhere(r, ONCE_IT_IS_BACK);
	}
	return wanted;
}

/* The answer is whole when the request is, or its body follows until the caller goes. */
static void handle(void *user, mesh_inbound *in)
{
	int32_t code;

	(void)user;
	if (strcmp(mesh_inbound_path(in), "/pour") != 0) {
		(void)mesh_reply(in, 200, "whole", 5);
		return;
	}
	for (code = mesh_reply_begin(in, 200); code == MESH_OK;) {
		code = mesh_reply_write(in, "drop", 4, NULL, patient_ms());
	}
	(void)mesh_reply_abort(in);
}

static void on_done(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	(void)r; /* may be no more */
	assert_int_equal(code, MESH_OK);
	atomic_fetch_add(&n_done, 1);
}

/* Until the mesh is closed. */
static void *poll_all(void *arg)
{
	mesh_event e;
	int32_t n;

	while ((n = mesh_poll(arg, &e, 1, patient_ms())) >= 0) {
		atomic_fetch_add(&n_events, n);
	}
	return NULL;
}

static mesh_request *request_of(bool download)
{
	mesh_request *r = mesh_request_new(cart, "payments", "POST", download ? "/pour" : "/whole");

	assert_non_null(r);
	assert_int_equal(mesh_request_upload(r, 0), MESH_OK); /* whole as it is: nobody need say that it ends */
	if (download) {
		assert_int_equal(mesh_request_download(r), MESH_OK);
	}
	return r;
}

static void free_at(enum moment moment, bool download, bool by_event, long n_told)
{
	mesh_request *r = request_of(download);
	long freed = atomic_load(&n_freed), done = atomic_load(&n_done), events = atomic_load(&n_events);
	pthread_t poller;

	atomic_store(&freed_at, moment);
	assert_int_equal(pthread_create(&poller, NULL, poll_all, cart), 0);
	assert_int_equal(mesh_call_start(r, by_event ? NULL : on_done, NULL), MESH_OK);
	assert_true(raw_wait(&n_freed, freed + 1));
	assert_int_equal(mesh_close(cart, patient_ms()), MESH_OK);
	(void)pthread_join(poller, NULL);
	assert_int_equal(atomic_load(&n_done) - done, by_event ? 0 : n_told);
	assert_true(atomic_load(&n_events) - events <= (by_event ? n_told : 0)); /* one that was not taken when it was freed is forgotten */
}

static void freed_as_its_call_ends_it_is_told_once_or_not_at_all(void **state)
{
	static const struct {
		enum moment moment;
		bool download;
		long n_told;
	} cases[] = {
		{BEFORE_IT_IS_TOLD, false, 0},
		{BEFORE_IT_IS_TOLD, true, 0},
		{BEFORE_IT_IS_BACK, false, 0},
		{ONCE_IT_IS_BACK, false, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int by_event = 0; by_event < 2; by_event++) {
			cart = two_meshes_open_cart(&s.t, "protocol: http\n");
			free_at(cases[i].moment, cases[i].download, by_event != 0, cases[i].n_told);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(freed_as_its_call_ends_it_is_told_once_or_not_at_all)};

	serving_fixture(&s, handle);
	return cmocka_run_group_tests(tests, serving_set_up, serving_tear_down);
}
