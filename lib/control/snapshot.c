#include "control/snapshot.h"

#include <string.h>

#include "control/tables.h"

struct mesh__service *mesh__service_ref(struct mesh__service *service)
{
	atomic_fetch_add_explicit(&service->refs, 1, memory_order_relaxed);
	return service;
}

void mesh__service_unref(struct mesh__service *service)
{
	if (service == NULL || atomic_fetch_sub_explicit(&service->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	for (size_t i = 0; i < service->n; i++) {
		service->source->unref(service->endpoints[i]);
	}
	service->source->destination_unref(service->destination);
	mesh__tables_free(service->all.tables);
	for (size_t i = 0; service->subsets != NULL && i < service->policy.n_subsets; i++) {
		mesh__tables_free(service->subsets[i].tables);
	}
	mesh__service_policy_fini(&service->policy);
	mesh__arena_unref(service->prepared);
	mesh__free(service);
}

struct mesh__group *mesh__service_subset(const struct mesh__service *service, const char *name)
{
	for (size_t i = 0; i < service->policy.n_subsets; i++) {
		if (strcmp(service->policy.subsets[i].name, name) == 0) {
			return &service->subsets[i];
		}
	}
	return NULL;
}

struct mesh__snapshot *mesh__snapshot_new(const struct mesh__env *env, struct mesh__creds *creds, const struct mesh__name *self, const struct mesh__map *services, const struct mesh__service_policy *own)
{
	struct mesh__snapshot *s = mesh__alloc(&env->mem, sizeof(*s));

	if (s == NULL) {
		return NULL;
	}
	atomic_init(&s->refs, 1);
	s->creds = creds == NULL ? NULL : mesh__creds_ref(creds);
	if (self != NULL) {
		s->self = *self;
	}
	if (own != NULL) {
		mesh__service_policy_copy(&s->own, own);
	} else {
		mesh__service_policy_default(&s->own);
	}
	mesh__map_init(&s->services, env);
	for (struct mesh__map_entry *e = mesh__map_next(services, NULL); e != NULL; e = mesh__map_next(services, e)) {
		if (!mesh__map_put(&s->services, e->key, e->value, NULL)) {
			mesh__snapshot_unref(s);
			return NULL;
		}
		(void)mesh__service_ref(e->value);
	}
	return s;
}

struct mesh__snapshot *mesh__snapshot_ref(struct mesh__snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
	return snapshot;
}

void mesh__snapshot_unref(struct mesh__snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&snapshot->services, NULL); e != NULL; e = mesh__map_next(&snapshot->services, e)) {
		mesh__service_unref(e->value);
	}
	mesh__map_fini(&snapshot->services);
	mesh__service_policy_fini(&snapshot->own);
	if (snapshot->creds != NULL) {
		mesh__creds_unref(snapshot->creds);
	}
	mesh__free(snapshot);
}

struct mesh__service *mesh__snapshot_find(const struct mesh__snapshot *snapshot, const char *key)
{
	return mesh__map_get(&snapshot->services, key);
}
