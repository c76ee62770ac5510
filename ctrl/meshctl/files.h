/* Files whole: reading them, and replacing several of them together. */
#ifndef MESHCTL_FILES_H
#define MESHCTL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/*
 * Reads `path` ("-": the standard input) into `out`, at most as much as its bound. MESH_E_IO or MESH_E_NOT_FOUND with
 * path and reason, MESH_E_TOO_LARGE, MESH_E_NO_MEMORY.
 */
int ctl_file_read(const char *path, struct mesh__buf *out, struct mesh__err *err) MESH__MUST_USE;

/* DIR/name into out[cap]; false when it does not fit. */
bool ctl_file_path(const char *dir, const char *name, char *out, size_t cap) MESH__MUST_USE;

struct ctl_file {
	const char *name;
	const char *text;
	mode_t mode;
};

/*
 * Writes `files` into `dir` (made, 0700, where it is missing). All of them are written and synced beside their places
 * before the first is renamed into it: a full disk or a missing right
 * changes nothing. MESH_E_IO with path and reason.
 */
int ctl_files_write(const char *dir, const struct ctl_file *files, size_t n, struct mesh__err *err) MESH__MUST_USE;

#endif
