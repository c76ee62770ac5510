/* check: looks at everything that has to be right, each thing by name, with the remedy for what is not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "meshctl/admin.h"
#include "meshctl/check.h"
#include "meshctl/files.h"
#include "meshctl/print.h"

enum { TARGET_MAX = 1024, MIB = 1024 * 1024, FREE_LOW_MIB = 64, CLOCK_EARLIEST_YEAR_2020_S = 1577836800 };

static const int64_t soon_ms = INT64_C(30) * 86400000; /* a CA that ends within it is worth a word */

/* What the checks look at, fetched once. */
struct checkup {
	struct ctl *ctl;
	struct ctl_admin admin;
	struct mesh__json *status; /* NULL when meshd did not answer */
	struct ctl_checks checks;
	bool reachable;
};

/* ---- The results ---- */

static const char *const state_words[] = {"ok", "warn", "fail"};
static const char *const state_colors[] = {"\033[32m", "\033[33m", "\033[31m"};

static void add(struct ctl_checks *checks, const char *name, enum ctl_check_state state, const char *detail, const char *remedy)
{
	struct ctl_check *c;

	if (checks->n == CTL_CHECKS_MAX) {
		return;
	}
	c = &checks->check[checks->n++];
	c->name = name;
	c->state = state;
	(void)snprintf(c->detail, sizeof(c->detail), "%s", detail);
	(void)snprintf(c->remedy, sizeof(c->remedy), "%s", remedy);
}

bool ctl_checks_failed(const struct ctl_checks *checks)
{
	for (size_t i = 0; i < checks->n; i++) {
		if (checks->check[i].state == CTL_CHECK_FAIL) {
			return true;
		}
	}
	return false;
}

void ctl_checks_text(const struct ctl_checks *checks, bool color, struct mesh__buf *out)
{
	for (size_t i = 0; i < checks->n; i++) {
		const struct ctl_check *c = &checks->check[i];
		mesh__buf_printf(out, "%s%-4s%s  %-14s  %s\n", color ? state_colors[c->state] : "", state_words[c->state],
			color ? "\033[0m" : "", c->name, c->detail);
		if (c->remedy[0] != '\0') {
			mesh__buf_printf(out, "      %-14s  -> %s\n", "", c->remedy);
		}
	}
}

void ctl_checks_json(const struct ctl_checks *checks, struct mesh__buf *out)
{
	struct mesh__json_out json = {out, false};

	mesh__json_open(&json, NULL, '[');
	for (size_t i = 0; i < checks->n; i++) {
		const struct ctl_check *c = &checks->check[i];
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "check", c->name);
		mesh__json_put_text(&json, "state", state_words[c->state]);
		mesh__json_put_text(&json, "detail", c->detail);
		mesh__json_put_text(&json, "remedy", c->remedy[0] != '\0' ? c->remedy : NULL);
		mesh__json_close(&json, '}');
	}
	mesh__json_close(&json, ']');
	mesh__buf_chr(out, '\n');
}

/* ---- Pure judgements ---- */

void ctl_check_expiry(struct ctl_checks *checks, const char *name, int64_t not_after_ms, int64_t now_ms)
{
	char at[CTL_TIME_TEXT], span[CTL_SPAN_TEXT], detail[CTL_CHECK_TEXT];
	int64_t left_ms = not_after_ms - now_ms;

	ctl_time_format(not_after_ms, at);
	ctl_span_format(left_ms > 0 ? left_ms : -left_ms, span);
	if (left_ms <= 0) {
		(void)snprintf(detail, sizeof(detail), "ended %s ago, at %s", span, at);
		add(checks, name, CTL_CHECK_FAIL, detail,
			"make a new one with meshca and start meshd again; no certificate is good without it");
		return;
	}
	(void)snprintf(detail, sizeof(detail), "good for %s, until %s", span, at);
	add(checks, name, left_ms < soon_ms ? CTL_CHECK_WARN : CTL_CHECK_OK, detail,
		left_ms < soon_ms ? "plan its renewal with meshca now" : "");
}

void ctl_check_mode(struct ctl_checks *checks, const char *name, const char *path, unsigned mode, unsigned allowed)
{
	char detail[CTL_CHECK_TEXT], remedy[CTL_CHECK_TEXT];
	bool loose = (mode & 0777 & ~allowed) != 0;

	(void)snprintf(detail, sizeof(detail), "%.160s has mode %04o", path, mode & 0777);
	(void)snprintf(remedy, sizeof(remedy), "others can read what only meshd may: chmod %04o %.160s", allowed, path);
	add(checks, name, loose ? CTL_CHECK_FAIL : CTL_CHECK_OK, detail, loose ? remedy : "");
}

void ctl_check_space(struct ctl_checks *checks, const char *path, uint64_t free_bytes)
{
	char detail[CTL_CHECK_TEXT];
	bool low = free_bytes < (uint64_t)FREE_LOW_MIB * MIB;

	(void)snprintf(detail, sizeof(detail), "%llu MiB are free on the file system of %.160s", (unsigned long long)(free_bytes / MIB), path);
	add(checks, "disk", low ? CTL_CHECK_WARN : CTL_CHECK_OK, detail,
		low ? "make room; when it is full nobody can join or renew, and nothing can be configured" : "");
}

