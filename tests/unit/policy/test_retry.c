#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/retry.h"
#include "wire/grpc.h"

#define ON(word) (1U << MESH__RETRY_ON_##word)
#define EVERYTHING ((1U << MESH__RETRY_ONS) - 1)
#define BUILT_IN_ON (ON(UNSENT) | ON(CONNECT_FAILURE) | ON(RESET) | ON(GATEWAY_ERROR))

static struct mesh__retries rule_of(int32_t attempts, uint32_t on)
{
	return (struct mesh__retries){.attempts = attempts, .on = on, .backoff = {.base_ms = 25, .max_ms = 250}};
}

/* One that everything speaks for. */
static struct mesh__retry_inputs inputs(enum mesh__try_end end, int status, int grpc)
{
	return (struct mesh__retry_inputs){.end = end, .status = status, .grpc = grpc, .idempotent = true, .tries = 1, .left_ms = 1000, .asked_ms = MESH__RETRY_ASKS_NOTHING};
}

static void each_word_names_what_it_says_and_nothing_else(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int status, grpc;
		uint32_t words; /* any of which has it repeated */
	} rows[] = {
		{MESH__TRY_UNCONNECTED, 0, -1, ON(CONNECT_FAILURE)},
		{MESH__TRY_UNSENT, 0, -1, ON(UNSENT)},
		{MESH__TRY_UNSURE, 0, -1, ON(RESET)},
		{MESH__TRY_LOCAL, 0, -1, 0},
		{MESH__TRY_STOPPED, 0, -1, 0},
		{(enum mesh__try_end)99, 0, -1, 0},
		{MESH__TRY_ANSWERED, 200, -1, 0}, {MESH__TRY_ANSWERED, 399, -1, 0}, {MESH__TRY_ANSWERED, 400, -1, 0},
		{MESH__TRY_ANSWERED, 408, -1, 0},
		{MESH__TRY_ANSWERED, 409, -1, ON(RETRIABLE_4XX)},
		{MESH__TRY_ANSWERED, 429, -1, 0},                    /* marked not processed, it would be another matter */
		{MESH__TRY_NOT_PROCESSED, 429, -1, ON(RETRIABLE_429)},
		{MESH__TRY_ANSWERED, 499, -1, 0},
		{MESH__TRY_ANSWERED, 500, -1, ON(5XX)},
		{MESH__TRY_ANSWERED, 501, -1, ON(5XX)},
		{MESH__TRY_ANSWERED, 502, -1, ON(5XX) | ON(GATEWAY_ERROR)},
		{MESH__TRY_ANSWERED, 503, -1, ON(5XX) | ON(GATEWAY_ERROR)},
		{MESH__TRY_ANSWERED, 504, -1, ON(5XX) | ON(GATEWAY_ERROR)},
		{MESH__TRY_ANSWERED, 505, -1, ON(5XX)},
		{MESH__TRY_ANSWERED, 599, -1, ON(5XX)},
		{MESH__TRY_NOT_PROCESSED, 503, -1, ON(UNSENT) | ON(5XX) | ON(GATEWAY_ERROR)},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_OK, 0},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_UNKNOWN, 0},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_PERMISSION_DENIED, 0},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_CANCELLED, ON(GRPC_CANCELLED)},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_DEADLINE_EXCEEDED, ON(GRPC_DEADLINE_EXCEEDED)},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_INTERNAL, ON(GRPC_INTERNAL)},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_UNAVAILABLE, ON(GRPC_UNAVAILABLE)},
		{MESH__TRY_ANSWERED, 200, MESH__GRPC_RESOURCE_EXHAUSTED, ON(GRPC_RESOURCE_EXHAUSTED)},
		{MESH__TRY_NOT_PROCESSED, 200, MESH__GRPC_UNAVAILABLE, ON(GRPC_UNAVAILABLE) | ON(UNSENT)},
		{MESH__TRY_NOT_PROCESSED, 200, MESH__GRPC_RESOURCE_EXHAUSTED, ON(GRPC_RESOURCE_EXHAUSTED) | ON(RETRIABLE_429)},
		{MESH__TRY_ANSWERED, 503, MESH__GRPC_UNAVAILABLE, ON(GRPC_UNAVAILABLE) | ON(GATEWAY_ERROR) | ON(5XX)}, /* of a proxy that speaks no gRPC */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		for (uint32_t word = 0; word < MESH__RETRY_ONS; word++) {
			struct mesh__retries rule = rule_of(1, 1U << word);
			struct mesh__retry_inputs in = inputs(rows[i].end, rows[i].status, rows[i].grpc);
			struct mesh__retry_verdict v = mesh__retry_decide(&rule, &in, 0);
			assert_int_equal(v.again, (rows[i].words >> word & 1) != 0);
			assert_int_equal(v.stop, MESH__RETRY_STOP_NONE); /* what is not named is not stopped */
		}
	}
}

