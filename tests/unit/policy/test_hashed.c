/* Keys and endpoints: ring and maglev by the vectors of Envoy's tests (ring_hash_lb_test.cc, maglev_lb_test.cc), and the walk along them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/hash.h"
#include "policy/hashed.h"
#include "policy/maglev.h"

enum { MOST = 16, POINTS_MAX = 8192, KEYS = 20000 };

static struct mesh__ring_point points[POINTS_MAX];
static uint32_t slots[MESH__MAGLEV_SIZE], others[MESH__MAGLEV_SIZE];
static struct mesh__maglev_turn turns[MOST];

#define LOCAL(port) "127.0.0.1:" #port

static const struct mesh__hash_host by_address[] = {{LOCAL(90), 1}, {LOCAL(91), 1}, {LOCAL(92), 1}, {LOCAL(93), 1}, {LOCAL(94), 1}, {LOCAL(95), 1}};
static const struct mesh__hash_host by_name[] = {{"90", 1}, {"91", 1}, {"92", 1}, {"93", 1}, {"94", 1}, {"95", 1}};

static void the_ring_is_that_of_envoys_tests(void **state)
{
	static const struct mesh__hash_host uneven[] = {{LOCAL(80), 1}, {LOCAL(81), 1}}, next[] = {{LOCAL(81), 1}, {LOCAL(82), 1}}, weighted[] = {{LOCAL(90), 1}, {LOCAL(91), 2}, {LOCAL(92), 3}};
	static const struct {
		const struct mesh__hash_host *hosts;
		size_t n, least, size;
		struct mesh__ring_point at[12];
	} rows[] = {
		{by_address, 6, 12, 12, {{833437586790550860U, 4}, {928266305478181108U, 2}, {1033482794131418490U, 0}, {3551244743356806947U, 5}, {3851675632748031481U, 3}, {5583722120771150861U, 1},
			{6311230543546372928U, 1}, {7700377290971790572U, 3}, {13144177310400110813U, 5}, {13444792449719432967U, 2}, {15516499411664133160U, 4}, {16117243373044804889U, 0}}},
		{by_name, 6, 12, 12, {{1975508444536362413U, 5}, {2376063919839173711U, 5}, {2386806903309390596U, 3}, {6749904478991551885U, 4}, {6803900775736438537U, 3}, {7225015537174310577U, 2},
			{8787465352164086522U, 0}, {11282020843382717940U, 2}, {13723418369486627818U, 1}, {13776502110861797421U, 0}, {14338313586354474791U, 1}, {15364271037087512980U, 4}}},
		{uneven, 2, 3, 4, {{5454692015285649509U, 0}, {7859399908942313493U, 1}, {13838424394637650569U, 0}, {16064866803292627174U, 1}}},
		{next, 2, 3, 4, {{7859399908942313493U, 0}, {8241336090459785962U, 1}, {12882406409176325258U, 1}, {16064866803292627174U, 0}}},
		{weighted, 3, 6, 6, {{928266305478181108U, 2}, {4443673547860492590U, 2}, {5583722120771150861U, 1}, {6311230543546372928U, 1}, {13444792449719432967U, 2}, {16117243373044804889U, 0}}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__ring_size(rows[i].hosts, rows[i].n, rows[i].least), rows[i].size);
		mesh__ring_fill(rows[i].hosts, rows[i].n, rows[i].least, points);
		for (size_t k = 0; k < rows[i].size; k++) {
			assert_true(points[k].hash == rows[i].at[k].hash);
			assert_int_equal(points[k].host, rows[i].at[k].host);
		}
	}
}

static void a_key_is_of_the_first_point_at_or_behind_it(void **state)
{
	static const struct {
		uint64_t hash;
		uint32_t host;
	} rows[] = {{0, 4}, {UINT64_MAX, 4}, {3551244743356806947U, 5}, {3551244743356806948U, 3}, {16117243373044804880U, 0}}; /* Envoy's */

	(void)state;
	mesh__ring_fill(by_address, 6, 12, points);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(points[mesh__ring_find(points, 12, rows[i].hash)].host, rows[i].host);
	}
}

static void a_large_weighted_ring_shares_as_envoys_does(void **state)
{
	static const struct mesh__hash_host hosts[] = {{LOCAL(90), 1}, {LOCAL(91), 2}, {LOCAL(92), 3}};
	static const unsigned wanted[] = {987, 1932, 3081};
	unsigned counts[3] = {0};

	(void)state;
	assert_int_equal(mesh__ring_size(hosts, 3, 6144), 6144);
	mesh__ring_fill(hosts, 3, 6144, points);
	for (uint64_t i = 0; i < 6000; i++) {
		counts[points[mesh__ring_find(points, 6144, i * (UINT64_MAX / 6000))].host]++;
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(counts[i], wanted[i]);
	}
}

