/* Active health checks on a mesh's loop: which endpoints they mark, when they begin and end, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/handle.h"
#include "patience.h"
#include "raw_server.h"
#include "test_peer.h"
#include "two_meshes.h"

enum { LONG_MS = 30000, SERVERS = 3, TEXT = 512 };

enum manner { WELL, SICK, LEAVES /* after each answer */, SILENT, HELD /* until it is another */ };

struct place {
	struct raw_server *server;
	struct mesh__addr address;
	_Atomic int manner;
	_Atomic long checks, calls;
};

static struct {
	struct two_meshes meshes;
	struct test_peer payments;
	struct mesh__tls_conf *tls;
	struct place places[SERVERS];
	_Atomic long silent; /* requests that nobody answers */
	mesh *cart;
	struct mesh__opened *opened; /* cart, looked into */
} stage;

static void await_end(struct raw_conn *conn)
{
	(void)atomic_fetch_add(&stage.silent, 1);
	raw_hang(conn);
	(void)atomic_fetch_sub(&stage.silent, 1);
}

static void serve(struct raw_conn *conn)
{
	struct place *place = conn->arg;
	char text[TEXT];

	while (raw_request(conn, text, sizeof(text))) {
		bool check = strncmp(text, "GET /healthz HTTP/1.1\r\n", 23) == 0;
		int manner = check ? atomic_load(&place->manner) : WELL;
		(void)atomic_fetch_add(check ? &place->checks : &place->calls, 1);
		while (manner == HELD) {
			(void)usleep(1000); /* lint: waits for an event */
			manner = atomic_load(&place->manner);
		}
		if (manner == SILENT) {
			await_end(conn);
		} else if (!raw_say(conn, manner == SICK ? "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") || manner == LEAVES) {
			return;
		}
	}
}

static void open_stage(const char *fields)
{
	const struct mesh__mem *mem = &stage.meshes.mem.mem;
	struct mesh__addr addresses[SERVERS];
	mesh_options *o;

	for (size_t i = 0; i < SERVERS; i++) {
		struct place *place = &stage.places[i];
		place->server = raw_server_new(stage.tls, serve, place);
		raw_server_address(place->server, &addresses[i]);
		place->address = addresses[i];
		atomic_store(&place->manner, WELL);
		atomic_store(&place->checks, 0);
		atomic_store(&place->calls, 0);
	}
	o = two_meshes_options_with(&stage.meshes, "cart", addresses, SERVERS, fields);
	mesh_options_allocator(o, mem->alloc, mem->resize, mem->release, mem->user);
	stage.cart = two_meshes_open(o);
	stage.opened = mesh__opened_enter(stage.cart, NULL);
	mesh__opened_leave(stage.opened); /* nobody else closes it */
}

static void close_stage(void)
{
	assert_int_equal(mesh_close(stage.cart, 1000), MESH_OK);
	for (size_t i = 0; i < SERVERS; i++) {
		raw_server_free(stage.places[i].server);
	}
	assert_int_equal(atomic_load(&stage.meshes.mem.live), 0);
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&stage.meshes, NULL, NULL, NULL);
	test_peer_init(&stage.payments, &stage.meshes.ca, "payments");
	stage.tls = test_tls_conf(&stage.payments, &stage.meshes.ca, false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__tls_conf_unref(stage.tls);
	test_peer_fini(&stage.payments);
	two_meshes_fini(&stage.meshes);
	return 0;
}

static void call(void)
{
	mesh_request *r = mesh_request_new(stage.cart, "payments", "GET", "/");

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_OK);
	mesh_request_free(r);
}

static bool is_marked(const struct place *place)
{
	struct mesh__endpoint_list *list = &stage.opened->endpoints;
	bool marked = false;

	(void)pthread_mutex_lock(&list->mu);
	for (const struct mesh__endpoint *e = list->first; e != NULL; e = e->next) {
		marked |= e->target.address.port == place->address.port && (atomic_load(&e->unhealthy) & MESH__UNHEALTHY_CHECK) != 0;
	}
	(void)pthread_mutex_unlock(&list->mu);
	return marked;
}

static void until(bool (*happened)(const struct place *place), const struct place *place, bool wanted)
{
	for (int64_t left_ms = patience(LONG_MS); happened(place) != wanted; left_ms--) {
		assert_true(left_ms > 0);
		(void)usleep(1000); /* lint: waits for an event */
	}
}

static bool is_checked_often(const struct place *place)
{
	return atomic_load(&place->checks) >= 4;
}

static bool was_checked(const struct place *place)
{
	return atomic_load(&place->checks) > 0;
}

static struct mesh__destination *destination(void)
{
	struct mesh__destination_list *list = &stage.opened->endpoints.destinations;
	struct mesh__destination *d;

