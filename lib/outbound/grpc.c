#include "outbound/grpc.h"

#include "base/str.h"
#include "outbound/steps.h"
#include "policy/deadline.h"

static const int64_t longest_us = INT64_C(86400000000);

int mesh__grpc_take_timeout(struct mesh_request *r, const char *value)
{
	int64_t us;

	if (!mesh__grpc_timeout_parse(value, &us)) {
		return MESH_E_INVALID;
	}
	us = us < longest_us ? us : longest_us;
	r->timeout_ms = us <= 1000 ? 1 : us / 1000; /* 0 would say nothing */
	r->says_grpc_timeout = true;
	return MESH_OK;
}

void mesh__grpc_add_fields(struct mesh_request *r, struct mesh__client_field *fields, struct mesh__client_request *out)
{
	if (r->is_grpc || r->says_grpc_timeout) {
		mesh__grpc_timeout_format(r->try_deadline_us - r->now_us, r->grpc_timeout);
		fields[out->n_fields++] = (struct mesh__client_field){"grpc-timeout", r->grpc_timeout};
	}
	/* Over HTTP/1.1 it would be a field of the connection, and gRPC is not spoken there. */
	if (r->is_grpc && r->service->policy.protocol != MESH__PROTOCOL_HTTP) {
		fields[out->n_fields++] = (struct mesh__client_field){"te", "trailers"};
	}
}

enum mesh__grpc_status mesh__grpc_status_of(const struct mesh__client_response *response)
{
	const char *text = mesh__client_response_trailer(response, "grpc-status");

	text = text != NULL ? text : mesh__client_response_header(response, "grpc-status");
	return text != NULL ? mesh__grpc_status_parse(text) : mesh__grpc_status_of_http(response->status);
}

bool mesh__grpc_says_not_processed(const struct mesh__client_response *response)
{
	enum mesh__grpc_status status;

	/* Trailers alone have no body: that is looked at first, as most answers have one. */
	if (response->body.len > 0 || response->status != 200 || !mesh__str_eq(mesh__client_response_header(response, "mesh-not-processed"), "1")) {
		return false;
	}
	status = mesh__grpc_status_of(response);
	return status == MESH__GRPC_UNAVAILABLE || status == MESH__GRPC_RESOURCE_EXHAUSTED;
}

bool mesh__grpc_observe(struct mesh_request *r)
{
	enum mesh__grpc_status status;

	/* The status comes with the trailers. */
	if (mesh__observe_later(r)) {
		return false;
	}
	if (!r->is_grpc || r->response.status == 0 || (r->end != MESH__TRY_ANSWERED && r->end != MESH__TRY_NOT_PROCESSED)) {
		return false;
	}
	status = mesh__grpc_status_of(&r->response);
	if (r->copy.of == NULL) {
		mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_grpc_status_total", "Answers to gRPC tries, by the name of their status.", "status", mesh__grpc_status_name(status)), 1);
	}
	return mesh__grpc_status_is_failure(status);
}
