/* call: joins as the calling service and calls, once or many times. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <meshlib/mesh.h>

#include "base/str.h"
#include "meshctl/command.h"
#include "meshctl/files.h"
#include "meshctl/header.h"
#include "meshctl/join.h"
#include "meshctl/load.h"
#include "meshctl/signals.h"
#include "wire/name.h"
#include "wire/url.h"

enum { READY_MS = 15000, BODY_MAX_BYTES = 256 * 1024 * 1024 };

/* The call, as the command line tells it. */
struct calling {
	struct ctl *ctl;
	mesh *m;
	const char *service, *method, *path;
	struct mesh__buf body;
	bool has_body;
	int64_t timeout_ms; /* 0: the service's */
	int64_t calls, threads, rate_thousandths;
	bool async;
	bool idempotent;
};

static int read_body(struct calling *c)
{
	const char *text = ctl_text(&c->ctl->args, "body");
	const char *path = text != NULL && text[0] == '@' ? text + 1 : text != NULL && strcmp(text, "-") == 0 ? "-" : NULL;
	struct mesh__err err = MESH__NO_ERR;

	mesh__buf_init(&c->body, &c->ctl->env.mem, BODY_MAX_BYTES);
	c->has_body = text != NULL;
	if (text == NULL) {
		return CTL_OK;
	}
	if (path == NULL) {
		mesh__buf_str(&c->body, text);
		return CTL_OK;
	}
	return ctl_file_read(path, &c->body, &err) == MESH_OK ? CTL_OK : ctl_fail_err(c->ctl, CTL_USAGE, &err);
}

