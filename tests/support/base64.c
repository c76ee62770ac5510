#include "support/base64.h"

#include <stdint.h>

static void add_base64(struct mesh__buf *out, const unsigned char *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);
		const char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], i + 1 < size ? digits[bits >> 6 & 63] : '=', i + 2 < size ? digits[bits & 63] : '='};

		mesh__buf_add(out, four, sizeof(four));
		if (i % 48 == 45) {
			mesh__buf_chr(out, '\n');
		}
	}
}

void base64_pem(struct mesh__buf *out, const char *label, const void *bytes, size_t len)
{
	mesh__buf_printf(out, "-----BEGIN %s-----\n", label);
	add_base64(out, bytes, len);
	mesh__buf_printf(out, "\n-----END %s-----\n", label);
}
