/* Rules: what an HTTP/2 peer may send that gives it nothing (THREATS 10 and 11), and where its budget ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h2_flood.h"

enum { SECOND_US = 1000 * 1000 };

/* How many of `kind` pass at one moment. */
static int64_t passed(struct mesh__h2_meter *m, enum mesh__h2_counted kind, int64_t now_us, enum mesh__h2_flood *verdict)
{
	int64_t n = 0;

	*verdict = MESH__H2_FLOOD_NONE;
	while (n < 1000000) {
		*verdict = mesh__h2_meter_count(m, kind, now_us);
		if (*verdict != MESH__H2_FLOOD_NONE) {
			break;
		}
		n++;
	}
	return n;
}

static void each_kind_has_its_budget_a_second(void **state)
{
#define X(name, budget, word, sentence) {MESH__H2_COUNTED_##name, budget, MESH__H2_FLOOD_##name, word},
	static const struct {
		enum mesh__h2_counted kind;
		int64_t budget;
		enum mesh__h2_flood flood;
		const char *word;
	} rows[] = {MESH__H2_BUDGETS(X)};
#undef X
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mesh__h2_meter m;
		enum mesh__h2_flood verdict;

		mesh__h2_meter_init(&m, 5);
		assert_int_equal(passed(&m, rows[i].kind, 5, &verdict), rows[i].budget);
		assert_int_equal(verdict, rows[i].flood);
		assert_string_equal(mesh__h2_flood_text(verdict)->word, rows[i].word);
		assert_int_not_equal(mesh__h2_meter_count(&m, rows[i].kind, 5 + SECOND_US - 1), MESH__H2_FLOOD_NONE);
		assert_int_equal(passed(&m, rows[i].kind, 5 + SECOND_US, &verdict), rows[i].budget);
	}
}

static void one_kind_leaves_the_others_their_budget(void **state)
{
	struct mesh__h2_meter m;
	enum mesh__h2_flood verdict;

	(void)state;
	mesh__h2_meter_init(&m, 0);
	(void)passed(&m, MESH__H2_COUNTED_PING, 0, &verdict);
	assert_int_equal(verdict, MESH__H2_FLOOD_PING);
	assert_int_equal(mesh__h2_meter_count(&m, MESH__H2_COUNTED_SETTINGS, 0), MESH__H2_FLOOD_NONE);
}

