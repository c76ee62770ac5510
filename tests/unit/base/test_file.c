#include <dirent.h>
#include <pthread.h>
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

#include "base/file.h"
#include "support/alloc_fail.h"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_file.XXXXXX");
	return mkdtemp(dir) == NULL;
}

static size_t entries(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		n += e->d_name[0] != '.';
	}
	closedir(d);
	return n;
}

static int remove_dir(void **state)
{
	DIR *d = opendir(dir);

	(void)state;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return rmdir(dir);
}

static void what_is_written_is_read_and_nothing_lies_beside_it(void **state)
{
	struct stat st;
	char *text;
	size_t len;

	(void)state;
	for (int durable = 0; durable < 2; durable++) {
		assert_int_equal(mesh__file_write(in_dir("a"), "first", 5, 0644, durable, NULL), MESH_OK);
		assert_int_equal(mesh__file_write(in_dir("a"), "second", 6, 0600, durable, NULL), MESH_OK);
		assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("a"), 6, &text, &len, NULL), MESH_OK);
		assert_string_equal(text, "second");
		assert_int_equal(len, 6);
		mesh__free(text);
		assert_int_equal(stat(in_dir("a"), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(entries(), 1);
	}
	assert_int_equal(mesh__file_write(in_dir("a"), "", 0, 0600, false, NULL), MESH_OK);
	assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("a"), 0, &text, NULL, NULL), MESH_OK);
	assert_string_equal(text, "");
	mesh__free(text);
}

static void reading_refuses_with_the_reason(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	char *text;

	(void)state;
	assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("none"), 10, &text, NULL, &err), MESH_E_NOT_FOUND);
	assert_non_null(strstr(err.message, "none"));
	assert_null(text);
	assert_int_equal(mesh__file_read(mesh__mem_libc(), dir, 10, &text, NULL, &err), MESH_E_IO);
	assert_int_equal(mesh__file_write(in_dir("b"), "12345\0x", 7, 0600, false, NULL), MESH_OK);
	assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("b"), 6, &text, NULL, &err), MESH_E_TOO_LARGE);
	assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("b"), 7, &text, NULL, &err), MESH_E_INVALID);
	assert_null(text);
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0); /* a pipe without a writer would block for ever */
	assert_int_equal(mesh__file_read(mesh__mem_libc(), in_dir("pipe"), 10, &text, NULL, &err), MESH_E_IO);
}

static void writing_where_it_cannot_leaves_nothing(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	char path[200];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none/file", dir);
	assert_int_equal(mesh__file_write(path, "x", 1, 0600, true, &err), MESH_E_IO);
	assert_non_null(strstr(err.message, "none/file"));
	/* The name is a directory's: the rename fails, and what was written goes again. */
	assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
	assert_int_equal(mesh__file_write(in_dir("sub"), "x", 1, 0600, false, &err), MESH_E_IO);
	assert_int_equal(entries(), 1);
	assert_int_equal(rmdir(in_dir("sub")), 0);
}

static void no_memory_is_said(void **state)
{
	struct fail_mem mem;
	char *text;

	(void)state;
	fail_mem_init(&mem);
	mem.fail_at = 1;
	assert_int_equal(mesh__file_write(in_dir("c"), "x", 1, 0600, false, NULL), MESH_OK);
	assert_int_equal(mesh__file_read(&mem.mem, in_dir("c"), 10, &text, NULL, NULL), MESH_E_NO_MEMORY);
	assert_null(text);
	assert_int_equal(mem.live, 0);
}

enum { WRITERS = 4, ROUNDS = 200, LONG = 5000 };

struct writer {
	char letter;
	char path[128];
	int failures;
};

static void *write_often(void *arg)
{
	struct writer *w = arg;
	char bytes[LONG];

	memset(bytes, w->letter, sizeof(bytes));
	for (int i = 0; i < ROUNDS; i++) {
		w->failures += mesh__file_write(w->path, bytes, sizeof(bytes), 0600, false, NULL) != MESH_OK;
	}
	return NULL;
}

static void a_reader_never_sees_a_part_whoever_writes(void **state)
{
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];

	(void)state;
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.letter = (char)('a' + i)};
		(void)snprintf(writers[i].path, sizeof(writers[i].path), "%s", in_dir("shared"));
		assert_int_equal(pthread_create(&threads[i], NULL, write_often, &writers[i]), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		char *text;
		size_t len;
		if (mesh__file_read(mesh__mem_libc(), writers[0].path, LONG, &text, &len, NULL) == MESH_OK) {
			assert_int_equal(len, LONG);
			for (size_t k = 1; k < len; k++) {
				assert_int_equal(text[k], text[0]);
			}
			mesh__free(text);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(writers[i].failures, 0);
	}
	assert_int_equal(entries(), 1);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		IN_DIR(what_is_written_is_read_and_nothing_lies_beside_it),
		IN_DIR(reading_refuses_with_the_reason),
		IN_DIR(writing_where_it_cannot_leaves_nothing),
		IN_DIR(no_memory_is_said),
		IN_DIR(a_reader_never_sees_a_part_whoever_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
