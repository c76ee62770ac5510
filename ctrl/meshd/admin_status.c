#include "meshd/admin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

enum { AUDIT_DEFAULT = 100, AUDIT_MAX = 10000 };

static void add_reason(struct mesh__json_out *json, struct mesh__buf *lines, bool *ready, const char *reason)
{
	*ready = false;
	if (json != NULL) {
		mesh__json_put_text(json, NULL, reason);
	} else {
		mesh__buf_printf(lines, "%s\n", reason);
	}
}

bool meshd_admin_ready(struct meshd *meshd, struct mesh__json_out *json, struct mesh__buf *lines)
{
	const struct meshd_ca_info *told = meshd_ca_told(meshd->ca);
	struct mesh__err err = MESH__NO_ERR;
	uint64_t version;
	bool ready = true;

	if (!meshd_ca_is_up(meshd->ca)) {
		add_reason(json, lines, &ready, "the CA is not up: nobody can join or renew at present");
	}
	if (told != NULL && told->issuer_not_after_ms <= mesh__wall_ms(meshd->env)) {
		add_reason(json, lines, &ready, "the CA's issuing certificate has expired");
	}
	if (meshd_datadir_check(&meshd->dir, &err) != MESH_OK) {
		add_reason(json, lines, &ready, err.message);
	}
	if (meshd_store_trust_version(meshd->store, &version, &err) != MESH_OK) {
		add_reason(json, lines, &ready, err.message);
	}
	if (meshd->stopping) {
		add_reason(json, lines, &ready, "meshd is stopping");
	}
	return ready;
}

void meshd_admin_livez(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__buf out;

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, 64);
	mesh__buf_str(&out, "ok\n"); /* the loop runs, or this would not be written */
	meshd_reply(x, 200, "text/plain", &out);
}

void meshd_admin_readyz(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__buf out;
	bool ready;

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, 4096);
	ready = meshd_admin_ready(meshd, NULL, &out);
	if (ready) {
		mesh__buf_str(&out, "ok\n");
	}
	meshd_reply(x, ready ? 200 : 503, "text/plain", &out);
}

void meshd_admin_metrics(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	const struct {
		const char *name, *help;
		int64_t value;
	} gauges[] = {
		{"mesh_sessions", "Processes that watch.", (int64_t)meshd_watch_n_sessions(meshd->watch)},
		{"mesh_services", "Services that have ever registered.", (int64_t)meshd_registry_services(meshd->registry)->n},
		{"mesh_endpoints", "Registered instances.", (int64_t)meshd_registry_n_live(meshd->registry)},
		{"mesh_generation", "The configuration's generation.", (int64_t)meshd_config_generation(meshd->config)},
		{"mesh_ca_up", "1 while the CA answers.", meshd_ca_is_up(meshd->ca) ? 1 : 0},
	};
	struct mesh__buf out;

	(void)body;
	(void)rest;
	for (size_t i = 0; i < MESH__COUNT(gauges); i++) {
		mesh__gauge_set(mesh__metrics_gauge(meshd->metrics, gauges[i].name, gauges[i].help, NULL, NULL), gauges[i].value);
	}
	meshd_admin_sync_metrics(meshd);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	mesh__metrics_text(meshd->metrics, &out);
	meshd_reply(x, 200, "text/plain; version=0.0.4", &out);
}

void meshd_admin_status(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	const struct meshd_ca_info *told = meshd_ca_told(meshd->ca);
	struct mesh__json_out json;
	struct mesh__buf out;
	bool ready;

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, 64 * 1024);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "version", MESHD_VERSION);
	mesh__json_put_text(&json, "trustDomain", meshd->options->trust_domain);
	mesh__json_put_text(&json, "control", meshd->control_url);
	mesh__json_put_text(&json, "admin", meshd->admin_url);
	mesh__json_put_int(&json, "pid", getpid());
	mesh__json_put_u64(&json, "generation", meshd_config_generation(meshd->config));
	mesh__json_put_u64(&json, "uptimeMs", (uint64_t)(mesh__mono_ms(meshd->env) - meshd->started_ms));
	mesh__json_put_int(&json, "sessions", (int64_t)meshd_watch_n_sessions(meshd->watch));
	mesh__json_put_int(&json, "services", (int64_t)meshd_registry_services(meshd->registry)->n);
	mesh__json_put_int(&json, "endpoints", (int64_t)meshd_registry_n_live(meshd->registry));
	mesh__json_open(&json, "ca", '{');
	if (told != NULL) {
		mesh__json_put_text(&json, "rootPin", told->root_pin);
		mesh__json_put_u64(&json, "rootNotAfter", (uint64_t)told->root_not_after_ms);
		mesh__json_put_u64(&json, "issuerNotAfter", (uint64_t)told->issuer_not_after_ms);
	}
	mesh__json_close(&json, '}');
	mesh__json_open(&json, "reasons", '[');
	ready = meshd_admin_ready(meshd, &json, NULL);
	mesh__json_close(&json, ']');
	mesh__json_put_bool(&json, "ready", ready);
	mesh__json_close(&json, '}');
	meshd_reply_json(x, 200, &out);
}

void meshd_admin_audit(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	uint64_t limit = AUDIT_DEFAULT;
	struct mesh__buf out;
	char text[24];

	(void)body;
	(void)rest;
	if (mesh__query_get(mesh__exchange_query(x), "limit", text, sizeof(text)) != MESH__QUERY_ABSENT && (!mesh__str_u64(text, strlen(text), AUDIT_MAX, &limit) || limit == 0)) {
		mesh__exchange_refuse(x, 400, "invalid", "limit must be a whole number between 1 and 10000");
		return;
	}
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	if (meshd_audit_tail(meshd->audit, (int64_t)limit, &out, &err) != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	meshd_reply_json(x, 200, &out);
}
