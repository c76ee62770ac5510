/* The outbound side of a mesh: what all its calls share. */
#ifndef MESH__OUTBOUND_OUTBOUND_H
#define MESH__OUTBOUND_OUTBOUND_H

#include <stdatomic.h>

#include "base/thread_set.h"
#include "control/control.h"
#include "outbound/async.h"
#include "outbound/check.h"
#include "outbound/endpoint.h"
#include "outbound/running.h"
#include "policy/hedge.h"
#include "telemetry/metrics.h"

struct mesh__outbound {
	const struct mesh__env *env;
	struct mesh__loop *loop;           /* calls on its thread would wait for themselves; */
	struct mesh__thread_set own_threads; /* and on these: the serving loops', on which handlers may run */
	struct mesh__control *control;
	char ns[MESH__LABEL_MAX + 1];
	const char *instance;              /* of this process, for routes and splits by source; borrowed, as the labels are */
	struct mesh__labels labels;
	size_t max_body_bytes;
	struct mesh__running running;
	struct mesh__async async;          /* the calls that no thread waits for; a call on its thread would wait for itself, too */
	struct mesh__checks checks;        /* health checks of what is called */
	atomic_bool closed;                /* calls under way end with MESH_E_CLOSED */
	struct mesh__counter *calls_ok, *calls_failed, *tries, *retries, *regex_given_up;
	struct mesh__counter *hedges[MESH__HEDGE_N_ENDS], *hedges_refused[MESH__HEDGE_N_REFUSALS];
	struct mesh__metrics *metrics;
};

#endif
