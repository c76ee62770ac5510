/* What must hold, else the input is a finding. */
#ifndef TESTS_FUZZ_SERVER_CHECK_H
#define TESTS_FUZZ_SERVER_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(holds) check((holds), #holds)

static inline void check(bool holds, const char *what)
{
	if (!holds) {
		(void)fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

#endif
