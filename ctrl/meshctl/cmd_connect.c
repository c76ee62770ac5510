/* connect: a plaintext port on the loopback through which an unchanged client program calls a service. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <meshlib/mesh.h>

#include "http/server.h"
#include "io/loop.h"
#include "meshctl/command.h"
#include "meshctl/gateway.h"
#include "meshctl/join.h"
#include "meshctl/signals.h"
#include "meshctl/workers.h"
#include "wire/json.h"
#include "wire/name.h"

enum { READY_MS = 15000, DRAIN_MS = 2000, WORKERS = 32, QUEUE_MAX = 1024, FIELDS_MAX = 256, TARGET_MAX = 16 * 1024,
	ERROR_MAX_BYTES = 4096 };

/* A call under way, on its worker's stack. */
struct passage {
	struct passage *next;
	mesh_request *request;
};

struct gate {
	struct ctl *ctl;
	mesh *m;
	const char *service;
	int64_t timeout_ms;            /* 0: the service's */
	struct ctl_workers *workers;
	struct mesh__loop *loop;
	struct mesh__http_server *server;
	struct mesh__signal *term, *interrupt;
	bool draining;                 /* the loop's thread only */
	pthread_mutex_t under_way_mu;  /* guards under_way, closing */
	struct passage *under_way;
	bool closing;
};

static void enter(struct gate *g, struct passage *p)
{
	(void)pthread_mutex_lock(&g->under_way_mu);
	p->next = g->under_way;
	g->under_way = p;
	if (g->closing) {
		mesh_cancel(p->request);
	}
	(void)pthread_mutex_unlock(&g->under_way_mu);
}

static void leave(struct gate *g, struct passage *p)
{
	struct passage **at = &g->under_way;

	(void)pthread_mutex_lock(&g->under_way_mu);
	while (*at != p) {
		at = &(*at)->next;
	}
	*at = p->next;
	(void)pthread_mutex_unlock(&g->under_way_mu);
}

/* Nobody waits for these answers any more. */
static void cancel_all(struct gate *g)
{
	(void)pthread_mutex_lock(&g->under_way_mu);
	g->closing = true;
	for (struct passage *p = g->under_way; p != NULL; p = p->next) {
		mesh_cancel(p->request);
	}
	(void)pthread_mutex_unlock(&g->under_way_mu);
}

/* ---- One exchange, on a worker ---- */

static void refuse(struct gate *g, struct mesh__exchange *x, int32_t code, const char *message)
{
	static const struct mesh__field_text json = {"content-type", "application/json"};
	struct mesh__reply reply = {.status = ctl_gateway_status(code), .fields = &json, .n_fields = 1};
	struct mesh__buf body;

	mesh__buf_init(&body, &g->ctl->env.mem, ERROR_MAX_BYTES);
	ctl_gateway_body(reply.status, message, &body);
	reply.body = body.data;
	reply.body_len = body.len;
	mesh__exchange_reply(x, &reply);
	mesh__buf_fini(&body);
}

static mesh_request *make_request(struct gate *g, const struct mesh__exchange *x)
{
	const char *query = mesh__exchange_query(x), *connection = mesh__exchange_header(x, "connection"), *body;
	char target[TARGET_MAX];
	mesh_request *request;
	size_t body_len;
	int32_t code = MESH_OK;

	(void)snprintf(target, sizeof(target), "%s%s%s", mesh__exchange_path(x), query[0] != '\0' ? "?" : "", query);
	request = mesh_request_new(g->m, g->service, mesh__exchange_method(x), target);
	if (request == NULL) {
		return NULL;
	}
	for (size_t i = 0; i < mesh__exchange_n_fields(x) && code == MESH_OK; i++) {
		struct mesh__field_text field = mesh__exchange_field(x, i);
		if (!ctl_field_stays(field.name, connection)) {
			code = mesh_request_header(request, field.name, field.value);
		}
	}
	body = mesh__exchange_body(x, &body_len);
	if (code == MESH_OK && body_len > 0) {
		code = mesh_request_body(request, body, body_len);
	}
	if (code == MESH_OK && g->timeout_ms > 0) {
		code = mesh_request_timeout(request, g->timeout_ms);
	}
	if (code != MESH_OK) {
		mesh_request_free(request);
		return NULL;
	}
	return request;
}

