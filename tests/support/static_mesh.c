#include "static_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "outbound/steps.h"

void static_mesh_open(struct static_mesh *m, const char *documents, const char *zone)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__document *parsed = NULL;

	memset(m, 0, sizeof(*m));
	fake_env_init(&m->fake);
	mesh__endpoint_list_init(&m->list, &m->fake.env);
	m->outbound.env = &m->fake.env;
	m->outbound.max_body_bytes = 1000;
	m->outbound.metrics = mesh__metrics_new(&m->fake.env);
	m->outbound.tries = m->outbound.retries = mesh__metrics_counter(m->outbound.metrics, "mesh_tries_total", "Tries.", NULL, NULL);
	m->outbound.labels.zone = zone;
	mesh__destination_list_show(&m->list.destinations, m->outbound.metrics);
	m->source = mesh__endpoint_source(&m->list);
	m->source.zone = zone;
	if (mesh__model_new(&m->fake.env, &m->source, "mesh.local", "default", &m->model, &err) != MESH_OK ||
		mesh__documents_parse(&m->fake.env.mem, "documents", documents, strlen(documents), "default", &parsed, NULL, NULL, &err) != MESH_OK ||
		mesh__model_static(m->model, parsed, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	mesh__documents_free(parsed);
	m->snapshot = mesh__snapshot_new(&m->fake.env, NULL, NULL, mesh__model_services(m->model), NULL);
	assert_non_null(m->snapshot);
}

void static_mesh_close(struct static_mesh *m)
{
	mesh__snapshot_unref(m->snapshot);
	mesh__model_free(m->model);
	assert_null(m->list.first);
	mesh__endpoint_list_fini(&m->list);
	mesh__metrics_free(m->outbound.metrics);
}

void static_mesh_route(struct static_mesh *m, struct mesh_request *r)
{
	struct mesh__service *service = mesh__snapshot_find(m->snapshot, r->key);

	assert_non_null(service);
	mesh__request_clear(r);
	r->snapshot = mesh__snapshot_ref(m->snapshot);
	r->called = service;
	r->now_us = mesh__mono_us(&m->fake.env);
	mesh__request_lead(r, service, &service->all, &service->told);
	if (service->policy.n_routes > 0) {
		mesh__step_route(r);
	}
}

struct mesh_request *static_mesh_request(struct static_mesh *m, const char *key, const char *path)
{
	struct mesh_request *r = mesh__request_new(&m->outbound, key, "GET", path);

	assert_non_null(r);
	(void)snprintf(r->key, sizeof(r->key), "%s", key);
	static_mesh_route(m, r);
	return r;
}

struct mesh__endpoint *static_mesh_endpoint(struct static_mesh *m, const char *key, unsigned port)
{
	const struct mesh__service *service = mesh__snapshot_find(m->snapshot, key);
	char address[32];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	for (size_t i = 0; service != NULL && i < service->n; i++) {
		if (strcmp(service->endpoints[i]->address, address) == 0) {
			return service->endpoints[i];
		}
	}
	fail_msg("%s has no endpoint %s", key, address);
	return NULL;
}

int64_t static_mesh_count(struct static_mesh *m, const char *series)
{
	struct mesh__buf text;
	const char *line;
	int64_t value;

	mesh__buf_init(&text, &m->fake.env.mem, 1 << 20);
	mesh__metrics_text(m->outbound.metrics, &text);
	assert_int_equal(text.error, MESH_OK);
	line = strstr(text.data, series);
	value = line == NULL ? 0 : strtoll(line + strlen(series), NULL, 10);
	mesh__buf_fini(&text);
	return value;
}
