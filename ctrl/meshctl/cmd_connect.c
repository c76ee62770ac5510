/* connect: a plaintext port on the loopback through which an unchanged client program calls a service. */
#include <signal.h>

#include <meshlib/mesh.h>

#include "http/server.h"
#include "io/loop.h"
#include "meshctl/command.h"
#include "meshctl/connect_pass.h"
#include "meshctl/join.h"
#include "meshctl/signals.h"
#include "wire/json.h"
#include "wire/name.h"

enum { READY_MS = 15000, DRAIN_MS = 2000 };

struct gate {
	struct ctl *ctl;
	struct ctl_passage passage;
	struct mesh__http_server *server;
	struct mesh__signal *term, *interrupt;
	bool draining; /* the loop's thread only */
};

/* ---- The port ---- */

static void on_drained(void *arg)
{
	struct gate *g = arg;

	mesh__loop_stop(g->passage.loop);
}

static void on_signal(void *arg)
{
	struct gate *g = arg;

	if (g->draining) {
		mesh__loop_stop(g->passage.loop);
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
	struct mesh__http_options options = {.address = *address, .name = "connect", .handler = ctl_passage_request, .user = &g->passage, .stream_bodies = true, .http2 = true};
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__loop_new(&g->ctl->env, &g->passage.loop, &err);

	mesh__http_limits_default(&options.limits);
	if (code == MESH_OK) {
		code = mesh__http_server_new(g->passage.loop, &options, &g->server, &err);
	}
	if (code == MESH_OK) {
		code = mesh__signal_new(g->passage.loop, SIGTERM, on_signal, g, &g->term, &err);
	}
	if (code == MESH_OK) {
		code = mesh__signal_new(g->passage.loop, SIGINT, on_signal, g, &g->interrupt, &err);
	}
	return code == MESH_OK ? CTL_OK : ctl_fail_err(g->ctl, CTL_FAILED, &err);
}

static int announce(struct gate *g)
{
	struct mesh__buf *out = &g->ctl->out;
	struct mesh__json_out json = {out, false};
	struct mesh__addr address;
	char text[MESH__ADDR_TEXT];
	char *spiffe = mesh_identity(g->passage.m);

	mesh__http_server_address(g->server, &address);
	mesh__addr_format(&address, text);
	if (g->ctl->json) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "service", g->passage.service);
		mesh__json_put_text(&json, "address", text);
		mesh__json_put_text(&json, "spiffeId", spiffe);
		mesh__json_close(&json, '}');
		mesh__buf_chr(out, '\n');
	} else {
		mesh__buf_printf(out, "connected http://%s to %s as %s\n", text, g->passage.service, spiffe != NULL ? spiffe : "-");
	}
	mesh_string_free(spiffe);
	return ctl_flush(g->ctl);
}

/* Calls end with the mesh, which tells of it on a loop that has ended; what was told so is heard when that is freed. */
static void gate_fini(struct gate *g)
{
	ctl_passage_stop(&g->passage);
	if (g->passage.m != NULL) {
		(void)mesh_close(g->passage.m, 0);
	}
	mesh__signal_free(g->term);
	mesh__signal_free(g->interrupt);
	mesh__http_server_free(g->server);
	mesh__loop_free(g->passage.loop);
	ctl_passage_fini(&g->passage);
}

static int join(struct gate *g)
{
	const char *as = ctl_text(&g->ctl->args, "as");
	int signals = ctl_signals_open(), code;
	bool stopped = false;

	code = ctl_join(g->ctl, as != NULL ? as : ctl_env("MESH_SERVICE"), &g->passage.m);
	if (code == CTL_OK) {
		code = ctl_join_wait(g->ctl, g->passage.m, READY_MS, signals, &stopped);
	}
	ctl_signals_close(signals);
	return stopped ? CTL_FAILED : code;
}

static int connect_run(struct ctl *ctl)
{
	struct gate g = {.ctl = ctl, .passage = {.env = &ctl->env, .service = ctl_operand(&ctl->args, 0), .timeout_ms = ctl_number(&ctl->args, "timeout", 0)}};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__addr address;
	struct mesh__name name;
	int code = read_listen(ctl, &address);

	if (code == CTL_OK && mesh__service_parse(g.passage.service, ctl_namespace(ctl), &name, &err) != MESH_OK) {
		code = ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	if (code != CTL_OK) {
		return code;
	}
	code = join(&g);
	if (code == CTL_OK) {
		code = open_port(&g, &address);
	}
	if (code == CTL_OK) {
		code = announce(&g);
	}
	if (code == CTL_OK) {
		mesh__loop_run(g.passage.loop);
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
	"a loopback address is taken. It takes HTTP/1.1 and, by prior knowledge, HTTP/2 without TLS, so gRPC clients too; bodies of\n"
	"any size pass as they come. A call that fails is answered 502, 503 or 504 with a JSON body that says why.",
	"  $ meshctl connect --as cart --listen 127.0.0.1:8080 payments\n"
	"  connected http://127.0.0.1:8080 to payments as spiffe://mesh.local/ns/default/svc/cart\n"
	"  $ curl http://127.0.0.1:8080/make-payment -d '{\"amount\": 12}'\n",
	connect_options, connect_run,
};
