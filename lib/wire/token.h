/* The join token: one line that carries an id, a secret and the SHA-256 pin of the root's public key: "mesh1.<id 16 hex>.<secret 64 hex>.<pin 64 hex>". */
#ifndef MESH__WIRE_TOKEN_H
#define MESH__WIRE_TOKEN_H

#include "base/error.h"

enum { MESH__TOKEN_ID = 16, MESH__TOKEN_SECRET = 64, MESH__TOKEN_TEXT = 6 + MESH__TOKEN_ID + 1 + MESH__TOKEN_SECRET + 1 + 64 + 1 };

struct mesh__token {
	char id[MESH__TOKEN_ID + 1];
	char secret[MESH__TOKEN_SECRET + 1]; /* wipe it when done */
	unsigned char pin[32];
};

/* Surrounding white space is forgiven (a file's newline); anything else that is off is said without repeating the secret. */
int mesh__token_parse(const char *text, struct mesh__token *out, struct mesh__err *err) MESH__MUST_USE;

/* Into out[MESH__TOKEN_TEXT]. */
void mesh__token_format(const struct mesh__token *token, char *out);

#endif
