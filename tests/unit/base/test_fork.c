#include "base/fork.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child makes of the mark, and a child of that child with one of its own. */
static int seen_by_a_child(const struct mesh__fork_mark *mark)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		struct mesh__fork_mark own;

		mesh__fork_mark_init(&own);
		_exit(mesh__forked_since(mark) && !mesh__forked_since(&own) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void tells_a_child_from_its_parent(void **state)
{
	struct mesh__fork_mark mark;

	(void)state;
	mesh__fork_mark_init(&mark);
	assert_false(mesh__forked_since(&mark));
	assert_int_equal(seen_by_a_child(&mark), 0);
	assert_false(mesh__forked_since(&mark));
	mesh__fork_mark_fini(&mark);
}

static void tells_them_apart_where_the_kernel_wipes_no_page(void **state)
{
	struct mesh__fork_mark mark = {.page = NULL, .pid = getpid()};

	(void)state;
	assert_false(mesh__forked_since(&mark));
	assert_int_equal(seen_by_a_child(&mark), 0);
	mesh__fork_mark_fini(&mark);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_child_from_its_parent),
		cmocka_unit_test(tells_them_apart_where_the_kernel_wipes_no_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
