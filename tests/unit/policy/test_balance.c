#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/balance.h"
#include "support/fake_env.h"

enum { MOST = 16 };

/* Endpoints as a test sets them up, with dice of their own. */
struct field {
	unsigned avoid[MOST];
	double cost[MOST];
	struct fake_env fake;
	unsigned drawn;
	unsigned looked_at; /* how often avoid was asked for */
};

static unsigned field_avoid(const void *ctx, size_t i)
{
	((struct field *)(uintptr_t)ctx)->looked_at++;
	return ((const struct field *)ctx)->avoid[i];
}

static double field_cost(const void *ctx, size_t i)
{
	return ((const struct field *)ctx)->cost[i];
}

static uint64_t field_dice(void *ctx, uint64_t n)
{
	struct field *f = ctx;

	f->drawn++;
	return mesh__dice_below(&f->fake.env, n);
}

static struct mesh__balance_view view_of(struct field *f, size_t n)
{
	memset(f, 0, sizeof(*f));
	fake_env_init(&f->fake);
	return (struct mesh__balance_view){.n = n, .ctx = f, .avoid = field_avoid, .cost = field_cost, .dice = field_dice, .dice_ctx = f};
}

static void count(const struct mesh__balance_view *view, unsigned rounds, unsigned counts[MOST])
{
	memset(counts, 0, MOST * sizeof(counts[0]));
	for (unsigned i = 0; i < rounds; i++) {
		int64_t picked = mesh__balance_p2c(view);
		assert_in_range(picked, 0, view->n - 1);
		counts[picked]++;
	}
}

/* Within five standard deviations of a binomial: with fixed dice the verdict is the same in every run. */
static void assert_share(unsigned counted, unsigned rounds, double share)
{
	double mean = rounds * share, deviation = sqrt(rounds * share * (1 - share));

	assert_true(fabs(counted - mean) <= 5 * deviation + 0.5);
}

/* ---- Power of two choices ---- */

static void nothing_and_one_are_picked_without_a_draw(void **state)
{
	struct field f;
	struct mesh__balance_view view = view_of(&f, 0);

	(void)state;
	assert_int_equal(mesh__balance_p2c(&view), MESH__BALANCE_NONE);
	assert_int_equal(mesh__balance_round_robin(&view, 7), MESH__BALANCE_NONE);
	view = view_of(&f, 1);
	f.avoid[0] = 1;
	assert_int_equal(mesh__balance_p2c(&view), 0);
	assert_int_equal(mesh__balance_round_robin(&view, 7), 0);
	assert_int_equal(f.drawn, 0);
}

static void equals_are_picked_equally_often(void **state)
{
	enum { ROUNDS = 60000 };
	struct field f;
	unsigned counts[MOST];

	(void)state;
	for (size_t n = 2; n <= 10; n++) {
		struct mesh__balance_view view = view_of(&f, n);
		count(&view, ROUNDS, counts);
		for (size_t i = 0; i < n; i++) {
			assert_share(counts[i], ROUNDS, 1.0 / (double)n);
		}
		assert_int_equal(f.drawn, 2 * ROUNDS);
		view.cost = NULL;
		view.avoid = NULL;
		count(&view, ROUNDS, counts);
		for (size_t i = 0; i < n; i++) {
			assert_share(counts[i], ROUNDS, 1.0 / (double)n);
		}
	}
}

static void the_two_drawn_are_never_the_same(void **state)
{
	struct field f;

	(void)state;
	/* Every pair of draws, and the endpoint that the cheaper of the pair must be. */
	for (uint64_t a = 0; a < 4; a++) {
		for (uint64_t b = 0; b < 3; b++) {
			uint64_t script[2] = {a, b}, other = b >= a ? b + 1 : b;
			struct mesh__balance_view view = view_of(&f, 4);
			fake_env_dice(&f.fake, script, 2);
			for (size_t i = 0; i < 4; i++) {
				f.cost[i] = i == other ? 1 : 2;
			}
			assert_true(other != a);
			assert_int_equal(mesh__balance_p2c(&view), other);
		}
	}
}

