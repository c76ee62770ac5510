/* A token has one spelling, white space around it apart; and no error repeats a secret. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__token token;
	char again[MESH__TOKEN_TEXT];

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, size);
	if (mesh__token_parse(text, &token, &err) == MESH_OK) {
		mesh__token_format(&token, again);
		if (strncmp(text + strspn(text, " \t\n\v\f\r"), again, MESH__TOKEN_TEXT - 1) != 0) {
			abort();
		}
	} else if (strlen(text) > 200 && strstr(err.message, text) != NULL) {
		abort();
	}
	mesh__free(text);
	return 0;
}
