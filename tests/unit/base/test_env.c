#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env.h"
#include "support/fake_env.h"

static void the_system_environment_has_clocks_and_randomness(void **state)
{
	struct mesh__env env;
	int64_t before, after;
	char a[33], b[33];

	(void)state;
	mesh__env_init(&env);
	before = mesh__mono_us(&env);
	after = mesh__mono_us(&env);
	assert_true(before > 0 && after >= before);
	assert_true(mesh__mono_ms(&env) >= before / 1000);
	assert_true(mesh__wall_ms(&env) > INT64_C(1700000000000));
	mesh__random_hex(&env, a, 32);
	mesh__random_hex(&env, b, 32);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	assert_true(mesh__dice(&env) != mesh__dice(&env));
	mesh__log(&env, MESH__LOG_ERROR, "nobody listens", (char *)NULL);
}

static void random_bytes_stay_within_their_length(void **state)
{
	struct mesh__env env;
	unsigned char bytes[300];
	size_t zeros = 0;

	(void)state;
	mesh__env_init(&env);
	memset(bytes, 0, sizeof(bytes));
	mesh__random(&env, bytes + 10, 280);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(bytes[i] | bytes[299 - i], 0);
	}
	for (size_t i = 10; i < 290; i++) {
		zeros += bytes[i] == 0;
	}
	assert_in_range(zeros, 0, 20);
	mesh__random(&env, NULL, 0);
}

static void the_injected_clock_is_used(void **state)
{
	struct fake_env fake;
	int64_t mono, wall;

	(void)state;
	fake_env_init(&fake);
	mono = mesh__mono_us(&fake.env);
	wall = mesh__wall_ms(&fake.env);
	fake_env_advance_ms(&fake, 5);
	fake_env_advance_us(&fake, 600);
	fake_env_advance_us(&fake, 600);
	assert_int_equal(mesh__mono_us(&fake.env) - mono, 6200);
	assert_int_equal(mesh__mono_ms(&fake.env) - mono / 1000, 6);
	assert_int_equal(mesh__wall_ms(&fake.env) - wall, 6);
}

static void draws_are_uniform_and_below_n(void **state)
{
	struct fake_env fake;
	unsigned counts[7] = {0};

	(void)state;
	fake_env_init(&fake);
	for (int i = 0; i < 70000; i++) {
		uint64_t draw = mesh__dice_below(&fake.env, 7);
		assert_true(draw < 7);
		counts[draw]++;
	}
	for (size_t i = 0; i < 7; i++) {
		assert_in_range(counts[i], 9600, 10400); /* 10000 ± 4 standard deviations and some */
	}
	assert_int_equal(mesh__dice_below(&fake.env, 0), 0);
	assert_int_equal(mesh__dice_below(&fake.env, 1), 0);
}

static void draws_that_would_be_biased_are_thrown_again(void **state)
{
	static const uint64_t script[] = {UINT64_MAX, 5};
	struct fake_env fake;

	(void)state;
	fake_env_init(&fake);
	fake_env_dice(&fake, script, 2);
	assert_int_equal(mesh__dice_below(&fake.env, 3), 2);
	assert_int_equal(fake.drawn, 2);
}

static uint64_t stuck(void *user)
{
	(void)user;
	return UINT64_MAX;
}

static void stuck_dice_do_not_hang(void **state)
{
	struct fake_env fake;

	(void)state;
	fake_env_init(&fake);
	fake.env.dice = stuck;
	assert_true(mesh__dice_below(&fake.env, 3) < 3);
}

static void events_below_the_level_are_not_passed_on(void **state)
{
	struct fake_env fake;

	(void)state;
	fake_env_init(&fake);
	fake.env.log_level = MESH__LOG_WARN;
	mesh__log(&fake.env, MESH__LOG_INFO, "quiet", (char *)NULL);
	mesh__log(&fake.env, MESH__LOG_WARN, "loud", "a", "1", "gone", (char *)NULL, "b", "2", (char *)NULL);
	fake.env.log_level = MESH__LOG_OFF;
	mesh__log(&fake.env, MESH__LOG_ERROR, "off", (char *)NULL);
	assert_string_equal(fake.log, "warn loud a=1 b=2\n");
	assert_true(fake_env_logged(&fake, "loud"));
	assert_false(fake_env_logged(&fake, "quiet"));
}

static void more_fields_than_sixteen_are_left_out(void **state)
{
	struct fake_env fake;
	size_t equals = 0;

	(void)state;
	fake_env_init(&fake);
	mesh__log(&fake.env, MESH__LOG_WARN, "many", "a", "1", "b", "1", "c", "1", "d", "1", "e", "1", "f", "1", "g", "1", "h", "1", "i", "1", "j", "1",
		"k", "1", "l", "1", "m", "1", "n", "1", "o", "1", "p", "1", "q", "1", "r", "1", (char *)NULL);
	for (const char *p = fake.log; *p != '\0'; p++) {
		equals += *p == '=';
	}
	assert_int_equal(equals, 16);
}

