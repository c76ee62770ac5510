#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "identity/servers.h"
#include "support/fake_env.h"

static struct fake_env fake;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	return 0;
}

static void takes_up_to_eight(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *first;
	} rows[] = {
		{NULL, 0, NULL},
		{"", 0, NULL},
		{"https://127.0.0.1:7440", 1, "127.0.0.1:7440"},
		{"https://meshd.example:7440/", 1, "meshd.example:7440"},
		{"https://[::1]:7440", 1, "[::1]:7440"},
		{"https://a:1,https://b:2", 2, "a:1"},
		{"https://a:1,https://b:2,https://c:3,https://d:4,https://e:5,https://f:6,https://g:7,https://h:8", 8, "a:1"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		static const uint64_t zero[] = {0};
		struct mesh__servers servers;
		struct mesh__err err = MESH__NO_ERR;
		char text[320];

		fake_env_dice(&fake, zero, 1);
		assert_int_equal(mesh__servers_parse(&fake.env, rows[i].text, &servers, &err), MESH_OK);
		assert_int_equal(servers.n, rows[i].n);
		if (rows[i].n > 0) {
			servers.next = 0;
			mesh__servers_format(&servers, text);
			assert_string_equal(text, rows[i].first);
		}
	}
}

static void refuses_what_is_no_list_of_origins(void **state)
{
	static const char *const rows[] = {
		"x", "http://a:1", "https://a", "https://a:0", "https://a:65536", "https://:1", "https://a:1/path", "https://a:1?q", "https://u@a:1", "https://a:1#f", "https://a:1 ", " https://a:1", ",", ",https://a:1",
		"https://a:1,,https://b:2", "https://a:1, https://b:2", "https://a:1;https://b:2", "https://[::1:7440", "https://::1:7440",
		"https://a:1,https://b:2,https://c:3,https://d:4,https://e:5,https://f:6,https://g:7,https://h:8,https://i:9",
	};
	char longest[400] = "https://";
	struct mesh__servers servers;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (mesh__servers_parse(&fake.env, rows[i], &servers, &err) != MESH_E_INVALID) {
			print_error("taken: %s\n", rows[i]);
			fail();
		}
		assert_non_null(strstr(err.message, "control"));
	}
	memset(longest + 8, 'a', 320);
	assert_int_equal(mesh__servers_parse(&fake.env, longest, &servers, NULL), MESH_E_INVALID);
}

static void begins_anywhere_and_goes_round(void **state)
{
	bool seen[3] = {false, false, false};
	struct mesh__servers servers;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mesh__servers_parse(&fake.env, "https://a:1,https://b:2,https://c:3", &servers, &err), MESH_OK);
		assert_true(servers.next < 3);
		seen[servers.next] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	for (size_t i = 0, from = servers.next; i < 7; i++) {
		assert_int_equal(servers.next, (from + i) % 3);
		mesh__servers_advance(&servers);
	}
	assert_int_equal(mesh__servers_parse(&fake.env, "", &servers, &err), MESH_OK);
	mesh__servers_advance(&servers);
	assert_int_equal(servers.next, 0);
}

static void expects_meshd_of_the_own_trust_domain_once_it_is_known(void **state)
{
	struct mesh__transfer_options options = {0};
	struct mesh__servers servers;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__servers_parse(&fake.env, "https://[::1]:7440", &servers, &err), MESH_OK);
	mesh__servers_address(&servers, NULL, &options);
	assert_string_equal(options.connect_host, "::1");
	assert_int_equal(options.connect_port, 7440);
	assert_string_equal(options.spiffe, "");
	mesh__servers_address(&servers, "mesh.local", &options);
	assert_string_equal(options.host, "meshd.mesh-system.mesh.local");
	assert_string_equal(options.spiffe, "spiffe://mesh.local/ns/mesh-system/svc/meshd");
	assert_true(options.connect_timeout_ms > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(takes_up_to_eight, set_up),
		cmocka_unit_test_setup(refuses_what_is_no_list_of_origins, set_up),
		cmocka_unit_test_setup(begins_anywhere_and_goes_round, set_up),
		cmocka_unit_test_setup(expects_meshd_of_the_own_trust_domain_once_it_is_known, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
