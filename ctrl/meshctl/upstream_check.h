/* Whether the server behind takes connections: tried at once, every few seconds after that, and when somebody has met a failure. On one loop. */
#ifndef MESHCTL_UPSTREAM_CHECK_H
#define MESHCTL_UPSTREAM_CHECK_H

#include <stdbool.h>

#include "http/client.h"
#include "io/loop.h"

struct ctl_check;

/* What is known of it. Pure: the next step follows from it alone. */
struct ctl_health {
	bool ready;   /* at first not */
	int failures; /* in a row */
};

/* A connection was taken, or not. True when `ready` has changed: one failure is none, since a full backlog passes; a second one, a moment later, is. */
bool ctl_health_note(struct ctl_health *health, bool taken);

/* When to look again. */
int64_t ctl_health_next_ms(const struct ctl_health *health);

/* On the loop: it is ready (`why` NULL), or not any more, or, for the first time, not yet. */
typedef void (*ctl_check_fn)(void *arg, const char *why);

/* Before the loop runs, or on it. `target` is borrowed. MESH_E_NO_MEMORY. */
int ctl_check_new(struct mesh__loop *loop, const struct mesh__target *target, ctl_check_fn changed, void *arg, struct ctl_check **out, struct mesh__err *err) MESH__MUST_USE;

/* A connection could not be made: looks now. Loop's thread. */
void ctl_check_soon(struct ctl_check *check);

/* On the loop, or after it has ended. Accepts NULL. */
void ctl_check_free(struct ctl_check *check);

#endif
