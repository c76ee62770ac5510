/* The probe port: plaintext, for an orchestrator; /livez, /readyz and, where asked for, /metrics, and nothing else. */
#ifndef MESH__INBOUND_PROBE_H
#define MESH__INBOUND_PROBE_H

#include "control/control.h"
#include "http/server.h"
#include "telemetry/metrics.h"

struct mesh__probe {
	struct mesh__control *control;
	struct mesh__metrics *metrics;
	const struct mesh__env *env;
	struct mesh__http_server *http;
	bool show_metrics;
};

/* Listens on `loop`. On failure there is nothing to close. */
int mesh__probe_open(struct mesh__probe *probe, struct mesh__loop *loop, const struct mesh__addr *address, struct mesh__control *control, struct mesh__metrics *metrics, bool show_metrics, struct mesh__err *err) MESH__MUST_USE;

/* On the loop, or after it has ended. A zeroed one is accepted. */
void mesh__probe_close(struct mesh__probe *probe);

#endif