/* What mesh__log_stderr() writes to descriptor 2 for one event, as a string of the caller's to free. */
static char *stderr_of(const char *what, const struct mesh__field *fields, size_t n)
{
	FILE *file = tmpfile();
	int kept = dup(STDERR_FILENO);
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
	mesh__log_stderr(NULL, MESH__LOG_WARN, what, fields, n);
	assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
	close(kept);
	rewind(file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void the_stderr_sink_writes_one_json_object_a_line(void **state)
{
	static const struct mesh__field fields[] = {{"peer", "a\"b\n\xff"}, {"empty", ""}};
	char *line = stderr_of("peer refused", fields, 2);

	(void)state;
	assert_int_equal(strncmp(line, "{\"time\":\"20", 11), 0);
	assert_string_equal(strstr(line, ",\"level\":"), ",\"level\":\"warn\",\"event\":\"peer refused\",\"peer\":\"a\\\"b\\u000a\\ufffd\",\"empty\":\"\"}\n");
	free(line);
}

static void the_stderr_sink_cuts_long_values_and_keeps_the_event(void **state)
{
	static char value[100000];
	struct mesh__field fields[16];
	char *line;

	(void)state;
	memset(value, '\x01', sizeof(value) - 1); /* grows sixfold in JSON */
	for (size_t i = 0; i < 16; i++) {
		fields[i] = (struct mesh__field){"k", value};
	}
	line = stderr_of("long", fields, 16);
	assert_non_null(strstr(line, "\\u0001...\""));
	assert_string_equal(line + strlen(line) - 2, "}\n");
	free(line);
}

/* Standard error is this file, with room for so many bytes in all, while the event is logged. */
static void log_with_room(int file, rlim_t room, const char *what, struct mesh__log_lost *lost)
{
	int kept = dup(STDERR_FILENO);
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){room, before.rlim_max};
	assert_true(kept >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	mesh__log_stderr(lost, MESH__LOG_INFO, what, NULL, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
	close(kept);
}

static void lines_that_a_full_disk_loses_are_counted_and_told_when_there_is_room(void **state)
{
	FILE *file = tmpfile();
	struct mesh__log_lost lost = {0};
	char text[1024] = "", *line, *next = text;
	static const char *const events[] = {"first", "sec", "log lines lost\",\"lines\":\"3", "fifth", "sixth"};

	(void)state;
	assert_non_null(file);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit for a full disk: the write fails */
	log_with_room(fileno(file), RLIM_INFINITY, "first", &lost);
	log_with_room(fileno(file), (rlim_t)lseek(fileno(file), 0, SEEK_CUR) + 62, "second", &lost); /* half of it */
	log_with_room(fileno(file), 0, "third", &lost);
	log_with_room(fileno(file), 0, "fourth", &lost);
	assert_int_equal(lost.lines, 3);
	log_with_room(fileno(file), RLIM_INFINITY, "fifth", &lost);
	log_with_room(fileno(file), RLIM_INFINITY, "sixth", &lost);
	assert_int_equal(lost.lines, 0);
	rewind(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		line = strsep(&next, "\n");
		assert_non_null(line);
		assert_int_equal(strncmp(line, "{\"time\":\"20", 11), 0);
		assert_non_null(strstr(line, events[i]));
		assert_int_equal(line[strlen(line) - 1] == '}', i != 1);
	}
	assert_string_equal(next, "");
	fclose(file);
}

static void levels_are_read_by_name(void **state)
{
	enum mesh__log_level level = MESH__LOG_INFO;

	(void)state;
	assert_true(mesh__log_level_parse("debug", &level));
	assert_int_equal(level, MESH__LOG_DEBUG);
	assert_true(mesh__log_level_parse("off", &level));
	assert_int_equal(level, MESH__LOG_OFF);
	assert_false(mesh__log_level_parse("INFO", &level));
	assert_false(mesh__log_level_parse("", &level));
	assert_int_equal(level, MESH__LOG_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_system_environment_has_clocks_and_randomness),
		cmocka_unit_test(random_bytes_stay_within_their_length),
		cmocka_unit_test(the_injected_clock_is_used),
		cmocka_unit_test(draws_are_uniform_and_below_n),
		cmocka_unit_test(draws_that_would_be_biased_are_thrown_again),
		cmocka_unit_test(stuck_dice_do_not_hang),
		cmocka_unit_test(events_below_the_level_are_not_passed_on),
		cmocka_unit_test(more_fields_than_sixteen_are_left_out),
		cmocka_unit_test(the_stderr_sink_writes_one_json_object_a_line),
		cmocka_unit_test(the_stderr_sink_cuts_long_values_and_keeps_the_event),
		cmocka_unit_test(lines_that_a_full_disk_loses_are_counted_and_told_when_there_is_room),
		cmocka_unit_test(levels_are_read_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
