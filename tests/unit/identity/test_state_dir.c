#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/file.h"
#include "identity/state_dir.h"
#include "support/fake_env.h"
#include "support/test_ca.h"

enum { PATH = 256 };

static struct fake_env fake;
static struct test_ca ca;
static char dir[] = "/tmp/mesh-state-XXXXXX", state_path[64];

static int set_up(void **state)
{
	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	(void)snprintf(state_path, sizeof(state_path), "%s/state", mkdtemp(dir));
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	test_ca_fini(&ca);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct mesh__state_dir *open_dir(void)
{
	struct mesh__state_dir *s = NULL;
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__state_dir_open(&fake.env, state_path, "default", "cart", &s, &err), MESH_OK);
	return s;
}

static const char *inside(const char *name)
{
	static char path[PATH];

	(void)snprintf(path, sizeof(path), "%s/default.cart/%s", state_path, name);
	return path;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static struct mesh__svid *make_svid(void)
{
	struct mesh__svid *svid = NULL;
	struct mesh__err err = MESH__NO_ERR;
	char *chain, *key;

	test_ca_leaf(&ca, "cart", &chain, &key);
	assert_int_equal(mesh__svid_new(&fake.env, key, chain, ca.root, &svid, &err), MESH_OK);
	mesh__free(chain);
	mesh__free_secret(key);
	return svid;
}

/* ---- slots ---- */

static void a_second_user_takes_the_next_slot_and_a_free_one_is_taken_again(void **state)
{
	struct mesh__state_dir *first = open_dir(), *second = open_dir(), *third;
	char *a, *b, *again;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__state_dir_instance(first, &a, &err), MESH_OK);
	assert_int_equal(mesh__state_dir_instance(second, &b, &err), MESH_OK);
	assert_string_not_equal(a, b);
	assert_int_equal(access(inside("0/lock"), F_OK) | access(inside("1/lock"), F_OK), 0);
	mesh__state_dir_close(first);
	third = open_dir();
	assert_int_equal(mesh__state_dir_instance(third, &again, &err), MESH_OK);
	assert_string_equal(a, again); /* the instance comes back with its slot */
	assert_int_not_equal(access(inside("2"), F_OK), 0);
	mesh__state_dir_close(second);
	mesh__state_dir_close(third);
	mesh__state_dir_close(NULL);
	mesh__free(a);
	mesh__free(b);
	mesh__free(again);
}

static void a_process_that_dies_leaves_its_slot_free(void **state)
{
	struct mesh__state_dir *s;
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)open_dir();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	s = open_dir();
	assert_int_not_equal(access(inside("1"), F_OK), 0);
	mesh__state_dir_close(s);
}

static void services_do_not_share_slots(void **state)
{
	struct mesh__state_dir *cart = open_dir(), *other = NULL;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__state_dir_open(&fake.env, state_path, "other", "cart", &other, &err), MESH_OK);
	assert_int_equal(access(inside("0"), F_OK), 0);
	assert_int_not_equal(access(inside("1"), F_OK), 0);
	mesh__state_dir_close(other);
	mesh__state_dir_close(cart);
}

static void what_cannot_be_a_directory_is_named(void **state)
{
	char path[8192];
	struct mesh__state_dir *s = (struct mesh__state_dir *)(uintptr_t)1;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__file_write(state_path, "a file", 6, 0600, false, &err), MESH_OK);
	assert_int_equal(mesh__state_dir_open(&fake.env, state_path, "default", "cart", &s, &err), MESH_E_IO);
	assert_null(s);
	assert_non_null(strstr(err.message, state_path));
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(mesh__state_dir_open(&fake.env, path, "default", "cart", &s, &err), MESH_E_INVALID);
}

