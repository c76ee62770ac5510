/* For helper programs that check what the public header promises: says what did not hold, goes on, and counts. */
#ifndef TESTS_INTEGRATION_CHECK_H
#define TESTS_INTEGRATION_CHECK_H

#include <meshlib/mesh.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int check_failed;

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                 \
			atomic_fetch_add(&check_failed, 1);                                                            \
		}                                                                                                      \
	} while (0)

#define CHECK_CODE(call, expected) check_code((call), (expected), #call, __LINE__)

static inline void check_code(int32_t code, int32_t expected, const char *call, int line)
{
	if (code != expected) {
		fprintf(stderr, "line %d: %s is %s, not %s\n", line, call, mesh_code_name(code), mesh_code_name(expected));
		atomic_fetch_add(&check_failed, 1);
	}
}

#define CHECK_TEXT(text, expected) check_text((text), (expected), #text, __LINE__)

static inline void check_text(const char *text, const char *expected, const char *what, int line)
{
	if (text == NULL || expected == NULL ? text != expected : strcmp(text, expected) != 0) {
		fprintf(stderr, "line %d: %s is \"%s\", not \"%s\"\n", line, what, text == NULL ? "(null)" : text, expected == NULL ? "(null)" : expected);
		atomic_fetch_add(&check_failed, 1);
	}
}

#endif
