#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "wire/path.h"

static const struct {
	const char *path, *normal; /* NULL: it has none */
} rows[] = {
	{"/", "/"}, {"/a", "/a"}, {"/a/", "/a/"}, {"/a/b.c/d", "/a/b.c/d"}, {"/a.", "/a."}, {"/a..", "/a.."}, {"/a/b;c=1,2/@:!$&'()*+=", "/a/b;c=1,2/@:!$&'()*+="},
	/* runs of slashes */
	{"//", "/"}, {"///", "/"}, {"//a", "/a"}, {"/a//b", "/a/b"}, {"/a///b//", "/a/b/"}, {"/a//", "/a/"},
	/* dot segments */
	{"/.", "/"}, {"/./", "/"}, {"/..", "/"}, {"/../", "/"}, {"/../..", "/"}, {"/../a", "/a"}, {"/a/.", "/a/"}, {"/a/./b", "/a/b"}, {"/a/..", "/"}, {"/a/b/..", "/a/"}, {"/a/b/../c", "/a/c"},
	{"/a/b/../../c", "/c"}, {"/a/b/../../../c", "/c"}, {"/a//../b", "/b"}, {"/a/.//../b", "/b"}, {"/a/../", "/"}, {"/...", "/..."}, {"/.../a", "/.../a"}, {"/.a", "/.a"}, {"/..a", "/..a"}, {"/a/.b/..c/.", "/a/.b/..c/"},
	/* encodings: of what needs none, of what does, and of what an encoding says */
	{"/%61", "/a"}, {"/%2e", "/"}, {"/%2E%2e/a", "/a"}, {"/x/.%2e/a", "/a"}, {"/x/%2e./a", "/a"}, {"/%7E%5f%2D", "/~_-"}, {"/%41%5A%30%39", "/AZ09"}, {"/%3b", "/%3B"}, {"/%c3%a4", "/%C3%A4"}, {"/%20", "/%20"},
	{"/%25", "/%25"}, {"/%252e%252e/a", "/%252e%252e/a"}, {"/%252f", "/%252f"}, {"/a%3fb", "/a%3Fb"}, {"/a%23b", "/a%23b"}, {"/%0a", "/%0A"}, {"/%2e%2e%3bx/a", "/..%3Bx/a"},
	/* what servers read differently */
	{"/%", NULL}, {"/%2", NULL}, {"/%2g", NULL}, {"/%g2", NULL}, {"/%%32%65", NULL}, {"/%/a", NULL}, {"/%u002e", NULL}, {"/%00", NULL}, {"/a%00b", NULL}, {"/%2f", NULL}, {"/a%2Fb", NULL}, {"/x%2f..%2fa", NULL}, {"/\\", NULL},
	{"/a\\..\\b", NULL}, {"/%5c", NULL}, {"/a%5C..", NULL}, {"/..;/a", NULL}, {"/x/..;y=1/a", NULL}, {"/.;/a", NULL}, {"/a/..;", NULL}, {"/x/%2e%2e;/a", NULL},
};

static void has_one_spelling(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "%s", rows[i].path);
		if (mesh__path_normalise(path) != (rows[i].normal != NULL)) {
			fail_msg("%s: %s", rows[i].path, rows[i].normal != NULL ? "refused" : path);
		}
		if (rows[i].normal != NULL) {
			assert_string_equal(path, rows[i].normal);
			assert_true(mesh__path_normalise(path));
			assert_string_equal(path, rows[i].normal);
		}
	}
}

static void is_the_same_where_the_octets_are(void **state)
{
	static const char *const same[][2] = {{"/", "/"}, {"/a", "/a"}, {"/a;b", "/a%3Bb"}, {"/%C3%A4", "/%C3%A4"}, {"/a%25", "/a%25"}};
	static const char *const other[][2] = {{"/", "/a"}, {"/a", "/a/"}, {"/a", "/A"}, {"/a;", "/a%3b;"}, {"/a%252e", "/a%2E"}, {"/a%3B", "/a%3C"}, {"/ab", "/a"}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(same); i++) {
		assert_true(mesh__path_same(same[i][0], same[i][1]) && mesh__path_same(same[i][1], same[i][0]));
		assert_true(mesh__path_under(same[i][0], same[i][1]));
	}
	for (size_t i = 0; i < MESH__COUNT(other); i++) {
		assert_false(mesh__path_same(other[i][0], other[i][1]) || mesh__path_same(other[i][1], other[i][0]));
	}
}

static void is_under_a_prefix_that_ends_on_the_border_of_a_segment(void **state)
{
	static const struct {
		const char *path, *prefix;
		bool under;
	} table[] = {
		{"/", "/", true}, {"/a", "/", true}, {"/a/b", "/", true}, {"/a", "/a", true}, {"/a/", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a;b", "/a", false}, {"/a%2Ex", "/a", false}, {"/b", "/a", false},
		{"/a/b", "/a/", true}, {"/a/", "/a/", true}, {"/a", "/a/", false}, {"/a%3Bb/c", "/a;b", true}, {"/", "/a", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(table); i++) {
		if (mesh__path_under(table[i].path, table[i].prefix) != table[i].under) {
			fail_msg("%s under %s", table[i].path, table[i].prefix);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_one_spelling),
		cmocka_unit_test(is_the_same_where_the_octets_are),
		cmocka_unit_test(is_under_a_prefix_that_ends_on_the_border_of_a_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
