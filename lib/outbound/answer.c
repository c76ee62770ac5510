/* The answers that a route gives by itself: a redirect, a direct response. Nothing is sent. */
#include "outbound/answer.h"

#include <stdio.h>
#include <string.h>

#include "outbound/steps.h"
#include "wire/grpc.h"

enum { LOCATION_MAX = MESH__TARGET_MAX + 2 * MESH__TEXT_MAX, MESSAGE_MAX = 4096, NUMBER_TEXT = 4 };

void mesh__answer_grpc(struct mesh_request *r, enum mesh__grpc_status status, const char *how, const char *message)
{
	struct mesh__client_response *response = &r->response;
	char number[NUMBER_TEXT];
	struct mesh__buf text;

	(void)snprintf(number, sizeof(number), "%u", (unsigned)status % 100);
	mesh__buf_init(&text, &r->outbound->env->mem, MESSAGE_MAX);
	mesh__grpc_message_encode(&text, how);
	mesh__grpc_message_encode(&text, message);
	response->status = 200;
	mesh__client_response_add(response, "content-type", "application/grpc");
	mesh__client_response_add(response, "grpc-status", number);
	if (text.len > 0) {
		mesh__client_response_add(response, "grpc-message", text.data);
	}
	mesh__buf_fini(&text);
}

static int say_redirect(struct mesh_request *r, const struct mesh__redirect *redirect)
{
	char room[MESH__TARGET_MAX + 1], location[LOCATION_MAX], host[MESH__DNS_MAX];
	struct mesh__edit_view view = mesh__edit_view_of(r, room);

	mesh__dns_format(&r->service->name, host);
	view.host = host;
	if (mesh__edit_location(redirect, &view, location, sizeof(location)) == 0) {
		return mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, MESH_E_TOO_LARGE, "%s: route %s: `redirect` makes the location longer than %d bytes", r->key, r->route->name, LOCATION_MAX - 1);
	}
	if (r->is_grpc) {
		mesh__answer_grpc(r, mesh__grpc_status_of_http(redirect->status), "redirected to ", location);
	} else {
		r->response.status = redirect->status;
		mesh__client_response_add(&r->response, "location", location);
	}
	return MESH_OK;
}

static void say_direct(struct mesh_request *r, const struct mesh__direct_response *direct)
{
	if (r->is_grpc) {
		mesh__answer_grpc(r, mesh__grpc_status_of_http(direct->status), "", direct->body != NULL ? direct->body : "");
		return;
	}
	r->response.status = direct->status;
	if (direct->content_type != NULL || direct->body_len > 0) {
		mesh__client_response_add(&r->response, "content-type", direct->content_type != NULL ? direct->content_type : "text/plain");
	}
	if (strcmp(r->method, "HEAD") != 0) {
		mesh__buf_add(&r->response.body, direct->body, direct->body_len);
	}
}

static int make(struct mesh_request *r)
{
	const struct mesh__route *route = r->route;
	int code = MESH_OK;

	if (route->redirect.status != 0) {
		code = say_redirect(r, &route->redirect);
	} else {
		say_direct(r, &route->direct);
	}
	if (code == MESH_OK) {
		code = mesh__buf_error(&r->response.fields, "the header of the route's answer", &r->err);
	}
	return code == MESH_OK ? mesh__buf_error(&r->response.body, "the route's answer", &r->err) : code;
}

bool mesh__answer_is_due(const struct mesh__route *route)
{
	return route->redirect.status != 0 || route->direct.status != 0;
}

int mesh__answer_here(struct mesh_request *r)
{
	int code = mesh__admit_call(r);

	if (code == MESH_OK) {
		code = make(r);
	}
	if (code == MESH_OK && r->streamed != NULL) {
		code = mesh__streamed_answer(r);
	}
	if (code == MESH_OK) {
		r->answered_here = true;
		mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_route_answers_total", "Calls that their route answered by itself, nothing sent, by how.", "how",
			r->route->redirect.status != 0 ? "redirect" : "directResponse"), 1);
	}
	return code;
}
