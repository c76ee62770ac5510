/* services, endpoints, members, status: what the mesh looks like now. */
#include <stdio.h>
#include <string.h>

#include "meshctl/admin.h"
#include "meshctl/print.h"
#include "wire/name.h"

enum { TARGET_MAX = 1024, STATE_MAX = 160 };

/* Fetches `target` and shows it: as it came with -o json, else by `show`. */
static int fetch_and_show(struct ctl *ctl, const char *target, void (*show)(struct ctl *ctl, const struct mesh__json *answer))
{
	struct mesh__json *answer = NULL;
	int code = ctl_admin_once(ctl, "GET", target, NULL, &answer);

	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		show(ctl, answer);
	}
	mesh__json_free(answer);
	return code;
}

/* ---- services ---- */

static void show_services(struct ctl *ctl, const struct mesh__json *list)
{
	static const char *const heads[] = {"SERVICE", "ENDPOINTS", "STATIC", "PROTOCOL", "TIMEOUT", "CONNECT",
		"BALANCER", "GENERATION"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *s = mesh__json_first(list); s != NULL; s = mesh__json_next(s)) {
		ctl_table_service(&table, s);
		ctl_table_json(&table, s, "endpoints");
		ctl_table_json(&table, s, "static");
		ctl_table_json(&table, s, "protocol");
		ctl_table_duration(&table, s, "timeoutMs");
		ctl_table_duration(&table, s, "connectTimeoutMs");
		ctl_table_json(&table, s, "loadBalancer");
		ctl_table_json(&table, s, "generation");
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int services_run(struct ctl *ctl)
{
	return fetch_and_show(ctl, "/v1/services", show_services);
}

const struct ctl_command ctl_services = {
	"services", "", 0, 0, "list the services and what their calls go by",
	"Lists every service that meshd knows, how many instances it has at present, and the configuration that is in force.",
	"  $ meshctl services\n",
	NULL, services_run,
};

/* ---- endpoints ---- */

static int64_t count_of(const struct mesh__json *object, const char *key)
{
	int64_t n = 0;

	(void)mesh__json_i64(mesh__json_get(object, key), 0, INT64_MAX, &n);
	return n;
}

/* What meshd knows of it by itself, and what its callers say: "healthy", "ejected by 3 of 12 callers", "expiring, failing checks of 1 of 2 callers". */
static void state_cell(struct ctl_table *table, const struct mesh__json *e)
{
	int64_t ejected = count_of(e, "ejectedBy"), failed = count_of(e, "failedCheckOf");
	const char *own = mesh__json_text(mesh__json_get(e, "state"));
	char text[STATE_MAX];
	size_t len;

	own = own == NULL ? "" : own;
	if (ejected == 0 && failed == 0) {
		ctl_table_cell(table, own);
		return;
	}
	len = strcmp(own, "healthy") == 0 ? 0 : (size_t)snprintf(text, sizeof(text), "%.20s, ", own);
	if (ejected > 0) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "ejected by %lld%s", (long long)ejected, failed > 0 ? ", " : "");
	}
	if (failed > 0) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "failing checks of %lld", (long long)failed);
	}
	(void)snprintf(text + len, sizeof(text) - len, " of %lld caller%s", (long long)count_of(e, "callers"), count_of(e, "callers") == 1 ? "" : "s");
	ctl_table_cell(table, text);
}

