/* A token has one spelling, white space around it apart; what is refused leaves nothing behind, and no message repeats a part of it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/token.h"

enum { QUOTE = 12, /* so many characters of the input in a message are no accident */ UNTOUCHED = 0x5a };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds) {
		abort();
	}
}

static void check_taken(const struct mesh__token *token, const char *text)
{
	struct mesh__token again;
	char spelt[MESH__TOKEN_TEXT];

	mesh__token_format(token, spelt);
	text += strspn(text, " \t\n\v\f\r");
	check(strncmp(text, spelt, MESH__TOKEN_TEXT - 1) == 0);
	text += MESH__TOKEN_TEXT - 1;
	check(text[strspn(text, " \t\n\v\f\r")] == '\0');
	check(mesh__token_parse(spelt, &again, NULL) == MESH_OK && memcmp(again.pin, token->pin, sizeof(again.pin)) == 0);
}

static void check_refused(const struct mesh__token *token, const char *text, const struct mesh__err *err)
{
	const unsigned char *bytes = (const unsigned char *)token;
	char part[QUOTE + 1] = "";
	size_t len = strlen(text);

	for (size_t i = 0; i < sizeof(*token); i++) {
		check(bytes[i] == UNTOUCHED);
	}
	for (size_t i = 0; i + QUOTE <= len; i++) {
		memcpy(part, text + i, QUOTE);
		check(strspn(part, "0123456789abcdefABCDEF") < QUOTE || strstr(err->message, part) == NULL);
	}
	check(err->message[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__token token;

	memcpy(text, data, size);
	memset(&token, UNTOUCHED, sizeof(token));
	if (mesh__token_parse(text, &token, &err) == MESH_OK) {
		check_taken(&token, text);
	} else {
		check_refused(&token, text, &err);
	}
	mesh__free(text);
	return 0;
}
