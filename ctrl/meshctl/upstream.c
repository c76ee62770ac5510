#include "meshctl/upstream.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "meshctl/gateway.h"
#include "meshctl/upstream_check.h"
#include "meshctl/upstream_target.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 60000, TARGET_MAX = 16 * 1024, ERROR_MAX_BYTES = 4096 };

struct ctl_upstream {
	const struct mesh__env *env;
	struct mesh__pool *pool;
	size_t max_body_bytes;
	mesh *m;
	struct mesh__target target;
	char url[256];          /* for messages */
	struct mesh__loop *loop;
	struct ctl_check *check;
	pthread_mutex_t check_mu; /* guards check_posted */
	struct mesh__post check_post;
	bool check_posted;
	pthread_mutex_t own_mu; /* guards own */
	char *own;              /* the SPIFFE ID of this service; NULL until it is first asked for */
};

/* ---- Readiness: this instance serves while the upstream takes connections ---- */

static void on_check(void *arg, const char *why)
{
	struct ctl_upstream *up = arg;
	char reason[400];

	(void)snprintf(reason, sizeof(reason), "the upstream %s takes no connection: %s", up->url, why != NULL ? why : "");
	if (mesh_set_ready(up->m, why == NULL, reason) == MESH_OK) {
		mesh__log(up->env, why == NULL ? MESH__LOG_INFO : MESH__LOG_WARN, why == NULL ? "the upstream takes connections" : "not ready", "upstream", up->url, "reason", why, (char *)NULL);
	}
}

static void check_posted(void *arg)
{
	struct ctl_upstream *up = arg;

	(void)pthread_mutex_lock(&up->check_mu);
	up->check_posted = false;
	(void)pthread_mutex_unlock(&up->check_mu);
	ctl_check_soon(up->check);
}

/* A request has met a failure: any thread. */
static void check_soon(struct ctl_upstream *up)
{
	bool first;

	(void)pthread_mutex_lock(&up->check_mu);
	first = !up->check_posted;
	up->check_posted = true;
	(void)pthread_mutex_unlock(&up->check_mu);
	if (first) {
		mesh__loop_post(up->loop, &up->check_post, check_posted, up);
	}
}

/* ---- One exchange ---- */

static void refuse(struct ctl_upstream *up, mesh_inbound *inbound, int32_t code, const char *message)
{
	int32_t status = ctl_gateway_status(code);
	struct mesh__buf body;

	mesh__buf_init(&body, &up->env->mem, ERROR_MAX_BYTES);
	ctl_gateway_body(status, message, &body);
	(void)mesh_reply_header(inbound, "content-type", "application/json");
	(void)mesh_reply(inbound, status, body.data, body.len);
	mesh__buf_fini(&body);
}

static bool inbound_field(const void *source, size_t index, const char **name, const char **value)
{
	return mesh_inbound_field(source, index, name, value) == 1;
}

/* It does not change: a renewed certificate names the same service. */
static const char *own_identity(struct ctl_upstream *up)
{
	const char *own;

	(void)pthread_mutex_lock(&up->own_mu);
	if (up->own == NULL) {
		up->own = mesh_identity(up->m);
	}
	own = up->own;
	(void)pthread_mutex_unlock(&up->own_mu);
	return own;
}

static int take_fields(struct ctl_upstream *up, const mesh_inbound *inbound, struct ctl_fields *fields, struct mesh__err *err)
{
	struct mesh__addr address;
	char *text = mesh_inbound_address(inbound);
	struct ctl_caller caller = {own_identity(up), mesh_inbound_peer(inbound), address.ip};
	int code = text == NULL || caller.own == NULL ? mesh__fail_memory(err) : mesh__addr_parse("the caller", text, true, &address, err);

	mesh_string_free(text);
	return code == MESH_OK ? ctl_fields_behind(fields, inbound_field, inbound, &caller, false, err) : code;
}

static void pass_back(struct ctl_upstream *up, mesh_inbound *inbound, const struct mesh__client_response *response)
{
	const char *connection = mesh__client_response_header(response, "connection");
	const char *name, *value;

	for (size_t i = 0; mesh__client_response_field(response, i, &name, &value); i++) {
		if (!ctl_field_stays(name, connection) && mesh_reply_header(inbound, name, value) != MESH_OK) {
			mesh__log(up->env, MESH__LOG_WARN, "field of the upstream's response left out", "name", name, (char *)NULL);
		}
	}
	(void)mesh_reply(inbound, response->status, response->body.data,
		ctl_gateway_length(mesh_inbound_method(inbound), mesh__client_response_header(response, "content-length"), response->body.len));
}

static int64_t answer_ms(const mesh_inbound *inbound)
{
	int64_t left_ms = mesh_inbound_remaining_ms(inbound);

	return left_ms >= 0 && left_ms < ANSWER_MS ? left_ms : ANSWER_MS;
}

