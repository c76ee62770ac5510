#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/settings.h"
#include "base/attr.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

#define HEX16 "0123456789abcdef"
#define HEX64 HEX16 HEX16 HEX16 HEX16
#define TOKEN "mesh1." HEX16 "." HEX64 "." HEX64
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct fake_env fake;

/* No variable of the caller's own environment takes part. */
static int set_up(void **state)
{
#define X(name, key, variable, preset) (void)unsetenv(variable);
	MESH__SETTINGS(X)
#undef X
	(void)state;
	fake_env_init(&fake);
	return 0;
}

struct row {
	const char *key, *value;
	const char *said; /* part of the refusal; NULL: taken */
};

static const struct row rows[] = {
	{"control", "https://127.0.0.1:7440", NULL},
	{"control", "https://a:1,https://[::1]:2", NULL},
	{"control", "http://127.0.0.1:7440", "https://host:port"},
	{"control", "127.0.0.1:7440", "https://host:port"},
	{"control", "https://a:1,b", "control"},
	{"token", TOKEN, NULL},
	{"token", "mesh1.x", "was it cut or joined"},
	{"token", "x", "meshctl token create"},
	{"token", "", "token"},
	{"service", "payments", NULL},
	{"service", L63, NULL},
	{"service", L63 "a", "63"},
	{"service", "", "service"},
	{"service", "Payments", "lower-case"},
	{"service", "a.b", "lower-case"},
	{"service", "-a", "service \"-a\""},
	{"service", "a-", "service \"a-\""},
	{"service", "a\nb", "service"},
	{"namespace", "default", NULL},
	{"namespace", "a_b", "namespace \"a_b\""},
	{"instance", "i-1", NULL},
	{"instance", "i 1", "instance \"i 1\""},
	{"version", "v1.2 (beta) \xc3\xa9", NULL},
	{"version", "", "1 to 63 bytes"},
	{"version", L63 "a", "1 to 63 bytes"},
	{"version", "a\tb", "control character at byte 1"},
	{"version", "\xff", "UTF-8"},
	{"version", "\x7f", "control character"},
	{"zone", "eu-1a", NULL},
	{"zone", "a\nb", "zone"},
	{"listen", "127.0.0.1:0", NULL},
	{"listen", "[::]:8443", NULL},
	{"listen", "0.0.0.0:8443", NULL},
	{"listen", "localhost:8443", "ip:port"},
	{"listen", "127.0.0.1", "port"},
	{"listen", "127.0.0.1:65536", "65535"},
	{"listen", ":8443", "listen \":8443\""},
	{"listen", "127.0.0.1:8443 ", "listen"},
	{"advertise", "10.0.0.1:8443", NULL},
	{"advertise", "10.0.0.1:0", "advertise"},
	{"advertise", "host:8443", "advertise \"host:8443\""},
	{"probe_listen", "127.0.0.1:0", NULL},
	{"probe_listen", "x", "probe_listen \"x\""},
	{"probe_metrics", "1", NULL},
	{"probe_metrics", "0", NULL},
	{"probe_metrics", "2", "from 0 to 1"},
	{"probe_metrics", "yes", "from 0 to 1"},
	{"state_dir", "/var/lib/x", NULL},
	{"state_dir", "", "state_dir"},
	{"log", "debug", NULL},
	{"log", "off", NULL},
	{"log", "INFO", "debug, info, warn, error or off"},
	{"log", "verbose", "log \"verbose\""},
	{"workers", "1", NULL},
	{"workers", "512", NULL},
	{"workers", "0", "from 1 to 512"},
	{"workers", "513", "from 1 to 512"},
	{"workers", "+1", "from 1 to 512"},
	{"workers", "1.5", "from 1 to 512"},
	{"workers", " 1", "from 1 to 512"},
	{"workers", "18446744073709551617", "from 1 to 512"},
	{"loops", "1", NULL},
	{"loops", "64", NULL},
	{"loops", "0", "from 1 to 64"},
	{"loops", "65", "from 1 to 64"},
	{"request_bodies", "streamed", NULL},
	{"request_bodies", "whole", NULL},
	{"request_bodies", "chunked", "\"whole\" or \"streamed\""},
	{"tls_max_version", "1.2", NULL},
	{"tls_max_version", "1.3", NULL},
	{"tls_max_version", "1.1", "must be 1.2 or 1.3"},
	{"max_body", "0", NULL},
	{"max_body", "1073741824", NULL},
	{"max_body", "1073741825", "from 0 to 1073741824"},
	{"max_body", "16M", "max_body \"16M\""},
	{"certificate", "/x/cert.pem", NULL},
	{"key", "", "key"},
	{"bundle", "a\001b", "control character"},
	{"endpoints", "/x/static.yaml", NULL},
	{"servise", "x", "did you mean \"service\"?"},
	{"MESH_SERVICE", "x", "no option \"MESH_SERVICE\""},
	{"", "x", "no option \"\""},
};

