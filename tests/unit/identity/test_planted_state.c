/* A state directory that somebody else may have filled is not believed: what lies there would be this process's name and its roots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/state_dir.h"

struct place {
	struct mesh__env env;
	char dir[64], base[128], slot[192], lock[224];
};

static int set_up(void **state)
{
	static struct place p;

	mesh__env_init(&p.env);
	(void)snprintf(p.dir, sizeof(p.dir), "/tmp/test_planted-XXXXXX");
	assert_non_null(mkdtemp(p.dir));
	(void)snprintf(p.base, sizeof(p.base), "%s/default.cart", p.dir);
	(void)snprintf(p.slot, sizeof(p.slot), "%s/0", p.base);
	(void)snprintf(p.lock, sizeof(p.lock), "%s/lock", p.slot);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)unlink(p->lock);
	(void)rmdir(p->slot);
	(void)rmdir(p->base);
	(void)rmdir(p->dir);
	return 0;
}

static int open_it(struct place *p, struct mesh__err *err)
{
	struct mesh__state_dir *dir = NULL;
	int code = mesh__state_dir_open(&p->env, p->dir, "default", "cart", &dir, err);

	mesh__state_dir_close(dir);
	return code;
}

static void refuses_what_all_may_write_to(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct place *p = *state;

	assert_int_equal(mkdir(p->base, 0700), 0);
	assert_int_equal(chmod(p->base, 0777), 0);
	assert_int_equal(open_it(p, &err), MESH_E_IO);
	assert_non_null(strstr(err.message, p->base));
	assert_int_equal(chmod(p->base, 0700), 0);
	assert_int_equal(open_it(p, NULL), MESH_OK);
	assert_int_equal(chmod(p->slot, 0777), 0);
	assert_int_equal(open_it(p, &err), MESH_E_IO);
	assert_non_null(strstr(err.message, p->slot));
}

static void takes_what_a_group_may_write_to(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkdir(p->base, 0700), 0);
	assert_int_equal(chmod(p->base, 02770), 0);
	assert_int_equal(open_it(p, NULL), MESH_OK);
}

static void takes_the_applications_own_directory_as_it_is(void **state)
{
	struct place *p = *state;

	assert_int_equal(chmod(p->dir, 01777), 0);
	assert_int_equal(open_it(p, NULL), MESH_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(refuses_what_all_may_write_to),
		T(takes_what_a_group_may_write_to),
		T(takes_the_applications_own_directory_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
