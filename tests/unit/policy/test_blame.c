#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/error.h"
#include "policy/blame.h"

static void an_answer_is_a_failure_by_its_status_alone(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int status;
		bool grpc_failed;
		enum mesh__blame blame;
	} rows[] = {
		{MESH__TRY_ANSWERED, 200, false, MESH__BLAME_NOBODY},
		{MESH__TRY_ANSWERED, 404, false, MESH__BLAME_NOBODY},
		{MESH__TRY_ANSWERED, 429, false, MESH__BLAME_NOBODY},
		{MESH__TRY_ANSWERED, 499, false, MESH__BLAME_NOBODY},
		{MESH__TRY_ANSWERED, 500, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_ANSWERED, 503, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_ANSWERED, 200, true, MESH__BLAME_ENDPOINT},
		{MESH__TRY_NOT_PROCESSED, 503, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_NOT_PROCESSED, 429, false, MESH__BLAME_NOBODY}, /* it is well, and has enough */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__blame_inputs in = {.end = rows[i].end, .status = rows[i].status, .grpc_failed = rows[i].grpc_failed};
		assert_int_equal(mesh__blame_decide(&in), rows[i].blame);
	}
}

static void what_was_ended_on_this_side_says_nothing_of_the_endpoint(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int code;
		bool whole_time;
		enum mesh__blame blame;
	} rows[] = {
		{MESH__TRY_UNCONNECTED, MESH_E_CONNECT, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNCONNECTED, MESH_E_TLS, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNCONNECTED, MESH_E_IDENTITY, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNCONNECTED, MESH_E_TIMEOUT, false, MESH__BLAME_ENDPOINT}, /* perTryTimeout */
		{MESH__TRY_UNSENT, MESH_E_RESET, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNSURE, MESH_E_RESET, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNSURE, MESH_E_PROTOCOL, false, MESH__BLAME_ENDPOINT},
		{MESH__TRY_UNSURE, MESH_E_TIMEOUT, false, MESH__BLAME_ENDPOINT}, /* perTryTimeout */
		{MESH__TRY_UNSURE, MESH_E_TOO_LARGE, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_UNSURE, MESH_E_NO_MEMORY, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_UNSENT, MESH_E_INTERNAL, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_LOCAL, MESH_E_OVERLOADED, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_STOPPED, MESH_E_TOO_LARGE, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_STOPPED, MESH_E_CANCELLED, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_STOPPED, MESH_E_CLOSED, true, MESH__BLAME_UNKNOWN},
		{MESH__TRY_STOPPED, MESH_E_TIMEOUT, false, MESH__BLAME_UNKNOWN}, /* the caller's own, or what earlier tries had left */
		{MESH__TRY_STOPPED, MESH_E_TIMEOUT, true, MESH__BLAME_ENDPOINT},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__blame_inputs in = {.end = rows[i].end, .code = rows[i].code, .whole_time = rows[i].whole_time};
		assert_int_equal(mesh__blame_decide(&in), rows[i].blame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_a_failure_by_its_status_alone),
		cmocka_unit_test(what_was_ended_on_this_side_says_nothing_of_the_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
