#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meshd/datadir.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct meshd_datadir dir;
};

static int setup(void **state)
{
	static struct fixture f;

	fake_env_init(&f.fake);
	*state = &f;
	return scratch_init(&f.scratch) == 0 && meshd_datadir_open(&f.dir, &f.fake.env, f.scratch.dir, NULL) == MESH_OK ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_datadir_close(&f->dir);
	scratch_fini(&f->scratch);
	return 0;
}

static void a_second_meshd_is_refused_with_the_firsts_pid(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_datadir second;
	char pid[24];

	assert_int_equal(meshd_datadir_open(&second, &f->fake.env, f->scratch.dir, &err), MESH_E_EXISTS);
	(void)snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	assert_non_null(strstr(err.message, pid));
	meshd_datadir_close(&f->dir);
	assert_int_equal(meshd_datadir_open(&f->dir, &f->fake.env, f->scratch.dir, NULL), MESH_OK);
}

static void the_admin_token_is_made_once_and_is_its_owners_alone(void **state)
{
	struct fixture *f = *state;
	char token[MESHD_ADMIN_TOKEN + 1];
	struct stat st;

	(void)snprintf(token, sizeof(token), "%s", f->dir.admin_token);
	assert_int_equal(strlen(token), MESHD_ADMIN_TOKEN);
	assert_int_equal(stat(scratch_path(&f->scratch, "admin.token"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(f->scratch.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	meshd_datadir_close(&f->dir);
	assert_string_equal(f->dir.admin_token, "");
	assert_int_equal(meshd_datadir_open(&f->dir, &f->fake.env, f->scratch.dir, NULL), MESH_OK);
	assert_string_equal(f->dir.admin_token, token);
}

static void an_open_directory_is_closed_to_others(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	meshd_datadir_close(&f->dir);
	assert_int_equal(chmod(f->scratch.dir, 0755), 0);
	assert_int_equal(meshd_datadir_open(&f->dir, &f->fake.env, f->scratch.dir, NULL), MESH_OK);
	assert_int_equal(stat(f->scratch.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_broken_admin_token_is_refused_and_not_replaced(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	FILE *file;

	meshd_datadir_close(&f->dir);
	file = fopen(scratch_path(&f->scratch, "admin.token"), "w");
	assert_non_null(file);
	assert_true(fputs("short\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(meshd_datadir_open(&f->dir, &f->fake.env, f->scratch.dir, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "admin.token"));
	assert_int_equal(f->dir.lock_fd, -1);
}

static void the_notice_comes_whole_and_goes(void **state)
{
	struct fixture *f = *state;
	char expected[200], text[200] = "";
	FILE *file;

	assert_int_equal(meshd_datadir_announce(&f->dir, "https://127.0.0.1:1", "http://127.0.0.1:2", "mesh.local", NULL), MESH_OK);
	(void)snprintf(expected, sizeof(expected), "{\"control\":\"https://127.0.0.1:1\",\"admin\":\"http://127.0.0.1:2\",\"trustDomain\":\"mesh.local\",\"pid\":%d}\n", (int)getpid());
	file = fopen(scratch_path(&f->scratch, "meshd.json"), "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, expected);
	meshd_datadir_withdraw(&f->dir);
	assert_int_equal(access(scratch_path(&f->scratch, "meshd.json"), F_OK), -1);
}

static void a_directory_that_was_removed_or_replaced_is_told(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	FILE *file;

	assert_int_equal(meshd_datadir_check(&f->dir, &err), MESH_OK);
	assert_int_equal(unlink(scratch_path(&f->scratch, "lock")), 0);
	assert_int_equal(meshd_datadir_check(&f->dir, &err), MESH_E_NOT_FOUND);
	assert_non_null(strstr(err.message, f->scratch.dir));
	file = fopen(scratch_path(&f->scratch, "lock"), "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(meshd_datadir_check(&f->dir, &err), MESH_E_NOT_FOUND);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_second_meshd_is_refused_with_the_firsts_pid),
		T(the_admin_token_is_made_once_and_is_its_owners_alone),
		T(an_open_directory_is_closed_to_others),
		T(a_broken_admin_token_is_refused_and_not_replaced),
		T(the_notice_comes_whole_and_goes),
		T(a_directory_that_was_removed_or_replaced_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
