/* serve: joins as a service and answers, by the echo or by an unchanged HTTP server behind. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <meshlib/mesh.h>

#include "base/str.h"
#include "meshctl/command.h"
#include "meshctl/echo.h"
#include "meshctl/join.h"
#include "meshctl/signals.h"
#include "meshctl/upstream.h"
#include "wire/json.h"
#include "wire/name.h"

enum { DRAIN_MS = 5000, REMIND_MS = 10000 };

/* One run of the command; everything in it is freed at its end. */
struct serving {
	struct ctl *ctl;
	char service[MESH__LABEL_MAX + 1]; /* "" until the token's record says it */
	mesh *m;
	mesh_server *server;
	struct ctl_echo *echo;
	struct ctl_upstream *upstream;
	int signals;
};

static int check_options(struct ctl *ctl)
{
	const struct ctl_args *args = &ctl->args;
	bool echo = ctl_flag(args, "echo"), misbehaves = ctl_flag(args, "status") || ctl_flag(args, "delay") ||
		ctl_flag(args, "fail-percent");
	const char *protocol = ctl_text(args, "upstream-protocol");

	if (echo == (ctl_text(args, "upstream") != NULL)) {
		return ctl_fail(ctl, CTL_USAGE, "what is to answer? One of --echo and --upstream http://host:port");
	}
	if (protocol != NULL && echo) {
		return ctl_fail(ctl, CTL_USAGE, "--upstream-protocol belongs to --upstream");
	}
	if (protocol != NULL && strcmp(protocol, "http") != 0 && strcmp(protocol, "http2") != 0) {
		return ctl_fail(ctl, CTL_USAGE, "--upstream-protocol \"%s\": http or http2", protocol);
	}
	if (misbehaves && !echo) {
		return ctl_fail(ctl, CTL_USAGE, "--status, --delay and --fail-percent belong to --echo");
	}
	return CTL_OK;
}

static const char *service_word(const struct ctl *ctl)
{
	const char *word = ctl_text(&ctl->args, "service");

	return word != NULL ? word : ctl_env("MESH_SERVICE");
}

static int set_service(struct serving *s)
{
	const char *word = service_word(s->ctl);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;

	if (word == NULL) {
		return CTL_OK;
	}
	if (mesh__service_parse(word, ctl_namespace(s->ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(s->ctl, CTL_USAGE, &err);
	}
	(void)snprintf(s->service, sizeof(s->service), "%s", name.service);
	return CTL_OK;
}

static bool is_http2(const struct ctl_args *args)
{
	const char *protocol = ctl_text(args, "upstream-protocol");

	return protocol != NULL && strcmp(protocol, "http2") == 0;
}

static int make_handler(struct serving *s)
{
	const struct ctl_args *args = &s->ctl->args;
	const char *version = ctl_text(args, "version");
	struct ctl_echo_options options = {s->service, version != NULL ? version : ctl_env("MESH_VERSION"),
		(int32_t)ctl_number(args, "status", 0), ctl_number(args, "delay", 0), ctl_number(args, "fail-percent", 0)};
	struct mesh__err err = MESH__NO_ERR;
	int code;

	if (ctl_flag(args, "echo")) {
		code = ctl_echo_new(&s->ctl->env, &options, &s->echo, &err);
	} else {
		code = ctl_upstream_new(&s->ctl->env, ctl_text(args, "upstream"), is_http2(args), &s->upstream, &err);
	}
	return code == MESH_OK ? CTL_OK : ctl_fail_err(s->ctl, code == MESH_E_INVALID ? CTL_USAGE : CTL_FAILED, &err);
}

static int start(struct serving *s)
{
	struct mesh__err err = MESH__NO_ERR;
	mesh_error *error = NULL;
	int32_t code;
	int exit_code = CTL_OK;

	if (s->echo != NULL) {
		ctl_echo_mesh(s->echo, s->m);
		code = mesh_serve(s->m, "inline", ctl_echo_handle, s->echo, &s->server, &error);
	} else {
		code = ctl_upstream_start(s->upstream, s->m, &err);
		if (code != MESH_OK) {
			return ctl_fail_err(s->ctl, CTL_FAILED, &err);
		}
		code = mesh_serve(s->m, "inline", ctl_upstream_handle, s->upstream, &s->server, &error);
	}
	if (code != MESH_OK) {
		exit_code = ctl_fail(s->ctl, code == MESH_E_INVALID ? CTL_USAGE : CTL_FAILED, "%s",
			error != NULL ? mesh_error_message(error) : mesh_code_name(code));
	}
	mesh_error_free(error);
	return exit_code;
}

/*
 * A server outlives a control plane that is down for a while, so it waits for one that is not up yet, and says so now
 * and then.
 */
static int wait_ready(struct serving *s, bool *stopped)
{
	int code;

	do {
		code = ctl_join_wait(s->ctl, s->m, REMIND_MS, s->signals, stopped);
	} while (code == CTL_UNREACHABLE);
	return code;
}

static int announce(struct serving *s)
{
	char *address = mesh_server_address(s->server), *instance = mesh_instance(s->m), *spiffe = mesh_identity(s->m);
	struct mesh__buf *out = &s->ctl->out;
	struct mesh__json_out json = {out, false};
	struct mesh__name name;
	const char *service = s->service;

	if (spiffe != NULL && mesh__spiffe_parse(spiffe, strlen(spiffe), &name)) {
		service = name.service;
	}
	if (s->ctl->json) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "service", service);
		mesh__json_put_text(&json, "instance", instance);
		mesh__json_put_text(&json, "address", address);
		mesh__json_put_text(&json, "spiffeId", spiffe);
		mesh__json_close(&json, '}');
		mesh__buf_chr(out, '\n');
	} else {
		mesh__buf_printf(out, "serving %s as %s on %s\n", service, instance != NULL ? instance : "-",
			address != NULL ? address : "-");
	}
	mesh_string_free(address);
	mesh_string_free(instance);
	mesh_string_free(spiffe);
	return ctl_flush(s->ctl);
}

