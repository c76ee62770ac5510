/*
 * The directory that holds a CA: small files, written whole or not at all. Everything goes through one directory descriptor, so that it still works after the process has given up
 * the right to walk to the path. Symbolic links in it are not followed: a root process changes the files' owner.
 */
#ifndef MESHCA_DIR_H
#define MESHCA_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/mem.h"

struct meshca_dir {
	int fd;           /* -1: not open */
	const char *path; /* for messages; borrowed */
};

enum {
	MESHCA_DIR_CREATE = 1,  /* make it, mode 0700, unless it is there */
	MESHCA_DIR_PRIVATE = 2  /* refuse one that others than its owner may enter */
};

int meshca_dir_open(const char *path, int flags, struct meshca_dir *out, struct mesh__err *err) MESH__MUST_USE;

/* Accepts one that is not open. */
void meshca_dir_close(struct meshca_dir *dir);

bool meshca_dir_has(const struct meshca_dir *dir, const char *name);

/* Takes the lock file, waiting at most `wait_ms` for a predecessor that is on its way out. The lock lasts as long as *lock_fd. MESH_E_EXISTS: another process has it. */
int meshca_dir_lock(const struct meshca_dir *dir, int wait_ms, int *lock_fd, struct mesh__err *err) MESH__MUST_USE;

/* The text of a regular file, without NULs, as a heap string; `secret` refuses one that others may read (the caller frees with mesh__free_secret). MESH_E_NOT_FOUND, MESH_E_TOO_LARGE, MESH_E_IO, MESH_E_DENIED. */
int meshca_dir_read(const struct meshca_dir *dir, const struct mesh__mem *mem, const char *name, size_t max_bytes, bool secret, char **text, struct mesh__err *err) MESH__MUST_USE;

/* Writes a file: it and its name are on the disk when this returns, or nothing has changed. MESH_E_EXISTS when it is there, unless `replace`. */
int meshca_dir_write(const struct meshca_dir *dir, const char *name, const char *text, mode_t mode, bool replace, struct mesh__err *err) MESH__MUST_USE;

/* Gives the directory and those of `names` that are there to an owner. MESH_E_DENIED for a name that is not a plain file with one link. */
int meshca_dir_chown(const struct meshca_dir *dir, const char *const *names, size_t n, uid_t uid, gid_t gid, struct mesh__err *err) MESH__MUST_USE;

/* A whole text from a path of the operator's, "-" for standard input. */
int meshca_file_read(const struct mesh__mem *mem, const char *path, size_t max_bytes, char **text, struct mesh__err *err) MESH__MUST_USE;

/* Writes all of it, interrupted or not; false with errno set. */
bool meshca_write_all(int fd, const char *bytes, size_t len);

#endif