static int exchange_with(struct ctl_upstream *up, const mesh_inbound *inbound, const struct ctl_fields *fields, struct mesh__client_response *response,
	struct mesh__client_result *result, struct mesh__err *err)
{
	struct mesh__client_request request = {0};
	char target[TARGET_MAX];
	const char *query = mesh_inbound_query(inbound);
	int n = snprintf(target, sizeof(target), "%s%s%s", mesh_inbound_path(inbound), query[0] != '\0' ? "?" : "", query);

	if (n < 0 || (size_t)n >= sizeof(target)) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the request target is too long");
	}
	request.method = mesh_inbound_method(inbound);
	request.target = target;
	request.fields = fields->list;
	request.n_fields = fields->n;
	request.body = mesh_inbound_body(inbound, &request.body_len);
	request.has_body = request.body_len > 0;
	request.max_response_bytes = up->max_body_bytes;
	return mesh__pool_exchange(up->pool, &request, CONNECT_MS, mesh__mono_us(up->env) + answer_ms(inbound) * 1000,
		NULL, response, result, err);
}

static int exchange(struct ctl_upstream *up, const mesh_inbound *inbound, struct mesh__client_response *response, struct mesh__client_result *result, struct mesh__err *err)
{
	struct ctl_fields fields;
	int code;

	ctl_fields_init(&fields, &up->env->mem);
	code = take_fields(up, inbound, &fields, err);
	if (code == MESH_OK) {
		code = exchange_with(up, inbound, &fields, response, result, err);
	}
	ctl_fields_fini(&fields);
	return code;
}

void ctl_upstream_handle(void *user, mesh_inbound *inbound)
{
	struct ctl_upstream *up = user;
	struct mesh__client_response response;
	struct mesh__client_result result = {.sent = MESH__SENT_MAYBE};
	struct mesh__err err = MESH__NO_ERR;
	int code;

	mesh__client_response_init(&response, up->env, up->max_body_bytes);
	code = exchange(up, inbound, &response, &result, &err);
	if (code == MESH_OK && response.status >= 200 && response.status <= 599) {
		pass_back(up, inbound, &response);
	} else if (code == MESH_OK) {
		refuse(up, inbound, MESH_E_PROTOCOL, "the upstream's status is not one that HTTP knows");
	} else {
		mesh__log(up->env, MESH__LOG_WARN, "the upstream failed", "reason", err.message, (char *)NULL);
		if (code == MESH_E_CONNECT && result.sent == MESH__SENT_NOTHING) {
			check_soon(up);
			(void)mesh_reply_refuse(inbound, err.message);
		} else {
			refuse(up, inbound, code, err.message);
		}
	}
	mesh__client_response_fini(&response);
}

int ctl_upstream_new(const struct mesh__env *env, const char *url, size_t max_body_bytes, struct ctl_upstream **out,
	struct mesh__err *err)
{
	struct mesh__pool_options options;
	struct ctl_upstream *up;
	int code;

	*out = NULL;
	mesh__pool_options_default(&options);
	code = ctl_upstream_target(url, &options.target, err);
	if (code != MESH_OK) {
		return code;
	}
	up = mesh__alloc(&env->mem, sizeof(*up));
	if (up == NULL) {
		return mesh__fail_memory(err);
	}
	up->env = env;
	up->max_body_bytes = max_body_bytes;
	up->target = options.target;
	(void)snprintf(up->url, sizeof(up->url), "%s", url);
	(void)pthread_mutex_init(&up->check_mu, NULL);
	(void)pthread_mutex_init(&up->own_mu, NULL);
	code = mesh__pool_new(env, &options, &up->pool, err);
	if (code != MESH_OK) {
		(void)pthread_mutex_destroy(&up->own_mu);
		(void)pthread_mutex_destroy(&up->check_mu);
		mesh__free(up);
		return code;
	}
	*out = up;
	return MESH_OK;
}

int ctl_upstream_start(struct ctl_upstream *up, mesh *m, struct mesh__err *err)
{
	int code;

	up->m = m;
	if (mesh_set_ready(m, 0, "the upstream was not looked at yet") != MESH_OK) {
		return mesh__fail(err, MESH_E_CLOSED, "the mesh is closed");
	}
	code = mesh__loop_new(up->env, &up->loop, err);
	if (code == MESH_OK) {
		code = ctl_check_new(up->loop, &up->target, on_check, up, &up->check, err);
	}
	return code == MESH_OK ? mesh__loop_start(up->loop, "mesh-up", err) : code;
}

void ctl_upstream_stop(struct ctl_upstream *up)
{
	if (up != NULL && up->loop != NULL) {
		mesh__loop_stop(up->loop);
		mesh__loop_join(up->loop);
	}
}

void ctl_upstream_free(struct ctl_upstream *upstream)
{
	if (upstream != NULL) {
		ctl_check_free(upstream->check);
		mesh__loop_free(upstream->loop);
		mesh__pool_unref(upstream->pool);
		(void)pthread_mutex_destroy(&upstream->check_mu);
		mesh_string_free(upstream->own);
		(void)pthread_mutex_destroy(&upstream->own_mu);
		mesh__free(upstream);
	}
}
