/*
 * A growing byte buffer with a bound. Failure sticks: after an append that found no memory or no room the buffer keeps what it held,
 * ignores further appends, and mesh__buf_error() says which it was; so a writer checks once, at its end. One thread at a time.
 */
#ifndef MESH__BASE_BUF_H
#define MESH__BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

struct mesh__buf {
	const struct mesh__mem *mem;
	char *data;       /* NUL-terminated whenever not NULL */
	size_t len;       /* without the NUL */
	size_t cap;
	size_t max_bytes; /* `len` never exceeds it */
	int error;        /* MESH_OK, MESH_E_NO_MEMORY or MESH_E_TOO_LARGE */
};

void mesh__buf_init(struct mesh__buf *buf, const struct mesh__mem *mem, size_t max_bytes);

/* Frees the contents, leaving an empty buffer of the same bound. A zeroed buffer is accepted. */
void mesh__buf_fini(struct mesh__buf *buf);

/* The same, overwriting the contents first. Growing leaves copies behind: who keeps secrets reserves their whole length before the first append. */
void mesh__buf_fini_secret(struct mesh__buf *buf);

void mesh__buf_add(struct mesh__buf *buf, const void *bytes, size_t len);
void mesh__buf_str(struct mesh__buf *buf, const char *text);
void mesh__buf_chr(struct mesh__buf *buf, char c);
void mesh__buf_printf(struct mesh__buf *buf, const char *fmt, ...) MESH__PRINTF(2, 3);
void mesh__buf_vprintf(struct mesh__buf *buf, const char *fmt, va_list args) MESH__PRINTF(2, 0);

/* Room for `len` more bytes, to be written at data + len by the caller, who then raises len. NULL on failure. */
char *mesh__buf_reserve(struct mesh__buf *buf, size_t len) MESH__MUST_USE;

/* Removes the first `len` bytes (all of them when there are fewer). */
void mesh__buf_consume(struct mesh__buf *buf, size_t len);

/* Forgets the contents and any failure; keeps the memory. */
void mesh__buf_clear(struct mesh__buf *buf);

/* MESH_OK, or the failure that stuck, told in *err with `what` the buffer was for. */
int mesh__buf_error(const struct mesh__buf *buf, const char *what, struct mesh__err *err);

/* Moves the contents out as a heap string ("" when empty), leaving the buffer empty. NULL when the buffer has failed or memory is out: then mesh__buf_error() still says which. */
char *mesh__buf_take(struct mesh__buf *buf) MESH__MUST_USE;

#endif
