/* When a process is ready: a table over what is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "control/status.h"
#include "patience.h"

#define ON(fact) (1U << MESH__FACT_##fact)

static bool ready_with(bool has_servers, unsigned facts)
{
	struct mesh__env env;
	struct mesh__status status;
	bool ready;

	mesh__env_init(&env);
	mesh__status_init(&status, &env, has_servers);
	for (int fact = 0; fact < MESH__N_FACTS; fact++) {
		mesh__status_set(&status, (enum mesh__fact)fact, (facts & 1U << fact) != 0);
	}
	ready = mesh__status_is_ready(&status, NULL);
	mesh__status_fini(&status);
	return ready;
}

static void is_ready_by_the_rule(void **state)
{
	static const struct {
		const char *rule;
		bool has_servers;
		unsigned facts;
		bool ready;
	} rows[] = {
		{"nothing yet", true, 0, false},
		{"an identity alone", true, ON(IDENTITY), false},
		{"an identity and the first word", true, ON(IDENTITY) | ON(HEARD), true},
		{"to serve, not registered yet", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(GUARDED), false},
		{"to serve, and registered", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(GUARDED) | ON(REGISTERED), true},
		{"to serve, who may call not known", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(REGISTERED), false},
		{"to serve on what was kept, meshd out of reach", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(GUARDED) | ON(APART), true},
		{"the same, who may call not kept", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(APART), false},
		{"out of reach before the first word", true, ON(IDENTITY) | ON(APART), false},
		{"the application cannot serve", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(GUARDED) | ON(REGISTERED) | ON(UNABLE), false},
		{"the same, meshd out of reach", true, ON(IDENTITY) | ON(HEARD) | ON(SERVING) | ON(APART) | ON(UNABLE), false},
		{"the same, no control plane", false, ON(IDENTITY) | ON(UNABLE), false},
		{"closing", true, ON(IDENTITY) | ON(HEARD) | ON(CLOSED), false},
		{"no control plane, an identity", false, ON(IDENTITY), true},
		{"no control plane, to serve", false, ON(IDENTITY) | ON(SERVING), true},
		{"no control plane, nothing", false, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		if (ready_with(rows[i].has_servers, rows[i].facts) != rows[i].ready) {
			fail_msg("%s", rows[i].rule);
		}
	}
}

static void a_wait_ends_with_its_reason(void **state)
{
	struct mesh__err err = MESH__NO_ERR, trouble = MESH__NO_ERR;
	struct mesh__status status;
	struct mesh__env env;

	(void)state;
	mesh__env_init(&env);
	mesh__status_init(&status, &env, true);
	(void)mesh__fail(&trouble, MESH_E_CONTROL, "nobody is at home");
	mesh__status_trouble(&status, &trouble);
	assert_int_equal(mesh__status_await_ready(&status, mesh__mono_us(&env), &err), MESH_E_TIMEOUT);
	assert_non_null(strstr(err.message, "no identity yet"));
	assert_non_null(strstr(err.message, "nobody is at home"));
	mesh__status_set(&status, MESH__FACT_REFUSED, true);
	assert_int_equal(mesh__status_await_ready(&status, mesh__mono_us(&env) + patience(10000000), &err), MESH_E_DENIED);
	mesh__status_set(&status, MESH__FACT_CLOSED, true);
	assert_int_equal(mesh__status_await_ready(&status, mesh__mono_us(&env) + patience(10000000), &err), MESH_E_CLOSED);
	mesh__status_fini(&status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_ready_by_the_rule),
		cmocka_unit_test(a_wait_ends_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
