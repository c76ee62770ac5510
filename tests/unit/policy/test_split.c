#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/split.h"
#include "support/request_view.h"

enum { MOST = 5, KEYS = 20000 };

/* Off by no more than 3 after any number of turns up to 10,000, wherever they begin. */
static void each_side_has_its_share_after_any_number_of_turns(void **state)
{
	static const struct {
		size_t n;
		uint32_t weights[MOST];
	} rows[] = {
		{2, {90, 10}}, {2, {1, 99}}, {2, {1, 1}}, {3, {0, 1, 0}}, {1, {7}}, {3, {80, 15, 5}}, {5, {1, 2, 3, 4, 5}}, {2, {1000000, 1}}, {3, {999999, 1000000, 1}},
	};
	static const uint64_t begins[] = {0, 1, 12345, UINT64_MAX / 2, UINT64_MAX - 5000};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__side sides[MOST] = {{NULL, NULL, 0}};
		double total = 0;
		for (size_t k = 0; k < rows[i].n; k++) {
			sides[k].weight = rows[i].weights[k];
			total += rows[i].weights[k];
		}
		for (size_t b = 0; b < MESH__COUNT(begins); b++) {
			unsigned counts[MOST] = {0};
			for (uint64_t turn = 0; turn < 10000; turn++) {
				counts[mesh__split_draw(sides, rows[i].n, begins[b] + turn)]++;
				for (size_t k = 0; k < rows[i].n; k++) {
					double off = counts[k] - (double)(turn + 1) * rows[i].weights[k] / total;
					if (off < -3 || off > 3) {
						fail_msg("row %zu, side %zu, after %lu turns: %u", i, k, (unsigned long)turn + 1, counts[k]);
					}
				}
			}
		}
	}
}

static const char *key_of(unsigned i, char room[24], size_t *len)
{
	*len = (size_t)snprintf(room, 24, "user-%u", i);
	return room;
}

static void share(const struct mesh__side *sides, size_t n, unsigned counts[MOST])
{
	char room[24];
	size_t len;

	memset(counts, 0, MOST * sizeof(counts[0]));
	for (unsigned i = 0; i < KEYS; i++) {
		const char *key = key_of(i, room, &len);
		counts[mesh__split_sticky(sides, n, key, len)]++;
	}
}

/* The keys are always the same, and so is what comes of them; at 90/10 a standard deviation is 42. */
static void keys_are_spread_by_weight(void **state)
{
	static const struct mesh__side two[] = {{.subset = "v1", .weight = 90}, {.subset = "v2", .weight = 10}};
	static const struct mesh__side four[] = {{.subset = "v1", .weight = 5}, {.service = "payments-next.default", .weight = 3}, {.weight = 2}, {.subset = "never", .weight = 0}};
	unsigned counts[MOST];

	(void)state;
	share(two, 2, counts);
	assert_in_range(counts[1], KEYS / 10 - 130, KEYS / 10 + 130);
	share(four, 4, counts);
	assert_in_range(counts[0], KEYS / 2 - 220, KEYS / 2 + 220);
	assert_in_range(counts[1], KEYS * 3 / 10 - 220, KEYS * 3 / 10 + 220);
	assert_int_equal(counts[3], 0);
}

/* Those that move from side `from` to side `to` when the weights change; fails when a key moves any other way. */
static unsigned moved(const struct mesh__side *before, size_t n, const struct mesh__side *after, size_t m, const char *from, const char *to)
{
	unsigned count = 0;
	char room[24];
	size_t len;

	for (unsigned i = 0; i < KEYS; i++) {
		const char *key = key_of(i, room, &len);
		const char *was = before[mesh__split_sticky(before, n, key, len)].subset, *is = after[mesh__split_sticky(after, m, key, len)].subset;
		if (strcmp(was, is) != 0) {
			assert_true(from == NULL || strcmp(was, from) == 0);
			assert_true(to == NULL || strcmp(is, to) == 0);
			count++;
		}
	}
	return count;
}

