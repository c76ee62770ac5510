/* Trailer fields, of a request or a reply (RFC 9110 section 6.5): kept as text, few and small, and without those that may not stand there. One thread at a time. */
#ifndef MESH__HTTP_TRAILERS_H
#define MESH__HTTP_TRAILERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "http/server.h"

enum { MESH__TRAILERS_MAX = 128, MESH__TRAILERS_MAX_BYTES = 16 * 1024 };

struct mesh__trailers {
	struct mesh__buf text; /* for each its name in lower case, NUL, its value, NUL */
	size_t n;
};

void mesh__trailers_init(struct mesh__trailers *trailers, const struct mesh__mem *mem);
void mesh__trailers_fini(struct mesh__trailers *trailers);

/* None again; the memory is kept. */
void mesh__trailers_clear(struct mesh__trailers *trailers);

/* Adds one; one that is not valid or may not stand there (mesh__field_may_trail()) is left out. False: out of memory, or there are too many; it stays so. */
bool mesh__trailers_add(struct mesh__trailers *trailers, const char *name, size_t name_len, const char *value, size_t value_len);

/* Adds those of a trailer section: "name:value\n" each. */
bool mesh__trailers_add_lines(struct mesh__trailers *trailers, const char *lines, size_t len);

/* {"", ""} when index >= trailers->n. Good until the next is added. */
struct mesh__field_text mesh__trailers_at(const struct mesh__trailers *trailers, size_t index);

#endif