/* With costs 1 < 2 < … < n, endpoint i is picked when it is drawn with a dearer one: 2·(n - 1 - i) / (n·(n - 1)). */
static void the_cheaper_of_two_is_picked(void **state)
{
	enum { ROUNDS = 60000, N = 5 };
	struct field f;
	struct mesh__balance_view view = view_of(&f, N);
	unsigned counts[MOST];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		f.cost[i] = (double)i + 1;
	}
	count(&view, ROUNDS, counts);
	for (size_t i = 0; i < N; i++) {
		assert_share(counts[i], ROUNDS, 2.0 * (double)(N - 1 - i) / (N * (N - 1)));
	}
	assert_int_equal(counts[N - 1], 0);
}

/* Calls that last equally long spread by weight, because the cost is per weight. */
static void load_settles_in_proportion_to_weight(void **state)
{
	static const uint32_t weights[] = {1, 2, 4};
	enum { HELD = 700 };
	struct field f;
	struct mesh__balance_view view = view_of(&f, 3);
	uint32_t inflight[3] = {0};

	(void)state;
	for (int call = 0; call < HELD; call++) {
		for (size_t i = 0; i < 3; i++) {
			f.cost[i] = mesh__ewma_cost((struct mesh__ewma){1000, 0}, inflight[i], weights[i], 0);
		}
		inflight[mesh__balance_p2c(&view)]++;
	}
	assert_in_range(inflight[0], 80, 120);
	assert_in_range(inflight[1], 180, 220);
	assert_in_range(inflight[2], 370, 430);
}

static void what_is_to_be_avoided_is_not_picked_while_another_is_left(void **state)
{
	struct field f;

	(void)state;
	/* Every set of endpoints to avoid, but for all of them. */
	for (unsigned set = 0; set < (1U << 6) - 1; set++) {
		struct mesh__balance_view view = view_of(&f, 6);
		for (size_t i = 0; i < 6; i++) {
			f.avoid[i] = set >> i & 1;
			f.cost[i] = f.avoid[i] ? 0 : 1000; /* cheap, to tempt */
		}
		for (int round = 0; round < 200; round++) {
			assert_false(f.avoid[mesh__balance_p2c(&view)]);
		}
	}
}

static void health_comes_before_cost(void **state)
{
	static const uint64_t scripts[][2] = {{0, 0}, {1, 0}};
	struct field f;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mesh__balance_view view = view_of(&f, 2);
		fake_env_dice(&f.fake, scripts[i], 2);
		f.avoid[0] = 1;
		f.cost[1] = 1e9;
		assert_int_equal(mesh__balance_p2c(&view), 1);
		assert_int_equal(f.drawn, 2);
	}
}

static void avoid_all(struct field *f, unsigned rank)
{
	for (size_t i = 0; i < MOST; i++) {
		f->avoid[i] = rank;
	}
}

static void redraws_are_bounded_and_end_in_a_look_at_all(void **state)
{
	/* Four redraws of endpoints 0 and 1; then all are looked at, and the one left, 9, is looked for. */
	static const uint64_t script[] = {0, 0, 0, 0, 1, 0, 0, 0, 1, 0};
	struct field f;
	struct mesh__balance_view view = view_of(&f, 10);

	(void)state;
	fake_env_dice(&f.fake, script, MESH__COUNT(script));
	for (size_t i = 0; i < 9; i++) {
		f.avoid[i] = 1;
	}
	assert_int_equal(mesh__balance_p2c(&view), 9);
	assert_int_equal(f.drawn, 10);
	assert_in_range(f.looked_at, 10 + 10, 10 + 10 + 10);
}

static void the_last_one_left_is_always_found(void **state)
{
	enum { ROUNDS = 20000 };
	struct field f;
	struct mesh__balance_view view = view_of(&f, 12);
	unsigned counts[MOST];

	(void)state;
	avoid_all(&f, 1);
	f.avoid[5] = 0;
	count(&view, ROUNDS, counts);
	assert_int_equal(counts[5], ROUNDS);
	/* Two left, whatever lies between them: neither is preferred. */
	f.avoid[6] = 0;
	count(&view, ROUNDS, counts);
	assert_int_equal(counts[5] + counts[6], ROUNDS);
	assert_share(counts[5], ROUNDS, 1.0 / 2);
	f.cost[6] = 1;
	count(&view, ROUNDS, counts);
	assert_true(counts[5] > counts[6] + ROUNDS / 10); /* where one draw found both, or none did */
}