static void pass_back(const mesh_request *request, struct mesh__exchange *x)
{
	struct mesh__field_text fields[FIELDS_MAX];
	const char *connection = mesh_response_header(request, "connection"), *name, *value;
	struct mesh__reply reply = {.status = mesh_response_status(request), .fields = fields};
	size_t body_len;

	for (size_t i = 0; reply.n_fields < FIELDS_MAX && mesh_response_field(request, i, &name, &value) == 1; i++) {
		if (!ctl_field_stays(name, connection) && strcasecmp(name, "date") != 0) {
			fields[reply.n_fields].name = name;
			fields[reply.n_fields].value = value;
			reply.n_fields++;
		}
	}
	reply.body = mesh_response_body(request, &body_len);
	reply.body_len = ctl_gateway_length(mesh__exchange_method(x), mesh_response_header(request, "content-length"), body_len);
	mesh__exchange_reply(x, &reply);
}

static void pass(void *user, void *job)
{
	struct gate *g = user;
	struct mesh__exchange *x = job;
	struct passage p = {NULL, make_request(g, x)};
	const mesh_error *error;
	int32_t code;

	if (p.request == NULL) {
		refuse(g, x, MESH_E_INVALID, "the request cannot be passed on");
		return;
	}
	enter(g, &p);
	code = mesh_call(p.request);
	leave(g, &p);
	error = mesh_request_error(p.request);
	if (code == MESH_OK) {
		pass_back(p.request, x);
	} else {
		refuse(g, x, code, error != NULL ? mesh_error_message(error) : mesh_code_name(code));
	}
	mesh_request_free(p.request);
}

/* On the loop, which must not wait. */
static void on_request(void *user, struct mesh__exchange *x)
{
	struct gate *g = user;

	if (!ctl_workers_submit(g->workers, x)) {
		refuse(g, x, MESH_E_OVERLOADED, "too many requests wait for an answer");
	}
}

/* ---- The port ---- */

static void on_drained(void *arg)
{
	struct gate *g = arg;

	mesh__loop_stop(g->loop);
}

static void on_signal(void *arg)
{
	struct gate *g = arg;

	if (g->draining) {
		mesh__loop_stop(g->loop);
		return;
	}
	g->draining = true;
	mesh__http_server_drain(g->server, DRAIN_MS, on_drained, g);
}

static int read_listen(struct ctl *ctl, struct mesh__addr *out)
{
	const char *text = ctl_text(&ctl->args, "listen");
	struct mesh__err err = MESH__NO_ERR;

	if (text == NULL) {
		return ctl_fail(ctl, CTL_USAGE, "on which port? meshctl connect --listen 127.0.0.1:8080 SERVICE");
	}
	if (mesh__addr_parse("--listen", text, true, out, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	if (!mesh__addr_is_loopback(out)) {
		return ctl_fail(ctl, CTL_USAGE, "--listen \"%s\": whoever reaches this port calls as the service; "
			"only a loopback address such as 127.0.0.1:8080 is taken", text);
	}
	return CTL_OK;
}

static int open_port(struct gate *g, const struct mesh__addr *address)
{
	struct mesh__http_options options = {.address = *address, .name = "connect", .handler = on_request, .user = g};
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__loop_new(&g->ctl->env, &g->loop, &err);

	mesh__http_limits_default(&options.limits);
	if (code == MESH_OK) {
		code = ctl_workers_new(&g->ctl->env, WORKERS, QUEUE_MAX, pass, g, &g->workers, &err);
	}
	if (code == MESH_OK) {
		code = mesh__http_server_new(g->loop, &options, &g->server, &err);
	}
	if (code == MESH_OK) {
		code = mesh__signal_new(g->loop, SIGTERM, on_signal, g, &g->term, &err);
	}
	if (code == MESH_OK) {
		code = mesh__signal_new(g->loop, SIGINT, on_signal, g, &g->interrupt, &err);
	}
	return code == MESH_OK ? CTL_OK : ctl_fail_err(g->ctl, CTL_FAILED, &err);
}

static int announce(struct gate *g)
{
	struct mesh__buf *out = &g->ctl->out;
	struct mesh__json_out json = {out, false};
	struct mesh__addr address;
	char text[MESH__ADDR_TEXT];
	char *spiffe = mesh_identity(g->m);

	mesh__http_server_address(g->server, &address);
	mesh__addr_format(&address, text);
	if (g->ctl->json) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "service", g->service);
		mesh__json_put_text(&json, "address", text);
		mesh__json_put_text(&json, "spiffeId", spiffe);
		mesh__json_close(&json, '}');
		mesh__buf_chr(out, '\n');
	} else {
		mesh__buf_printf(out, "connected http://%s to %s as %s\n", text, g->service, spiffe != NULL ? spiffe : "-");
	}
	mesh_string_free(spiffe);
	return ctl_flush(g->ctl);
}