/* ---- What is asked of meshd ---- */

static void check_reachable(struct checkup *u)
{
	struct mesh__err err = MESH__NO_ERR;
	char detail[CTL_CHECK_TEXT];

	if (ctl_admin_exchange(&u->admin, "GET", "/livez", NULL, &err) != MESH_OK) {
		add(&u->checks, "meshd", CTL_CHECK_FAIL, err.message, "");
		return;
	}
	(void)snprintf(detail, sizeof(detail), "answers at %.200s", u->admin.place.admin);
	add(&u->checks, "meshd", CTL_CHECK_OK, detail, "");
	u->reachable = true;
}

/* Not ctl_admin_call(): a refusal here is a finding, not the end. */
static void check_token(struct checkup *u)
{
	struct mesh__err err = MESH__NO_ERR;
	const struct mesh__client_response *r = &u->admin.response;

	if (ctl_admin_exchange(&u->admin, "GET", "/v1/status", NULL, &err) != MESH_OK) {
		add(&u->checks, "admin token", CTL_CHECK_FAIL, err.message, "try again; if it stays, read meshd's log");
	} else if (r->status != 200) {
		add(&u->checks, "admin token", CTL_CHECK_FAIL, "meshd refused it",
			"take it from admin.token in meshd's data directory, and run as the user that meshd runs as");
	} else if (mesh__json_parse(&u->ctl->env.mem, r->body.data != NULL ? r->body.data : "", r->body.len,
		r->body.len + 1, &u->status, &err) != MESH_OK) {
		add(&u->checks, "admin token", CTL_CHECK_FAIL, "something else than meshd answers there", "correct --data or MESH_ADMIN");
	} else {
		add(&u->checks, "admin token", CTL_CHECK_OK, "meshd takes it", "");
	}
}

static void check_ready(struct checkup *u)
{
	const struct mesh__json *reason = mesh__json_first(mesh__json_get(u->status, "reasons"));
	const char *text = mesh__json_text(reason);
	bool ready = false;

	if (mesh__json_bool(mesh__json_get(u->status, "ready"), &ready) && ready) {
		add(&u->checks, "ready", CTL_CHECK_OK, "meshd serves", "");
	} else {
		add(&u->checks, "ready", CTL_CHECK_FAIL, text != NULL ? text : "meshd does not serve yet",
			"wait a moment; if it stays, read meshd's log");
	}
}

static void check_ca(struct checkup *u)
{
	const struct mesh__json *ca = mesh__json_get(u->status, "ca");
	int64_t ms, now_ms = mesh__wall_ms(&u->ctl->env);

	if (mesh__json_i64(mesh__json_get(ca, "rootNotAfter"), 0, INT64_MAX, &ms)) {
		ctl_check_expiry(&u->checks, "CA root", ms, now_ms);
	}
	if (mesh__json_i64(mesh__json_get(ca, "issuerNotAfter"), 0, INT64_MAX, &ms)) {
		ctl_check_expiry(&u->checks, "CA issuer", ms, now_ms);
	}
}

static void check_clock(struct checkup *u)
{
	char at[CTL_TIME_TEXT];
	int64_t now_ms = mesh__wall_ms(&u->ctl->env);
	bool sane = now_ms / 1000 > CLOCK_EARLIEST_YEAR_2020_S;

	ctl_time_format(now_ms, at);
	add(&u->checks, "clock", sane ? CTL_CHECK_OK : CTL_CHECK_FAIL, at,
		sane ? "" : "set this machine's clock: certificates are judged by it");
}

static int count_state(const struct mesh__json *endpoints, const char *state)
{
	int n = 0;

	for (const struct mesh__json *e = mesh__json_first(endpoints); e != NULL; e = mesh__json_next(e)) {
		const char *is = mesh__json_text(mesh__json_get(e, "state"));
		n += is != NULL && strcmp(is, state) == 0;
	}
	return n;
}

/* One line a service that has something to say, and one for all the others. */
static bool check_service(struct checkup *u, const struct mesh__json *service)
{
	const char *name = mesh__json_text(mesh__json_get(service, "service")),
		*ns = mesh__json_text(mesh__json_get(service, "namespace"));
	struct mesh__json *endpoints = NULL;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf target;
	char key[192], detail[CTL_CHECK_TEXT];
	size_t n;
	bool healthy = true;

	(void)snprintf(key, sizeof(key), "%.80s.%.80s", name != NULL ? name : "?", ns != NULL ? ns : "default");
	mesh__buf_init(&target, &u->ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&target, "/v1/endpoints");
	ctl_target_query(&target, "service", key);
	if (target.error == MESH_OK && ctl_admin_exchange(&u->admin, "GET", target.data, NULL, &err) == MESH_OK &&
		u->admin.response.status == 200) {
		const struct mesh__buf *body = &u->admin.response.body;
		(void)!mesh__json_parse(&u->ctl->env.mem, body->data != NULL ? body->data : "", body->len, body->len + 1,
			&endpoints, NULL);
	}
	n = mesh__json_count(endpoints);
	if (n == 0) {
		(void)snprintf(detail, sizeof(detail), "%s has no instance", key);
		add(&u->checks, "endpoints", CTL_CHECK_WARN, detail, "start one; until then calls to it fail");
		healthy = false;
	} else if (count_state(endpoints, "expiring") > 0) {
		(void)snprintf(detail, sizeof(detail), "%s: %d of %zu are late with their heartbeat", key,
			count_state(endpoints, "expiring"), n);
		add(&u->checks, "endpoints", CTL_CHECK_WARN, detail,
			"look whether these processes still run; they are removed when their lease ends");
		healthy = false;
	}
	mesh__json_free(endpoints);
	mesh__buf_fini(&target);
	return healthy;
}