static void a_change_of_weights_moves_the_keys_that_it_must_and_no_others(void **state)
{
	static const struct mesh__side nine[] = {{.subset = "v1", .weight = 90}, {.subset = "v2", .weight = 10}}, eight[] = {{.subset = "v1", .weight = 80}, {.subset = "v2", .weight = 20}};
	static const struct mesh__side scaled[] = {{.subset = "v2", .weight = 100}, {.subset = "v1", .weight = 900}}, third[] = {{.subset = "v1", .weight = 90}, {.subset = "v3", .weight = 25}, {.subset = "v2", .weight = 10}};

	(void)state;
	assert_in_range(moved(nine, 2, eight, 2, "v1", "v2"), KEYS / 10 - 130, KEYS / 10 + 130);
	assert_in_range(moved(eight, 2, nine, 2, "v2", "v1"), KEYS / 10 - 130, KEYS / 10 + 130);
	assert_int_equal(moved(nine, 2, scaled, 2, NULL, NULL), 0); /* the same, in another unit and another order */
	assert_in_range(moved(nine, 2, third, 3, NULL, "v3"), KEYS / 5 - 180, KEYS / 5 + 180);
}

/* A rolling change of programs must not move keys: written down once. */
static void a_key_has_its_side_in_every_process_and_version(void **state)
{
	static const struct mesh__side sides[] = {{.subset = "v1", .weight = 50}, {.subset = "v2", .weight = 50}};
	static const char *const keys[] = {"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"};
	char is[MESH__COUNT(keys) + 1] = "";

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(keys); i++) {
		is[i] = (char)('0' + mesh__split_sticky(sides, 2, keys[i], strlen(keys[i])));
	}
	assert_string_equal(is, "00010011");
}

static void a_key_comes_from_a_header_a_cookie_a_parameter_or_the_source(void **state)
{
	static const char *const fields[] = {"cookie", "a=1; bb=2", "x-user", "alice", "x-user", "bob", "cookie", " b=3 ;c=", "x-empty", "", NULL};
	static const struct {
		struct mesh__sticky on;
		const char *key;
	} rows[] = {
		{{MESH__STICKY_NONE, NULL}, NULL}, {{MESH__STICKY_HEADER, "x-user"}, "alice"}, {{MESH__STICKY_HEADER, "x-none"}, NULL}, {{MESH__STICKY_HEADER, "x-empty"}, NULL},
		{{MESH__STICKY_COOKIE, "a"}, "1"}, {{MESH__STICKY_COOKIE, "bb"}, "2"}, {{MESH__STICKY_COOKIE, "b"}, "3"}, {{MESH__STICKY_COOKIE, "c"}, NULL}, {{MESH__STICKY_COOKIE, "d"}, NULL},
		{{MESH__STICKY_QUERY, "u"}, "a b"}, {{MESH__STICKY_QUERY, "w"}, NULL}, {{MESH__STICKY_SOURCE, NULL}, "cart-1"},
	};
	struct mesh__request_view view = {.method = "GET", .path = "/", .query = "v=1&u=a%20b", .header = request_view_header, .ctx = fields, .service = "cart", .ns = "default", .instance = "cart-1"};
	char room[64];
	size_t len;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *key = mesh__sticky_key(&rows[i].on, &view, room, sizeof(room), &len);
		if (rows[i].key == NULL) {
			assert_null(key);
		} else {
			assert_non_null(key);
			assert_int_equal(len, strlen(rows[i].key));
			assert_memory_equal(key, rows[i].key, len);
		}
	}
	assert_null(mesh__sticky_key(&(struct mesh__sticky){MESH__STICKY_QUERY, "u"}, &view, room, 2, &len)); /* no room for it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_side_has_its_share_after_any_number_of_turns),
		cmocka_unit_test(keys_are_spread_by_weight),
		cmocka_unit_test(a_change_of_weights_moves_the_keys_that_it_must_and_no_others),
		cmocka_unit_test(a_key_has_its_side_in_every_process_and_version),
		cmocka_unit_test(a_key_comes_from_a_header_a_cookie_a_parameter_or_the_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
