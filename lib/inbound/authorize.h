/* Who may call, asked of each request when it has come, before the handler or any queue: by the policy of the service that this process is. */
#ifndef MESH__INBOUND_AUTHORIZE_H
#define MESH__INBOUND_AUTHORIZE_H

#include <pthread.h>

#include "policy/service.h"
#include "telemetry/metrics.h"

struct mesh_inbound;
struct mesh_server;

/* What is told of it: counters by rule, and the audit log, at most a hundred lines a second: who is refused chooses how often. */
struct mesh__authz_record {
	struct mesh__metrics *metrics;
	pthread_mutex_t mu; /* guards what follows */
	int64_t second_us;  /* when the one at hand began */
	int32_t n_lines;
	int64_t n_left_out;
};

void mesh__authz_record_init(struct mesh__authz_record *record, struct mesh__metrics *metrics);
void mesh__authz_record_fini(struct mesh__authz_record *record);

/* True: it goes on. Else it was refused, 403 with the rule's name, and has ended. On the loop of its connection. */
bool mesh__inbound_authorize(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__authorization *authorization);

#endif