static void what_is_to_be_avoided_most_comes_last(void **state)
{
	enum { N = 8, ROUNDS = 10000 };
	struct field f;
	struct mesh__balance_view view = view_of(&f, N);
	unsigned counts[MOST];

	(void)state;
	avoid_all(&f, MESH__AVOID_MOST);
	f.avoid[2] = f.avoid[6] = 1;
	count(&view, ROUNDS, counts);
	assert_int_equal(counts[2] + counts[6], ROUNDS);
	assert_share(counts[2], ROUNDS, 1.0 / 2);
	memset(counts, 0, sizeof(counts));
	for (uint64_t turn = 0; turn < N * 2; turn++) {
		counts[mesh__balance_round_robin(&view, turn)]++;
	}
	assert_int_equal(counts[2], N);
	assert_int_equal(counts[6], N);
}

static void when_all_are_to_be_avoided_cost_decides_alone(void **state)
{
	enum { ROUNDS = 30000 };
	struct field f;
	struct mesh__balance_view view = view_of(&f, 3);
	unsigned counts[MOST];

	(void)state;
	avoid_all(&f, 1);
	count(&view, ROUNDS, counts);
	for (size_t i = 0; i < 3; i++) {
		assert_share(counts[i], ROUNDS, 1.0 / 3);
	}
	f.cost[2] = 1;
	count(&view, ROUNDS, counts);
	assert_int_equal(counts[2], 0);
	assert_share(counts[0], ROUNDS, 1.0 / 2);
}

/* ---- Round robin ---- */

static void round_robin_goes_round(void **state)
{
	struct field f;
	struct mesh__balance_view view = view_of(&f, 3);

	(void)state;
	for (uint64_t turn = 0; turn < 9; turn++) {
		assert_int_equal(mesh__balance_round_robin(&view, turn), turn % 3);
	}
	assert_int_equal(mesh__balance_round_robin(&view, UINT64_MAX), UINT64_MAX % 3);
	assert_int_equal(f.drawn, 0);
	view.avoid = NULL;
	assert_int_equal(mesh__balance_round_robin(&view, 4), 1);
}

static void round_robin_steps_over_what_is_to_be_avoided(void **state)
{
	static const struct {
		const char *avoid; /* 'x': avoided */
		uint64_t turn;
		int64_t picked;
	} rows[] = {{".x.", 0, 0}, {".x.", 1, 0}, {".x.", 2, 2}, {".x.", 4, 2}, {".x.", 7, 0}, {"..x", 2, 0}, {"..x", 3, 0}, {"..x", 5, 1}, {"xx.", 0, 2}, {"x.x", 2, 1}, {"xxx", 4, 1}, {"...", 4, 1}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct field f;
		struct mesh__balance_view view = view_of(&f, 3);
		for (size_t k = 0; k < 3; k++) {
			f.avoid[k] = rows[i].avoid[k] == 'x';
		}
		assert_int_equal(mesh__balance_round_robin(&view, rows[i].turn), rows[i].picked);
	}
}

static void round_robin_gives_each_as_many_turns_whichever_are_to_be_avoided(void **state)
{
	enum { N = 6, ALL = (1 << N) - 1 };

	(void)state;
	for (unsigned avoid = 0; avoid < ALL; avoid++) {
		unsigned counts[MOST] = {0}, kept = 0;
		struct field f;
		struct mesh__balance_view view = view_of(&f, N);

		for (unsigned i = 0; i < N; i++) {
			f.avoid[i] = avoid >> i & 1;
			kept += !f.avoid[i];
		}
		for (uint64_t turn = 0; turn < N * kept; turn++) {
			counts[mesh__balance_round_robin(&view, turn + (uint64_t)N * kept * 1000)]++;
		}
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(counts[i], f.avoid[i] ? 0 : N);
		}
	}
}

/* ---- The moving latency ---- */

static void assert_near(double value, double wanted)
{
	if (!(fabs(value - wanted) <= 1e-6 * fabs(wanted) + 1e-9)) {
		print_message("%.9f, wanted %.9f\n", value, wanted);
		fail();
	}
}

