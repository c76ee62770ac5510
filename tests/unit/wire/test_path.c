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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