static void each_option_takes_what_it_may_and_says_what_is_wrong_with_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		mesh_options *o = mesh_options_new();
		int32_t code = mesh_options_set(o, rows[i].key, rows[i].value);

		if (rows[i].said == NULL) {
			if (code != MESH_OK) {
				print_error("%s = %s: %s\n", rows[i].key, rows[i].value, mesh_options_message(o));
			}
			assert_int_equal(code, MESH_OK);
			assert_string_equal(mesh_options_get(o, rows[i].key), rows[i].value);
			assert_string_equal(mesh_options_message(o), "");
		} else {
			if (code != MESH_E_INVALID || strstr(mesh_options_message(o), rows[i].said) == NULL) {
				print_error("%s = %s: %s\n", rows[i].key, rows[i].value, mesh_options_message(o));
			}
			assert_int_equal(code, MESH_E_INVALID);
			assert_non_null(strstr(mesh_options_message(o), rows[i].said));
			assert_null(strchr(mesh_options_message(o), '\n'));
			assert_null(mesh_options_get(o, rows[i].key));
		}
		mesh_options_free(o);
	}
}

static void every_setting_has_a_row_that_is_taken_and_one_that_is_not(void **state)
{
	static const char *const paths[] = {"certificate", "key", "bundle", "endpoints", "state_dir"}; /* one check serves all of them */

	(void)state;
#define X(name, key_text, variable, preset)                                                                            \
	{                                                                                                              \
		bool taken = false, refused = false, is_path = false;                                                  \
		for (size_t i = 0; i < MESH__COUNT(paths); i++) {                                                      \
			is_path = is_path || strcmp(paths[i], key_text) == 0;                                          \
		}                                                                                                      \
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {                                                       \
			bool here = strcmp(rows[i].key, key_text) == 0;                                                \
			taken = taken || (here && rows[i].said == NULL);                                               \
			refused = refused || (here && rows[i].said != NULL);                                           \
		}                                                                                                      \
		assert_true(is_path ? taken || refused : taken && refused);                                            \
	}
	MESH__SETTINGS(X)
#undef X
}

/* Sets variables "K=V", then options "key=value", both up to NULL, and loads. */
static int load(const char *const *variables, const char *const *values, struct mesh__settings *out, struct mesh__err *err)
{
	mesh_options *o = mesh_options_new();
	char key[32];
	int code;

	(void)set_up(NULL);
	for (; *variables != NULL; variables++) {
		size_t len = strcspn(*variables, "=");
		memcpy(key, *variables, len);
		key[len] = '\0';
		assert_int_equal(setenv(key, *variables + len + 1, 1), 0);
	}
	for (; *values != NULL; values++) {
		size_t len = strcspn(*values, "=");
		memcpy(key, *values, len);
		key[len] = '\0';
		assert_int_equal(mesh_options_set(o, key, *values + len + 1), MESH_OK);
	}
	*err = (struct mesh__err)MESH__NO_ERR;
	code = mesh__settings_load(&fake.env, o, out, err);
	mesh_options_free(o);
	(void)set_up(NULL);
	return code;
}

static void code_wins_over_the_environment_and_that_over_the_default(void **state)
{
	static const char *const variables[] = {"MESH_CONTROL=https://a:1", "MESH_TOKEN=" TOKEN, "MESH_NAMESPACE=shop", "MESH_WORKERS=3", "MESH_ZONE=", "MESH_LOG=warn", NULL};
	static const char *const values[] = {"workers=5", "service=cart", NULL};
	struct mesh__settings s;
	struct mesh__err err;

	(void)state;
	assert_int_equal(load(variables, values, &s, &err), MESH_OK);
	assert_int_equal(s.workers, 5);
	assert_string_equal(s.values[MESH__SETTING_SERVICE], "cart");
	assert_string_equal(s.values[MESH__SETTING_NAMESPACE], "shop");
	assert_null(s.values[MESH__SETTING_ZONE]); /* an empty variable counts as unset */
	assert_int_equal(s.max_body_bytes, 16777216);
	assert_int_equal(s.log_level, MESH__LOG_WARN);
	assert_true(s.has_token && s.servers.n == 1 && !s.has_listen && !s.has_probe && !s.probe_metrics);
	mesh__settings_fini(&s);
}

static void a_bad_variable_is_told_by_its_own_name(void **state)
{
	static const char *const variables[] = {"MESH_CONTROL=https://a:1", "MESH_TOKEN=" TOKEN, "MESH_WORKERS=many", NULL};
	static const char *const none[] = {NULL}, *const values[] = {"workers=4", NULL};
	struct mesh__settings s;
	struct mesh__err err;

	(void)state;
	assert_int_equal(load(variables, none, &s, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "MESH_WORKERS"));
	assert_non_null(strstr(err.message, "many"));
	assert_int_equal(load(variables, values, &s, &err), MESH_OK); /* what code says, nobody looks further for */
	mesh__settings_fini(&s);
}