static int run_until_signal(struct serving *s)
{
	bool stopped = false;
	int code = wait_ready(s, &stopped);

	if (code == CTL_OK && !stopped) {
		code = announce(s);
	}
	while (code == CTL_OK && !stopped) {
		stopped = ctl_signals_wait(s->signals, -1, -1);
	}
	return code;
}

/* From here a second signal ends the process at once. */
static int stop(struct serving *s, int code)
{
	int64_t drain_ms = ctl_number(&s->ctl->args, "drain", DRAIN_MS);

	ctl_signals_close(s->signals);
	if (s->echo != NULL) {
		ctl_echo_hurry(s->echo);
	}
	if (s->m != NULL && mesh_close(s->m, code == CTL_OK ? drain_ms : 0) == MESH_E_TIMEOUT && code == CTL_OK) {
		ctl_say(s->ctl, "the drain was cut short after %lld ms: requests were still being answered", (long long)drain_ms);
	}
	ctl_echo_free(s->echo);
	ctl_upstream_free(s->upstream);
	return code;
}

static int serve_run(struct ctl *ctl)
{
	struct serving s = {.ctl = ctl, .signals = -1};
	int code = check_options(ctl);

	if (code == CTL_OK) {
		code = set_service(&s);
	}
	if (code != CTL_OK) {
		return code;
	}
	s.signals = ctl_signals_open();
	if (s.signals < 0) {
		return ctl_fail(ctl, CTL_FAILED, "cannot watch for signals: %s", strerror(errno));
	}
	code = make_handler(&s);
	if (code == CTL_OK) {
		code = ctl_join(ctl, service_word(ctl), &s.m);
	}
	if (code == CTL_OK) {
		code = start(&s);
	}
	if (code == CTL_OK) {
		code = run_until_signal(&s);
	}
	return stop(&s, code);
}

static const struct ctl_option serve_options[] = {
	{"service", 0, CTL_TEXT, "NAME", "the service to join as (else MESH_SERVICE, else what MESH_TOKEN is for)", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"version", 0, CTL_TEXT, "LABEL", "a label of this instance, for subsets", 0, 0},
	{"zone", 0, CTL_TEXT, "NAME", "where this instance runs", 0, 0},
	{"listen", 0, CTL_TEXT, "IP:PORT", "where to listen (default: the local address of the control connection, any port)", 0, 0},
	{"advertise", 0, CTL_TEXT, "IP:PORT", "what others are told (default: where it listens)", 0, 0},
	{"upstream", 0, CTL_TEXT, "URL", "pass requests on to http://host:port, or unix:/path, and its responses back", 0, 0},
	{"upstream-protocol", 0, CTL_TEXT, "NAME", "http (HTTP/1.1, the default) or http2 (without TLS, by prior knowledge; what a gRPC server speaks)", 0, 0},
	{"echo", 0, CTL_FLAG, NULL, "answer with what was seen, as JSON", 0, 0},
	{"status", 0, CTL_INTEGER, "CODE", "echo: answer with this status", 200, 599},
	{"delay", 0, CTL_DURATION, "TIME", "echo: wait before each answer", 0, 3600000},
	{"fail-percent", 0, CTL_DECIMAL, "P", "echo: fail so many of a hundred, with --status or 500", 0, 100000},
	{"drain", 0, CTL_DURATION, "TIME", "how long requests may take to finish at the end (default: 5s)", 0, 3600000},
	{0},
};

const struct ctl_command ctl_serve = {
	"serve", "", 0, 0, "join as a service and answer its calls",
	"Joins the mesh, registers this instance, and answers calls until SIGTERM or Ctrl-C; then it deregisters and lets\n"
	"requests finish. With --echo it answers with what it saw: service, instance, version, peer, method, path, headers,\n"
	"tryNumber. With --upstream it stands before an unchanged HTTP server: mutual TLS outside, plain HTTP inside, over TCP or a\n"
	"UNIX socket; who calls is told in X-Forwarded-Client-Cert. Header fields of one connection are removed. Bodies of any\n"
	"size pass as they come, either way, and trailers after them; with --upstream-protocol http2 a gRPC server may be behind.\n"
	"MESH_TOKEN unset: it makes a token by itself, where meshd's admin interface is at hand.",
	"  $ meshctl serve --service payments --echo --version v1\n"
	"  serving payments as 5c1f09a2d7e84b36 on 127.0.0.1:40123\n"
	"  $ meshctl serve --service files --upstream http://127.0.0.1:8000\n"
	"  $ meshctl serve --service greeter --upstream http://127.0.0.1:50051 --upstream-protocol http2\n"
	"  $ meshctl serve --service payments --echo --delay 200ms --fail-percent 10 --status 503\n",
	serve_options, serve_run,
};
