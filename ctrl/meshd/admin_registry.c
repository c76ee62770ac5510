#include "meshd/admin.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "meshd/effective.h"
#include "meshd/reply.h"
#include "meshd/report.h"
#include "wire/url.h"

/* ---- Keys, sorted: a map has no order, and people look things up. ---- */

struct keys {
	const char **list; /* borrowed */
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_a_service(enum mesh__kind kind)
{
	return kind == MESH__KIND_SERVICE || kind == MESH__KIND_ENDPOINTS;
}

/* The services that have registered and those that documents name, each once. */
static bool service_keys(struct meshd *meshd, struct mesh__map *seen, struct keys *keys)
{
	const struct mesh__map *services = meshd_registry_services(meshd->registry);
	const struct mesh__map *entries = meshd_config_entries(meshd->config);
	char key[MESH__SERVICE_KEY_MAX];

	for (struct mesh__map_entry *e = mesh__map_next(services, NULL); e != NULL; e = mesh__map_next(services, e)) {
		if (!mesh__map_put(seen, e->key, meshd, NULL)) {
			return false;
		}
	}
	for (struct mesh__map_entry *e = mesh__map_next(entries, NULL); e != NULL; e = mesh__map_next(entries, e)) {
		const struct meshd_config_entry *entry = e->value;

		mesh__service_key(&entry->row.name, key);
		if (entry->row.text != NULL && names_a_service(entry->row.kind) && !mesh__map_put(seen, key, meshd, NULL)) {
			return false;
		}
	}
	keys->list = mesh__alloc_array(&meshd->env->mem, seen->n + 1, sizeof(*keys->list));
	if (keys->list == NULL) {
		return false;
	}
	for (struct mesh__map_entry *e = mesh__map_next(seen, NULL); e != NULL; e = mesh__map_next(seen, e)) {
		keys->list[keys->n++] = e->key;
	}
	qsort(keys->list, keys->n, sizeof(*keys->list), by_text);
	return true;
}

/* ---- Services. ---- */

/* What the service goes by; *parsed, which it leads into, is to be freed. False when out of memory. */
static bool policy_of(struct meshd *meshd, const char *key, const struct mesh__name *name, struct mesh__document **parsed, struct mesh__service_policy *values)
{
	struct meshd_effective effective = {.text = NULL};
	const char *text = NULL;
	int code = meshd_effective_text(meshd->config, key, &effective, &text, NULL);

	mesh__service_policy_default(values);
	if (code == MESH_OK && text != NULL) {
		code = mesh__effective_parse(&meshd->env->mem, key, text, name->ns, parsed, NULL);
	}
	if (*parsed != NULL) {
		*values = (*parsed)->service;
	}
	meshd_effective_fini(&effective);
	return code == MESH_OK;
}

static void put_service(struct meshd *meshd, struct mesh__json_out *json, const char *key)
{
	const struct meshd_service *service = meshd_registry_find(meshd->registry, key);
	const struct meshd_config_entry *statics = meshd_config_find(meshd->config, MESH__KIND_ENDPOINTS, key);
	struct mesh__document *parsed = NULL;
	struct mesh__service_policy values;
	struct mesh__name name;

	if (mesh__service_parse(key, "default", &name, NULL) != MESH_OK || !policy_of(meshd, key, &name, &parsed, &values)) {
		json->buf->error = MESH_E_NO_MEMORY; /* the key is a name, and what was merged is a document */
		return;
	}
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "service", name.service);
	mesh__json_put_text(json, "namespace", name.ns);
	mesh__json_put_int(json, "endpoints", service == NULL ? 0 : (int64_t)service->n_live);
	mesh__json_put_int(json, "static", statics == NULL ? 0 : (int64_t)statics->document->n_endpoints);
	mesh__json_put_text(json, "protocol", mesh__protocol_name(values.protocol));
	mesh__json_put_u64(json, "timeoutMs", (uint64_t)values.timeout_ms);
	mesh__json_put_u64(json, "connectTimeoutMs", (uint64_t)values.connect_timeout_ms);
	mesh__json_put_text(json, "loadBalancer", mesh__balancer_name(values.load_balancer.balancer));
	mesh__json_put_u64(json, "generation", meshd_config_changed_at(meshd->config, key));
	mesh__json_close(json, '}');
	mesh__documents_free(parsed);
}

void meshd_admin_services(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct keys keys = {.n = 0};
	struct mesh__json_out json;
	struct mesh__map seen;
	struct mesh__buf out;

	(void)body;
	(void)rest;
	mesh__map_init(&seen, meshd->env);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	if (!service_keys(meshd, &seen, &keys)) {
		out.error = MESH_E_NO_MEMORY;
	}
	for (size_t i = 0; i < keys.n; i++) {
		put_service(meshd, &json, keys.list[i]);
	}
	mesh__json_close(&json, ']');
	mesh__free(keys.list);
	mesh__map_fini(&seen);
	meshd_reply_json(x, 200, &out);
}

/* ---- Endpoints. ---- */

static void put_opinion(struct mesh__json_out *json, const struct meshd_opinions *opinions, const char *instance)
{
	struct meshd_opinion opinion = meshd_opinions_of(opinions, instance);

	mesh__json_put_int(json, "callers", (int64_t)opinions->callers);
	mesh__json_put_int(json, "ejectedBy", (int64_t)opinion.ejected);
	mesh__json_put_int(json, "failedCheckOf", (int64_t)opinion.failed_check);
}

