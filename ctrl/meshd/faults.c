#include "meshd/faults.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/plan.h"

enum { AGAIN_MS = 10000, NUMBER_TEXT = 24 };

/* ---- Whether they fit ---- */

/* As the Service says it that comes with it, or else the one in force. NULL: none says anything. */
static const struct mesh__service_policy *policy_of(const struct meshd *meshd, const struct mesh__document *documents, const struct mesh__document *fault)
{
	char key[MESH__SERVICE_KEY_MAX];
	const struct meshd_config_entry *entry;

	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		if (d->kind == MESH__KIND_SERVICE && strcmp(d->name, fault->name) == 0 && strcmp(d->ns, fault->ns) == 0) {
			return &d->service;
		}
	}
	(void)snprintf(key, sizeof(key), "%s.%s", fault->name, fault->ns);
	entry = meshd_config_find(meshd->config, MESH__KIND_SERVICE, key);
	return entry == NULL ? NULL : &entry->document->service;
}

static void check_route(const char *file, const struct mesh__document *fault, const struct mesh__service_policy *policy, struct mesh__buf *faults)
{
	const char *wanted = fault->service.injection.route, *names[MESH__ROUTES_MAX], *near;
	size_t n = 0;

	for (; policy != NULL && n < policy->n_routes; n++) {
		names[n] = policy->routes[n].name;
		if (strcmp(names[n], wanted) == 0) {
			return;
		}
	}
	near = mesh__str_nearest(wanted, names, n);
	mesh__buf_printf(faults, "%s:%d:1: fault.route: service %s.%s has no route \"%s\"", file, fault->line, fault->name, fault->ns, wanted);
	if (near != NULL) {
		mesh__buf_printf(faults, "; did you mean \"%s\"?", near);
	}
	mesh__buf_chr(faults, '\n');
}

void meshd_faults_check(const struct meshd *meshd, const char *file, const struct mesh__document *documents, struct mesh__buf *faults)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		if (d->kind == MESH__KIND_FAULT && d->service.injection.until_ms <= mesh__wall_ms(meshd->env)) {
			mesh__buf_printf(faults, "%s:%d:1: fault.until: is over already\n", file, d->line);
		}
		if (d->kind == MESH__KIND_FAULT && d->service.injection.route != NULL) {
			check_route(file, d, policy_of(meshd, documents, d), faults);
		}
	}
}

/* ---- Their end ---- */

static const struct meshd_config_entry *first_to_end(const struct meshd *meshd)
{
	const struct mesh__map *entries = meshd_config_entries(meshd->config);
	const struct meshd_config_entry *first = NULL;

	for (const struct mesh__map_entry *e = mesh__map_next(entries, NULL); e != NULL; e = mesh__map_next(entries, e)) {
		const struct meshd_config_entry *entry = e->value;

		if (entry->row.kind == MESH__KIND_FAULT && entry->row.text != NULL && (first == NULL || entry->document->service.injection.until_ms < first->document->service.injection.until_ms)) {
			first = entry;
		}
	}
	return first;
}

void meshd_faults_changed(struct meshd *meshd)
{
	const struct meshd_config_entry *first = first_to_end(meshd);

	meshd->fault_due_ms = first == NULL ? INT64_MAX : first->document->service.injection.until_ms;
}

static int end(struct meshd *meshd, const struct mesh__name *name, struct mesh__err *err)
{
	static const struct meshd_writer writer = {.who = "meshd (expired)"};
	char key[MESH__SERVICE_KEY_MAX], generation[NUMBER_TEXT];
	struct meshd_plan plan;
	int code = meshd_plan_delete(meshd->config, MESH__KIND_FAULT, name, &plan, err);

	mesh__service_key(name, key);
	code = code == MESH_OK ? meshd_plan_commit(&plan, &writer, err) : code;
	meshd_plan_free(&plan);
	if (code != MESH_OK) {
		return code;
	}
	(void)snprintf(generation, sizeof(generation), "%llu", (unsigned long long)meshd_config_generation(meshd->config));
	mesh__log(meshd->env, MESH__LOG_INFO, "fault is over", "service", key, "generation", generation, (char *)NULL);
	return meshd_audit_allowed(meshd->audit, err, "config-deleted", "expired", "generation", generation, "service", key, (char *)NULL);
}

void meshd_faults_expire(struct meshd *meshd)
{
	struct mesh__err err = MESH__NO_ERR;
	int64_t now_ms;

	for (int i = 0; i < MESHD_FAULTS_AT_ONCE && (now_ms = mesh__wall_ms(meshd->env)) >= meshd->fault_due_ms; i++) {
		const struct mesh__name name = first_to_end(meshd)->row.name;

		if (end(meshd, &name, &err) != MESH_OK) {
			mesh__log(meshd->env, MESH__LOG_ERROR, "a fault that is over was not taken back cleanly", "service", name.service, "namespace", name.ns, "reason", err.message, (char *)NULL);
			meshd->fault_due_ms = meshd->fault_due_ms <= now_ms ? now_ms + AGAIN_MS : meshd->fault_due_ms;
			return;
		}
	}
}
