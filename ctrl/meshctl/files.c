#include "meshctl/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 16384, FILES_MAX = 4 };

int ctl_file_read(const char *path, struct mesh__buf *out, struct mesh__err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char chunk[CHUNK];
	ssize_t n = 1;
	int code;

	if (fd < 0) {
		code = errno == ENOENT ? MESH_E_NOT_FOUND : MESH_E_IO;
		return mesh__fail(err, code, "cannot read %s: %s", path, strerror(errno));
	}
	while (n != 0 && out->error == MESH_OK) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			code = mesh__fail(err, MESH_E_IO, "cannot read %s: %s", path, strerror(errno));
			goto out;
		}
		mesh__buf_add(out, chunk, (size_t)n);
	}
	code = mesh__buf_error(out, path, err);
out:
	mesh__wipe(chunk, sizeof(chunk));
	if (!is_stdin) {
		(void)close(fd);
	}
	return code;
}

bool ctl_file_path(const char *dir, const char *name, char *out, size_t cap)
{
	int n = snprintf(out, cap, "%s/%s", dir, name);

	return n > 0 && (size_t)n < cap;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno != EINTR) {
			return -1;
		}
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd);
}

/* A new file that nobody else can have opened, at `path`. */
static int write_new(const char *path, const struct ctl_file *file, struct mesh__err *err)
{
	int fd, code = MESH_OK;

	if (unlink(path) != 0 && errno != ENOENT) {
		return mesh__fail(err, MESH_E_IO, "cannot replace %s: %s", path, strerror(errno));
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file->mode);
	if (fd < 0) {
		return mesh__fail(err, MESH_E_IO, "cannot make %s: %s", path, strerror(errno));
	}
	if (write_all(fd, file->text) != 0) {
		code = mesh__fail(err, MESH_E_IO, "cannot write %s: %s", path, strerror(errno));
	}
	(void)close(fd);
	return code;
}

static int sync_dir(const char *dir, struct mesh__err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 ? -1 : fsync(fd);

	if (result != 0) {
		(void)mesh__fail(err, MESH_E_IO, "cannot sync %s: %s", dir, strerror(errno));
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return result == 0 ? MESH_OK : MESH_E_IO;
}

int ctl_files_write(const char *dir, const struct ctl_file *files, size_t n, struct mesh__err *err)
{
	char paths[FILES_MAX][PATH_MAX], temps[FILES_MAX][PATH_MAX];
	size_t i, written = 0;
	int code = MESH_OK;

	if (n > FILES_MAX) {
		return mesh__fail(err, MESH_E_INTERNAL, "more than %d files at once", FILES_MAX);
	}
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
		return mesh__fail(err, MESH_E_IO, "cannot make %s: %s", dir, strerror(errno));
	}
	for (i = 0; i < n; i++) {
		char name[NAME_MAX];
		(void)snprintf(name, sizeof(name), ".%s.new", files[i].name);
		if (!ctl_file_path(dir, files[i].name, paths[i], PATH_MAX) || !ctl_file_path(dir, name, temps[i], PATH_MAX)) {
			return mesh__fail(err, MESH_E_INVALID, "%s: the path is too long", dir);
		}
	}
	for (i = 0; i < n && code == MESH_OK; i++) {
		code = write_new(temps[i], &files[i], err);
		written += code == MESH_OK;
	}
	for (i = 0; i < n && code == MESH_OK; i++) {
		if (rename(temps[i], paths[i]) != 0) {
			code = mesh__fail(err, MESH_E_IO, "cannot replace %s: %s", paths[i], strerror(errno));
		}
	}
	if (code == MESH_OK) {
		return sync_dir(dir, err);
	}
	for (i = 0; i < n && i <= written; i++) {
		(void)unlink(temps[i]);
	}
	return code;
}
