/* Weights: of what is drawn and of what takes turns, and how they grow in a slow start. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/balance.h"
#include "support/fake_env.h"

enum { N = 4, ROUNDS = 20000 };

static struct {
	unsigned avoid[N];
	double weight[N];
	struct fake_env fake;
} f;

static unsigned avoid(const void *ctx, size_t i)
{
	(void)ctx;
	return f.avoid[i];
}

static double weight(const void *ctx, size_t i)
{
	(void)ctx;
	return f.weight[i];
}

static uint64_t dice(void *ctx, uint64_t n)
{
	(void)ctx;
	return mesh__dice_below(&f.fake.env, n);
}

static const struct mesh__balance_view view = {.n = N, .avoid = avoid, .weight = weight, .dice = dice};

static const struct {
	unsigned avoid[N];
	double weight[N], share[N];
} rows[] = {
	{{0}, {1, 1, 1, 1}, {0.25, 0.25, 0.25, 0.25}},
	{{0}, {5, 1, 1, 1}, {0.625, 0.125, 0.125, 0.125}},
	{{0}, {1, 1000, 1, 998}, {0.0005, 0.5, 0.0005, 0.499}},
	{{0, 1, 0, 2}, {3, 100, 1, 100}, {0.75, 0, 0.25, 0}},  /* what is avoided has no share */
	{{2, 1, 2, 1}, {9, 1, 9, 3}, {0, 0.25, 0, 0.75}},      /* the least avoided, all of it */
	{{0}, {0.1, 1, 1, 1}, {0.1 / 3.1, 1 / 3.1, 1 / 3.1, 1 / 3.1}},
};

static void row(size_t i)
{
	fake_env_init(&f.fake);
	for (size_t k = 0; k < N; k++) {
		f.avoid[k] = rows[i].avoid[k];
		f.weight[k] = rows[i].weight[k];
	}
}

/* The dice are the same in every run; the bound is five standard deviations. */
static void random_draws_by_weight_among_those_least_to_be_avoided(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		double counts[N] = {0};
		row(i);
		for (int k = 0; k < ROUNDS; k++) {
			counts[mesh__balance_random(&view)]++;
		}
		for (size_t k = 0; k < N; k++) {
			double share = rows[i].share[k];
			assert_true(fabs(counts[k] - share * ROUNDS) <= 5 * sqrt(ROUNDS * share * (1 - share)));
		}
	}
}

static void in_any_run_of_turns_each_has_its_share_but_for_a_few(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		double counts[N] = {0};
		row(i);
		for (uint64_t turn = 1; turn <= 1000; turn++) {
			counts[mesh__balance_round_robin(&view, turn + 12345)]++;
			for (size_t k = 0; k < N; k++) {
				assert_true(fabs(counts[k] - rows[i].share[k] * (double)turn) < 4);
			}
		}
	}
}

static void slow_start_is_a_tenth_first_and_grows_to_all(void **state)
{
	static const struct {
		int64_t age_us, window_ms;
		double weight;
	} table[] = {{0, 0, 5}, {0, 10000, 0.5}, {1000000, 10000, 0.5}, {2000000, 10000, 1}, {5000000, 10000, 2.5}, {10000000, 10000, 5}, {90000000, 10000, 5}, {-1, 10000, 0.5}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(table); i++) {
		assert_true(fabs(mesh__slow_start(5, table[i].age_us, table[i].window_ms) - table[i].weight) < 1e-9);
	}
}

static void the_cost_of_load_is_the_calls_under_way_and_this_one_by_weight(void **state)
{
	(void)state;
	assert_true(mesh__load_cost(0, 1) == 1);
	assert_true(mesh__load_cost(3, 2) == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_draws_by_weight_among_those_least_to_be_avoided),
		cmocka_unit_test(in_any_run_of_turns_each_has_its_share_but_for_a_few),
		cmocka_unit_test(slow_start_is_a_tenth_first_and_grows_to_all),
		cmocka_unit_test(the_cost_of_load_is_the_calls_under_way_and_this_one_by_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
