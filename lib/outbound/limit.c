/* The concurrency limit of the service that is called (policy/aimd.h): one place a call, its tries included, wherever its route leads it. */
#include "outbound/destination.h"
#include "outbound/grpc.h"
#include "outbound/steps.h"

int mesh__step_limit(struct mesh_request *r)
{
	struct mesh__destination *d = r->called->destination;
	int32_t limit;

	if (r->limited != NULL) {
		return MESH_OK; /* it comes here again when it had to wait for a service */
	}
	r->limit = r->called->policy.concurrency;
	if (!mesh__aimd_enter(&d->concurrency, &r->limit, &limit)) {
		mesh__count(d->limited, 1);
		return mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, MESH_E_OVERLOADED, "%s: concurrencyLimit: %d calls are under way, and no more may be at present (from %d to %d); nothing was sent", d->key, (int)limit,
			(int)r->limit.min, (int)r->limit.max);
	}
	mesh__destination_ref(d); /* it outlives the snapshot that the call may let go of */
	r->limited = d;
	return MESH_OK;
}

/* What the call as a whole says of how much the service carries: a try that another made good says nothing. */
static enum mesh__aimd_outcome outcome_of(const struct mesh_request *r)
{
	if (r->err.code == MESH_E_TIMEOUT || r->response.status == 503) {
		return MESH__AIMD_OVERLOAD;
	}
	if (r->response.status == 0 || r->response.status == 429 || r->end == MESH__TRY_STOPPED) {
		return MESH__AIMD_UNTOLD;
	}
	if (r->is_grpc) {
		switch (mesh__grpc_status_of(&r->response)) {
		case MESH__GRPC_UNAVAILABLE:
		case MESH__GRPC_DEADLINE_EXCEEDED:
			return MESH__AIMD_OVERLOAD;
		case MESH__GRPC_RESOURCE_EXHAUSTED: /* of a rate, as 429 is */
		case MESH__GRPC_CANCELLED:
			return MESH__AIMD_UNTOLD;
		default:
			break;
		}
	}
	return r->err.code == MESH_OK ? MESH__AIMD_WELL : MESH__AIMD_UNTOLD;
}

void mesh__limit_leave(struct mesh_request *r)
{
	struct mesh__destination *d = r->limited;

	if (d != NULL && r->streams_on == NULL) {
		mesh__aimd_leave(&d->concurrency, &r->limit, &(struct mesh__aimd_sample){outcome_of(r), r->begun_us, mesh__mono_us(r->outbound->env)});
		mesh__destination_unref(d);
		r->limited = NULL;
	}
}