/* What can be told wrong is told before anything is joined or sent. */
static int check_target(struct calling *c)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;

	if (mesh__service_parse(c->service, ctl_namespace(c->ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(c->ctl, CTL_USAGE, &err);
	}
	if (!mesh__target_valid(c->path, strlen(c->path))) {
		return ctl_fail(c->ctl, CTL_USAGE, "path \"%.100s\": it begins with \"/\" and is percent-encoded", c->path);
	}
	if (!mesh__method_valid(c->method)) {
		return ctl_fail(c->ctl, CTL_USAGE, "-X \"%.40s\" is no method", c->method);
	}
	return CTL_OK;
}

static int read_arguments(struct calling *c)
{
	const struct ctl_args *args = &c->ctl->args;
	int code = read_body(c);

	c->service = ctl_operand(args, 0);
	c->path = ctl_operand(args, 1);
	c->method = ctl_text(args, "method") != NULL ? ctl_text(args, "method") : c->has_body ? "POST" : "GET";
	c->timeout_ms = ctl_number(args, "timeout", 0);
	c->calls = ctl_number(args, "number", 1);
	c->threads = ctl_number(args, "concurrency", 1);
	c->rate_thousandths = ctl_number(args, "rate", 0);
	c->async = ctl_flag(args, "async");
	c->idempotent = ctl_flag(args, "idempotent");
	if (code == CTL_OK && !c->async && c->threads > CTL_LOAD_THREADS_MAX) {
		code = ctl_fail(c->ctl, CTL_USAGE, "-c %lld: at most %d threads; with --async one has up to %d calls under way", (long long)c->threads, CTL_LOAD_THREADS_MAX,
			CTL_LOAD_UNDER_WAY_MAX);
	}
	if (code == CTL_OK) {
		code = check_target(c);
	}
	return code == CTL_OK ? ctl_headers_check(c->ctl) : code;
}

static int32_t fill_request(const struct calling *c, mesh_request *request)
{
	char name[CTL_HEADER_NAME_MAX];
	const char *text, *value;
	int32_t code = MESH_OK;

	for (size_t i = 0; code == MESH_OK && (text = ctl_nth(&c->ctl->args, "header", i)) != NULL; i++) {
		if (ctl_header_split(text, name, &value)) {
			code = mesh_request_header(request, name, value);
		}
	}
	if (code == MESH_OK && c->has_body) {
		code = mesh_request_body(request, c->body.data, c->body.len);
	}
	if (code == MESH_OK && c->idempotent) {
		code = mesh_request_idempotent(request, 1);
	}
	if (code == MESH_OK && c->timeout_ms > 0) {
		code = mesh_request_timeout(request, c->timeout_ms);
	}
	return code;
}

static mesh_request *make_request(void *user)
{
	const struct calling *c = user;
	mesh_request *request = mesh_request_new(c->m, c->service, c->method, c->path);

	if (request != NULL && fill_request(c, request) != MESH_OK) {
		mesh_request_free(request);
		return NULL;
	}
	return request;
}

/* What the library would refuse on every thread is refused here, once. */
static int probe_request(struct calling *c)
{
	mesh_request *request = mesh_request_new(c->m, c->service, c->method, c->path);
	int32_t code = request != NULL ? fill_request(c, request) : MESH_E_NO_MEMORY;

	mesh_request_free(request);
	if (code == MESH_E_TOO_LARGE) {
		return ctl_fail(c->ctl, CTL_USAGE, "the request is too large: its body has %zu bytes (MESH_MAX_BODY bounds it, 16777216 by default); "
			"its header may have 128 fields and 64 KiB", c->body.len);
	}
	return code == MESH_OK ? CTL_OK : ctl_fail(c->ctl, code == MESH_E_NO_MEMORY ? CTL_FAILED : CTL_USAGE,
		"the request cannot be made: %s", mesh_code_name(code));
}

/* ---- One call ---- */

/* "instance address, instance address": where the tries went. */
static void list_tried(const mesh_error *error, char *out, size_t cap)
{
	const char *endpoint;
	size_t len = 0;

	out[0] = '\0';
	for (int32_t i = 0; (endpoint = mesh_error_endpoint(error, i)) != NULL && len < cap; i++) {
		int n = snprintf(out + len, cap - len, "%s%s", i > 0 ? ", " : "", endpoint);
		len += n > 0 ? (size_t)n : 0;
	}
}

static const char *fate(const mesh_error *error)
{
	return mesh_error_may_be_processed(error) != 0 ? "may have been processed" : "reached no handler";
}

static int tell_error(struct ctl *ctl, const mesh_error *error)
{
	char tried[512];

	if (error == NULL) {
		return ctl_fail(ctl, CTL_FAILED, "the call failed");
	}
	list_tried(error, tried, sizeof(tried));
	ctl_say(ctl, "%s (%s): %s", mesh_error_name(error), mesh_error_origin(error), mesh_error_message(error));
	return ctl_fail(ctl, CTL_FAILED, "%d tr%s%s%s; the request %s", (int)mesh_error_tries(error),
		mesh_error_tries(error) == 1 ? "y" : "ies", tried[0] == '\0' ? "" : ": ", tried, fate(error));
}

/* One of many, on one line. */
static void tell_one_of_many(void *user, const mesh_error *error)
{
	const struct calling *c = user;
	char tried[512];

	if (error != NULL) {
		list_tried(error, tried, sizeof(tried));
		ctl_say(c->ctl, "failed: %s (%s): %s; tried: %s; the request %s", mesh_error_name(error), mesh_error_origin(error), mesh_error_message(error),
			tried[0] == '\0' ? "nobody" : tried, fate(error));
	}
}

static void put_one(struct calling *c, const struct ctl_outcome *outcome, int64_t time_us)
{
	struct ctl_stats stats;
	struct ctl_latency latency;

	ctl_stats_init(&stats, &c->ctl->env);
	if (!ctl_stats_add(&stats, outcome)) {
		c->ctl->out.error = MESH_E_NO_MEMORY;
	}
	ctl_latency_of(&time_us, 1, &latency);
	ctl_stats_json(&stats, &latency, (double)time_us / 1e6, &c->ctl->out);
	ctl_stats_fini(&stats);
}

static int call_once(struct calling *c)
{
	mesh_request *request = make_request(c);
	struct ctl_outcome outcome;
	int64_t begun_us = mesh__mono_us(&c->ctl->env);
	const char *body;
	size_t len = 0;
	int code = CTL_OK;

	if (request == NULL) {
		return ctl_fail_memory(c->ctl);
	}
	outcome.code = mesh_call(request);
	outcome.status = mesh_response_status(request);
	outcome.tries = mesh_request_tries(request);
	outcome.instance = mesh_response_instance(request);
	outcome.version = mesh_response_version(request);
	if (c->ctl->json) {
		put_one(c, &outcome, mesh__mono_us(&c->ctl->env) - begun_us);
	} else if (outcome.code == MESH_OK) {
		body = mesh_response_body(request, &len);
		mesh__buf_add(&c->ctl->out, body, len);
	}
	if (outcome.code != MESH_OK) {
		code = tell_error(c->ctl, mesh_request_error(request));
	} else if (!ctl_outcome_ok(&outcome)) {
		code = ctl_fail(c->ctl, CTL_FAILED, "%s answered %d (instance %s)", c->service, (int)outcome.status,
			outcome.instance != NULL ? outcome.instance : "unknown");
	}
	mesh_request_free(request);
	return code;
}

/* ---- Many ---- */

static int call_many(struct calling *c, int signals)
{
	struct ctl_load load = {.env = &c->ctl->env, .make = make_request, .failed = tell_one_of_many, .user = c, .calls = c->calls, .threads = c->threads,
		.rate_thousandths = c->rate_thousandths, .m = c->m, .signals = signals};
	struct ctl_load_result result;
	struct mesh__err err = MESH__NO_ERR;
	int code = CTL_OK;

	if ((c->async ? ctl_load_run_async : ctl_load_run)(&load, &result, &err) != MESH_OK) {
		code = ctl_fail_err(c->ctl, CTL_FAILED, &err);
	}
	if (result.stopped) {
		ctl_say(c->ctl, "stopped by a signal after %lld of %lld calls", (long long)result.stats.calls, (long long)c->calls);
	}
	if (c->ctl->json) {
		ctl_stats_json(&result.stats, &result.latency, result.seconds, &c->ctl->out);
	} else {
		ctl_stats_text(&result.stats, &result.latency, result.seconds, &c->ctl->out);
	}
	if (code == CTL_OK && (result.stats.failed > 0 || result.stopped)) {
		code = CTL_FAILED;
	}
	ctl_stats_fini(&result.stats);
	return code;
}

/* --as, else MESH_SERVICE, else the token's; else "meshctl", so that a call needs no ceremony. */
static const char *calling_service(const struct ctl *ctl)
{
	const char *as = ctl_text(&ctl->args, "as");

	if (as == NULL) {
		as = ctl_env("MESH_SERVICE");
	}
	return as != NULL || ctl_env("MESH_TOKEN") != NULL || ctl_env("MESH_CERTIFICATE") != NULL ? as : "meshctl";
}

static int join_and_call(struct calling *c)
{
	bool many = c->calls > 1, stopped = false;
	int signals = many ? ctl_signals_open() : -1;
	int code = ctl_join(c->ctl, calling_service(c->ctl), &c->m);

	if (code == CTL_OK) {
		code = ctl_join_wait(c->ctl, c->m, READY_MS, signals, &stopped);
	}
	if (code == CTL_OK && !stopped) {
		code = probe_request(c);
	}
	if (code == CTL_OK && !stopped) {
		code = many ? call_many(c, signals) : call_once(c);
	}
	if (many) {
		ctl_signals_close(signals);
	}
	if (c->m != NULL) {
		(void)mesh_close(c->m, 0);
	}
	return stopped ? CTL_FAILED : code;
}

static int call_run(struct ctl *ctl)
{
	struct calling c = {.ctl = ctl};
	int code = read_arguments(&c);

	if (code == CTL_OK) {
		code = join_and_call(&c);
	}
	mesh__buf_fini(&c.body);
	return code;
}

static const struct ctl_option call_options[] = {
	{"as", 0, CTL_TEXT, "SERVICE", "the service to call as (else MESH_SERVICE, else \"meshctl\")", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"method", 'X', CTL_TEXT, "METHOD", "default: GET, or POST with a body", 0, 0},
	{"header", 'H', CTL_LIST, "NAME:VALUE", "a header field", 0, 0},
	{"body", 'd', CTL_TEXT, "BODY", "the body; @FILE reads a file, - the standard input", 0, 0},
	{"number", 'n', CTL_INTEGER, "N", "make N calls, and print counts and percentiles", 1, CTL_LOAD_CALLS_MAX},
	{"concurrency", 'c', CTL_INTEGER, "N", "so many at a time (default: 1), each on a thread", 1, CTL_LOAD_UNDER_WAY_MAX},
	{"async", 0, CTL_FLAG, NULL, "all of them on one thread, which waits for none", 0, 0},
	{"rate", 0, CTL_DECIMAL, "R", "begin R calls a second (default: as fast as it goes)", 1, INT64_C(1000000000)},
	{"idempotent", 0, CTL_FLAG, NULL, "it may be processed twice, and so be repeated, whatever its method", 0, 0},
	{"timeout", 0, CTL_DURATION, "TIME", "for each call, tries included (default: the service's)", 1, 86400000},
	{0},
};

const struct ctl_command ctl_call = {
	"call", "SERVICE PATH", 2, 2, "call a service, once or many times",
	"Joins as the calling service and calls SERVICE, or SERVICE.NAMESPACE. One call prints the response's body alone, byte\n"
	"for byte. -n prints how many were answered, by whom, and how fast; percentiles are exact, and with --rate a call's time\n"
	"counts from the moment it was due. It exits with 1 when any call failed or was answered with 4xx or 5xx.\n"
	"MESH_TOKEN unset: it makes a token by itself, where meshd's admin interface is at hand.",
	"  $ meshctl call --as cart payments /make-payment -d '{\"amount\": 12}'\n"
	"  $ meshctl call payments / -n 10000 -c 32\n"
	"  10000 calls in 0.91 s (10989 a second): 10000 ok, 0 failed, 10000 tries\n"
	"  $ meshctl call payments / -n 600 --rate 10 -o json\n"
	"  $ meshctl call payments / -n 100000 -c 1000 --async\n",
	call_options, call_run,
};
