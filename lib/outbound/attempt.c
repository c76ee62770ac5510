#include "base/str.h"
#include "outbound/grpc.h"
#include "outbound/steps.h"
#include "policy/deadline.h"

bool mesh__response_not_processed(const struct mesh__client_response *response)
{
	if (response->status == 503 || response->status == 429) {
		return mesh__str_eq(mesh__client_response_header(response, "mesh-not-processed"), "1");
	}
	return mesh__grpc_says_not_processed(response);
}

static enum mesh__try_end judge(const struct mesh_request *r, int code)
{
	switch (code) {
	case MESH_OK:
		return mesh__response_not_processed(&r->response) ? MESH__TRY_NOT_PROCESSED : MESH__TRY_ANSWERED;
	case MESH_E_TIMEOUT:
		if (r->try_deadline_us < r->deadline_us) { /* its own time, and not the call's */
			return r->result.sent == MESH__SENT_NOTHING ? MESH__TRY_UNCONNECTED : MESH__TRY_UNSURE;
		}
		return MESH__TRY_STOPPED;
	case MESH_E_CANCELLED:
	case MESH_E_CLOSED:
		return MESH__TRY_STOPPED;
	case MESH_E_CONNECT:
	case MESH_E_TLS:
	case MESH_E_IDENTITY:
		return r->result.sent == MESH__SENT_NOTHING ? MESH__TRY_UNCONNECTED : MESH__TRY_UNSURE;
	case MESH_E_OVERLOADED:
	case MESH_E_NO_MEMORY:
	case MESH_E_INVALID:
	case MESH_E_UNSUPPORTED:
		return r->result.sent == MESH__SENT_NOTHING ? MESH__TRY_LOCAL : MESH__TRY_UNSURE;
	case MESH_E_TOO_LARGE: /* the answer: another would be as large */
		return MESH__TRY_STOPPED;
	default:
		return r->result.sent == MESH__SENT_NOTHING ? MESH__TRY_UNSENT : MESH__TRY_UNSURE;
	}
}

/* printf's own way to a number costs more than all else that a try does before it sends. */
static const char *decimal(uint64_t n, char *room)
{
	char *at = room + MESH__DECIMAL_TEXT - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return at;
}

static int exchange(struct mesh_request *r, struct mesh__pool *pool)
{
	struct mesh__client_field *fields = r->sends_edited ? r->edited->fields : r->fields;
	struct mesh__client_request request = {.method = r->method, .target = r->sends_edited ? r->edited->target : r->path, .fields = fields,
		.n_fields = r->sends_edited ? r->edited->n_fields : r->n_fields, .body = r->body, .body_len = r->body_len, .has_body = r->has_body, .max_response_bytes = r->outbound->max_body_bytes};
	struct mesh__client_wait wait;

	if (!r->endpoint->target.insecure_plaintext) {
		/* The caller's fields, and its route's, end at n_fields; the room behind them is ours. */
		if (r->tries > 0) { /* without it, the first */
			fields[request.n_fields++] = (struct mesh__client_field){"mesh-try", decimal((uint64_t)r->tries + 1, r->numbers[0])};
		} else if (r->parent_retried) { /* there is no second try of it */
			fields[request.n_fields++] = (struct mesh__client_field){"mesh-retried", "1"};
		}
		fields[request.n_fields++] = (struct mesh__client_field){"mesh-deadline-ms", decimal((uint64_t)mesh__deadline_left_ms(r->try_deadline_us, r->now_us), r->numbers[1])};
		if (r->copy.of != NULL) {
			fields[request.n_fields++] = (struct mesh__client_field){"mesh-mirror", "1"};
		}
	}
	mesh__grpc_add_fields(r, fields, &request);
	if (r->parked) {
		return mesh__parked_exchange(r, pool, &request);
	}
	wait = (struct mesh__client_wait){.deadline_us = r->try_deadline_us, .cancel = r->cancel, .due = r->hedge_due_us != 0 ? mesh__hedge_second : NULL, .due_us = r->hedge_due_us, .arg = r};
	return mesh__pool_exchange(pool, &request, r->service->policy.connect_timeout_ms, &wait, &r->response, &r->result, &r->err);
}

int mesh__step_attempt(struct mesh_request *r)
{
	struct mesh__pool *pool = NULL;

	r->try_code = mesh__endpoint_pool(r->endpoint, r->snapshot->creds, &pool, &r->err);
	if (r->try_code == MESH_OK) {
		r->try_code = exchange(r, pool);
		mesh__pool_unref(pool);
	}
	return r->try_code == MESH_E_WOULD_BLOCK ? MESH_E_WOULD_BLOCK : MESH_OK;
}

void mesh__step_judge(struct mesh_request *r)
{
	if (!mesh__observe_later(r)) {
		atomic_fetch_sub_explicit(&r->endpoint->inflight, 1, memory_order_relaxed);
	}
	r->result.total_us += r->delayed_us; /* to who judges, the endpoint was that slow */
	r->hedge_due_us = 0;
	if (r->hedge != NULL && mesh__hedge_outran(r)) {
		r->end = MESH__TRY_OUTRUN;
		mesh__err_clear(&r->err);
		return;
	}
	r->end = judge(r, r->try_code);
	if (r->err.code == MESH_E_TIMEOUT && r->end != MESH__TRY_STOPPED) {
		mesh__err_more(&r->err, "perTryTimeout: %lld ms", (long long)mesh__retries_of(r)->per_try_timeout_ms);
	}
	if (r->end == MESH__TRY_NOT_PROCESSED) {
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_PEER, MESH_E_OVERLOADED, "%s %s answered %d and did not process the request", r->endpoint->instance, r->endpoint->address, r->response.status);
	}
}