static void what_belongs_together_must_be_there_together(void **state)
{
	static const struct {
		const char *variables[6];
		const char *said; /* NULL: it fits */
	} cases[] = {
		{{NULL}, "MESH_CONTROL"},
		{{"MESH_TOKEN=" TOKEN, NULL}, "MESH_CONTROL"},
		{{"MESH_CONTROL=https://a:1", NULL}, "MESH_TOKEN"},
		{{"MESH_CONTROL=https://a:1", "MESH_TOKEN=" TOKEN, NULL}, NULL},
		{{"MESH_CONTROL=https://a:1", "MESH_STATE_DIR=/x", NULL}, "MESH_SERVICE"},
		{{"MESH_CONTROL=https://a:1", "MESH_STATE_DIR=/x", "MESH_SERVICE=cart", NULL}, NULL}, /* it may have an identity from before */
		{{"MESH_CERTIFICATE=/c", NULL}, "key is not set"},
		{{"MESH_CERTIFICATE=/c", "MESH_KEY=/k", NULL}, "bundle is not set"},
		{{"MESH_KEY=/k", "MESH_BUNDLE=/b", NULL}, "certificate is not set"},
		{{"MESH_CERTIFICATE=/c", "MESH_KEY=/k", "MESH_BUNDLE=/b", NULL}, NULL},
		{{"MESH_CERTIFICATE=/c", "MESH_KEY=/k", "MESH_BUNDLE=/b", "MESH_ENDPOINTS=/e", NULL}, NULL},
	};
	static const char *const none[] = {NULL};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		struct mesh__settings s;
		struct mesh__err err;
		int code = load(cases[i].variables, none, &s, &err);

		assert_int_equal(code, cases[i].said == NULL ? MESH_OK : MESH_E_INVALID);
		if (cases[i].said != NULL) {
			assert_non_null(strstr(err.message, cases[i].said));
		}
		mesh__settings_fini(&s);
	}
}

static void a_message_never_tells_the_token(void **state)
{
	static const char *const bad[] = {TOKEN "0", TOKEN " x", "mesh2." HEX16 "." HEX64 "." HEX64, "mesh1." HEX16 "." HEX64, "mesh1." HEX16 "." HEX64 "." HEX64 "\n"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		mesh_options *o = mesh_options_new();
		(void)mesh_options_set(o, "token", bad[i]);
		assert_null(strstr(mesh_options_message(o), HEX16 HEX16));
		mesh_options_free(o);
	}
}

static void a_value_without_an_end_in_sight_is_refused(void **state)
{
	size_t len = 1 << 20;
	char *value = malloc(len);
	mesh_options *o = mesh_options_new();

	(void)state;
	memset(value, '1', len);
	value[len - 1] = '\0';
	assert_int_equal(mesh_options_set(o, "certificate", value), MESH_E_INVALID);
	assert_int_equal(mesh_options_set(o, "workers", value), MESH_E_INVALID);
	assert_int_equal(mesh_options_set(o, value, "x"), MESH_E_INVALID);
	assert_true(strlen(mesh_options_message(o)) < 500);
	assert_int_equal(mesh_options_set(o, NULL, "x"), MESH_E_INVALID);
	mesh_options_free(o);
	free(value);
}

static void loading_with_each_allocation_failing_leaves_nothing(void **state)
{
	struct fail_mem f;

	(void)state;
	assert_int_equal(setenv("MESH_CONTROL", "https://a:1", 1), 0);
	assert_int_equal(setenv("MESH_TOKEN", TOKEN, 1), 0);
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__settings s;
		struct mesh__err err = MESH__NO_ERR;
		int code;

		fail_mem_init(&f);
		f.fail_at = n;
		fake.env.mem = f.mem;
		code = mesh__settings_load(&fake.env, NULL, &s, &err);
		done = f.count < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__settings_fini(&s);
		assert_int_equal(f.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_option_takes_what_it_may_and_says_what_is_wrong_with_the_rest, set_up),
		cmocka_unit_test_setup(every_setting_has_a_row_that_is_taken_and_one_that_is_not, set_up),
		cmocka_unit_test_setup(code_wins_over_the_environment_and_that_over_the_default, set_up),
		cmocka_unit_test_setup(a_bad_variable_is_told_by_its_own_name, set_up),
		cmocka_unit_test_setup(what_belongs_together_must_be_there_together, set_up),
		cmocka_unit_test_setup(a_message_never_tells_the_token, set_up),
		cmocka_unit_test_setup(a_value_without_an_end_in_sight_is_refused, set_up),
		cmocka_unit_test_setup(loading_with_each_allocation_failing_leaves_nothing, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
