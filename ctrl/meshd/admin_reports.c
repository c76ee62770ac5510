#include "meshd/admin.h"

#include "meshd/report.h"
#include "meshd/reply.h"

static void put_endpoint(struct mesh__json_out *json, const struct meshd_reported *e)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "instance", e->instance);
	mesh__json_put_bool(json, "ejected", e->ejected);
	mesh__json_put_bool(json, "failedCheck", e->failed_check);
	if (e->cost_us > 0) {
		mesh__json_put_double(json, "costMs", (double)e->cost_us / 1000, 3);
	}
	mesh__json_close(json, '}');
}

static void put_report(struct mesh__json_out *json, const struct meshd_subscription *sub)
{
	const struct meshd_session *session = sub->session;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "spiffeId", session->peer.spiffe);
	mesh__json_put_text(json, "instance", session->instance);
	mesh__json_put_text(json, "session", session->id);
	mesh__json_put_u64(json, "at", (uint64_t)session->reported_ms);
	mesh__json_open(json, "endpoints", '[');
	for (size_t i = 0; i < sub->report->n; i++) {
		put_endpoint(json, &sub->report->endpoints[i]);
	}
	mesh__json_close(json, ']');
	mesh__json_close(json, '}');
}

void meshd_admin_reports(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__json_out json;
	struct mesh__name name;
	struct mesh__buf out;

	(void)body;
	(void)rest;
	if (meshd_admin_service_of(x, &name, &err) != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__service_key(&name, key);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	for (const struct meshd_subscription *sub = meshd_watch_subscribers(meshd->watch, key); sub != NULL; sub = sub->next_of_topic) {
		if (sub->report != NULL && !sub->session->over) {
			put_report(&json, sub);
		}
	}
	mesh__json_close(&json, ']');
	meshd_reply_json(x, 200, &out);
}