static void show_endpoints(struct ctl *ctl, const struct mesh__json *list)
{
	static const char *const heads[] = {"INSTANCE", "ADDRESS", "VERSION", "ZONE", "STATE"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *e = mesh__json_first(list); e != NULL; e = mesh__json_next(e)) {
		ctl_table_json(&table, e, "instance");
		ctl_table_json(&table, e, "address");
		ctl_table_json(&table, e, "version");
		ctl_table_json(&table, e, "zone");
		state_cell(&table, e);
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int endpoints_run(struct ctl *ctl)
{
	struct mesh__err err = MESH__NO_ERR;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__buf target;
	struct mesh__name name;
	int code;

	if (mesh__service_parse(ctl_operand(&ctl->args, 0), ctl_namespace(ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	mesh__service_key(&name, key);
	mesh__buf_init(&target, &ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&target, "/v1/endpoints");
	ctl_target_query(&target, "service", key);
	code = target.error == MESH_OK ? fetch_and_show(ctl, target.data, show_endpoints) : ctl_fail_memory(ctl);
	mesh__buf_fini(&target);
	return code;
}

static const struct ctl_option endpoints_options[] = {
	{"namespace", 0, CTL_TEXT, "NAME", "of the service (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{0},
};

const struct ctl_command ctl_endpoints = {
	"endpoints", "SERVICE", 1, 1, "list the instances of a service",
	"Lists the instances that callers of SERVICE (or SERVICE.NAMESPACE) are told of: healthy ones, those whose heartbeat is\n"
	"late (expiring), and those named by a `kind: Endpoints` document (static); and how many of the processes that call the\n"
	"service leave them alone: because outlier detection ejected them, or because they fail those processes' health checks.",
	"  $ meshctl endpoints payments\n  INSTANCE          ADDRESS          VERSION  ZONE  STATE\n  5c1f09a2d7e84b36  127.0.0.1:40123  v1       -     healthy\n",
	endpoints_options, endpoints_run,
};

/* ---- members ---- */

static void subscriptions_cell(struct ctl *ctl, struct ctl_table *table, const struct mesh__json *member)
{
	const struct mesh__json *list = mesh__json_get(member, "subscriptions");
	struct mesh__buf text;

	mesh__buf_init(&text, &ctl->env.mem, 64 * 1024);
	for (const struct mesh__json *s = mesh__json_first(list); s != NULL; s = mesh__json_next(s)) {
		const char *service = mesh__json_text(s);
		mesh__buf_printf(&text, "%s%s", text.len > 0 ? "," : "", service != NULL ? service : "?");
	}
	ctl_table_cell(table, text.data);
	mesh__buf_fini(&text);
}

static void show_members(struct ctl *ctl, const struct mesh__json *list)
{
	static const char *const heads[] = {"SPIFFE ID", "INSTANCE", "FROM", "SERVING", "SINCE", "GENERATION", "CALLS"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *m = mesh__json_first(list); m != NULL; m = mesh__json_next(m)) {
		ctl_table_json(&table, m, "spiffeId");
		ctl_table_json(&table, m, "instance");
		ctl_table_json(&table, m, "address");
		ctl_table_json(&table, m, "serving");
		ctl_table_time(&table, m, "since");
		ctl_table_json(&table, m, "generation");
		subscriptions_cell(ctl, &table, m);
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int members_run(struct ctl *ctl)
{
	return fetch_and_show(ctl, "/v1/members", show_members);
}

const struct ctl_command ctl_members = {
	"members", "", 0, 0, "list the processes that are connected",
	"Lists each process with a session at meshd: who it is, where it connects from, whether it serves, and which services it\n"
	"calls.",
	"  $ meshctl members\n",
	NULL, members_run,
};

/* ---- status ---- */

static void status_line(struct ctl *ctl, const char *label, const struct mesh__json *object, const char *key)
{
	const struct mesh__json *value = mesh__json_get(object, key);
	int64_t number;

	if (mesh__json_text(value) != NULL) {
		mesh__buf_printf(&ctl->out, "%-14s %s\n", label, mesh__json_text(value));
	} else if (mesh__json_i64(value, INT64_MIN, INT64_MAX, &number)) {
		mesh__buf_printf(&ctl->out, "%-14s %lld\n", label, (long long)number);
	}
}

static void status_time(struct ctl *ctl, const char *label, const struct mesh__json *object, const char *key)
{
	char at[CTL_TIME_TEXT], span[CTL_SPAN_TEXT];
	int64_t ms;

	if (mesh__json_i64(mesh__json_get(object, key), 0, INT64_MAX, &ms)) {
		int64_t left_ms = ms - mesh__wall_ms(&ctl->env);
		ctl_time_format(ms, at);
		ctl_span_format(left_ms > 0 ? left_ms : 0, span);
		mesh__buf_printf(&ctl->out, "%-14s %s (%s left)\n", label, at, span);
	}
}

static void show_status(struct ctl *ctl, const struct mesh__json *status)
{
	const struct mesh__json *ca = mesh__json_get(status, "ca");
	char span[CTL_SPAN_TEXT];
	bool ready = false;
	int64_t ms;

	(void)mesh__json_bool(mesh__json_get(status, "ready"), &ready);
	mesh__buf_printf(&ctl->out, "%-14s %s\n", "ready", ready ? "yes" : "no");
	for (const struct mesh__json *r = mesh__json_first(mesh__json_get(status, "reasons")); r != NULL; r = mesh__json_next(r)) {
		mesh__buf_printf(&ctl->out, "%-14s %s\n", "", mesh__json_text(r) != NULL ? mesh__json_text(r) : "");
	}
	status_line(ctl, "version", status, "version");
	status_line(ctl, "trust domain", status, "trustDomain");
	status_line(ctl, "control", status, "control");
	status_line(ctl, "admin", status, "admin");
	status_line(ctl, "pid", status, "pid");
	if (mesh__json_i64(mesh__json_get(status, "uptimeMs"), 0, INT64_MAX, &ms)) {
		ctl_span_format(ms, span);
		mesh__buf_printf(&ctl->out, "%-14s %s\n", "up for", span);
	}
	status_line(ctl, "generation", status, "generation");
	status_line(ctl, "sessions", status, "sessions");
	status_line(ctl, "services", status, "services");
	status_line(ctl, "endpoints", status, "endpoints");
	status_line(ctl, "root pin", ca, "rootPin");
	status_time(ctl, "root until", ca, "rootNotAfter");
	status_time(ctl, "issuer until", ca, "issuerNotAfter");
}

static int status_run(struct ctl *ctl)
{
	struct mesh__json *status = NULL;
	bool ready = false;
	int code = ctl_admin_once(ctl, "GET", "/v1/status", NULL, &status);

	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, status);
	} else if (code == CTL_OK) {
		show_status(ctl, status);
	}
	if (code == CTL_OK && !(mesh__json_bool(mesh__json_get(status, "ready"), &ready) && ready)) {
		code = CTL_FAILED;
	}
	mesh__json_free(status);
	return code;
}

const struct ctl_command ctl_status = {
	"status", "", 0, 0, "show how meshd is",
	"Shows meshd's version, addresses, trust domain, how much it holds, and until when its CA is good. It exits with 1 when\n"
	"meshd is not ready, and tells the reasons. `meshctl check` looks closer.",
	"  $ meshctl status\n  ready          yes\n  version        0.1.0\n",
	NULL, status_run,
};
