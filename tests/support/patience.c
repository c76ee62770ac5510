#include "support/patience.h"

#include <stdlib.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1, STRIDE = 3 };
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SANITIZED = 1, STRIDE = 1 };
#else
enum { SANITIZED = 0, STRIDE = 1 };
#endif

enum { SANITIZED_FACTOR = 4, VALGRIND_FACTOR = 10, VALGRIND_STRIDE = 7 };

/* Valgrind's own client requests would need its header where the tests are built; its preloaded library is there in every version. */
bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

bool slowed_down(void)
{
	return SANITIZED || under_valgrind();
}

int64_t patience(int64_t plain)
{
	return plain * (under_valgrind() ? VALGRIND_FACTOR : SANITIZED ? SANITIZED_FACTOR : 1);
}

size_t long_body_bytes(size_t plain, size_t slowed)
{
	const char *given = getenv("MESH_TEST_STREAM_BYTES");

	return given != NULL ? strtoull(given, NULL, 10) : slowed_down() ? slowed : plain;
}

long walk_stride(void)
{
	return under_valgrind() ? VALGRIND_STRIDE : STRIDE;
}
