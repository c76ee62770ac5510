/* gRPC's words: a time that is taken is the one that its digits say and is written no longer; a message comes back as it was, whatever it holds; a status is one of seventeen. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds) {
		abort();
	}
}

static void check_timeout(const char *text)
{
	static const char letters[] = "umSMH";
	static const int64_t parts_us[] = {1, 1000, 1000000, 60000000, 3600000000};
	char spelt[MESH__GRPC_TIMEOUT_TEXT];
	int64_t us, again, n;
	const char *letter;
	size_t len;

	if (!mesh__grpc_timeout_parse(text, &us)) {
		return;
	}
	len = strlen(text);
	check(len >= 2 && len <= 9 && strspn(text, "0123456789") == len - 1);
	n = (int64_t)strtoull(text, NULL, 10);
	letter = strchr(letters, text[len - 1]);
	check(letter != NULL ? us % parts_us[letter - letters] == 0 && us / parts_us[letter - letters] == n : text[len - 1] == 'n' && us == (n + 999) / 1000);
	mesh__grpc_timeout_format(us, spelt);
	check(mesh__grpc_timeout_parse(spelt, &again) && again <= (us > 0 ? us : 1) && again >= us - us / 1000);
}

static void check_status(const char *text)
{
	enum mesh__grpc_status status = mesh__grpc_status_parse(text);
	char spelt[3] = {(char)('0' + (int)status / 10), (char)('0' + (int)status % 10), '\0'};

	check(status >= MESH__GRPC_OK && status <= MESH__GRPC_UNAUTHENTICATED);
	check(status == MESH__GRPC_UNKNOWN || strcmp(text, (int)status < 10 ? spelt + 1 : spelt) == 0);
}

static void check_pushback(const char *text)
{
	int64_t ms = mesh__grpc_pushback_parse(text);

	check(ms >= -1 && ms <= INT32_MAX);
	check(ms == -1 || (strtoll(text, NULL, 10) == ms && strspn(text, "0123456789") == strlen(text)));
}

static void check_message(const char *text)
{
	struct mesh__buf value, back;
	size_t len = strlen(text);

	mesh__buf_init(&value, mesh__mem_libc(), 3 * len);
	mesh__buf_init(&back, mesh__mem_libc(), len);
	mesh__grpc_message_decode(&back, text);
	check(back.error == MESH_OK);
	mesh__buf_clear(&back);
	mesh__grpc_message_encode(&value, text);
	if (value.len > 0) {
		for (size_t i = 0; i < value.len; i++) {
			check(value.data[i] >= ' ' && value.data[i] <= '~');
		}
		mesh__grpc_message_decode(&back, value.data);
	}
	check(value.error == MESH_OK && back.error == MESH_OK && back.len == len && (len == 0 || memcmp(back.data, text, len) == 0));
	mesh__buf_fini(&value);
	mesh__buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, size);
	check_timeout(text);
	check_status(text);
	check_pushback(text);
	check_message(text);
	check(!mesh__grpc_content_type(text) || strlen(text) >= strlen("application/grpc"));
	mesh__free(text);
	return 0;
}