static void codes_name_their_own_status(void **state)
{
	static const int codes[] = {400, 404, 425, 463, 464, 500, 599};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(codes); i++) {
		struct mesh__retries rule = rule_of(1, 0);
		rule.codes[(codes[i] - MESH__RETRY_CODE_MIN) / 64] = UINT64_C(1) << (codes[i] - MESH__RETRY_CODE_MIN) % 64;
		for (int status = 100; status <= 700; status++) {
			struct mesh__retry_inputs in = inputs(MESH__TRY_ANSWERED, status, -1);
			assert_int_equal(mesh__retry_decide(&rule, &in, 0).again, status == codes[i]);
		}
	}
}

/* What may have been processed is repeated for idempotent calls alone, whatever the rule names; what surely was not, for all. */
static void what_may_have_been_processed_is_not_repeated_unless_it_is_idempotent(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int status;
		bool nothing_sent, may_be_processed, again, named;
	} rows[] = {
		{MESH__TRY_ANSWERED, 503, false, true, false, true},
		{MESH__TRY_NOT_PROCESSED, 503, false, false, true, true},
		{MESH__TRY_NOT_PROCESSED, 429, false, false, true, true},
		{MESH__TRY_UNCONNECTED, 0, false, false, true, true},
		{MESH__TRY_UNSENT, 0, false, false, true, true},
		{MESH__TRY_UNSURE, 0, false, true, false, true},
		{MESH__TRY_UNSURE, 0, true, true, false, true},
		{MESH__TRY_LOCAL, 0, false, false, false, false},
		{MESH__TRY_STOPPED, 0, false, true, false, false},
		{MESH__TRY_STOPPED, 0, true, false, false, false},
		{MESH__TRY_OUTRUN, 0, false, true, false, false},
		{(enum mesh__try_end)99, 0, false, true, false, false}, /* the claim that is safe when wrong */
	};
	struct mesh__retries rule = rule_of(9, EVERYTHING);

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retry_inputs in = inputs(rows[i].end, rows[i].status, -1);
		struct mesh__retry_verdict v;
		in.idempotent = false;
		in.nothing_sent = rows[i].nothing_sent;
		v = mesh__retry_decide(&rule, &in, 0);
		assert_int_equal(v.again, rows[i].again);
		assert_int_equal(v.may_be_processed, rows[i].may_be_processed);
		assert_int_equal(v.stop, rows[i].named && !rows[i].again ? MESH__RETRY_STOP_NOT_IDEMPOTENT : MESH__RETRY_STOP_NONE);
		in.idempotent = true;
		assert_int_equal(mesh__retry_decide(&rule, &in, 0).again, rows[i].named);
	}
}

