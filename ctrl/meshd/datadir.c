#include "meshd/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "wire/json.h"

enum { FREE_MIN_BYTES = 256 * 1024 }; /* some pages of the store, its log, and audit lines */

void meshd_datadir_file(const struct meshd_datadir *dir, const char *name, char *out)
{
	(void)snprintf(out, MESHD_PATH_MAX, "%s/%s", dir->path, name);
}

static int make_dir(struct meshd_datadir *dir, const char *path, struct mesh__err *err)
{
	struct stat st;

	if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(dir->path)) {
		return mesh__fail(err, MESH_E_INVALID, "the data directory is missing or its path too long; say --data DIR");
	}
	(void)snprintf(dir->path, sizeof(dir->path), "%s", path);
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		return mesh__fail(err, MESH_E_IO, "the data directory %s cannot be made: %s", path, strerror(errno));
	}
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		return mesh__fail(err, MESH_E_IO, "the data directory %s is no directory", path);
	}
	if (st.st_uid != geteuid()) {
		return mesh__fail(err, MESH_E_DENIED, "the data directory %s belongs to user %d, and meshd runs as %d", path, (int)st.st_uid, (int)geteuid());
	}
	if ((st.st_mode & 077) != 0 && chmod(path, 0700) != 0) {
		return mesh__fail(err, MESH_E_IO, "the data directory %s cannot be closed to others: %s", path, strerror(errno));
	}
	return MESH_OK;
}

static int take_lock(struct meshd_datadir *dir, struct mesh__err *err)
{
	char path[MESHD_PATH_MAX];
	char text[24] = "";
	ssize_t n;

	meshd_datadir_file(dir, "lock", path);
	dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dir->lock_fd < 0) {
		return mesh__fail(err, MESH_E_IO, "%s cannot be opened: %s", path, strerror(errno));
	}
	if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		n = errno == EWOULDBLOCK ? pread(dir->lock_fd, text, sizeof(text) - 1, 0) : -1;
		text[n > 0 ? (size_t)n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (n < 0) {
			return mesh__fail(err, MESH_E_IO, "%s cannot be locked: %s", path, strerror(errno));
		}
		return mesh__fail(err, MESH_E_EXISTS, "another meshd (pid %s) runs on %s; stop it, or use another --data", text[0] == '\0' ? "unknown" : text, dir->path);
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(dir->lock_fd, 0) != 0 || pwrite(dir->lock_fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
		return mesh__fail(err, MESH_E_IO, "%s cannot be written: %s", path, strerror(errno));
	}
	return MESH_OK;
}

static int load_admin_token(struct meshd_datadir *dir, struct mesh__err *err)
{
	unsigned char raw[MESHD_ADMIN_TOKEN / 2];
	struct mesh__err why = MESH__NO_ERR;
	char path[MESHD_PATH_MAX];
	char *text = NULL;
	size_t len;
	int code;

	meshd_datadir_file(dir, "admin.token", path);
	code = mesh__file_read(&dir->env->mem, path, 4096, &text, NULL, &why);
	if (code == MESH_E_NOT_FOUND) {
		mesh__random_hex(dir->env, dir->admin_token, MESHD_ADMIN_TOKEN);
		return mesh__file_write(path, dir->admin_token, MESHD_ADMIN_TOKEN, 0600, true, err);
	}
	if (code != MESH_OK) {
		return mesh__fail(err, code, "%s", why.message);
	}
	len = strcspn(text, "\n");
	if (len == MESHD_ADMIN_TOKEN && mesh__str_unhex(text, len, raw, sizeof(raw))) {
		memcpy(dir->admin_token, text, len);
		dir->admin_token[len] = '\0';
	} else {
		code = mesh__fail(err, MESH_E_INVALID, "%s holds no admin token (%d hexadecimal digits); remove it to have a new one made", path, MESHD_ADMIN_TOKEN);
	}
	mesh__wipe(raw, sizeof(raw));
	mesh__free_secret(text);
	return code;
}

int meshd_datadir_open(struct meshd_datadir *dir, const struct mesh__env *env, const char *path, struct mesh__err *err)
{
	int code;

	*dir = (struct meshd_datadir){.env = env, .lock_fd = -1};
	code = make_dir(dir, path, err);
	code = code == MESH_OK ? take_lock(dir, err) : code;
	code = code == MESH_OK ? load_admin_token(dir, err) : code;
	if (code != MESH_OK) {
		meshd_datadir_close(dir);
	}
	return code;
}

/* The lock's file is the one that was opened, under its old name, for as long as the directory is. */
static bool is_in_place(const struct meshd_datadir *dir)
{
	char path[MESHD_PATH_MAX];
	struct stat held, named;

	meshd_datadir_file(dir, "lock", path);
	return fstat(dir->lock_fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

int meshd_datadir_check(const struct meshd_datadir *dir, struct mesh__err *err)
{
	struct statvfs fs;

	if (!is_in_place(dir)) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "the data directory %s was removed or replaced: nothing that is written now is kept; restore it and restart meshd", dir->path);
	}
	if (fstatvfs(dir->lock_fd, &fs) == 0 && fs.f_blocks > 0 && (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) * fs.f_frsize < FREE_MIN_BYTES) {
		return mesh__fail(err, MESH_E_IO, "the file system of %s is full: nobody can join or renew, and nothing can be configured", dir->path);
	}
	return MESH_OK;
}

void meshd_datadir_close(struct meshd_datadir *dir)
{
	if (dir->lock_fd >= 0) {
		(void)close(dir->lock_fd);
		dir->lock_fd = -1;
	}
	mesh__wipe(dir->admin_token, sizeof(dir->admin_token));
}

int meshd_datadir_announce(const struct meshd_datadir *dir, const char *control_url, const char *admin_url, const char *trust_domain, struct mesh__err *err)
{
	struct mesh__json_out json;
	struct mesh__buf text;
	char path[MESHD_PATH_MAX];
	int code;

	mesh__buf_init(&text, &dir->env->mem, 4096);
	json = (struct mesh__json_out){.buf = &text};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "control", control_url);
	mesh__json_put_text(&json, "admin", admin_url);
	mesh__json_put_text(&json, "trustDomain", trust_domain);
	mesh__json_put_int(&json, "pid", getpid());
	mesh__json_close(&json, '}');
	mesh__buf_chr(&text, '\n');
	meshd_datadir_file(dir, "meshd.json", path);
	code = mesh__buf_error(&text, "meshd.json", err);
	if (code == MESH_OK) {
		code = mesh__file_write(path, text.data, text.len, 0600, false, err);
	}
	mesh__buf_fini(&text);
	return code;
}

void meshd_datadir_withdraw(const struct meshd_datadir *dir)
{
	char path[MESHD_PATH_MAX];

	meshd_datadir_file(dir, "meshd.json", path);
	(void)unlink(path);
}
