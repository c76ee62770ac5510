#include <stdio.h>

#include "outbound/steps.h"

static bool is_failure(const struct mesh_request *r)
{
	return r->end != MESH__TRY_ANSWERED || r->response.status >= 500;
}

/* A try that we ended ourselves, or that never left this process, says nothing of the endpoint. */
static bool is_sample(const struct mesh_request *r)
{
	return r->end != MESH__TRY_LOCAL && r->err.code != MESH_E_CANCELLED && r->err.code != MESH_E_CLOSED;
}

void mesh__step_observe(struct mesh_request *r)
{
	int64_t rtt_us = r->result.total_us - r->result.connect_us;

	if (is_sample(r)) {
		mesh__endpoint_sample(r->endpoint, rtt_us, is_failure(r), mesh__mono_us(r->outbound->env));
	}
	if (r->tries < MESH__TRIES_MAX) {
		(void)snprintf(r->error.endpoints[r->tries], sizeof(r->error.endpoints[0]), "%s %s", r->endpoint->instance, r->endpoint->address);
		r->tried[r->tries] = r->endpoint;
		mesh__endpoint_ref(r->endpoint);
	}
	r->tries++;
	mesh__count(r->outbound->tries, 1);
	if (r->tries > 1) {
		mesh__count(r->outbound->retries, 1);
	}
}
