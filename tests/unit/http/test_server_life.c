#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/http_stage.h"

static bool is_gone(void)
{
	return stage.n_gone == 1;
}

static void streams_in_chunks_and_to_old_clients_until_the_end(void **state)
{
	(void)state;
	stage_open();
	stage_assert_has(stage_ask("GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n");
	stage_assert_has(stage_ask("GET /stream HTTP/1.0\r\n\r\n"), "\r\n\r\nonethree");
	assert_int_equal(stage.n_gone, 0);
}

static void a_stream_without_end_does_not_look_whole(void **state)
{
	size_t len = 0;
	ssize_t n;
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
	while ((n = socket_recv(fd, stage.seen + len, sizeof(stage.seen) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	assert_int_equal(n, -1); /* a reset */
	assert_null(strstr(stage.seen, "\r\n0\r\n"));
	(void)close(fd);
}

static void a_stream_is_told_once_that_its_peer_has_gone(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_wait(stage_is_kept);
	(void)close(fd);
	stage_wait(is_gone);
}

static void a_reader_that_does_not_read_is_cut_off(void **state)
{
	int fd;

	(void)state;
	stage.limits.max_stream_bytes = 256 * 1024;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(fd, "200 OK");
	stage_assert_has(stage_ask("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "200 OK"); /* the others go on */
	(void)close(fd);
}

/* Reads on, in step with the server's time, until the server closes; counts the bytes. That time goes on where nothing more comes, too: it may be what the server waits for. */
static size_t read_slowly(int fd, int64_t step_ms)
{
	static char got[256 * 1024];
	struct pollfd more = {.fd = fd, .events = POLLIN};
	size_t total = 0;
	ssize_t n = 1;

	for (int quiet = 0; n > 0 && quiet < 400; fake_env_advance_ms(&stage.fake, step_ms)) {
		if (poll(&more, 1, 50) == 0) {
			quiet++;
		} else if ((n = socket_recv(fd, got, sizeof(got))) > 0) {
			total += (size_t)n;
		}
	}
	return n == 0 ? total : 0;
}

static void a_large_reply_may_take_longer_than_an_idle_connection_may_live(void **state)
{
	int fd;

	(void)state;
	stage.limits.idle_ms = 5;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_slowly(fd, 1) > STAGE_BIG_BYTES); /* in many more than idle_ms, and far fewer than write_ms */
	(void)close(fd);
}

static void one_who_has_ended_its_side_still_gets_all_it_has_asked_for(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(read_slowly(fd, 0) > 2 * (size_t)STAGE_BIG_BYTES);
	(void)close(fd);
}

static bool is_closed(void)
{
	return stage_count("mesh_connections{listener=\"test\"}") == 0;
}

static void one_who_takes_nothing_for_too_long_is_cut_off(void **state)
{
	struct pollfd none = {.fd = -1};
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(fd, "200 OK");
	for (int i = 0; !is_closed(); i++) {
		assert_true(i < 200);
		fake_env_advance_ms(&stage.fake, 3000); /* less than the idle limit by the time it is due */
		(void)poll(&none, 1, 50);
	}
	(void)close(fd);
}

static void more_connections_than_allowed_are_closed_at_once(void **state)
{
	struct mesh__buf text;
	int first, second;
	char byte;

	(void)state;
	stage.limits.max_connections = 1;
	stage_open();
	first = stage_dial();
	stage_say(first, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(first, "[]");
	second = stage_dial();
	assert_true(socket_recv(second, &byte, 1) <= 0);
	stage_say(first, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(first, "[]");
	mesh__buf_init(&text, &stage.fake.env.mem, 65536);
	mesh__metrics_text(stage.metrics, &text);
	stage_assert_has(text.data, "mesh_connections{listener=\"test\"} 1");
	stage_assert_has(text.data, "mesh_handshakes_refused_total{reason=\"too-many-connections\"} 1");
	mesh__buf_fini(&text);
	(void)close(first);
	(void)close(second);
}

static void a_drain_lets_the_request_at_hand_finish(void **state)
{
	int busy, idle;

	(void)state;
	stage_open();
	idle = stage_dial();
	stage_say(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(idle, "[]");
	busy = stage_dial();
	stage_say(busy, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_wait(stage_is_kept);
	stage_drain(60000);
	assert_string_equal(stage_hear(idle, NULL), "");
	assert_false(stage.drained);
	stage_reply(stage_take_kept(), 200, "done");
	stage_assert_has(stage_hear(busy, "done"), "Connection: close");
	(void)close(busy);
	(void)close(idle);
	stage_wait(stage_is_drained);
}

static void a_drain_is_cut_short_at_its_time(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_wait(stage_is_kept);
	stage_drain(5000);
	fake_env_advance_ms(&stage.fake, 5001);
	stage_wait(stage_is_drained);
	(void)close(fd);
}

/* Who has not heard yet that the server leaves may be about to send: it is served, told to come no more, and only then are idle connections closed. */
static void during_the_grace_of_a_drain_nobody_is_turned_away(void **state)
{
	int idle, silent, fresh;

	(void)state;
	stage.limits.drain_grace_ms = 1000;
	stage_open();
	idle = stage_dial();
	stage_say(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(idle, "[]");
	silent = stage_dial();
	stage_say(silent, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(silent, "[]");
	stage_drain(5000);
	fresh = stage_dial();
	stage_say(fresh, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_assert_has(stage_hear(fresh, NULL), "Connection: close");
	stage_say(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_assert_has(stage_hear(idle, NULL), "Connection: close");
	assert_false(stage.drained);
	fake_env_advance_ms(&stage.fake, 1001);
	assert_string_equal(stage_hear(silent, NULL), "");
	(void)close(idle);
	(void)close(fresh);
	(void)close(silent);
	stage_wait(stage_is_drained);
}

static void a_server_is_made_whole_or_not_at_all(void **state)
{
	struct mesh__http_options options = {.name = "test", .limits = stage.limits};
	struct mesh__http_server *server = NULL;

	(void)state;
	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &options.address, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&stage.fake.env, &stage.loop, NULL), MESH_OK);
	for (long n = 1; server == NULL; n++) {
		fail_mem_next(&stage.mem, n);
		if (mesh__http_server_new(stage.loop, &options, &server, NULL) == MESH_OK) {
			assert_true(n > 3);
		} else {
			assert_null(server);
		}
		assert_true(n < 100);
	}
	mesh__http_server_free(server);
}

static void an_exchange_outlives_its_server(void **state)
{
	struct mesh__exchange *x;
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	x = stage_take_kept();
	mesh__loop_stop(stage.loop);
	mesh__loop_join(stage.loop);
	mesh__http_server_free(stage.server);
	mesh__loop_free(stage.loop);
	stage.server = NULL;
	stage.loop = NULL;
	assert_string_equal(mesh__exchange_path(x), "/keep");
	stage_reply(x, 200, "to nobody");
	(void)close(fd);
}

static void answers_or_closes_whatever_allocation_fails(void **state)
{
	static const char request[] = "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";

	(void)state;
	stage.fake.env.mem = stage.mem.mem;
	stage_open();
	for (long n = 1; n < 12; n++) {
		int fd = stage_dial();
		char byte;

		fail_mem_next(&stage.mem, n);
		(void)send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL); /* it may be closed already */
		while (socket_recv(fd, &byte, 1) == 1) {
		}
		(void)close(fd);
	}
	fail_mem_next(&stage.mem, 0);
	stage_assert_has(stage_ask("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "200 OK");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(streams_in_chunks_and_to_old_clients_until_the_end),
		TEST(a_stream_without_end_does_not_look_whole),
		TEST(a_stream_is_told_once_that_its_peer_has_gone),
		TEST(a_reader_that_does_not_read_is_cut_off),
		TEST(a_large_reply_may_take_longer_than_an_idle_connection_may_live),
		TEST(one_who_has_ended_its_side_still_gets_all_it_has_asked_for),
		TEST(one_who_takes_nothing_for_too_long_is_cut_off),
		TEST(more_connections_than_allowed_are_closed_at_once),
		TEST(a_drain_lets_the_request_at_hand_finish),
		TEST(during_the_grace_of_a_drain_nobody_is_turned_away),
		TEST(a_drain_is_cut_short_at_its_time),
		TEST(a_server_is_made_whole_or_not_at_all),
		TEST(an_exchange_outlives_its_server),
		TEST(answers_or_closes_whatever_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
