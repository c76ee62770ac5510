#include "wire/token.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const char prefix[] = "mesh1.";

enum {
	PREFIX = sizeof(prefix) - 1,
	PIN = 64,
	SECRET_AT = PREFIX + MESH__TOKEN_ID + 1,
	PIN_AT = SECRET_AT + MESH__TOKEN_SECRET + 1,
	LENGTH = MESH__TOKEN_TEXT - 1
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Lower case alone: one token has one spelling. */
static bool is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

/* A message must help without quoting: most of what is pasted wrongly still holds the secret. */
static int refuse(const char *why, struct mesh__err *err)
{
	return mesh__fail(err, MESH_E_INVALID, "the join token is malformed: %s; use the line that `meshctl token create` printed", why);
}

int mesh__token_parse(const char *text, struct mesh__token *out, struct mesh__err *err)
{
	char copy[MESH__TOKEN_TEXT];
	struct mesh__token token;
	size_t len;
	int code = MESH_OK;

	if (text == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the join token is missing; make one with `meshctl token create`");
	}
	while (is_space(*text)) {
		text++;
	}
	len = strlen(text);
	while (len > 0 && is_space(text[len - 1])) {
		len--;
	}
	if (len == 0) {
		return mesh__fail(err, MESH_E_INVALID, "the join token is empty; make one with `meshctl token create`");
	}
	if (len < PREFIX || memcmp(text, prefix, PREFIX) != 0) {
		return refuse("it does not begin with \"mesh1.\"", err);
	}
	if (len != LENGTH) {
		return mesh__fail(err, MESH_E_INVALID, "the join token is malformed: it has %zu characters and not %d; was it cut or joined with another?", len, LENGTH);
	}
	memcpy(copy, text, LENGTH);
	copy[LENGTH] = '\0';
	if (copy[SECRET_AT - 1] != '.' || copy[PIN_AT - 1] != '.') {
		code = refuse("its parts are not separated by dots", err);
	} else if (!is_hex(copy + PREFIX, MESH__TOKEN_ID) || !is_hex(copy + SECRET_AT, MESH__TOKEN_SECRET) || !is_hex(copy + PIN_AT, PIN)
		|| !mesh__str_unhex(copy + PIN_AT, PIN, token.pin, sizeof(token.pin))) {
		code = refuse("a part is not lower-case hexadecimal", err);
	} else {
		memcpy(token.id, copy + PREFIX, MESH__TOKEN_ID);
		token.id[MESH__TOKEN_ID] = '\0';
		memcpy(token.secret, copy + SECRET_AT, MESH__TOKEN_SECRET);
		token.secret[MESH__TOKEN_SECRET] = '\0';
		*out = token;
	}
	mesh__wipe(copy, sizeof(copy));
	mesh__wipe(&token, sizeof(token));
	return code;
}

void mesh__token_format(const struct mesh__token *token, char *out)
{
	char pin[PIN + 1];

	mesh__str_hex(token->pin, sizeof(token->pin), pin);
	(void)snprintf(out, MESH__TOKEN_TEXT, "%s%s.%s.%s", prefix, token->id, token->secret, pin);
}
