/*
 * What a test may wait for is a matter of the program's speed: a sanitized one is some four times slower, one under valgrind twenty to fifty times. Bounds that are promised to users are not scaled, and
 * are held against plain programs alone.
 */
#ifndef TESTS_SUPPORT_PATIENCE_H
#define TESTS_SUPPORT_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True in a program that runs under valgrind. */
bool under_valgrind(void);

/* True in a program that is slowed down: built with a sanitizer, or under valgrind. */
bool slowed_down(void);

/* A wait, in any unit, that a plain program never needs in full, scaled to this program's speed. */
int64_t patience(int64_t plain);

/* What a long body comes to: MESH_TEST_STREAM_BYTES, where that is set, else `plain`, or `slowed` in a program that is slowed down. */
size_t long_body_bytes(size_t plain, size_t slowed);

/*
 * From one failing allocation, place of a break, or row of a table to the next, in a walk over real handshakes: 1, so that all are walked; beside that 3 under ThreadSanitizer, which looks at how threads meet and not at where each ends,
 * and 7 under valgrind.
 */
long walk_stride(void);

#endif
