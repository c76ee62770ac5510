/* Word from any thread to one loop that something may go on: many rings before it is heard are one. */
#ifndef MESHCTL_BELL_H
#define MESHCTL_BELL_H

#include <stdatomic.h>

#include "io/loop.h"

/* The memory stays as long as anybody may ring, and until what was rung was heard. */
struct ctl_bell {
	struct mesh__loop *loop;
	void (*heard)(void *arg, unsigned what); /* on the loop: all that was rung since the last time */
	void *arg;
	_Atomic unsigned rung;
	struct mesh__post post;
};

void ctl_bell_init(struct ctl_bell *bell, struct mesh__loop *loop, void (*heard)(void *arg, unsigned what), void *arg);

/* Any thread, also the loop's own, where it is heard later and not now. `what`: bits, at least one. */
void ctl_bell_ring(struct ctl_bell *bell, unsigned what);

#endif