static void samples_raise_at_once_and_lower_by_decay(void **state)
{
	static const double e = 2.718281828459045;
	const struct {
		double before_us;
		int64_t rtt_us, after_us; /* after: since the last sample */
		double value_us;
	} rows[] = {
		{0, 5000, 0, 5000},                                       /* the first */
		{0, 0, 0, 1},                                             /* at least 1: 0 would be none */
		{0, -5, 0, 1},
		{1000, 2000, 0, 2000},                                    /* a peak counts in full */
		{1000, 2000, 60000000, 2000},
		{2000, 1000, 0, 2000},                                    /* no time has passed */
		{2000, 1000, 10000000, 2000 / e + 1000 * (1 - 1 / e)},    /* one tau */
		{2000, 1000, 1000000, 2000 * 0.9048374180359595 + 1000 * (1 - 0.9048374180359595)},
		{2000, 1000, 100000000, 1000.0453999297625},              /* ten tau: forgotten */
		{2000, 1000, -10000000, 2000},                            /* a clock that went back is no time */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__ewma ewma = {rows[i].before_us, 50000000};
		ewma = mesh__ewma_sample(ewma, rows[i].rtt_us, false, 50000000 + rows[i].after_us);
		assert_near(ewma.value_us, rows[i].value_us);
		assert_int_equal(ewma.stamp_us, 50000000 + rows[i].after_us);
	}
}

static void a_failure_doubles_up_to_thirty_seconds(void **state)
{
	static const struct {
		double before_us;
		int64_t rtt_us;
		double value_us;
	} rows[] = {
		{1000, 10, 2000}, {1000, 5000, 5000}, {20e6, 10, 30e6}, {1000, 90000000, 30e6},
		{0, 10, 60e3},    {0, 100000, 100e3}, /* without samples it counts as the 30 ms that its cost does: failing fast attracts nothing */
	};
	struct mesh__ewma ewma = {0, 0};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__ewma before = {rows[i].before_us, 0};
		assert_near(mesh__ewma_sample(before, rows[i].rtt_us, true, 0).value_us, rows[i].value_us);
	}
	for (int i = 0; i < 100; i++) {
		ewma = mesh__ewma_sample(ewma, 50, true, i);
	}
	assert_near(ewma.value_us, 30e6);
}

static void the_cost_follows_latency_load_and_weight(void **state)
{
	static const double e = 2.718281828459045;
	const struct {
		double value_us;
		uint32_t inflight, weight;
		int64_t age_us;
		double cost;
	} rows[] = {
		{1000, 0, 1, 0, 1000}, {1000, 1, 1, 0, 2000}, {1000, 3, 2, 0, 2000}, {1000, 0, 100, 0, 10}, {1000, 0, 1, 10000000, 1000 / e}, {1000, 0, 1, -10000000, 1000},
		{1000, 1, 4, 20000000, 500 / (e * e)},
		{0, 0, 1, 0, 0}, {0, 0, 5, 99, 0},                      /* no sample, idle: tried at once */
		{0, 1, 1, 0, 60000}, {0, 2, 1, 0, 90000}, {0, 1, 2, 0, 30000}, /* no sample, busy */
		{1000, UINT32_MAX, 1, 0, 1000.0 * 4294967296.0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__ewma ewma = {rows[i].value_us, 50000000};
		assert_near(mesh__ewma_cost(ewma, rows[i].inflight, rows[i].weight, 50000000 + rows[i].age_us), rows[i].cost);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_and_one_are_picked_without_a_draw),
		cmocka_unit_test(equals_are_picked_equally_often),
		cmocka_unit_test(the_two_drawn_are_never_the_same),
		cmocka_unit_test(the_cheaper_of_two_is_picked),
		cmocka_unit_test(load_settles_in_proportion_to_weight),
		cmocka_unit_test(what_is_to_be_avoided_is_not_picked_while_another_is_left),
		cmocka_unit_test(health_comes_before_cost),
		cmocka_unit_test(redraws_are_bounded_and_end_in_a_look_at_all),
		cmocka_unit_test(the_last_one_left_is_always_found),
		cmocka_unit_test(what_is_to_be_avoided_most_comes_last),
		cmocka_unit_test(when_all_are_to_be_avoided_cost_decides_alone),
		cmocka_unit_test(round_robin_goes_round),
		cmocka_unit_test(round_robin_steps_over_what_is_to_be_avoided),
		cmocka_unit_test(round_robin_gives_each_as_many_turns_whichever_are_to_be_avoided),
		cmocka_unit_test(samples_raise_at_once_and_lower_by_decay),
		cmocka_unit_test(a_failure_doubles_up_to_thirty_seconds),
		cmocka_unit_test(the_cost_follows_latency_load_and_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