static void a_lock_that_is_a_link_is_not_followed(void **state)
{
	struct mesh__state_dir *s = open_dir();
	char elsewhere[PATH];
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	mesh__state_dir_close(s);
	(void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", dir);
	assert_int_equal(unlink(inside("0/lock")), 0);
	assert_int_equal(symlink(elsewhere, inside("0/lock")), 0);
	assert_int_equal(mesh__state_dir_open(&fake.env, state_path, "default", "cart", &s, &err), MESH_E_IO);
	assert_int_not_equal(access(elsewhere, F_OK), 0);
}

/* ---- contents ---- */

static void directories_are_0700_and_files_0600_whatever_the_umask(void **state)
{
	mode_t mask = umask(0);
	struct mesh__state_dir *s = open_dir();
	struct mesh__svid *svid = make_svid();
	struct mesh__err err = MESH__NO_ERR;
	char *instance;

	(void)state;
	assert_int_equal(mesh__state_dir_save_svid(s, svid, &err), MESH_OK);
	assert_int_equal(mesh__state_dir_save_snapshot(s, "text", 4, &err), MESH_OK);
	assert_int_equal(mesh__state_dir_instance(s, &instance, &err), MESH_OK);
	(void)umask(mask);
	assert_int_equal(mode_of(state_path), 0700);
	assert_int_equal(mode_of(inside("")), 0700);
	assert_int_equal(mode_of(inside("0")), 0700);
	assert_int_equal(mode_of(inside("0/identity.pem")), 0600);
	assert_int_equal(mode_of(inside("0/snapshot")), 0600);
	assert_int_equal(mode_of(inside("0/instance")), 0600);
	mesh__free(instance);
	mesh__svid_unref(svid);
	mesh__state_dir_close(s);
}

static void an_identity_comes_back_whole(void **state)
{
	struct mesh__state_dir *s = open_dir();
	struct mesh__svid *svid = make_svid(), *loaded = NULL;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__state_dir_load_svid(s, &loaded, &err), MESH_E_NOT_FOUND);
	assert_int_equal(mesh__state_dir_save_svid(s, svid, &err), MESH_OK);
	assert_int_equal(mesh__state_dir_load_svid(s, &loaded, &err), MESH_OK);
	assert_string_equal(loaded->key_pem, svid->key_pem);
	assert_string_equal(loaded->chain_pem, svid->chain_pem);
	assert_string_equal(loaded->roots_pem, svid->roots_pem);
	mesh__svid_unref(loaded);
	fake.wall_ms += INT64_C(49) * 3600000;
	assert_int_equal(mesh__state_dir_load_svid(s, &loaded, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "expired"));
	mesh__svid_unref(svid);
	mesh__state_dir_close(s);
}

/* Whatever part of the file is there: never an identity that is not whole, never a crash. */
static void a_damaged_identity_is_refused_by_name(void **state)
{
	struct mesh__state_dir *s = open_dir();
	struct mesh__svid *svid = make_svid(), *loaded;
	struct mesh__err err = MESH__NO_ERR;
	size_t len, step;
	char *text;

	(void)state;
	assert_int_equal(mesh__state_dir_save_svid(s, svid, &err), MESH_OK);
	assert_int_equal(mesh__file_read(&fake.env.mem, inside("0/identity.pem"), 1 << 20, &text, &len, &err), MESH_OK);
	step = len / 40;
	for (size_t cut = 0; cut + 30 < len; cut += step) {
		assert_int_equal(mesh__file_write(inside("0/identity.pem"), text, cut, 0600, false, &err), MESH_OK);
		assert_int_equal(mesh__state_dir_load_svid(s, &loaded, &err), MESH_E_IDENTITY);
		assert_null(loaded);
		assert_non_null(strstr(err.message, "identity.pem"));
	}
	for (size_t at = 40; at < len; at += step) {
		char was = text[at];
		int code;

		text[at] = was == 'A' ? 'B' : 'A';
		assert_int_equal(mesh__file_write(inside("0/identity.pem"), text, len, 0600, false, &err), MESH_OK);
		code = mesh__state_dir_load_svid(s, &loaded, &err);
		assert_true(code == MESH_E_IDENTITY || (code == MESH_OK && strcmp(loaded->leaf.spiffe, svid->leaf.spiffe) == 0));
		mesh__svid_unref(loaded);
		text[at] = was;
	}
	mesh__free(text);
	mesh__svid_unref(svid);
	mesh__state_dir_close(s);
}

