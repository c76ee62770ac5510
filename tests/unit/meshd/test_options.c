#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshd/options.h"
#include "unit/meshd/scratch.h"

static const char *environment_ttl;
static const char *environment_data;

static char *fake_getenv(const char *name)
{
	if (strcmp(name, "MESHD_LEAF_TTL") == 0) {
		return (char *)(uintptr_t)environment_ttl;
	}
	return strcmp(name, "MESHD_DATA") == 0 ? (char *)(uintptr_t)environment_data : NULL;
}

static int read_options(struct meshd_options *options, char *const *argv, struct mesh__err *err)
{
	int argc = 0;

	while (argv[argc] != NULL) {
		argc++;
	}
	return meshd_options_read(options, argc, argv, fake_getenv, err);
}

static int clear(void **state)
{
	(void)state;
	environment_ttl = NULL;
	environment_data = NULL;
	return 0;
}

static void has_the_defaults_that_the_design_names(void **state)
{
	char *const argv[] = {"meshd", "--data", "/nowhere", NULL};
	struct meshd_options options;

	(void)state;
	assert_int_equal(read_options(&options, argv, NULL), MESH_OK);
	assert_string_equal(options.trust_domain, "mesh.local");
	assert_int_equal(options.listen.port, 7440);
	assert_int_equal(options.admin.port, 7441);
	assert_string_equal(options.admin.ip, "127.0.0.1");
	assert_int_equal(options.leaf_ttl_ms, 48 * 3600 * 1000);
	assert_int_equal(options.lease.heartbeat_ms, 3000);
	assert_int_equal(options.lease.lease_ms, 10000);
	assert_int_equal(options.lease.grace_ms, 30000);
}

static void a_flag_wins_over_the_environment_and_that_over_the_file(void **state)
{
	struct meshd_options options;
	struct scratch scratch;
	char data[80];
	char *plain[] = {"meshd", data, NULL};
	char *flagged[] = {"meshd", data, "--leaf-ttl=40s", NULL};
	FILE *conf;

	(void)state;
	assert_int_equal(scratch_init(&scratch), 0);
	(void)snprintf(data, sizeof(data), "--data=%s", scratch.dir);
	conf = fopen(scratch_path(&scratch, "meshd.conf"), "w");
	assert_non_null(conf);
	assert_true(fputs("# the mesh\n\n  leaf-ttl = 20s  # short\ntrust-domain=corp.example\n", conf) >= 0);
	assert_int_equal(fclose(conf), 0);
	assert_int_equal(read_options(&options, plain, NULL), MESH_OK);
	assert_int_equal(options.leaf_ttl_ms, 20000);
	assert_string_equal(options.trust_domain, "corp.example");
	environment_ttl = "30s";
	assert_int_equal(read_options(&options, plain, NULL), MESH_OK);
	assert_int_equal(options.leaf_ttl_ms, 30000);
	assert_int_equal(read_options(&options, flagged, NULL), MESH_OK);
	assert_int_equal(options.leaf_ttl_ms, 40000);
	scratch_fini(&scratch);
}

static void a_fault_in_the_file_is_told_with_its_line(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_options options;
	struct scratch scratch;
	FILE *conf;

	(void)state;
	assert_int_equal(scratch_init(&scratch), 0);
	conf = fopen(scratch_path(&scratch, "meshd.conf"), "w");
	assert_non_null(conf);
	assert_true(fputs("leaf-ttl = 20s\nleaf-til = 30s\n", conf) >= 0);
	assert_int_equal(fclose(conf), 0);
	environment_data = scratch.dir;
	{
		char *const argv[] = {"meshd", NULL};

		assert_int_equal(read_options(&options, argv, &err), MESH_E_INVALID);
	}
	assert_non_null(strstr(err.message, "meshd.conf:2: "));
	assert_non_null(strstr(err.message, "did you mean setting leaf-ttl?"));
	scratch_fini(&scratch);
}

static void a_wrong_flag_is_refused_with_the_value_and_a_hint(void **state)
{
	static const struct {
		char *flag, *value;
		const char *says;
	} cases[] = {
		{"--lisen", "127.0.0.1:1", "did you mean --listen?"},
		{"--listen", "localhost:1", "--listen"},
		{"--listen", NULL, "needs a value"},
		{"--admin", "0.0.0.0:7441", "loopback"},
		{"--admin", "10.0.0.1:7441", "loopback"},
		{"--trust-domain", "Mesh.Local", "Mesh.Local"},
		{"--trust-domain", "a/../b", "a/../b"},
		{"--leaf-ttl", "48", "--leaf-ttl \"48\""},
		{"--leaf-ttl", "1s", "between 10s"},
		{"--log-level", "loud", "debug, info"},
		{"serve", NULL, "serve"},
		{"--data", "", "path"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		char *const argv[] = {"meshd", "--data", "/nowhere", cases[i].flag, cases[i].value, NULL};
		struct mesh__err err = MESH__NO_ERR;
		struct meshd_options options;

		assert_int_equal(read_options(&options, argv, &err), MESH_E_INVALID);
		assert_non_null(strstr(err.message, cases[i].says));
	}
}

static void says_what_is_missing_without_a_directory_but_help_needs_none(void **state)
{
	char *const bare[] = {"meshd", NULL}, *const help[] = {"meshd", "--help", NULL};
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_options options;

	(void)state;
	assert_int_equal(read_options(&options, bare, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "--data DIR"));
	assert_int_equal(read_options(&options, help, NULL), MESH_OK);
	assert_true(options.help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(has_the_defaults_that_the_design_names, clear),
		cmocka_unit_test_setup(a_flag_wins_over_the_environment_and_that_over_the_file, clear),
		cmocka_unit_test_setup(a_fault_in_the_file_is_told_with_its_line, clear),
		cmocka_unit_test_setup(a_wrong_flag_is_refused_with_the_value_and_a_hint, clear),
		cmocka_unit_test_setup(says_what_is_missing_without_a_directory_but_help_needs_none, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