	(void)pthread_mutex_lock(&list->mu);
	for (d = list->first; d != NULL && strcmp(d->key, "payments.default") != 0; d = d->next) {
	}
	(void)pthread_mutex_unlock(&list->mu);
	assert_non_null(d);
	return d;
}

static bool is_watched(const struct place *place)
{
	(void)place;
	return atomic_load(&destination()->use) != MESH__USE_UNWATCHED;
}

static void an_endpoint_that_fails_its_checks_is_marked_until_it_passes_them_again(void **state)
{
	(void)state;
	open_stage("connectTimeout: 20s\nhealthCheck: {interval: 100ms, timeout: 20s, unhealthyAfter: 2, healthyAfter: 2}\n");
	atomic_store(&stage.places[1].manner, SICK);
	call();
	until(is_marked, &stage.places[1], true);
	assert_true(atomic_load(&stage.places[1].checks) >= 2);
	assert_false(is_marked(&stage.places[0]));
	assert_false(is_marked(&stage.places[2]));
	atomic_store(&stage.places[1].manner, WELL);
	until(is_marked, &stage.places[1], false);
	assert_int_equal(atomic_load(&stage.places[0].calls) + atomic_load(&stage.places[1].calls) + atomic_load(&stage.places[2].calls), 1); /* of them checks are none */
	close_stage();
}

/* However long a check takes: as long as there are calls, they go on. */
static void call_until_checked(const struct place *place)
{
	for (int64_t left_ms = patience(LONG_MS); !was_checked(place); left_ms--) {
		assert_true(left_ms > 0);
		call();
		(void)usleep(1000); /* lint: waits for an event */
	}
}

static void nothing_is_checked_before_the_first_call_and_all_is_forgotten_after_the_last(void **state)
{
	struct place *place = &stage.places[0];

	(void)state;
	open_stage("healthCheck: {interval: 100ms, timeout: 20s, unhealthyAfter: 1}\n");
	stage.opened->outbound.checks.idle_ms = 1;
	atomic_store(&place->manner, SICK);
	assert_false(is_watched(NULL));
	assert_int_equal(atomic_load(&raw_server_counts(place->server)->accepted), 0);
	call_until_checked(place);
	until(is_watched, NULL, false);
	until(is_marked, place, false);
	atomic_store(&place->checks, 0);
	call_until_checked(place);
	close_stage();
}

static void a_connection_is_kept_from_check_to_check(void **state)
{
	struct place *place = &stage.places[0];

	(void)state;
	open_stage("healthCheck: {interval: 100ms, timeout: 20s}\n");
	call();
	until(is_checked_often, place, true);
	assert_true(atomic_load(&raw_server_counts(place->server)->accepted) <= 2); /* a call's, perhaps, and the checks' */
	close_stage();
}

/* It would count as a failure, and one is enough here. */
static void a_kept_connection_that_the_server_closed_says_nothing(void **state)
{
	struct place *place = &stage.places[0];

	(void)state;
	open_stage("connectTimeout: 20s\nhealthCheck: {interval: 100ms, timeout: 20s, unhealthyAfter: 1, healthyAfter: 100}\n");
	atomic_store(&place->manner, LEAVES);
	call();
	until(is_checked_often, place, true);
	assert_false(is_marked(place));
	close_stage();
}

static void an_endpoint_that_does_not_answer_in_time_fails(void **state)
{
	(void)state;
	open_stage("healthCheck: {interval: 100ms, timeout: 50ms, unhealthyAfter: 2}\n");
	atomic_store(&stage.places[2].manner, SILENT);
	call();
	until(is_marked, &stage.places[2], true);
	close_stage();
}

struct queue {
	struct mesh__post post;
	_Atomic int running;
	_Atomic bool others, seen;
};

/* On the loop, whose own it is. */
static void see_queue(void *arg)
{
	const struct mesh__checks *c = &stage.opened->outbound.checks;
	struct queue *q = arg;

	atomic_store(&q->running, c->n_running);
	atomic_store(&q->others, c->waiting != NULL);
	atomic_store(&q->seen, true);
}

static bool others_wait(const struct place *place)
{
	struct queue q = {.running = 0};

	(void)place;
	mesh__loop_post(stage.opened->loop, &q.post, see_queue, &q);
	while (!atomic_load(&q.seen)) {
		(void)usleep(1000); /* lint: waits for an event */
	}
	assert_true(atomic_load(&q.running) <= 1);
	return atomic_load(&q.running) == 1 && atomic_load(&q.others);
}

