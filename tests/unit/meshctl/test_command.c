#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "meshctl/command.h"
#include "meshctl/files.h"
#include "wire/json.h"

enum { WORDS_MAX = 8 };

/* One run of the program: what it wrote, and its exit code. */
struct ran {
	char *out, *messages;
	int code;
};

static struct ran run(const char *const *words)
{
	char *argv[WORDS_MAX + 2];
	char name[] = "meshctl";
	int argc = 1;
	size_t out_len, messages_len;
	struct ran r;
	FILE *out = open_memstream(&r.out, &out_len), *messages = open_memstream(&r.messages, &messages_len);
	struct ctl ctl;

	argv[0] = name;
	for (; words[argc - 1] != NULL; argc++) {
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	}
	ctl_init(&ctl, out, messages);
	r.code = ctl_run(&ctl, argc, argv);
	ctl_fini(&ctl);
	(void)fclose(out);
	(void)fclose(messages);
	return r;
}

static void ran_free(struct ran *r)
{
	free(r->out);
	free(r->messages);
}

static int no_surroundings(void **state)
{
	static const char *const names[] = {"MESH_ADMIN", "MESH_ADMIN_TOKEN", "MESH_DATA", "MESH_TOKEN", "MESH_CONTROL",
		"MESH_SERVICE", "MESH_NAMESPACE", "MESH_STATE_DIR", "MESH_CERTIFICATE"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		(void)unsetenv(names[i]);
	}
	return 0;
}