static void check_endpoints(struct checkup *u)
{
	struct mesh__json *services = NULL;
	char detail[CTL_CHECK_TEXT];
	size_t healthy = 0;

	if (ctl_admin_call(&u->admin, "GET", "/v1/services", NULL, &services) != CTL_OK) {
		add(&u->checks, "endpoints", CTL_CHECK_FAIL, "meshd does not list its services", "read meshd's log");
		return;
	}
	for (const struct mesh__json *s = mesh__json_first(services); s != NULL; s = mesh__json_next(s)) {
		healthy += check_service(u, s);
	}
	(void)snprintf(detail, sizeof(detail), "%zu of %zu services have instances, all of them healthy", healthy,
		mesh__json_count(services));
	add(&u->checks, "endpoints", CTL_CHECK_OK, detail, "");
	mesh__json_free(services);
}

/* ---- What is looked at here ---- */

static void check_data_dir(struct checkup *u)
{
	const char *dir = u->admin.place.data;
	char path[PATH_MAX], detail[CTL_CHECK_TEXT];
	struct statvfs fs;
	struct stat st;

	if (dir[0] == '\0') {
		return;
	}
	if (stat(dir, &st) != 0) {
		(void)snprintf(detail, sizeof(detail), "%.160s: %s", dir, strerror(errno));
		add(&u->checks, "data directory", CTL_CHECK_FAIL, detail,
			errno == ENOENT ? "correct --data or MESH_DATA" : "run as the user that meshd runs as");
		return;
	}
	ctl_check_mode(&u->checks, "data directory", dir, st.st_mode, 0700);
	if (ctl_file_path(dir, "admin.token", path, sizeof(path)) && stat(path, &st) == 0) {
		ctl_check_mode(&u->checks, "token file", path, st.st_mode, 0600);
	}
	if (statvfs(dir, &fs) == 0) {
		ctl_check_space(&u->checks, dir, (uint64_t)fs.f_bavail * fs.f_frsize);
	}
}

static void run_checks(struct checkup *u)
{
	check_clock(u);
	check_data_dir(u);
	check_reachable(u);
	if (u->reachable) {
		check_token(u);
	}
	if (u->status != NULL) {
		check_ready(u);
		check_ca(u);
		check_endpoints(u);
	}
}

/* meshd is known by its directory alone, and does not run, or its files cannot be read. */
static int run_checks_without_meshd(struct checkup *u, int code, const struct mesh__err *err)
{
	if (u->admin.place.data[0] == '\0' || code == CTL_USAGE) {
		return ctl_fail_err(u->ctl, code, err);
	}
	check_clock(u);
	check_data_dir(u);
	add(&u->checks, "meshd", CTL_CHECK_FAIL, err->message, err->code == MESH_E_NOT_FOUND ? "" : "run as the user that meshd runs as");
	return code;
}

static int check_run(struct ctl *ctl)
{
	struct checkup u = {.ctl = ctl};
	struct mesh__err err = MESH__NO_ERR;
	int code = ctl_admin_exit(ctl_admin_try(ctl, &u.admin, &err));

	if (code == CTL_OK) {
		run_checks(&u);
		code = !u.reachable ? CTL_UNREACHABLE : ctl_checks_failed(&u.checks) ? CTL_FAILED : CTL_OK;
	} else {
		code = run_checks_without_meshd(&u, code, &err);
	}
	if (ctl->json && u.checks.n > 0) {
		ctl_checks_json(&u.checks, &ctl->out);
	} else {
		ctl_checks_text(&u.checks, ctl->color, &ctl->out);
	}
	mesh__json_free(u.status);
	ctl_admin_close(&u.admin);
	return code;
}

const struct ctl_command ctl_check = {
	"check", "", 0, 0, "look for what is wrong, and say what to do",
	"Looks at this machine's clock, meshd's directory and the room left for it, whether meshd answers and is ready, how long its CA is good, and whether\n"
	"services have healthy instances. One line each: ok, warn or fail, with the remedy. It exits with 1 when any\n"
	"failed, and with 3 when meshd cannot be reached.",
	"  $ meshctl check\n  ok    clock           2026-01-31T12:00:00Z\n  ok    meshd           answers at http://127.0.0.1:7441\n"
	"  warn  endpoints       cart.default has no instance\n                        -> start one; until then calls to it fail\n",
	NULL, check_run,
};
