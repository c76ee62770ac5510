#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_errno(int code, const char *what, const char *path, struct mesh__err *err)
{
	char text[128];

	return mesh__fail(err, code, "cannot %s %s: %s", what, path, strerror_r(errno, text, sizeof(text)));
}

static int read_all(int fd, char *bytes, size_t len, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = read(fd, bytes + *got, len - *got);
		if (n == 0) {
			return 0;
		}
		if (n < 0 && errno != EINTR) {
			return -1;
		}
		*got += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int mesh__file_read(const struct mesh__mem *mem, const char *path, size_t max_bytes, char **out, size_t *len, struct mesh__err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *bytes = NULL;
	size_t got = 0;
	int code = MESH_OK;

	*out = NULL;
	if (fd < 0) {
		return fail_errno(errno == ENOENT ? MESH_E_NOT_FOUND : MESH_E_IO, "open", path, err);
	}
	if (fstat(fd, &st) != 0) {
		code = fail_errno(MESH_E_IO, "read", path, err);
	} else if (!S_ISREG(st.st_mode)) {
		code = mesh__fail(err, MESH_E_IO, "cannot read %s: not a regular file", path);
	} else if (st.st_size < 0 || (unsigned long long)st.st_size > max_bytes) {
		code = mesh__fail(err, MESH_E_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
	} else if ((bytes = mesh__alloc(mem, (size_t)st.st_size + 1)) == NULL) {
		code = mesh__fail_memory(err);
	} else if (read_all(fd, bytes, (size_t)st.st_size, &got) != 0) {
		code = fail_errno(MESH_E_IO, "read", path, err);
	} else if (memchr(bytes, '\0', got) != NULL) {
		code = mesh__fail(err, MESH_E_INVALID, "%s is not text: it contains a NUL byte", path);
	}
	(void)close(fd);
	if (code != MESH_OK) {
		mesh__free(bytes);
		return code;
	}
	bytes[got] = '\0';
	*out = bytes;
	if (len != NULL) {
		*len = got;
	}
	return MESH_OK;
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno != EINTR) {
			return -1;
		}
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* A rename is durable once its directory is. */
static int sync_directory(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, result;

	if (slash == NULL) {
		(void)snprintf(dir, sizeof(dir), ".");
	} else {
		(void)snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return -1;
	}
	result = fsync(fd);
	(void)close(fd);
	return result;
}

int mesh__file_write(const char *path, const void *bytes, size_t len, unsigned mode, bool durable, struct mesh__err *err)
{
	char beside[PATH_MAX];
	int fd, n, code = MESH_OK;

	/* The thread's id, not the process's: two threads that replace one file must not write into one. */
	n = snprintf(beside, sizeof(beside), "%s.new.%ld", path, (long)gettid());
	if (n < 0 || (size_t)n >= sizeof(beside)) {
		return mesh__fail(err, MESH_E_INVALID, "the path is too long: %s", path);
	}
	(void)unlink(beside); /* of a thread with our number that died here */
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0) {
		return fail_errno(MESH_E_IO, "create", beside, err);
	}
	if (write_all(fd, bytes, len) != 0 || (durable && fsync(fd) != 0)) {
		code = fail_errno(MESH_E_IO, "write", beside, err);
	}
	if (close(fd) != 0 && code == MESH_OK) {
		code = fail_errno(MESH_E_IO, "write", beside, err);
	}
	if (code == MESH_OK && (rename(beside, path) != 0 || (durable && sync_directory(path) != 0))) {
		code = fail_errno(MESH_E_IO, "replace", path, err);
	}
	if (code != MESH_OK) {
		(void)unlink(beside);
	}
	return code;
}
