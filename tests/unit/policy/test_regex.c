#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/regex.h"
#include "support/alloc_fail.h"
#include "support/patience.h"

static struct mesh__regex *compiled(const char *pattern)
{
	struct mesh__regex *regex;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__regex_new(mesh__mem_libc(), pattern, strlen(pattern), &regex, &err) != MESH_OK) {
		fail_msg("%s: %s", pattern, err.message);
	}
	return regex;
}

static enum mesh__regex_verdict match(const char *pattern, const char *subject, size_t len)
{
	struct mesh__regex *regex = compiled(pattern);
	enum mesh__regex_verdict verdict = mesh__regex_match(regex, subject, len);

	mesh__regex_free(regex);
	return verdict;
}

static void the_whole_subject_must_match(void **state)
{
	static const struct {
		const char *pattern, *subject;
		bool matches;
	} rows[] = {
		{"/users/[0-9]+", "/users/17", true}, {"/users/[0-9]+", "/users/17/x", false}, {"/users/[0-9]+", "/v1/users/17", false}, {"users", "/users", false},
		{"/a|/ab", "/ab", true}, /* another alternative is looked for when the first leaves something over */
		{"^/a$", "/a", true}, {"/a.*", "/a", true}, {"", "", true}, {"", "x", false}, {"(?i)/a", "/A", true}, {"/a", "/A", false}, {"/(a|b)/(c|d)", "/b/c", true},
		{"/(?<n>a|b)/\\k<n>", "/b/b", true}, {"/.", "/\xff", true}, {"a.?", "a\n", false}, {"a$", "a\n", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		enum mesh__regex_verdict verdict = match(rows[i].pattern, rows[i].subject, strlen(rows[i].subject));
		if (verdict != (rows[i].matches ? MESH__REGEX_MATCH : MESH__REGEX_NO_MATCH)) {
			fail_msg("%s against %s: %d", rows[i].pattern, rows[i].subject, (int)verdict);
		}
	}
}

static void a_nul_is_a_byte_like_others(void **state)
{
	(void)state;
	assert_int_equal(match("a", "a\0b", 3), MESH__REGEX_NO_MATCH);
	assert_int_equal(match("a.b", "a\0b", 3), MESH__REGEX_MATCH);
}

static void what_cannot_be_compiled_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *pattern, *says;
	} rows[] = {
		{"/a(b", "missing closing parenthesis (at character 5)"},
		{"[a", "missing terminating ] for character class"},
		{"a**+*", "(at character "},
		{"(a)\\1", "(at character "}, /* no group captures by its number */
		{"(*UTF)a", "disabled by the application"}, {"(*UCP)a", "disabled by the application"}, {"\\C", "disabled by the application"},
		{"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))", "nested"},
		{"(ab[cd]ef){250}", "repeat groups less often"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__regex *regex = (struct mesh__regex *)1;
		struct mesh__err err = MESH__NO_ERR;
		if (mesh__regex_new(mesh__mem_libc(), rows[i].pattern, strlen(rows[i].pattern), &regex, &err) != MESH_E_INVALID) {
			fail_msg("%s is taken", rows[i].pattern);
		}
		assert_null(regex);
		if (strstr(err.message, rows[i].says) == NULL) {
			fail_msg("%s: %s", rows[i].pattern, err.message);
		}
	}
}

static void patterns_and_subjects_have_their_length(void **state)
{
	char pattern[MESH__REGEX_PATTERN_MAX + 2], *subject = malloc(MESH__REGEX_SUBJECT_MAX + 1);
	struct mesh__regex *regex;

	(void)state;
	memset(pattern, 'a', sizeof(pattern));
	memset(subject, 'a', MESH__REGEX_SUBJECT_MAX + 1);
	assert_int_equal(mesh__regex_new(mesh__mem_libc(), pattern, MESH__REGEX_PATTERN_MAX + 1, &regex, NULL), MESH_E_INVALID);
	assert_int_equal(mesh__regex_new(mesh__mem_libc(), pattern, MESH__REGEX_PATTERN_MAX, &regex, NULL), MESH_OK);
	mesh__regex_free(regex);
	assert_int_equal(match("a*", subject, MESH__REGEX_SUBJECT_MAX), MESH__REGEX_MATCH);
	assert_int_equal(match("a*", subject, MESH__REGEX_SUBJECT_MAX + 1), MESH__REGEX_NO_MATCH);
	free(subject);
}

static double cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Without bounds the first would take longer than the universe has. What is promised is a bound: the figure of docs/DEPENDENCIES.md, tenfold, and more where a sanitizer slows everything down. */
static void a_pattern_and_a_subject_chosen_to_be_slow_are_given_up_soon(void **state)
{
	static const char *const patterns[] = {
		"(a+)+b", "(a|a)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)(.*)[^a]", ".*a.*a.*a.*a.*b", "((a{0,9}){0,9}){0,9}b", "(?:a?){200}a{200}", "(?<n>a*)*\\k<n>b", "(?:(?=\\w*+!)|\\w)*b", "(?:a*+(?:a*+!|)!|a)*b",
		"(?:(?>a*!|a)|a)*b", "(?R)?a", "(?:(?=[^b]*+b)|[^b])*+", "(?:a(?:(?=[^x]*+x)|(?=[^y]*+y)|(?=[^z]*+z)|))*b",
	};
	char *subject = malloc(MESH__REGEX_SUBJECT_MAX);

	(void)state;
	memset(subject, 'a', MESH__REGEX_SUBJECT_MAX);
	for (size_t i = 0; i < MESH__COUNT(patterns); i++) {
		double begun = cpu_ms(), took;
		enum mesh__regex_verdict verdict = match(patterns[i], subject, MESH__REGEX_SUBJECT_MAX);
		took = cpu_ms() - begun;
		if (verdict != MESH__REGEX_GAVE_UP || took > (double)patience(100)) {
			fail_msg("%s: verdict %d after %.1f ms", patterns[i], (int)verdict, took);
		}
	}
	free(subject);
}

static void a_match_allocates_nothing(void **state)
{
	static const char *const patterns[] = {"/a/[a-z]+", "(?:a|b)*c", "(a+)+b"};
	struct fail_mem f;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(patterns); i++) {
		struct mesh__regex *regex;
		fail_mem_init(&f);
		assert_int_equal(mesh__regex_new(&f.mem, patterns[i], strlen(patterns[i]), &regex, NULL), MESH_OK);
		fail_mem_next(&f, 1);
		(void)mesh__regex_match(regex, "/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 44);
		assert_int_equal(f.count, 0);
		mesh__regex_free(regex);
		assert_int_equal(f.live, 0);
	}
}

static void compiling_survives_each_failing_allocation(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__regex *regex;
		struct fail_mem f;
		fail_mem_init(&f);
		f.fail_at = n;
		done = mesh__regex_new(&f.mem, "/a/([0-9]+|[a-z]+)", 18, &regex, NULL) == MESH_OK;
		assert_int_equal(done, f.count < n);
		mesh__regex_free(regex);
		assert_int_equal(f.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_subject_must_match),
		cmocka_unit_test(a_nul_is_a_byte_like_others),
		cmocka_unit_test(what_cannot_be_compiled_is_refused_with_its_place),
		cmocka_unit_test(patterns_and_subjects_have_their_length),
		cmocka_unit_test(a_pattern_and_a_subject_chosen_to_be_slow_are_given_up_soon),
		cmocka_unit_test(a_match_allocates_nothing),
		cmocka_unit_test(compiling_survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