static void no_more_run_at_once_than_may_and_the_rest_have_their_turn(void **state)
{
	(void)state;
	open_stage("healthCheck: {interval: 100ms, timeout: 60s}\n");
	stage.opened->outbound.checks.at_once = 1;
	for (size_t i = 0; i < SERVERS; i++) {
		atomic_store(&stage.places[i].manner, HELD);
	}
	call();
	until(others_wait, NULL, true);
	for (size_t i = 0; i < SERVERS; i++) {
		atomic_store(&stage.places[i].manner, WELL);
	}
	for (size_t i = 0; i < SERVERS; i++) {
		until(is_checked_often, &stage.places[i], true);
	}
	close_stage();
}

static void closing_ends_a_check_that_is_under_way(void **state)
{
	int64_t begun_us;

	(void)state;
	open_stage("healthCheck: {interval: 100ms, timeout: 60s}\n");
	for (size_t i = 0; i < SERVERS; i++) {
		atomic_store(&stage.places[i].manner, SILENT);
	}
	call();
	assert_true(raw_wait(&stage.silent, SERVERS));
	begun_us = mesh__mono_us(&stage.meshes.env);
	close_stage();
	assert_true(mesh__mono_us(&stage.meshes.env) - begun_us < patience(LONG_MS) * 1000);
	assert_true(raw_wait(&stage.silent, 0));
}

/* Want of memory says nothing of an endpoint, one failed check of which would be enough here, and ends nothing. */
static void threat_31_out_of_memory_fails_no_check_and_ends_none(void **state)
{
	struct place *place = &stage.places[0];

	(void)state;
	open_stage("connectTimeout: 20s\nhealthCheck: {interval: 100ms, timeout: 20s, unhealthyAfter: 1, healthyAfter: 100}\n");
	call();
	for (long n = 1; n <= 8; n++) {
		atomic_store(&place->checks, 0);
		atomic_store(&place->manner, n % 2 == 0 ? LEAVES : WELL); /* the next has a connection to make, or has one */
		fail_mem_next(&stage.meshes.mem, n);
		until(was_checked, place, true);
		assert_false(is_marked(place));
	}
	fail_mem_next(&stage.meshes.mem, 0);
	close_stage();
}

struct beginning {
	struct mesh__post post;
	long n;
	_Atomic bool whole, seen;
};

/* On the loop: as if a call had asked for the service. */
static void begin_without_memory(void *arg)
{
	struct mesh__destination *d = destination();
	struct beginning *b = arg;

	mesh__checks_look(&stage.opened->outbound.checks); /* what has not begun whole has ended */
	atomic_store(&d->use, MESH__USE_NOTED);
	fail_mem_next(&stage.meshes.mem, b->n);
	mesh__checks_look(&stage.opened->outbound.checks);
	fail_mem_next(&stage.meshes.mem, 0);
	atomic_store(&b->whole, atomic_load(&d->use) == MESH__USE_NOTED);
	atomic_store(&b->seen, true);
}

static void threat_31_out_of_memory_at_their_beginning_puts_them_off_to_the_next_call(void **state)
{
	struct beginning b = {.n = 0};
	bool whole = false;

	(void)state;
	open_stage("connectTimeout: 20s\nhealthCheck: {interval: 1h, timeout: 20s}\n");
	while (!whole) {
		b.n++;
		atomic_store(&b.seen, false);
		mesh__loop_post(stage.opened->loop, &b.post, begin_without_memory, &b);
		while (!atomic_load(&b.seen)) {
			(void)usleep(1000); /* lint: waits for an event */
		}
		whole = atomic_load(&b.whole);
	}
	assert_in_range(b.n, 3, 30);
	until(was_checked, &stage.places[0], true);
	close_stage();
}

static void there_are_none_where_no_document_says_so_or_one_says_off(void **state)
{
	static const char *const fields[] = {"timeout: 60s\n", "healthCheck: {path: off, interval: 100ms}\n"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(fields); i++) {
		open_stage(fields[i]);
		call();
		assert_false(is_watched(NULL));
		close_stage();
		assert_int_equal(atomic_load(&stage.places[0].checks), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endpoint_that_fails_its_checks_is_marked_until_it_passes_them_again),
		cmocka_unit_test(nothing_is_checked_before_the_first_call_and_all_is_forgotten_after_the_last),
		cmocka_unit_test(a_connection_is_kept_from_check_to_check),
		cmocka_unit_test(a_kept_connection_that_the_server_closed_says_nothing),
		cmocka_unit_test(an_endpoint_that_does_not_answer_in_time_fails),
		cmocka_unit_test(no_more_run_at_once_than_may_and_the_rest_have_their_turn),
		cmocka_unit_test(closing_ends_a_check_that_is_under_way),
		cmocka_unit_test(threat_31_out_of_memory_fails_no_check_and_ends_none),
		cmocka_unit_test(threat_31_out_of_memory_at_their_beginning_puts_them_off_to_the_next_call),
		cmocka_unit_test(there_are_none_where_no_document_says_so_or_one_says_off),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
