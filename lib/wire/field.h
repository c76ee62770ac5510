/*
 * The checked fields of a decoded message: each function takes one member of a JSON object, holds it to a rule and a bound, and copies it. Private to the
 * decoders of wire/message.h. A failure sticks in the reader, so that a decoder reads like a list and asks once, at its end.
 */
#ifndef MESH__WIRE_FIELD_H
#define MESH__WIRE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "wire/json.h"

struct mesh__fields {
	const struct mesh__mem *mem;
	const struct mesh__json *object;
	int code; /* the first failure, told in *err */
	struct mesh__err *err;
};

/* X(NAME, bytes at most): what a text may be. */
#define MESH__TEXTS(X)                                                                                                 \
	X(LABEL, 63)               /* a service, a namespace, an instance id */                                         \
	X(SERVICE_KEY, 127)        /* "service.namespace" */                                                            \
	X(TRUST_DOMAIN, 120)                                                                                            \
	X(ADDRESS, 55)             /* ip:port */                                                                        \
	X(ENDPOINT, 63)            /* an instance id, or of a static endpoint its address */                            \
	X(ID, 128)                 /* letters, digits, '-' and '_': goes into request targets */                        \
	X(SERIAL, 40)              /* lower-case hex without leading zeros; RFC 5280 section 4.1.2.2: 20 octets */      \
	X(WORD, 32)                /* lower-case letters and inner hyphens */                                           \
	X(TAG, 128)                /* a version, a zone: anything without control characters */                         \
	X(LINE, 1024)              /* the same, a sentence long */                                                      \
	X(PEM, 1024 * 1024)        /* printable ASCII and line ends */                                                  \
	X(CSR, 16 * 1024)          /* the same, before anybody has shown who they are */                                \
	X(DOCUMENT, 1024 * 1024)   /* anything but control characters other than line ends and tabs */

#define X(name, max) MESH__TEXT_##name,
enum mesh__text { MESH__TEXTS(X) };
#undef X

enum mesh__presence { MESH__REQUIRED, MESH__OPTIONAL };

/* Parses a message: *root gets the JSON to be freed, and the fields of its object are what is read. */
int mesh__fields_open(struct mesh__fields *f, const struct mesh__mem *mem, const char *text, size_t len, struct mesh__json **root, struct mesh__err *err) MESH__MUST_USE;

/* The same reader over a member of an array, which must be an object. Its failure has to be handed back with mesh__fields_join(). */
struct mesh__fields mesh__fields_of(struct mesh__fields *f, const struct mesh__json *member, const char *key);
void mesh__fields_join(struct mesh__fields *f, const struct mesh__fields *inner);

/* A heap copy of the text `key`. What is optional and absent, null or empty is NULL. */
char *mesh__field_text(struct mesh__fields *f, const char *key, enum mesh__text kind, enum mesh__presence presence);

uint64_t mesh__field_u64(struct mesh__fields *f, const char *key, enum mesh__presence presence);
int64_t mesh__field_i64(struct mesh__fields *f, const char *key, int64_t min, int64_t max);
bool mesh__field_bool(struct mesh__fields *f, const char *key, bool otherwise);

/* The first member of the array `key`, whose length, at most `max`, goes into *n; NULL when it is absent or empty. */
const struct mesh__json *mesh__field_array(struct mesh__fields *f, const char *key, size_t max, size_t *n);

/* A heap copy of a text inside the array `key`. */
char *mesh__field_item(struct mesh__fields *f, const char *key, const struct mesh__json *item, enum mesh__text kind);

/* A heap array of the texts in the array `key`, at most `max`, *n of them; NULL when there is none. On failure what was made is freed. */
char **mesh__field_texts(struct mesh__fields *f, const char *key, enum mesh__text kind, size_t max, size_t *n);
void mesh__field_texts_free(char **texts, size_t n);

/* `count` zeroed elements, or NULL (a failure of *f unless `count` is 0). */
void *mesh__field_room(struct mesh__fields *f, size_t count, size_t size);

#endif
