#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/breaker.h"

static void a_limit_is_how_many_there_may_be_at_once(void **state)
{
	static const struct {
		struct mesh__breaker breaker;
		enum mesh__breaker_limit limit;
		int32_t under_way;
		bool admits;
	} rows[] = {
		/* connections, requests, pending */
		{{2, 9, 9}, MESH__BREAKER_CONNECTIONS, 0, true}, {{2, 9, 9}, MESH__BREAKER_CONNECTIONS, 1, true}, {{2, 9, 9}, MESH__BREAKER_CONNECTIONS, 2, false}, {{2, 9, 9}, MESH__BREAKER_CONNECTIONS, 3, false},
		{{9, 1, 9}, MESH__BREAKER_REQUESTS, 0, true}, {{9, 1, 9}, MESH__BREAKER_REQUESTS, 1, false}, {{9, 1, 9}, MESH__BREAKER_REQUESTS, INT32_MAX, false},
		{{9, 9, 0}, MESH__BREAKER_PENDING, 0, false}, {{9, 9, 1}, MESH__BREAKER_PENDING, 0, true}, {{9, 9, 1}, MESH__BREAKER_PENDING, 1, false},
		{{9, 9, 9}, (enum mesh__breaker_limit)7, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__breaker_admits(&rows[i].breaker, rows[i].limit, rows[i].under_way), rows[i].admits);
	}
}

static void each_is_built_in_at_1024_and_named_as_in_the_document(void **state)
{
	struct mesh__breaker breaker = {0, 0, 0};

	(void)state;
	mesh__breaker_default(&breaker);
	assert_int_equal(mesh__breaker_value(&breaker, MESH__BREAKER_CONNECTIONS), 1024);
	assert_int_equal(mesh__breaker_value(&breaker, MESH__BREAKER_REQUESTS), 1024);
	assert_int_equal(mesh__breaker_value(&breaker, MESH__BREAKER_PENDING), 1024);
	assert_string_equal(mesh__breaker_name(MESH__BREAKER_CONNECTIONS), "maxConnections");
	assert_string_equal(mesh__breaker_name(MESH__BREAKER_REQUESTS), "maxRequests");
	assert_string_equal(mesh__breaker_name(MESH__BREAKER_PENDING), "maxPending");
	assert_string_equal(mesh__breaker_name((enum mesh__breaker_limit)7), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_is_how_many_there_may_be_at_once),
		cmocka_unit_test(each_is_built_in_at_1024_and_named_as_in_the_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
