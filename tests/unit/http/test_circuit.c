/* The circuit: what several pools may have of connections, and of calls that wait for one, together. Nothing is dialled: a slot with leave to dial is a connection that the pools count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>

#include "alloc_fail.h"
#include "client_call.h"
#include "fake_env.h"
#include "http/circuit.h"
#include "http/curl_queue.h"
#include "raw_server.h"
#include "telemetry/metrics.h"

enum { POOLS = 3, ASKED = 8 };

/* One who asked for a connection. */
struct asked {
	struct mesh__waiter waiter; /* first */
	bool settled;
	int code;                   /* of asking */
	struct mesh__slot *slot;
	struct mesh__err err;
};

static struct {
	struct fake_env fake;
	struct mesh__metrics *metrics;
	struct mesh__circuit *circuit;
	struct mesh__pool *pools[POOLS];
	struct asked asked[ASKED];
	size_t n_asked;
} stage;

static struct mesh__pool *make_pool(uint16_t port)
{
	struct mesh__pool_options options;
	struct mesh__pool *pool = NULL;

	mesh__pool_options_default(&options);
	options.target.insecure_plaintext = true;
	(void)snprintf(options.target.host, sizeof(options.target.host), "payments.default.mesh.local");
	(void)snprintf(options.target.address.ip, sizeof(options.target.address.ip), "127.0.0.1");
	options.target.address.port = port;
	options.circuit = stage.circuit;
	assert_int_equal(mesh__pool_new(&stage.fake.env, &options, &pool, NULL), MESH_OK);
	return pool;
}

static void begin(size_t n_pools, int32_t max_connections, int32_t max_pending)
{
	struct mesh__circuit_options options = {.name = "payments.default", .metrics = stage.metrics, .max_connections = max_connections, .max_pending = max_pending};

	assert_int_equal(mesh__circuit_new(&stage.fake.env, &options, &stage.circuit, NULL), MESH_OK);
	for (size_t i = 0; i < n_pools; i++) {
		stage.pools[i] = make_pool((uint16_t)(i + 1));
	}
}

static int set_up(void **state)
{
	(void)state;
	memset(&stage, 0, sizeof(stage));
	fake_env_init(&stage.fake);
	stage.metrics = mesh__metrics_new(&stage.fake.env);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < stage.n_asked; i++) {
		struct asked *a = &stage.asked[i];

		if (a->slot != NULL) {
			mesh__pool_give(a->slot, mesh__mono_us(&stage.fake.env), false);
		} else if (a->code == MESH_E_WOULD_BLOCK && !mesh__queue_leave(&a->waiter)) {
			mesh__pool_decline(&a->waiter);
		}
	}
	assert_int_equal(mesh__circuit_pending(stage.circuit), 0);
	for (size_t i = 0; i < POOLS; i++) {
		mesh__pool_unref(stage.pools[i]);
	}
	assert_int_equal(mesh__circuit_connections(stage.circuit), 0);
	mesh__circuit_unref(stage.circuit);
	mesh__metrics_free(stage.metrics);
	return 0;
}

static void settle(struct mesh__waiter *w)
{
	((struct asked *)w)->settled = true;
}

/* Asks pool `i` for a connection; one whose leave to dial was used, so that it holds up no other's. */
static struct asked *ask(size_t i)
{
	struct asked *a = &stage.asked[stage.n_asked++];

	assert_true(stage.n_asked <= ASKED);
	a->waiter.settled = settle;
	a->code = mesh__pool_ask(stage.pools[i], &a->waiter, false, &a->slot, &a->err);
	if (a->code == MESH_OK) {
		mesh__pool_dialled(a->slot);
	}
	return a;
}

static void give(struct asked *a, bool keep)
{
	mesh__pool_give(a->slot, mesh__mono_us(&stage.fake.env), keep);
	a->slot = NULL;
}

static int64_t counted(const char *limit)
{
	return atomic_load(&mesh__metrics_counter(stage.metrics, MESH__CIRCUIT_METRIC, "", "limit", limit)->value);
}

/* Two pools with three connections, all in use: two of the first, of which this is one, and the second's own. */
static struct asked *take_all(void)
{
	struct asked *first;

	begin(2, 3, 10);
	first = ask(0);
	(void)ask(0);
	(void)ask(1);
	return first;
}

static void the_limit_holds_over_all_pools(void **state)
{
	(void)state;
	begin(2, 3, 10);
	give(ask(0), false); /* what was, counts no more; the pool's own place stays its own */
	give(ask(0), false);
	assert_int_equal(ask(0)->code, MESH_OK);
	assert_int_equal(ask(0)->code, MESH_OK);
	assert_int_equal(ask(0)->code, MESH_E_WOULD_BLOCK); /* the third is the other pool's own */
	assert_int_equal(ask(1)->code, MESH_OK);
	assert_int_equal(ask(1)->code, MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh__circuit_connections(stage.circuit), 3);
	assert_int_equal(mesh__circuit_pending(stage.circuit), 2);
	assert_int_equal(counted("maxConnections"), 2);
}

