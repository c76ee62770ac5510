#include "meshca/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static const char lock_name[] = "lock";

static int fail_errno(struct mesh__err *err, int number, const struct meshca_dir *dir, const char *name)
{
	int code = number == ENOENT ? MESH_E_NOT_FOUND : number == EEXIST ? MESH_E_EXISTS : MESH_E_IO;

	return mesh__fail(err, code, "%s/%s: %s", dir->path, name, number == ELOOP ? "is a symbolic link; put the file itself there" : strerror(number));
}

static int check_directory(int fd, const char *path, bool private_dir, struct mesh__err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return mesh__fail(err, MESH_E_IO, "%s: %s", path, strerror(errno));
	}
	if (private_dir && (st.st_mode & 077) != 0) {
		return mesh__fail(err, MESH_E_DENIED, "%s: others may enter it (mode %04o), and keys are kept in it; run: chmod 700 %s", path, (unsigned)(st.st_mode & 07777), path);
	}
	return MESH_OK;
}

int meshca_dir_open(const char *path, int flags, struct meshca_dir *out, struct mesh__err *err)
{
	int code;

	out->path = path;
	out->fd = -1;
	if ((flags & MESHCA_DIR_CREATE) != 0 && mkdir(path, 0700) != 0 && errno != EEXIST) {
		return mesh__fail(err, MESH_E_IO, "%s: cannot make the directory: %s", path, strerror(errno));
	}
	out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->fd < 0) {
		return mesh__fail(err, errno == ENOENT ? MESH_E_NOT_FOUND : MESH_E_IO, "%s: %s", path, strerror(errno));
	}
	code = check_directory(out->fd, path, (flags & MESHCA_DIR_PRIVATE) != 0, err);
	if (code != MESH_OK) {
		meshca_dir_close(out);
	}
	return code;
}

void meshca_dir_close(struct meshca_dir *dir)
{
	if (dir->fd >= 0) {
		(void)close(dir->fd);
	}
	dir->fd = -1;
}

bool meshca_dir_has(const struct meshca_dir *dir, const char *name)
{
	struct stat st;

	return fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int meshca_dir_lock(const struct meshca_dir *dir, int wait_ms, int *lock_fd, struct mesh__err *err)
{
	enum { STEP_MS = 20 };
	int fd = openat(dir->fd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		return fail_errno(err, errno, dir, lock_name);
	}
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			(void)close(fd);
			return fail_errno(err, errno, dir, lock_name);
		}
		if (wait_ms <= 0) {
			(void)close(fd);
			return mesh__fail(err, MESH_E_EXISTS, "%s: another meshca serves from this directory; one directory has one server", dir->path);
		}
		(void)poll(NULL, 0, STEP_MS);
		wait_ms -= STEP_MS;
	}
	*lock_fd = fd;
	return MESH_OK;
}

/* Reads to the end of the file, but never more than the bound. */
static int read_all(int fd, const char *what, struct mesh__buf *buf, struct mesh__err *err)
{
	for (;;) {
		char chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return mesh__fail(err, MESH_E_IO, "%s: %s", what, strerror(errno));
		}
		mesh__buf_add(buf, chunk, (size_t)n);
		mesh__wipe(chunk, (size_t)n);
		if (n == 0 || buf->error != MESH_OK) {
			return mesh__buf_error(buf, what, err);
		}
	}
}

/* Closes nothing. The buffer is wiped on failure: it may have held part of a key. */
static int read_text(int fd, const struct mesh__mem *mem, const char *what, size_t max_bytes, char **text, struct mesh__err *err)
{
	struct mesh__buf buf;
	int code;

	mesh__buf_init(&buf, mem, max_bytes);
	/* Grown once, so that no half of a key stays behind in memory that was moved. */
	if (mesh__buf_reserve(&buf, max_bytes) == NULL) {
		return mesh__fail_memory(err);
	}
	code = read_all(fd, what, &buf, err);
	if (code == MESH_OK && buf.len > 0 && memchr(buf.data, '\0', buf.len) != NULL) {
		code = mesh__fail(err, MESH_E_INVALID, "%s: is not text (it has a NUL)", what);
	}
	if (code == MESH_OK) {
		*text = mesh__strndup(mem, buf.data, buf.len);
		code = *text == NULL ? mesh__fail_memory(err) : MESH_OK;
	}
	mesh__buf_fini_secret(&buf);
	return code;
}

