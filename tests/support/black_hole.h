/* A port that takes no connection and refuses none: SYNs to it are dropped, its backlog being full. */
#ifndef TESTS_SUPPORT_BLACK_HOLE_H
#define TESTS_SUPPORT_BLACK_HOLE_H

#include "wire/addr.h"

enum { BLACK_HOLE_FILLERS = 4 };

struct black_hole {
	int fd;
	int fillers[BLACK_HOLE_FILLERS];
	struct mesh__addr address;
};

/* Aborts the test when it cannot. */
void black_hole_init(struct black_hole *hole);
void black_hole_fini(struct black_hole *hole);

#endif
