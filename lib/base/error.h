/*
 * Errors: a code, where it arose, and one line for a person.
 *
 * Inside the library an error travels as a `struct mesh__err` that the caller provides, is filled in at the place where
 * things went wrong (with the value and the remedy), and is never changed on the way up except to add context. Functions that can fail
 * return the code (MESH_OK is 0) and accept a NULL error. The codes are the public header's.
 */
#ifndef MESH__BASE_ERROR_H
#define MESH__BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include <meshlib/mesh.h>

#include "base/attr.h"

/* X(NAME, "text"): where an error arose. */
#define MESH__ORIGINS(X)                                                                                               \
	X(LOCAL, "local")                                                                                              \
	X(POLICY, "policy")                                                                                            \
	X(CONTROL, "control")                                                                                          \
	X(CONNECT, "connect")                                                                                          \
	X(TLS, "tls")                                                                                                  \
	X(PEER, "peer")

#define X(name, text) MESH__ORIGIN_##name,
enum mesh__origin { MESH__ORIGINS(X) };
#undef X

struct mesh__err {
	int code;
	enum mesh__origin origin;
	char message[480];
};

enum { MESH__TRIES_MAX = 8, MESH__ENDPOINT_TEXT = 128 };

/* The public error object's body: a call's error with what was tried. Immutable once given out. */
struct mesh_error {
	struct mesh__err err;
	bool may_be_processed;
	int32_t tries;                                         /* all of them, also past MESH__TRIES_MAX */
	char endpoints[MESH__TRIES_MAX][MESH__ENDPOINT_TEXT];  /* "instance address" of the first ones */
};

/* An empty error, for `struct mesh__err err = MESH__NO_ERR;`. */
#define MESH__NO_ERR {MESH_OK, MESH__ORIGIN_LOCAL, ""}

/* Makes *err empty, without the cost of clearing the room for its message. */
static inline void mesh__err_clear(struct mesh__err *err)
{
	err->code = MESH_OK;
	err->origin = MESH__ORIGIN_LOCAL;
	err->message[0] = '\0';
}

/* Fills in *err (unless NULL) with a formatted message, cut where it is too long, control characters replaced; returns `code`. */
int mesh__fail(struct mesh__err *err, int code, const char *fmt, ...) MESH__PRINTF(3, 4);

/* The same, naming the origin too. */
int mesh__fail_at(struct mesh__err *err, enum mesh__origin origin, int code, const char *fmt, ...) MESH__PRINTF(4, 5);

/* Puts "context: " before the message that *err carries; returns its code. A NULL error has none: MESH_E_INTERNAL, so wrap an error of your own. */
int mesh__wrap(struct mesh__err *err, const char *fmt, ...) MESH__PRINTF(2, 3);

/* Puts "; more" behind the message of *err, which has one, and is cut where both are too long. */
void mesh__err_more(struct mesh__err *err, const char *fmt, ...) MESH__PRINTF(2, 3);

/* MESH_E_NO_MEMORY with its message. */
int mesh__fail_memory(struct mesh__err *err);

/* The stable name of a code ("MESH_E_TIMEOUT"), or "MESH_E_UNKNOWN"; static. */
const char *mesh__code_name(int code);

/* The text of an origin ("policy"); static. */
const char *mesh__origin_name(enum mesh__origin origin);

#endif