static void who_reads_what_we_send_may_give_its_windows_back(void **state)
{
	static const struct {
		int64_t sent_us;  /* when 500 DATA frames went out */
		int64_t count_us; /* when the updates come */
		int64_t excused;
	} rows[] = {
		{0, 0, 500 * MESH__H2_UPDATES_PER_DATA},
		{0, SECOND_US, 500 * MESH__H2_UPDATES_PER_DATA}, /* in the next second still */
		{0, 2 * SECOND_US, 0},
		{SECOND_US / 2, 3 * SECOND_US, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mesh__h2_meter m, idle;
		enum mesh__h2_flood verdict;
		int64_t without;

		mesh__h2_meter_init(&idle, 0);
		without = passed(&idle, MESH__H2_COUNTED_WINDOW_UPDATE, 0, &verdict);
		mesh__h2_meter_init(&m, 0);
		for (int n = 0; n < 500; n++) {
			mesh__h2_meter_sent_data(&m, rows[i].sent_us);
		}
		assert_int_equal(passed(&m, MESH__H2_COUNTED_WINDOW_UPDATE, rows[i].count_us, &verdict), without + rows[i].excused);
		assert_int_equal(verdict, MESH__H2_FLOOD_WINDOW_UPDATE);
	}
}

static void resets_are_counted_over_what_ended_in_order(void **state)
{
	static const struct {
		int ended, resets; /* all at once */
		enum mesh__h2_flood last;
	} rows[] = {
		{0, MESH__H2_RESETS_MAX, MESH__H2_FLOOD_NONE},
		{0, MESH__H2_RESETS_MAX + 1, MESH__H2_FLOOD_RESETS},
		{1000, MESH__H2_RESETS_MAX + 1000, MESH__H2_FLOOD_NONE},
		{1000, MESH__H2_RESETS_MAX + 1001, MESH__H2_FLOOD_RESETS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum mesh__h2_flood last = MESH__H2_FLOOD_NONE;
		struct mesh__h2_meter m;

		mesh__h2_meter_init(&m, 0);
		for (int n = 0; n < rows[i].ended; n++) {
			mesh__h2_meter_ended(&m, 1);
		}
		for (int n = 0; n < rows[i].resets; n++) {
			assert_int_equal(last, MESH__H2_FLOOD_NONE);
			last = mesh__h2_meter_reset(&m, 2);
		}
		assert_int_equal(last, rows[i].last);
	}
}

static void resets_are_forgotten_after_their_window(void **state)
{
	struct mesh__h2_meter m;
	int64_t window_us = (int64_t)MESH__H2_RESETS_WINDOW_MS * 1000;

	(void)state;
	mesh__h2_meter_init(&m, 0);
	for (int n = 0; n < MESH__H2_RESETS_MAX; n++) {
		assert_int_equal(mesh__h2_meter_reset(&m, 0), MESH__H2_FLOOD_NONE);
	}
	assert_int_equal(mesh__h2_meter_reset(&m, window_us - 1), MESH__H2_FLOOD_RESETS);
	assert_int_equal(mesh__h2_meter_reset(&m, window_us), MESH__H2_FLOOD_NONE);
}

static void what_ended_in_order_long_ago_excuses_nothing(void **state)
{
	struct mesh__h2_meter m;
	enum mesh__h2_flood last = MESH__H2_FLOOD_NONE;
	int64_t window_us = (int64_t)MESH__H2_RESETS_WINDOW_MS * 1000;

	(void)state;
	mesh__h2_meter_init(&m, 0);
	for (int n = 0; n < 100000; n++) {
		mesh__h2_meter_ended(&m, 0);
	}
	for (int n = 0; n <= MESH__H2_RESETS_MAX; n++) {
		last = mesh__h2_meter_reset(&m, window_us);
	}
	assert_int_equal(last, MESH__H2_FLOOD_RESETS);
}

static void a_header_has_few_continuations(void **state)
{
	struct mesh__h2_meter m;

	(void)state;
	mesh__h2_meter_init(&m, 0);
	for (int header = 0; header < 3; header++) {
		mesh__h2_meter_block(&m);
		for (int n = 0; n < MESH__H2_CONTINUATIONS_MAX; n++) {
			assert_int_equal(mesh__h2_meter_continuation(&m), MESH__H2_FLOOD_NONE);
		}
	}
	assert_int_equal(mesh__h2_meter_continuation(&m), MESH__H2_FLOOD_CONTINUATION);
}

static void a_header_is_bounded_as_it_is_decoded(void **state)
{
	struct mesh__h2_meter m;
	uint64_t all = 0, field = 4064;

	(void)state;
	mesh__h2_meter_init(&m, 0);
	mesh__h2_meter_block(&m);
	while (all + field + 32 <= MESH__H2_BLOCK_MAX_BYTES) {
		assert_int_equal(mesh__h2_meter_field(&m, field), MESH__H2_FLOOD_NONE);
		all += field + 32;
	}
	assert_int_equal(mesh__h2_meter_field(&m, field), MESH__H2_FLOOD_HEADER);
	mesh__h2_meter_block(&m);
	assert_int_equal(mesh__h2_meter_field(&m, field), MESH__H2_FLOOD_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_its_budget_a_second),
		cmocka_unit_test(one_kind_leaves_the_others_their_budget),
		cmocka_unit_test(who_reads_what_we_send_may_give_its_windows_back),
		cmocka_unit_test(resets_are_counted_over_what_ended_in_order),
		cmocka_unit_test(resets_are_forgotten_after_their_window),
		cmocka_unit_test(what_ended_in_order_long_ago_excuses_nothing),
		cmocka_unit_test(a_header_has_few_continuations),
		cmocka_unit_test(a_header_is_bounded_as_it_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
