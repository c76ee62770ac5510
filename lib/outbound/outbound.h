/* The outbound side of a mesh: what all its calls share. */
#ifndef MESH__OUTBOUND_OUTBOUND_H
#define MESH__OUTBOUND_OUTBOUND_H

#include <stdatomic.h>

#include "control/control.h"
#include "outbound/endpoint.h"
#include "telemetry/metrics.h"

struct mesh__outbound {
	const struct mesh__env *env;
	struct mesh__loop *loop;           /* calls on its thread would wait for themselves */
	struct mesh__control *control;
	char ns[MESH__LABEL_MAX + 1];
	size_t max_body_bytes;
	atomic_bool closed;                /* no call begins */
	_Atomic int64_t calls;             /* under way */
	struct mesh__counter *calls_ok, *calls_failed, *tries, *retries;
	struct mesh__metrics *metrics;
};

#endif