/* Workers end before the server whose exchanges they hold, and before the mesh that they call. */
static void gate_fini(struct gate *g)
{
	cancel_all(g);
	ctl_workers_free(g->workers);
	if (g->m != NULL) {
		(void)mesh_close(g->m, 0);
	}
	mesh__signal_free(g->term);
	mesh__signal_free(g->interrupt);
	mesh__http_server_free(g->server);
	mesh__loop_free(g->loop);
	(void)pthread_mutex_destroy(&g->under_way_mu);
}

static int join(struct gate *g)
{
	const char *as = ctl_text(&g->ctl->args, "as");
	int signals = ctl_signals_open(), code;
	bool stopped = false;

	code = ctl_join(g->ctl, as != NULL ? as : ctl_env("MESH_SERVICE"), &g->m);
	if (code == CTL_OK) {
		code = ctl_join_wait(g->ctl, g->m, READY_MS, signals, &stopped);
	}
	ctl_signals_close(signals);
	return stopped ? CTL_FAILED : code;
}

static int connect_run(struct ctl *ctl)
{
	struct gate g = {.ctl = ctl, .service = ctl_operand(&ctl->args, 0), .timeout_ms = ctl_number(&ctl->args, "timeout", 0)};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__addr address;
	struct mesh__name name;
	int code = read_listen(ctl, &address);

	if (code == CTL_OK && mesh__service_parse(g.service, ctl_namespace(ctl), &name, &err) != MESH_OK) {
		code = ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	if (code != CTL_OK) {
		return code;
	}
	(void)pthread_mutex_init(&g.under_way_mu, NULL);
	code = join(&g);
	if (code == CTL_OK) {
		code = open_port(&g, &address);
	}
	if (code == CTL_OK) {
		code = announce(&g);
	}
	if (code == CTL_OK) {
		mesh__loop_run(g.loop);
	}
	gate_fini(&g);
	return code;
}

static const struct ctl_option connect_options[] = {
	{"as", 0, CTL_TEXT, "SERVICE", "the service to call as (else MESH_SERVICE)", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"listen", 0, CTL_TEXT, "IP:PORT", "a loopback address; port 0 takes any", 0, 0},
	{"timeout", 0, CTL_DURATION, "TIME", "for each call, tries included (default: the service's)", 1, 86400000},
	{0},
};

const struct ctl_command ctl_connect = {
	"connect", "SERVICE", 1, 1, "open a local port through which any program calls a service",
	"Opens a plaintext port on the loopback and passes what comes in to SERVICE, as the service --as: discovery, mutual TLS,\n"
	"balancing and deadlines for a program that knows nothing of them. Whoever reaches the port calls as that service, so only\n"
	"a loopback address is taken. A call that fails is answered 502, 503 or 504 with a JSON body that says why.",
	"  $ meshctl connect --as cart --listen 127.0.0.1:8080 payments\n"
	"  connected http://127.0.0.1:8080 to payments as spiffe://mesh.local/ns/default/svc/cart\n"
	"  $ curl http://127.0.0.1:8080/make-payment -d '{\"amount\": 12}'\n",
	connect_options, connect_run,
};