static void no_endpoint_goes_without_a_connection(void **state)
{
	(void)state;
	begin(3, 1, 10);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ask(i)->code, MESH_OK);
		assert_int_equal(ask(i)->code, MESH_E_WOULD_BLOCK);
	}
}

static void an_endpoint_that_nobody_has_called_yet_has_its_place_too(void **state)
{
	(void)state;
	begin(1, 2, 10);
	mesh__circuit_seat(stage.circuit, 2); /* the one with the pool, and another */
	assert_int_equal(ask(0)->code, MESH_OK);
	assert_int_equal(ask(0)->code, MESH_E_WOULD_BLOCK);
	stage.pools[1] = make_pool(2);
	assert_int_equal(ask(1)->code, MESH_OK);
	assert_int_equal(ask(1)->code, MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh__circuit_connections(stage.circuit), 2);
}

static void an_endpoint_that_has_left_leaves_its_place(void **state)
{
	struct asked *waiting;

	(void)state;
	begin(1, 2, 10);
	mesh__circuit_seat(stage.circuit, 2);
	(void)ask(0);
	waiting = ask(0);
	assert_false(waiting->settled);
	mesh__circuit_seat(stage.circuit, -1);
	assert_true(waiting->settled);
}

static void a_place_that_becomes_free_goes_to_who_waits_elsewhere(void **state)
{
	struct asked *first = take_all(), *waiting = ask(1);

	(void)state;
	assert_false(waiting->settled);
	give(first, false);
	assert_true(waiting->settled);
	assert_int_equal(mesh__pool_accept(&waiting->waiter, &waiting->slot, NULL), MESH_OK);
	assert_int_equal(mesh__circuit_connections(stage.circuit), 3);
}

static void a_connection_that_becomes_idle_is_closed_for_who_waits_elsewhere(void **state)
{
	struct asked *first = take_all(), *waiting = ask(1);

	(void)state;
	give(first, true);
	assert_true(waiting->settled);
	assert_null(waiting->waiter.slot);
	assert_int_equal(stage.pools[0]->n_connections, 1);
}

static void an_idle_connection_is_closed_for_who_comes(void **state)
{
	struct asked *waiting;

	(void)state;
	begin(3, 4, 10);
	(void)ask(0);
	give(ask(0), true);
	(void)ask(1);
	assert_int_equal(stage.pools[0]->n_connections, 2);
	waiting = ask(1);
	assert_int_equal(waiting->code, MESH_E_WOULD_BLOCK);
	assert_true(waiting->settled);
	assert_int_equal(stage.pools[0]->n_connections, 1);
	assert_int_equal(mesh__circuit_connections(stage.circuit), 3);
}

static int watched_fd;
static bool was_closed;

static void settle_and_look(struct mesh__waiter *w)
{
	settle(w);
	was_closed = fcntl(watched_fd, F_GETFD) == -1;
}

/* A real connection of pool 0 that is idle, and watched. */
static void make_idle(struct raw_server *server)
{
	struct client_call call;

	raw_server_address(server, &stage.pools[0]->options.target.address);
	client_call_init(&call, "GET", NULL);
	call.env = stage.fake.env;
	assert_int_equal(client_call_run(&call, stage.pools[0]), MESH_OK);
	client_call_fini(&call);
	watched_fd = stage.pools[0]->all->conns.first->fd;
	assert_int_not_equal(fcntl(watched_fd, F_GETFD), -1);
}

static struct asked *wait_and_look(size_t i)
{
	struct asked *a = &stage.asked[stage.n_asked++];

	a->waiter.settled = settle_and_look;
	a->code = mesh__pool_ask(stage.pools[i], &a->waiter, false, &a->slot, NULL);
	assert_int_equal(a->code, MESH_E_WOULD_BLOCK);
	return a;
}

/* Else there would be one more than the limit, be it for a moment. */
static void a_place_is_free_once_its_connection_is_closed(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct asked *first, *waiting;

	(void)state;
	begin(1, 1, 10);
	make_idle(server);
	first = ask(0);
	waiting = wait_and_look(0);
	give(first, false);
	assert_true(waiting->settled);
	assert_true(was_closed);
	raw_server_free(server);
}

static void nor_is_it_free_to_others_before(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);

	(void)state;
	begin(2, 3, 10);
	(void)ask(0);
	make_idle(server);
	(void)ask(1);
	assert_true(wait_and_look(1)->settled);
	assert_true(was_closed);
	raw_server_free(server);
}

static void the_last_idle_connection_of_an_endpoint_stays(void **state)
{
	(void)state;
	begin(2, 2, 10);
	give(ask(0), true);
	(void)ask(1);
	assert_false(ask(1)->settled);
	assert_int_equal(stage.pools[0]->n_connections, 1);
}

static void who_waits_at_the_same_endpoint_is_served_first(void **state)
{
	struct asked *first, *here, *elsewhere;

	(void)state;
	first = take_all();
	elsewhere = ask(1);
	here = ask(0);
	give(first, true);
	assert_true(here->settled);
	assert_non_null(here->waiter.slot);
	assert_false(elsewhere->settled);
}

