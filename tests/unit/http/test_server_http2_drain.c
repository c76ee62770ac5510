/* Rules: how an HTTP/2 connection of a server that drains ends: GOAWAY at once where it is idle, else behind its last stream, and behind trailers when they have been handed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "http/h2_unread.h"
#include "support/h2_client.h"
#include "support/http_stage.h"

static void pass_ms(int64_t ms)
{
	fake_env_advance_ms(&stage.fake, ms);
}

/* The next GOAWAY, before which no frame of a stream comes. */
static void hear_farewell(struct h2_client *k, uint32_t last)
{
	struct h2_frame_view frame;

	do {
		assert_true(h2_peer_frame(&k->peer, &frame));
		assert_true(frame.stream == 0);
	} while (frame.type != H2_GOAWAY);
	assert_int_equal(h2_frame_number(&frame, 0), last);
	assert_int_equal(h2_frame_number(&frame, 4), H2_NO_ERROR);
}

/* A stream's end, before which no GOAWAY comes. */
static void hear_end_of_stream(struct h2_client *k, uint32_t stream)
{
	struct h2_frame_view frame;

	do {
		assert_true(h2_peer_frame(&k->peer, &frame));
		assert_int_not_equal(frame.type, H2_GOAWAY);
	} while (frame.stream != stream || (frame.type != H2_DATA && frame.type != H2_HEADERS) || (frame.flags & H2_END_STREAM) == 0);
}

/* The server asks whether what it has said was read, and says no GOAWAY before. */
static void hear_question(struct h2_client *k, char answer[8])
{
	struct h2_frame_view frame;

	do {
		assert_true(h2_peer_frame(&k->peer, &frame));
		assert_int_equal(frame.stream, 0);
		assert_int_not_equal(frame.type, H2_GOAWAY);
	} while (frame.type != H2_PING || (frame.flags & H2_ACK) != 0);
	assert_int_equal(frame.len, 8);
	memcpy(answer, frame.payload, 8);
}

static void answer_question(struct h2_client *k, const char answer[8])
{
	h2_frame(&k->peer.out, H2_PING, H2_ACK, 0, answer, 8);
	assert_true(h2_peer_flush(&k->peer));
}

/* What comes before the answer to this was said before: neither GOAWAY nor another question, which would keep libcurl from finding nothing to read. */
static void ask_back(struct h2_client *k)
{
	struct h2_frame_view frame;

	for (int i = 0; i < 2; i++) { /* the answer leaves in the middle of the turn in which what came with the question is looked at */
		h2_ping(&k->peer.out, 0, 9);
		assert_true(h2_peer_flush(&k->peer));
		do {
			assert_true(h2_peer_frame(&k->peer, &frame));
			assert_int_equal(frame.stream, 0);
			assert_int_not_equal(frame.type, H2_GOAWAY);
		} while (frame.type != H2_PING);
		assert_int_equal(frame.flags, H2_ACK);
	}
}

/* The busy one's call is kept; who is idle has been told. */
static struct mesh__exchange *drain_beside_one_who_is_busy(struct h2_client *idle, struct h2_client *busy, int64_t grace_ms)
{
	struct mesh__exchange *kept;

	stage.limits.drain_grace_ms = grace_ms;
	stage_open();
	h2_client_open(idle);
	h2_client_open(busy);
	h2_client_ask(busy, 1, true, "GET", "/keep", NULL);
	kept = stage_take_kept();
	stage_drain(60000);
	hear_farewell(idle, INT32_MAX);
	return kept;
}

static void goaway_waits_until_trailers_have_been_handed_on(void **state)
{
	struct mesh__exchange *x;
	struct h2_client k, idle;
	char question[8];

	(void)state;
	x = drain_beside_one_who_is_busy(&idle, &k, 2000);
	h2_client_ask(&k, 3, true, "GET", "/trailers", NULL);
	hear_end_of_stream(&k, 3);
	h2_client_ask(&k, 5, true, "GET", "/trailers", NULL);
	hear_end_of_stream(&k, 5);
	stage_reply(x, 200, "last");
	hear_end_of_stream(&k, 1);
	hear_question(&k, question);
	answer_question(&k, question);
	ask_back(&k);
	pass_ms(MESH__H2_QUIET_MS);
	hear_farewell(&k, INT32_MAX);
	/* What was on its way is taken, but for who would lose its status. */
	h2_client_ask(&k, 7, true, "POST", "/echo", "content-type: application/grpc+proto\n");
	assert_int_equal(h2_client_hear_reset(&k, 7), H2_REFUSED_STREAM);
	h2_client_ask(&k, 9, true, "GET", "/nothing", NULL);
	hear_end_of_stream(&k, 9);
	pass_ms(2000);
	hear_farewell(&k, 9);
	h2_client_hear_end(&k);
	h2_client_hear_end(&idle);
	h2_client_close(&k);
	h2_client_close(&idle);
	stage_wait(stage_is_drained);
}