static int check_file(const struct meshca_dir *dir, int fd, const char *name, bool secret, struct mesh__err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return fail_errno(err, errno, dir, name);
	}
	if (!S_ISREG(st.st_mode)) {
		return mesh__fail(err, MESH_E_DENIED, "%s/%s: is not a plain file", dir->path, name);
	}
	if (secret && (st.st_mode & 077) != 0) {
		return mesh__fail(err, MESH_E_DENIED, "%s/%s: others may read this key (mode %04o); run: chmod 600 %s/%s", dir->path, name, (unsigned)(st.st_mode & 07777), dir->path, name);
	}
	return MESH_OK;
}

int meshca_dir_read(const struct meshca_dir *dir, const struct mesh__mem *mem, const char *name, size_t max_bytes, bool secret, char **text, struct mesh__err *err)
{
	char what[512];
	int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int code;

	if (fd < 0) {
		return fail_errno(err, errno, dir, name);
	}
	(void)snprintf(what, sizeof(what), "%s/%s", dir->path, name);
	code = check_file(dir, fd, name, secret, err);
	if (code == MESH_OK) {
		code = read_text(fd, mem, what, max_bytes, text, err);
	}
	(void)close(fd);
	return code;
}

bool meshca_write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno != EINTR) {
			return false;
		}
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* The file under its passing name, its contents on the disk. */
static bool write_new(const struct meshca_dir *dir, const char *temp, const char *text, mode_t mode)
{
	int saved, fd;
	bool done;

	(void)unlinkat(dir->fd, temp, 0); /* what an interrupted predecessor left */
	fd = openat(dir->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0) {
		return false;
	}
	done = fchmod(fd, mode) == 0 && meshca_write_all(fd, text, strlen(text)) && fsync(fd) == 0;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return done;
}

int meshca_dir_write(const struct meshca_dir *dir, const char *name, const char *text, mode_t mode, bool replace, struct mesh__err *err)
{
	char temp[64];
	int saved;

	(void)snprintf(temp, sizeof(temp), ".%s.new", name);
	if (write_new(dir, temp, text, mode) && renameat2(dir->fd, temp, dir->fd, name, replace ? 0 : RENAME_NOREPLACE) == 0) {
		return fsync(dir->fd) == 0 ? MESH_OK : fail_errno(err, errno, dir, name);
	}
	saved = errno;
	(void)unlinkat(dir->fd, temp, 0);
	return fail_errno(err, saved, dir, name);
}

/* By descriptor and for a plain file with one link alone: whoever could write here before must not steer root's chown to a file elsewhere. */
static int chown_file(const struct meshca_dir *dir, const char *name, uid_t uid, gid_t gid, struct mesh__err *err)
{
	struct stat st;
	int code = MESH_OK;
	int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		return errno == ENOENT ? MESH_OK : fail_errno(err, errno, dir, name);
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		code = mesh__fail(err, MESH_E_DENIED, "%s/%s: is not a plain file with one name; put the file itself there", dir->path, name);
	} else if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) != 0) {
		code = fail_errno(err, errno, dir, name);
	}
	(void)close(fd);
	return code;
}

int meshca_dir_chown(const struct meshca_dir *dir, const char *const *names, size_t n, uid_t uid, gid_t gid, struct mesh__err *err)
{
	int code = MESH_OK;

	for (size_t i = 0; code == MESH_OK && i < n; i++) {
		code = chown_file(dir, names[i], uid, gid, err);
	}
	if (code == MESH_OK && fchown(dir->fd, uid, gid) != 0) {
		code = mesh__fail(err, MESH_E_IO, "%s: cannot give it to uid %u: %s", dir->path, (unsigned)uid, strerror(errno));
	}
	return code;
}

int meshca_file_read(const struct mesh__mem *mem, const char *path, size_t max_bytes, char **text, struct mesh__err *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int code;

	if (fd < 0) {
		return mesh__fail(err, errno == ENOENT ? MESH_E_NOT_FOUND : MESH_E_IO, "%s: %s", path, strerror(errno));
	}
	code = read_text(fd, mem, from_stdin ? "standard input" : path, max_bytes, text, err);
	if (!from_stdin) {
		(void)close(fd);
	}
	return code;
}
