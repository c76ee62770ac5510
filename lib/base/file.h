/* Whole files, read with a bound and written so that a reader sees the old or the new contents, never a part. Any thread; blocking. */
#ifndef MESH__BASE_FILE_H
#define MESH__BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

/*
 * Reads a file of at most `max_bytes` into a heap string with a NUL behind it (*len, unless NULL, does not count it). Regular files only, so that no pipe can block it. Errors name the file:
 * MESH_E_NOT_FOUND, MESH_E_IO, MESH_E_TOO_LARGE, MESH_E_INVALID (a NUL inside), MESH_E_NO_MEMORY.
 */
int mesh__file_read(const struct mesh__mem *mem, const char *path, size_t max_bytes, char **out, size_t *len, struct mesh__err *err) MESH__MUST_USE;

/*
 * Replaces a file: a new one beside it with mode `mode`, written, synced where `durable` (the directory too), renamed over it. On failure the old one stays, nothing is left behind. MESH_E_IO naming file and reason.
 */
int mesh__file_write(const char *path, const void *bytes, size_t len, unsigned mode, bool durable, struct mesh__err *err) MESH__MUST_USE;

#endif