static void each_thing_that_forbids_it_is_told_by_its_name(void **state)
{
	static const struct {
		bool body_gone, parent_retried, only_impostors;
		int32_t attempts, tries;
		int64_t left_ms, asked_ms;
		enum mesh__retry_stop stop;
		const char *name;
	} rows[] = {
		{false, false, false, 2, 1, 1000, -1, MESH__RETRY_STOP_NONE, ""},
		{true, false, false, 2, 1, 1000, -1, MESH__RETRY_STOP_BODY, "body"},
		{false, true, false, 2, 1, 1000, -1, MESH__RETRY_STOP_PARENT, "parent"},
		{false, false, false, 2, 2, 1000, -1, MESH__RETRY_STOP_NONE, ""}, /* attempts counts retries after the first try */
		{false, false, false, 2, 3, 1000, -1, MESH__RETRY_STOP_ATTEMPTS, "attempts"},
		{false, false, false, 0, 1, 1000, -1, MESH__RETRY_STOP_ATTEMPTS, "attempts"},
		{false, false, false, -1, 1, 1000, -1, MESH__RETRY_STOP_ATTEMPTS, "attempts"},
		{false, false, true, 2, 1, 1000, -1, MESH__RETRY_STOP_IDENTITY, "identity"},
		{false, false, false, 2, 1, 1000, -2, MESH__RETRY_STOP_PUSHBACK, "pushback"},
		{false, false, false, 2, 1, 1000, 0, MESH__RETRY_STOP_NONE, ""},
		{false, false, false, 2, 1, 1000, 999, MESH__RETRY_STOP_NONE, ""},
		{false, false, false, 2, 1, 1000, 1000, MESH__RETRY_STOP_DEADLINE, "deadline"},
		{false, false, false, 2, 1, 1, -1, MESH__RETRY_STOP_NONE, ""},
		{false, false, false, 2, 1, 0, -1, MESH__RETRY_STOP_DEADLINE, "deadline"},
		{false, false, false, 2, 1, -5, -1, MESH__RETRY_STOP_DEADLINE, "deadline"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retries rule = rule_of(rows[i].attempts, BUILT_IN_ON);
		struct mesh__retry_inputs in = inputs(MESH__TRY_UNSENT, 0, -1);
		struct mesh__retry_verdict v;
		in.body_gone = rows[i].body_gone;
		in.parent_retried = rows[i].parent_retried;
		in.only_impostors = rows[i].only_impostors;
		in.tries = rows[i].tries;
		in.left_ms = rows[i].left_ms;
		in.asked_ms = rows[i].asked_ms;
		v = mesh__retry_decide(&rule, &in, 0);
		assert_int_equal(v.stop, rows[i].stop);
		assert_int_equal(v.again, rows[i].stop == MESH__RETRY_STOP_NONE);
		assert_string_equal(mesh__retry_stop_name(v.stop), rows[i].name);
		assert_int_equal(v.wait_ms, v.again && rows[i].asked_ms > 0 ? rows[i].asked_ms : 0);
	}
	assert_string_equal(mesh__retry_stop_name(MESH__RETRY_STOP_BUDGET), "budget");
	assert_string_equal(mesh__retry_stop_name((enum mesh__retry_stop)99), "");
}

static void backoff_is_full_jitter_up_to_its_maximum(void **state)
{
	static const struct {
		int64_t base_ms, max_ms;
		int32_t n;
		int64_t span_ms;
	} rows[] = {
		{25, 250, 1, 25}, {25, 250, 2, 75}, {25, 250, 3, 175}, {25, 250, 4, 250}, {25, 250, 31, 250}, {25, 250, 64, 250}, {25, 250, INT32_MAX, 250},
		{1, 86400000, 1, 1}, {1, 86400000, 20, 1048575}, {1, 86400000, 31, 86400000}, {1, 86400000, 32, 86400000}, {86400000, 86400000, 31, 86400000}, {100, 10, 1, 10},
		{0, 250, 5, 1}, {0, 250, 40, 1},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retries rule = {.backoff = {.base_ms = rows[i].base_ms, .max_ms = rows[i].max_ms}};
		assert_int_equal(mesh__retry_backoff_ms(&rule, rows[i].n, 0), 0);
		assert_int_equal(mesh__retry_backoff_ms(&rule, rows[i].n, UINT64_MAX), rows[i].span_ms - 1);
		assert_int_equal(mesh__retry_backoff_ms(&rule, rows[i].n, UINT64_C(1) << 63), rows[i].span_ms / 2);
	}
}

/* Each retry has the wait of its number, and what was asked comes before it. */
static void a_retry_that_cannot_begin_in_time_is_not_made(void **state)
{
	struct mesh__retries rule = rule_of(2, BUILT_IN_ON);
	struct mesh__retry_inputs in = inputs(MESH__TRY_ANSWERED, 503, -1);
	struct mesh__retry_verdict v;

	(void)state;
	in.tries = 2;
	in.left_ms = 37;
	v = mesh__retry_decide(&rule, &in, UINT64_C(1) << 63); /* 37 ms to wait */
	assert_int_equal(v.stop, MESH__RETRY_STOP_DEADLINE);
	assert_int_equal(v.wait_ms, 0);
	in.left_ms = 38;
	v = mesh__retry_decide(&rule, &in, UINT64_C(1) << 63);
	assert_true(v.again);
	assert_int_equal(v.wait_ms, 37);
	in.asked_ms = 500;
	assert_int_equal(mesh__retry_decide(&rule, &in, UINT64_C(1) << 63).stop, MESH__RETRY_STOP_DEADLINE);
	in.left_ms = 538;
	v = mesh__retry_decide(&rule, &in, UINT64_C(1) << 63);
	assert_true(v.again);
	assert_int_equal(v.wait_ms, 537);
}

static void five_methods_are_idempotent(void **state)
{
	static const struct {
		const char *method;
		bool is;
	} rows[] = {{"GET", true}, {"HEAD", true}, {"OPTIONS", true}, {"PUT", true}, {"DELETE", true}, {"POST", false}, {"PATCH", false}, {"TRACE", false}, {"get", false}, {"GETS", false}, {"", false}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__retry_method_is_idempotent(rows[i].method), rows[i].is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_names_what_it_says_and_nothing_else),
		cmocka_unit_test(codes_name_their_own_status),
		cmocka_unit_test(what_may_have_been_processed_is_not_repeated_unless_it_is_idempotent),
		cmocka_unit_test(each_thing_that_forbids_it_is_told_by_its_name),
		cmocka_unit_test(backoff_is_full_jitter_up_to_its_maximum),
		cmocka_unit_test(a_retry_that_cannot_begin_in_time_is_not_made),
		cmocka_unit_test(five_methods_are_idempotent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