static void the_maglev_table_is_that_of_envoys_tests(void **state)
{
	static const struct mesh__hash_host weighted[] = {{LOCAL(90), 1}, {LOCAL(91), 2}}, alike[] = {{LOCAL(90), 1}, {LOCAL(91), 1}}, four[] = {{LOCAL(90), 4}, {LOCAL(91), 1}};
	static const struct {
		const struct mesh__hash_host *hosts;
		uint32_t n, size, slots[17];
	} rows[] = {
		{by_address, 6, 7, {2, 4, 0, 1, 5, 0, 3}},
		{by_name, 6, 7, {2, 5, 0, 3, 4, 1, 0}},
		{weighted, 2, 17, {1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1}},
		{alike, 2, 17, {1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1}},
		{four, 2, 17, {1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		mesh__maglev_fill(rows[i].hosts, rows[i].n, turns, slots, rows[i].size);
		assert_memory_equal(slots, rows[i].slots, rows[i].size * sizeof(slots[0]));
	}
}

static struct mesh__hash_host ten[10] = {{"h0", 1}, {"h1", 1}, {"h2", 1}, {"h3", 1}, {"h4", 1}, {"h5", 1}, {"h6", 1}, {"h7", 1}, {"h8", 1}, {"h9", 1}};

static uint64_t key(unsigned k)
{
	return mesh__hash(&k, sizeof(k), 0);
}

/* Of a ring exactly the keys of the host that went; and none of theirs is with it. */
static void removing_one_of_ten_moves_about_a_tenth_of_the_keys(void **state)
{
	static struct mesh__ring_point before[POINTS_MAX];
	size_t size = mesh__ring_size(ten, 10, MESH__RING_LEAST), less = mesh__ring_size(ten, 9, MESH__RING_LEAST);
	unsigned by_ring = 0, by_maglev = 0;

	(void)state;
	assert_in_range(size, MESH__RING_LEAST, MESH__RING_MOST);
	mesh__ring_fill(ten, 10, MESH__RING_LEAST, before);
	mesh__ring_fill(ten, 9, MESH__RING_LEAST, points);
	mesh__maglev_fill(ten, 10, turns, slots, MESH__MAGLEV_SIZE);
	mesh__maglev_fill(ten, 9, turns, others, MESH__MAGLEV_SIZE);
	for (unsigned k = 0; k < KEYS; k++) {
		uint32_t was = before[mesh__ring_find(before, size, key(k))].host, is = points[mesh__ring_find(points, less, key(k))].host;
		assert_true(is == was || was == 9);
		by_ring += is != was;
		by_maglev += slots[key(k) % MESH__MAGLEV_SIZE] != others[key(k) % MESH__MAGLEV_SIZE];
	}
	print_message("moved: ring %.1f %%, maglev %.1f %%\n", by_ring * 100.0 / KEYS, by_maglev * 100.0 / KEYS);
	assert_in_range(by_ring, KEYS * 7 / 100, KEYS * 13 / 100);
	assert_in_range(by_maglev, KEYS * 9 / 100, KEYS * 14 / 100);
}

/* ---- The walk ---- */

struct field {
	unsigned avoid[MOST];
	uint32_t load[MOST];
};

static unsigned field_avoid(const void *ctx, size_t i)
{
	return ((const struct field *)ctx)->avoid[i];
}

static uint32_t field_load(const void *ctx, size_t i)
{
	return ((const struct field *)ctx)->load[i];
}

/* Of Envoy's ring of six: from 0 on 94, 92, 90, 95, 93, 91. */
static void a_key_goes_on_to_the_next_that_is_neither_avoided_nor_full(void **state)
{
	static const uint32_t order[] = {0, 1, 2, 3, 4, 5};
	static const struct {
		struct field field;
		int64_t picked;
	} rows[] = {
		{{.load = {0}}, 4},
		{{.avoid = {[4] = 1}}, 2},
		{{.avoid = {[4] = 1, [2] = 2}}, 0},
		{{.avoid = {2, 2, 2, 2, 2, 2}}, 4},
		{{.avoid = {2, 1, 2, 2, 2, 2}}, 1},             /* the least */
		{{.load = {0, 0, 0, 0, 1, 0}}, 2},               /* ceil(1.25 * 2 / 6) = 1: its share is one */
		{{.load = {1, 1, 1, 1, 1, 1}}, 4},               /* ceil(1.25 * 7 / 6) = 2 */
		{{.load = {1, 1, 1, 1, 2, 1}}, 2},
		{{.load = {9, 9, 9, 9, 13, 9}}, 2},              /* ceil(1.25 * 59 / 6) = 13 */
		{{.load = {9, 9, 9, 9, 12, 9}}, 4},
		{{.avoid = {1, 1, 1, 1, 0, 1}, .load = {[4] = 9}}, 4}, /* full before avoided */
	};

	(void)state;
	mesh__ring_fill(by_address, 6, 12, points);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const struct mesh__hash_table table = {.ring = points, .size = 12};
		struct mesh__balance_view view = {.n = 6, .ctx = &rows[i].field, .avoid = field_avoid, .load = field_load};
		int64_t picked = mesh__hashed_pick(&table, order, &view, 0);
		if (picked != rows[i].picked) {
			fail_msg("row %zu: %d, wanted %d", i, (int)picked, (int)rows[i].picked);
		}
	}
}

static void without_hosts_there_is_none(void **state)
{
	const struct mesh__hash_table table = {.size = 0};
	struct mesh__balance_view view = {.n = 0};

	(void)state;
	assert_int_equal(mesh__hashed_pick(&table, NULL, &view, 1), MESH__BALANCE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ring_is_that_of_envoys_tests),
		cmocka_unit_test(a_key_is_of_the_first_point_at_or_behind_it),
		cmocka_unit_test(a_large_weighted_ring_shares_as_envoys_does),
		cmocka_unit_test(the_maglev_table_is_that_of_envoys_tests),
		cmocka_unit_test(removing_one_of_ten_moves_about_a_tenth_of_the_keys),
		cmocka_unit_test(a_key_goes_on_to_the_next_that_is_neither_avoided_nor_full),
		cmocka_unit_test(without_hosts_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