static void every_mistake_has_its_exit_code_and_a_hint(void **state)
{
	static const struct {
		const char *words[WORDS_MAX + 1];
		int code;
		const char *message;
	} rows[] = {
		{{NULL}, CTL_USAGE, "meshctl help"},
		{{"staus"}, CTL_USAGE, "did you mean \"status\"?"},
		{{"xyzzy"}, CTL_USAGE, "unknown command \"xyzzy\""},
		{{"token"}, CTL_USAGE, "create, list, delete"},
		{{"token", "creat"}, CTL_USAGE, "did you mean \"token create\"?"},
		{{"token", "create"}, CTL_USAGE, "--service NAME"},
		{{"token", "create", "--service", "Pay_ments"}, CTL_USAGE, "Pay_ments"},
		{{"token", "create", "--service", "a.b.c"}, CTL_USAGE, "service.namespace"},
		{{"cert", "issue", "--service", "a.b.c", "--out", "/nonexistent"}, CTL_USAGE, "service.namespace"},
		{{"token", "create", "--servce", "payments"}, CTL_USAGE, "did you mean --service?"},
		{{"token", "create", "--service", "payments", "--ttl", "soon"}, CTL_USAGE, "not a duration"},
		{{"token", "delete", "../status"}, CTL_USAGE, "no token id"},
		{{"serve", "--service", "s"}, CTL_USAGE, "--echo"},
		{{"serve", "--service", "s", "--echo", "--upstream", "http://127.0.0.1:1"}, CTL_USAGE, "One of"},
		{{"serve", "--service", "s", "--upstream", "http://127.0.0.1:1", "--delay", "1s"}, CTL_USAGE, "belong to --echo"},
		{{"serve", "--service", "s", "--upstream", "https://127.0.0.1:1"}, CTL_USAGE, "plain http"},
		{{"serve", "--service", "s", "--echo", "--status", "99"}, CTL_USAGE, "from 200 to 599"},
		{{"serve", "--service", "s", "--echo", "--fail-percent", "101"}, CTL_USAGE, "from 0 to 100"},
		{{"call", "payments"}, CTL_USAGE, "call SERVICE PATH"},
		{{"call", "payments", "no-slash"}, CTL_USAGE, "begins with \"/\""},
		{{"call", "Payments", "/"}, CTL_USAGE, "Payments"},
		{{"call", "payments", "/", "-H", "nonsense"}, CTL_USAGE, "name: value"},
		{{"call", "payments", "/", "-H", "Host: x"}, CTL_USAGE, "the library sets this field"},
		{{"call", "payments", "/", "-X", "CONNECT"}, CTL_USAGE, "is no method"},
		{{"call", "payments", "/", "-d", "@/nonexistent"}, CTL_USAGE, "/nonexistent"},
		{{"call", "payments", "/", "extra"}, CTL_USAGE, "unexpected \"extra\""},
		{{"connect", "payments"}, CTL_USAGE, "--listen"},
		{{"connect", "payments", "--listen", "0.0.0.0:80"}, CTL_USAGE, "loopback"},
		{{"connect", "payments", "--listen", "[2001:db8::1]:80"}, CTL_USAGE, "loopback"},
		{{"get", "servise"}, CTL_USAGE, "did you mean Service?"},
		{{"get"}, CTL_USAGE, "usage: meshctl get"},
		{{"apply"}, CTL_USAGE, "-f FILE"},
		{{"apply", "-f", "/nonexistent"}, CTL_USAGE, "/nonexistent"},
		{{"cert", "revoke", "xyz"}, CTL_USAGE, "no serial number"},
		{{"cert", "issue", "--service", "s"}, CTL_USAGE, "--out DIR"},
		{{"services", "-o", "yaml"}, CTL_USAGE, "text or json"},
		{{"services"}, CTL_UNREACHABLE, "--data DIR"},
		{{"services", "--data", "/nonexistent"}, CTL_UNREACHABLE, "meshd --data /nonexistent"},
		{{"--data", "/nonexistent", "status"}, CTL_UNREACHABLE, "meshd --data /nonexistent"},
		{{"check"}, CTL_UNREACHABLE, "--data DIR"},
		{{"serve", "--service", "s", "--echo", "--data", "/nonexistent"}, CTL_UNREACHABLE, "MESH_TOKEN"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct ran r = run(rows[i].words);
		if (r.code != rows[i].code || strstr(r.messages, rows[i].message) == NULL) {
			fail_msg("row %zu: exit %d with \"%s\", not %d with \"%s\"", i, r.code, r.messages, rows[i].code, rows[i].message);
		}
		assert_string_equal(r.out, "");
		ran_free(&r);
	}
}

static void a_check_of_a_meshd_that_does_not_run_is_a_check_all_the_same(void **state)
{
	static const char *const words[] = {"check", "--data", "/nonexistent", NULL}, *const json[] = {"check", "--data", "/nonexistent", "-o", "json", NULL};
	struct ran r = run(words);

	(void)state;
	assert_int_equal(r.code, CTL_UNREACHABLE);
	assert_non_null(strstr(r.out, "ok    clock"));
	assert_non_null(strstr(r.out, "fail  data directory"));
	assert_non_null(strstr(r.out, "fail  meshd"));
	ran_free(&r);
	r = run(json);
	assert_int_equal(r.code, CTL_UNREACHABLE);
	assert_ptr_equal(strstr(r.out, "[{\"check\":\"clock\""), r.out);
	ran_free(&r);
}

static void help_of_every_command_teaches_with_an_example(void **state)
{
	size_t n;
	const struct ctl_command *const *commands = ctl_commands(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		const char *space = strchr(commands[i]->name, ' ');
		char first[32], invocation[64];
		const char *words[] = {first, space != NULL ? space + 1 : "--help", space != NULL ? "--help" : NULL, NULL};
		struct ran r;
		(void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(commands[i]->name, " "), commands[i]->name);
		r = run(words);
		assert_int_equal(r.code, CTL_OK);
		assert_string_equal(r.messages, "");
		assert_non_null(strstr(r.out, commands[i]->summary));
		(void)snprintf(invocation, sizeof(invocation), "meshctl %s", commands[i]->name);
		assert_non_null(strstr(r.out, "For example:\n  $ "));
		assert_non_null(strstr(strstr(r.out, "For example:\n"), invocation));
		for (const struct ctl_option *o = commands[i]->options; o != NULL && o->name != NULL; o++) {
			assert_non_null(strstr(r.out, o->name));
		}
		ran_free(&r);
	}
}

/* Because the command is looked for before its own table is known. */
static void an_option_takes_a_value_everywhere_or_nowhere(void **state)
{
	size_t n;
	const struct ctl_command *const *commands = ctl_commands(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (const struct ctl_option *a = commands[i]->options; a != NULL && a->name != NULL; a++) {
			assert_int_equal(a->kind == CTL_FLAG, a->value == NULL);
			for (size_t j = 0; j < n; j++) {
				for (const struct ctl_option *b = commands[j]->options; b != NULL && b->name != NULL; b++) {
					bool alike = strcmp(a->name, b->name) == 0 || (a->letter != 0 && a->letter == b->letter);
					assert_false(alike && (a->kind == CTL_FLAG) != (b->kind == CTL_FLAG));
				}
			}
		}
	}
}

static void version_and_help_are_data(void **state)
{
	static const struct {
		const char *words[WORDS_MAX + 1];
		const char *out;
	} rows[] = {
		{{"version"}, "meshctl "}, {{"--version"}, "meshctl "}, {{"version", "-o", "json"}, "{\"version\":\""}, {{"-ojson", "version"}, "{\"version\":\""},
		{{"help"}, "token create"}, {{"--help"}, "token create"}, {{"help", "call"}, "meshctl call"}, {{"help", "token", "create"}, "meshctl token create"}, {{"token", "--help"}, "token delete"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct ran r = run(rows[i].words);
		assert_int_equal(r.code, CTL_OK);
		assert_non_null(strstr(r.out, rows[i].out));
		assert_string_equal(r.messages, "");
		ran_free(&r);
	}
}

/* ---- Files ---- */

static void make_dir(char *dir, size_t cap)
{
	(void)snprintf(dir, cap, "/tmp/test-meshctl-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void validate_tells_all_faults_at_once(void **state)
{
	char dir[64], path[128];
	const char *words[] = {"validate", "-f", path, NULL}, *json_words[] = {"validate", "-f", path, "-o", "json", NULL};
	struct mesh__json *json = NULL;
	struct ran r;

	(void)state;
	make_dir(dir, sizeof(dir));
	assert_true(ctl_file_path(dir, "d.yaml", path, sizeof(path)));
	write_text(path, "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimout: 2s\nconnectTimeout: soon\n");
	r = run(words);
	assert_int_equal(r.code, CTL_INVALID);
	assert_non_null(strstr(r.messages, "d.yaml:4:1: "));
	assert_non_null(strstr(r.messages, "timeout"));
	assert_non_null(strstr(r.messages, "d.yaml:5:"));
	ran_free(&r);
	r = run(json_words);
	assert_int_equal(r.code, CTL_INVALID);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), r.out, strlen(r.out), 65536, &json, NULL), MESH_OK);
	assert_int_equal(mesh__json_count(mesh__json_get(json, "faults")), 2);
	mesh__json_free(json);
	ran_free(&r);
	write_text(path, "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 2s\n");
	r = run(words);
	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out, "Service payments.default is valid"));
	ran_free(&r);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void a_key_is_written_for_its_owner_alone_and_all_files_or_none(void **state)
{
	char dir[64], inner[128], path[160];
	const struct ctl_file files[] = {{"key.pem", "K", 0600}, {"cert.pem", "C", 0644}};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf text;
	struct stat st;

	(void)state;
	make_dir(dir, sizeof(dir));
	assert_true(ctl_file_path(dir, "new", inner, sizeof(inner)));
	assert_int_equal(ctl_files_write(inner, files, 2, &err), MESH_OK);
	assert_true(ctl_file_path(inner, "key.pem", path, sizeof(path)));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	mesh__buf_init(&text, mesh__mem_libc(), 16);
	assert_int_equal(ctl_file_read(path, &text, &err), MESH_OK);
	assert_string_equal(text.data, "K");
	mesh__buf_fini(&text);
	assert_int_equal(unlink(path), 0);

	/* cert.pem cannot be replaced any more: the new key must not be there either. */
	assert_true(ctl_file_path(inner, ".cert.pem.new", path, sizeof(path)));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(ctl_files_write(inner, files, 2, &err), MESH_E_IO);
	assert_int_equal(rmdir(path), 0);
	assert_true(ctl_file_path(inner, "key.pem", path, sizeof(path)));
	assert_int_not_equal(stat(path, &st), 0);
	assert_true(ctl_file_path(inner, "cert.pem", path, sizeof(path)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(inner), 0); /* so nothing else was left */
	assert_int_equal(rmdir(dir), 0);
}

static void says_where_it_looked_for_meshd(void **state)
{
	static const struct {
		const char *admin, *token;
		int code;
		const char *message;
	} rows[] = {
		{"http://127.0.0.1:7441", NULL, CTL_DENIED, "MESH_ADMIN_TOKEN"},
		{"http://192.0.2.1:7441", "t", CTL_USAGE, "loopback"},
		{"https://127.0.0.1:7441", "t", CTL_USAGE, "plain http"},
		{"127.0.0.1:7441", "t", CTL_USAGE, "MESH_ADMIN"},
		{"http://example.org:7441", "t", CTL_USAGE, "MESH_ADMIN"},
	};
	static const char *const words[] = {"services", NULL};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct ran r;
		(void)setenv("MESH_ADMIN", rows[i].admin, 1);
		if (rows[i].token != NULL) {
			(void)setenv("MESH_ADMIN_TOKEN", rows[i].token, 1);
		}
		r = run(words);
		if (r.code != rows[i].code || strstr(r.messages, rows[i].message) == NULL) {
			fail_msg("row %zu: exit %d with \"%s\"", i, r.code, r.messages);
		}
		ran_free(&r);
		(void)no_surroundings(NULL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_mistake_has_its_exit_code_and_a_hint, no_surroundings),
		cmocka_unit_test_setup(a_check_of_a_meshd_that_does_not_run_is_a_check_all_the_same, no_surroundings),
		cmocka_unit_test(help_of_every_command_teaches_with_an_example),
		cmocka_unit_test(an_option_takes_a_value_everywhere_or_nowhere),
		cmocka_unit_test(version_and_help_are_data),
		cmocka_unit_test_setup(validate_tells_all_faults_at_once, no_surroundings),
		cmocka_unit_test(a_key_is_written_for_its_owner_alone_and_all_files_or_none),
		cmocka_unit_test_setup(says_where_it_looked_for_meshd, no_surroundings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