static void a_torn_snapshot_is_not_used(void **state)
{
	static const char whole[] = "{\"services\":[1,2,3]}";
	struct mesh__state_dir *s = open_dir();
	struct mesh__err err = MESH__NO_ERR;
	char *text, *file;
	size_t len, file_len;

	(void)state;
	assert_int_equal(mesh__state_dir_load_snapshot(s, &text, &len, &err), MESH_E_NOT_FOUND);
	assert_int_equal(mesh__state_dir_save_snapshot(s, whole, strlen(whole), &err), MESH_OK);
	assert_int_equal(mesh__state_dir_load_snapshot(s, &text, &len, &err), MESH_OK);
	assert_int_equal(len, strlen(whole));
	assert_string_equal(text, whole);
	mesh__free(text);
	assert_int_equal(mesh__file_read(&fake.env.mem, inside("0/snapshot"), 4096, &file, &file_len, &err), MESH_OK);
	for (size_t cut = 0; cut < file_len; cut++) {
		assert_int_equal(mesh__file_write(inside("0/snapshot"), file, cut, 0600, false, &err), MESH_OK);
		assert_int_equal(mesh__state_dir_load_snapshot(s, &text, &len, &err), MESH_E_INVALID);
		assert_null(text);
	}
	for (size_t at = 0; at < file_len; at++) {
		if (at == 64) {
			continue; /* the newline behind the digest carries nothing */
		}
		file[at] ^= 1;
		assert_int_equal(mesh__file_write(inside("0/snapshot"), file, file_len, 0600, false, &err), MESH_OK);
		assert_int_equal(mesh__state_dir_load_snapshot(s, &text, &len, &err), MESH_E_INVALID);
		file[at] ^= 1;
	}
	mesh__free(file);
	assert_int_equal(mesh__state_dir_save_snapshot(s, whole, strlen(whole), &err), MESH_OK); /* the next one is taken again */
	assert_int_equal(mesh__state_dir_load_snapshot(s, &text, &len, &err), MESH_OK);
	mesh__free(text);
	mesh__state_dir_close(s);
}

static void a_damaged_instance_id_is_made_anew(void **state)
{
	static const char *const rows[] = {"", "a b", "UPPER", "trailing\n", "-x", "0123456789012345678901234567890123456789012345678901234567890123456789"};
	struct mesh__state_dir *s = open_dir();
	struct mesh__err err = MESH__NO_ERR;
	char *made, *again;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__file_write(inside("0/instance"), rows[i], strlen(rows[i]), 0600, false, &err), MESH_OK);
		assert_int_equal(mesh__state_dir_instance(s, &made, &err), MESH_OK);
		assert_int_equal(strlen(made), 12);
		assert_int_equal(mesh__state_dir_instance(s, &again, &err), MESH_OK);
		assert_string_equal(made, again);
		mesh__free(made);
		mesh__free(again);
	}
	mesh__state_dir_close(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_second_user_takes_the_next_slot_and_a_free_one_is_taken_again),
		TEST(a_process_that_dies_leaves_its_slot_free),
		TEST(services_do_not_share_slots),
		TEST(what_cannot_be_a_directory_is_named),
		TEST(a_lock_that_is_a_link_is_not_followed),
		TEST(directories_are_0700_and_files_0600_whatever_the_umask),
		TEST(an_identity_comes_back_whole),
		TEST(a_damaged_identity_is_refused_by_name),
		TEST(a_torn_snapshot_is_not_used),
		TEST(a_damaged_instance_id_is_made_anew),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