static void put_instance(struct meshd *meshd, struct mesh__json_out *json, const struct meshd_instance *instance, const struct meshd_opinions *opinions)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "instance", instance->msg.instance);
	mesh__json_put_text(json, "address", instance->msg.addresses[0]);
	mesh__json_put_text(json, "version", instance->msg.version == NULL ? "" : instance->msg.version);
	mesh__json_put_text(json, "zone", instance->msg.zone == NULL ? "" : instance->msg.zone);
	mesh__json_put_text(json, "state", meshd_registry_state(meshd->registry, instance));
	put_opinion(json, opinions, instance->msg.instance);
	mesh__json_close(json, '}');
}

static void put_static(struct mesh__json_out *json, const struct mesh__static_endpoint *endpoint, const struct meshd_opinions *opinions)
{
	char address[MESH__ADDR_TEXT];

	mesh__addr_format(&endpoint->addr, address);
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "instance", address);
	mesh__json_put_text(json, "address", address);
	mesh__json_put_text(json, "version", endpoint->version == NULL ? "" : endpoint->version);
	mesh__json_put_text(json, "zone", endpoint->zone == NULL ? "" : endpoint->zone);
	mesh__json_put_text(json, "state", "static");
	put_opinion(json, opinions, address);
	mesh__json_close(json, '}');
}

static void put_instances(struct meshd *meshd, struct mesh__json_out *json, const struct meshd_service *service, const struct meshd_opinions *opinions)
{
	const char **ids = mesh__alloc_array(&meshd->env->mem, service->n_live + 1, sizeof(*ids));
	size_t n = 0;

	if (ids == NULL) {
		json->buf->error = MESH_E_NO_MEMORY;
		return;
	}
	for (const struct meshd_instance *i = service->newest; i != NULL; i = i->older) {
		ids[n++] = i->msg.instance;
	}
	qsort(ids, n, sizeof(*ids), by_text);
	for (size_t i = 0; i < n; i++) {
		put_instance(meshd, json, mesh__map_get(&service->by_id, ids[i]), opinions);
	}
	mesh__free(ids);
}

void meshd_admin_endpoints(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	const struct meshd_config_entry *statics;
	const struct meshd_service *service;
	struct meshd_opinions opinions;
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
	service = meshd_registry_find(meshd->registry, key);
	statics = meshd_config_find(meshd->config, MESH__KIND_ENDPOINTS, key);
	if (service == NULL && statics == NULL) {
		(void)mesh__fail(&err, MESH_E_NOT_FOUND, "service %s has never registered, and no Endpoints document names it", key);
		meshd_admin_refuse(x, &err);
		return;
	}
	if (meshd_opinions_init(&opinions, meshd->watch, &meshd->env->mem, key, &err) != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	if (service != NULL) {
		put_instances(meshd, &json, service, &opinions);
	}
	for (size_t i = 0; statics != NULL && i < statics->document->n_endpoints; i++) {
		put_static(&json, &statics->document->endpoints[i], &opinions);
	}
	mesh__json_close(&json, ']');
	meshd_opinions_fini(&opinions);
	meshd_reply_json(x, 200, &out);
}

void meshd_admin_endpoint_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	char key[MESH__SERVICE_KEY_MAX];
	char instance[MESH__LABEL_MAX + 1];
	struct mesh__name name;
	int code = meshd_admin_service_of(x, &name, &err);

	(void)body;
	(void)rest;
	if (code == MESH_OK && (mesh__query_get(mesh__exchange_query(x), "instance", instance, sizeof(instance)) != MESH__QUERY_GIVEN || !mesh__label_valid(instance, strlen(instance)))) {
		code = mesh__fail(&err, MESH_E_INVALID, "the query lacks instance=ID, or it is no valid one");
	}
	if (code == MESH_OK) {
		mesh__service_key(&name, key);
		code = meshd_registry_remove(meshd->registry, key, instance, "admin", &err);
	}
	code = code == MESH_OK ? meshd_audit_allowed(meshd->audit, &err, "endpoint-removed", "admin", "service", key, "instance", instance, (char *)NULL) : code;
	if (code != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	meshd_reply_done(x);
}

/* ---- Members. ---- */

static void put_member(struct meshd *meshd, struct mesh__json_out *json, const struct meshd_session *session)
{
	const struct meshd_service *service = meshd_registry_find(meshd->registry, session->service);
	const struct meshd_instance *instance = service == NULL || session->instance[0] == '\0' ? NULL : mesh__map_get(&service->by_id, session->instance);
	bool serving = instance != NULL && instance->msg.reason == NULL && strcmp(instance->session, session->id) == 0;
	const char *refusal = meshd_watch_refusal(session);

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "spiffeId", session->peer.spiffe);
	mesh__json_put_text(json, "instance", session->instance);
	mesh__json_put_text(json, "address", session->address);
	mesh__json_put_text(json, "session", session->id);
	mesh__json_put_u64(json, "since", (uint64_t)session->since_ms);
	mesh__json_put_u64(json, "generation", meshd_watch_generation(session));
	mesh__json_put_text(json, "refused", refusal == NULL ? "" : refusal);
	mesh__json_put_bool(json, "serving", serving);
	mesh__json_open(json, "subscriptions", '[');
	for (const struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		mesh__json_put_text(json, NULL, meshd_watch_subscribed(sub));
	}
	mesh__json_close(json, ']');
	mesh__json_put_text(json, "serial", session->peer.serial);
	mesh__json_close(json, '}');
}

void meshd_admin_members(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__json_out json;
	struct mesh__buf out;

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	for (const struct meshd_session *s = meshd_watch_sessions(meshd->watch); s != NULL; s = s->next) {
		if (!s->over) {
			put_member(meshd, &json, s);
		}
	}
	mesh__json_close(&json, ']');
	meshd_reply_json(x, 200, &out);
}