static void who_does_not_say_that_trailers_were_read_is_told_in_time(void **state)
{
	struct h2_client k;
	char question[8];

	(void)state;
	stage.limits.drain_grace_ms = 2000;
	stage_open();
	h2_client_open(&k);
	h2_client_ask(&k, 1, true, "GET", "/trailers", NULL);
	hear_end_of_stream(&k, 1);
	stage_drain(60000);
	hear_question(&k, question);
	question[0] ^= 0x40;
	answer_question(&k, question); /* to one that was not asked: it shows nothing */
	ask_back(&k);
	pass_ms(MESH__H2_QUIET_MS);
	ask_back(&k);
	pass_ms(MESH__H2_UNREAD_MS - MESH__H2_QUIET_MS);
	hear_farewell(&k, INT32_MAX);
	pass_ms(2000);
	hear_farewell(&k, 1);
	h2_client_hear_end(&k);
	h2_client_close(&k);
	stage_wait(stage_is_drained);
}

static void a_drain_tells_who_is_idle_first_and_then_ends_with_what_was_asked(void **state)
{
	struct h2_message m;
	struct h2_client k;

	(void)state;
	stage.limits.drain_grace_ms = 1000;
	stage_open();
	h2_client_open(&k);
	h2_client_get(&k, 1, "/nothing", "204", &m);
	stage_drain(60000);
	hear_farewell(&k, INT32_MAX);
	h2_client_get(&k, 3, "/nothing", "204", &m); /* was on its way */
	pass_ms(1000);
	hear_farewell(&k, 3);
	h2_client_hear_end(&k);
	h2_client_close(&k);
	stage_wait(stage_is_drained);
}

static void a_drain_tells_who_is_busy_when_the_last_stream_has_ended(void **state)
{
	struct mesh__exchange *x;
	struct h2_client k, idle;

	(void)state;
	x = drain_beside_one_who_is_busy(&idle, &k, 1000);
	h2_client_ask(&k, 3, true, "GET", "/echo", NULL); /* is answered as ever */
	hear_end_of_stream(&k, 3);
	pass_ms(1000);
	h2_client_hear_end(&idle); /* the grace is over */
	h2_client_ask(&k, 5, true, "GET", "/echo", NULL);
	assert_int_equal(h2_client_hear_reset(&k, 5), H2_REFUSED_STREAM);
	stage_reply(x, 200, "last");
	hear_end_of_stream(&k, 1);
	hear_farewell(&k, 5);
	h2_client_hear_end(&k);
	h2_client_close(&k);
	h2_client_close(&idle);
	stage_wait(stage_is_drained);
}

/* Who dials has a request on its way, which GOAWAY must not overtake either. */
static void a_newcomer_in_the_grace_is_told_after_its_first_request(void **state)
{
	struct h2_client k, idle;

	(void)state;
	stage.limits.drain_grace_ms = 1000;
	stage_open();
	h2_client_open(&idle);
	h2_client_ask(&idle, 1, true, "GET", "/echo", NULL);
	hear_end_of_stream(&idle, 1);
	stage_drain(60000);
	hear_farewell(&idle, INT32_MAX);
	h2_client_open(&k);
	h2_client_ask(&k, 1, true, "GET", "/echo", NULL);
	hear_end_of_stream(&k, 1);
	hear_farewell(&k, INT32_MAX);
	pass_ms(1000);
	hear_farewell(&k, 1);
	h2_client_hear_end(&k);
	h2_client_hear_end(&idle);
	h2_client_close(&k);
	h2_client_close(&idle);
	stage_wait(stage_is_drained);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goaway_waits_until_trailers_have_been_handed_on, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(who_does_not_say_that_trailers_were_read_is_told_in_time, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_drain_tells_who_is_idle_first_and_then_ends_with_what_was_asked, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_drain_tells_who_is_busy_when_the_last_stream_has_ended, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_newcomer_in_the_grace_is_told_after_its_first_request, stage_set_up_http2, stage_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
