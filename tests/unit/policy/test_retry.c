#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/retry.h"

static const struct mesh__retry_rule built_in = {.attempts = 2};

static void only_what_reached_no_handler_is_tried_again(void **state)
{
	static const struct {
		enum mesh__try_end end;
		bool nothing_sent, again, may_be_processed;
	} rows[] = {
		{MESH__TRY_ANSWERED, false, false, true},
		{MESH__TRY_NOT_PROCESSED, false, true, false},
		{MESH__TRY_UNSENT, false, true, false},
		{MESH__TRY_UNSURE, false, false, true},
		{MESH__TRY_UNSURE, true, false, true},
		{MESH__TRY_LOCAL, false, false, false},
		{MESH__TRY_STOPPED, false, false, true},
		{MESH__TRY_STOPPED, true, false, false},
		{(enum mesh__try_end)99, false, false, true}, /* the claim that is safe when wrong */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retry_inputs in = {.end = rows[i].end, .tries = 1, .endpoints = 3, .left_ms = 1000, .nothing_sent = rows[i].nothing_sent};
		struct mesh__retry_verdict verdict = mesh__retry_decide(&built_in, &in, UINT64_MAX);
		assert_int_equal(verdict.again, rows[i].again);
		assert_int_equal(verdict.may_be_processed, rows[i].may_be_processed);
		assert_int_equal(verdict.wait_ms, 0);
	}
}

/* Nobody has kept what went out of a streamed body; whether it was processed is another matter. */
static void a_body_of_which_a_part_has_gone_is_not_sent_again(void **state)
{
	static const enum mesh__try_end ends[] = {MESH__TRY_UNSENT, MESH__TRY_NOT_PROCESSED, MESH__TRY_UNSURE};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(ends); i++) {
		struct mesh__retry_inputs in = {.end = ends[i], .tries = 1, .endpoints = 3, .left_ms = 1000, .body_gone = true};
		struct mesh__retry_verdict verdict = mesh__retry_decide(&built_in, &in, 0);
		assert_false(verdict.again);
		assert_int_equal(verdict.may_be_processed, ends[i] == MESH__TRY_UNSURE);
	}
}

static void attempts_endpoints_and_time_each_end_it(void **state)
{
	static const struct {
		int32_t attempts, tries;
		uint32_t endpoints;
		int64_t left_ms;
		bool again;
	} rows[] = {
		{2, 1, 9, 1000, true}, {2, 2, 9, 1000, true}, {2, 3, 9, 1000, false}, /* attempts counts retries after the first try */
		{0, 1, 9, 1000, false}, {-1, 1, 9, 1000, false}, {1, 1, 9, 1000, true}, {1, 2, 9, 1000, false},
		{9, 1, 1, 1000, false}, {9, 1, 2, 1000, true}, {9, 2, 2, 1000, false}, {9, 1, 0, 1000, false}, /* one an endpoint */
		{9, 1, UINT32_MAX, 1000, true},
		{2, 1, 9, 1, true}, {2, 1, 9, 0, false}, {2, 1, 9, -5, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retry_rule rule = {.attempts = rows[i].attempts};
		struct mesh__retry_inputs in = {.end = MESH__TRY_UNSENT, .tries = rows[i].tries, .endpoints = rows[i].endpoints, .left_ms = rows[i].left_ms};
		assert_int_equal(mesh__retry_decide(&rule, &in, 0).again, rows[i].again);
	}
}

static void backoff_is_full_jitter_up_to_a_quarter_of_a_second(void **state)
{
	static const struct {
		int32_t tries; /* the retry to come is this number */
		int64_t span_ms;
	} rows[] = {{1, 1}, {2, 75}, {3, 175}, {4, 250}, {5, 250}, {7, 250}, {8, 250}, {31, 250}, {64, 250}, {INT32_MAX, 250}};
	struct mesh__retry_rule rule = {.attempts = INT32_MAX};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retry_inputs in = {.end = MESH__TRY_UNSENT, .tries = rows[i].tries, .endpoints = UINT32_MAX, .left_ms = 1000};
		assert_int_equal(mesh__retry_decide(&rule, &in, 0).wait_ms, 0);
		assert_int_equal(mesh__retry_decide(&rule, &in, UINT64_MAX).wait_ms, rows[i].span_ms - 1);
		assert_int_equal(mesh__retry_decide(&rule, &in, UINT64_C(1) << 63).wait_ms, rows[i].span_ms / 2);
	}
}

static void a_retry_that_cannot_begin_in_time_is_not_made(void **state)
{
	struct mesh__retry_inputs in = {.end = MESH__TRY_UNSENT, .tries = 2, .endpoints = 9, .left_ms = 37};
	struct mesh__retry_verdict verdict;

	(void)state;
	verdict = mesh__retry_decide(&built_in, &in, UINT64_C(1) << 63); /* 37 ms to wait */
	assert_false(verdict.again);
	assert_int_equal(verdict.wait_ms, 0);
	in.left_ms = 38;
	verdict = mesh__retry_decide(&built_in, &in, UINT64_C(1) << 63);
	assert_true(verdict.again);
	assert_int_equal(verdict.wait_ms, 37);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_reached_no_handler_is_tried_again),
		cmocka_unit_test(a_body_of_which_a_part_has_gone_is_not_sent_again),
		cmocka_unit_test(attempts_endpoints_and_time_each_end_it),
		cmocka_unit_test(backoff_is_full_jitter_up_to_a_quarter_of_a_second),
		cmocka_unit_test(a_retry_that_cannot_begin_in_time_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