static void over_max_pending_of_all_a_call_is_refused_by_name(void **state)
{
	struct asked *refused, *waiting;

	(void)state;
	begin(2, 2, 2);
	(void)ask(0);
	(void)ask(1);
	waiting = ask(0);
	assert_int_equal(ask(1)->code, MESH_E_WOULD_BLOCK);
	refused = ask(1);
	assert_int_equal(refused->code, MESH_E_OVERLOADED);
	assert_int_equal(refused->err.origin, MESH__ORIGIN_POLICY);
	assert_string_equal(refused->err.message, "payments.default: circuitBreaker.maxPending: 2 calls wait for a connection, and no more may; nothing was sent");
	assert_int_equal(ask(0)->code, MESH_E_OVERLOADED);
	assert_int_equal(counted("maxPending"), 2);
	assert_int_equal(mesh__circuit_pending(stage.circuit), 2);
	assert_true(mesh__queue_leave(&waiting->waiter));
	waiting->code = MESH_E_CANCELLED;
	assert_int_equal(ask(1)->code, MESH_E_WOULD_BLOCK);
}

static void with_no_pending_allowed_a_call_takes_what_is_free_or_fails(void **state)
{
	struct asked *first;

	(void)state;
	begin(1, 2, 0);
	first = ask(0);
	(void)ask(0);
	assert_int_equal(ask(0)->code, MESH_E_OVERLOADED);
	give(first, true);
	assert_int_equal(stage.pools[0]->n_connections, 2); /* nobody waits: it is kept */
}

static void who_has_left_the_queue_costs_nobody_a_connection(void **state)
{
	struct asked *first = take_all(), *waiting = ask(1);

	(void)state;
	assert_true(mesh__queue_leave(&waiting->waiter));
	waiting->code = MESH_E_CANCELLED;
	give(first, true);
	assert_int_equal(stage.pools[0]->n_connections, 2);
}

static void a_raised_limit_serves_those_who_wait(void **state)
{
	struct asked *a, *b;

	(void)state;
	begin(2, 2, 10);
	(void)ask(0);
	(void)ask(1);
	a = ask(0);
	b = ask(1);
	mesh__circuit_limit(stage.circuit, 3, 10);
	assert_true(a->settled != b->settled);
	mesh__circuit_limit(stage.circuit, 4, 10);
	assert_true(a->settled && b->settled);
}

static void under_a_lowered_limit_connections_close_as_they_become_idle(void **state)
{
	struct asked *a[4];

	(void)state;
	begin(1, 10, 10);
	for (size_t i = 0; i < 4; i++) {
		a[i] = ask(0);
	}
	give(a[0], true);
	mesh__circuit_limit(stage.circuit, 2, 10);
	assert_int_equal(stage.pools[0]->n_connections, 4);
	give(a[1], true);
	assert_int_equal(stage.pools[0]->n_connections, 3);
	mesh__pool_sweep(stage.pools[0], false);
	assert_int_equal(stage.pools[0]->n_connections, 2);
	give(a[2], true);
	assert_int_equal(stage.pools[0]->n_connections, 2);
}

static void an_endpoint_that_leaves_gives_its_place_back(void **state)
{
	struct asked *waiting;

	(void)state;
	begin(2, 2, 10);
	(void)ask(0);
	waiting = ask(0);
	assert_false(waiting->settled);
	mesh__pool_unref(stage.pools[1]);
	stage.pools[1] = NULL;
	assert_true(waiting->settled);
}

static void one_that_cannot_be_made_holds_no_place(void **state)
{
	static struct fail_mem mem;
	struct asked *a;

	(void)state;
	fail_mem_init(&mem);
	begin(1, 1, 10);
	stage.fake.env.mem = mem.mem;
	fail_mem_next(&mem, 1);
	a = ask(0);
	assert_int_equal(a->code, MESH_E_NO_MEMORY);
	assert_int_equal(mesh__circuit_connections(stage.circuit), 0);
	assert_int_equal(ask(0)->code, MESH_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(the_limit_holds_over_all_pools),
		T(no_endpoint_goes_without_a_connection),
		T(an_endpoint_that_nobody_has_called_yet_has_its_place_too),
		T(an_endpoint_that_has_left_leaves_its_place),
		T(a_place_that_becomes_free_goes_to_who_waits_elsewhere),
		T(a_connection_that_becomes_idle_is_closed_for_who_waits_elsewhere),
		T(an_idle_connection_is_closed_for_who_comes),
		T(a_place_is_free_once_its_connection_is_closed),
		T(nor_is_it_free_to_others_before),
		T(the_last_idle_connection_of_an_endpoint_stays),
		T(who_waits_at_the_same_endpoint_is_served_first),
		T(over_max_pending_of_all_a_call_is_refused_by_name),
		T(with_no_pending_allowed_a_call_takes_what_is_free_or_fails),
		T(who_has_left_the_queue_costs_nobody_a_connection),
		T(a_raised_limit_serves_those_who_wait),
		T(under_a_lowered_limit_connections_close_as_they_become_idle),
		T(an_endpoint_that_leaves_gives_its_place_back),
		T(one_that_cannot_be_made_holds_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
