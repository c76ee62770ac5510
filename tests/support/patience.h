/*
 * What a test may wait for is a matter of the program's speed: a sanitized one is some four times slower, one under valgrind twenty to fifty times. Bounds that are promised to users are not scaled, and
 * are held against plain programs alone.
 */
#ifndef TESTS_SUPPORT_PATIENCE_H
#define TESTS_SUPPORT_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* True in a program that runs under valgrind. */
bool under_valgrind(void);

/* True in a program that is slowed down: built with a sanitizer, or under valgrind. */
bool slowed_down(void);

/* A wait, in any unit, that a plain program never needs in full, scaled to this program's speed. */
int64_t patience(int64_t plain);

/* From one failing allocation to the next, or one place of a break, in a walk over real handshakes: 1, and 7 under valgrind, beside which the plain program walks all. */
long walk_stride(void);

#endif
