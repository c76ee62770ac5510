#include "meshd/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wire/addr.h"

/* What clocks are set by in the course of things is less; certificates are backdated by as much. */
enum { CLOCK_STEP_MS = 60 * 1000 };

struct meshd_registry {
	const struct mesh__env *env;
	struct meshd_store *store;
	struct meshd_registry_options options;
	struct mesh__map services;
	int64_t started_ms;
	int64_t looked_ms;      /* when leases were last looked at */
	int64_t quiet_until_ms; /* none ends before */
	int64_t wall_lead_ms;   /* how far the wall clock was ahead of the monotonic one at that look */
	bool unheard;           /* the wall clock was set, and nobody has renewed since: none ends */
	size_t n_live;
};

/* ---- The lists of one service, each in the order of versions. ---- */

static void link_newest(struct meshd_service *service, struct meshd_instance *instance)
{
	bool gone = instance->msg.reason != NULL;
	struct meshd_instance **newest = gone ? &service->newest_gone : &service->newest;

	instance->older = *newest;
	instance->newer = NULL;
	if (instance->older != NULL) {
		instance->older->newer = instance;
	} else if (gone) {
		service->oldest_gone = instance;
	}
	*newest = instance;
	*(gone ? &service->n_gone : &service->n_live) += 1;
}

static void unlink_instance(struct meshd_service *service, struct meshd_instance *instance)
{
	bool gone = instance->msg.reason != NULL;

	if (instance->newer != NULL) {
		instance->newer->older = instance->older;
	} else {
		*(gone ? &service->newest_gone : &service->newest) = instance->older;
	}
	if (instance->older != NULL) {
		instance->older->newer = instance->newer;
	} else if (gone) {
		service->oldest_gone = instance->newer;
	}
	*(gone ? &service->n_gone : &service->n_live) -= 1;
}

static void free_instance(struct meshd_instance *instance)
{
	mesh__msg_instance_fini(&instance->msg);
	mesh__free(instance);
}

static void free_service(struct meshd_service *service)
{
	for (struct mesh__map_entry *e = mesh__map_next(&service->by_id, NULL); e != NULL; e = mesh__map_next(&service->by_id, e)) {
		free_instance(e->value);
	}
	mesh__map_fini(&service->by_id);
	mesh__free(service);
}

static struct meshd_service *new_service(struct meshd_registry *registry, const struct mesh__name *name)
{
	struct meshd_service *service = mesh__alloc(&registry->env->mem, sizeof(*service));

	if (service == NULL) {
		return NULL;
	}
	service->name = *name;
	mesh__service_key(name, service->key);
	mesh__map_init(&service->by_id, registry->env);
	if (!mesh__map_put(&registry->services, service->key, service, NULL)) {
		free_service(service);
		return NULL;
	}
	return service;
}

/* ---- Reading the store at the start. ---- */

static bool load_service(void *user, const struct mesh__name *name, uint64_t version, uint64_t floor)
{
	struct meshd_service *service = new_service(user, name);

	if (service != NULL) {
		service->version = version;
		service->floor = floor;
	}
	return service != NULL;
}

static bool load_instance(void *user, const struct meshd_instance_row *row)
{
	struct meshd_registry *registry = user;
	struct meshd_instance *instance = mesh__alloc(&registry->env->mem, sizeof(*instance));
	struct meshd_service *service;
	char key[MESH__SERVICE_KEY_MAX];

	mesh__service_key(&row->name, key);
	service = mesh__map_get(&registry->services, key);
	if (instance == NULL || service == NULL || !mesh__msg_instance_copy(&registry->env->mem, &row->msg, &instance->msg)) {
		mesh__free(instance);
		return false;
	}
	if (!mesh__map_put(&service->by_id, instance->msg.instance, instance, NULL)) {
		free_instance(instance);
		return false;
	}
	instance->version = row->version;
	instance->renewed_ms = registry->started_ms;
	link_newest(service, instance);
	registry->n_live += instance->msg.reason == NULL ? 1 : 0;
	return true;
}

/* A clock that stands before the newest certificate is behind, and keeps out who has it or one like it: as when it was set while we ran. */
static int listen_first(struct meshd_registry *registry, struct mesh__err *err)
{
	int64_t issued_ms;
	int code = meshd_store_cert_newest(registry->store, &issued_ms, err);

	if (code == MESH_OK && mesh__wall_ms(registry->env) < issued_ms - CLOCK_STEP_MS) {
		mesh__log(registry->env, MESH__LOG_WARN, "the wall clock is behind the newest certificate; no lease ends until clients are heard", (char *)NULL);
		registry->unheard = true;
	}
	return code;
}

int meshd_registry_new(const struct mesh__env *env, struct meshd_store *store, const struct meshd_registry_options *options, struct meshd_registry **out, struct mesh__err *err)
{
	struct meshd_registry *registry = mesh__alloc(&env->mem, sizeof(*registry));
	int code;

	*out = NULL;
	if (registry == NULL) {
		return mesh__fail_memory(err);
	}
	registry->env = env;
	registry->store = store;
	registry->options = *options;
	registry->options.tombstones_max = options->tombstones_max == 0 ? MESHD_TOMBSTONES_MAX : options->tombstones_max;
	registry->started_ms = mesh__mono_ms(env);
	registry->looked_ms = registry->started_ms;
	registry->wall_lead_ms = mesh__wall_ms(env) - registry->started_ms;
	mesh__map_init(&registry->services, env);
	code = listen_first(registry, err);
	code = code == MESH_OK ? meshd_store_services(store, load_service, registry, err) : code;
	code = code == MESH_OK ? meshd_store_instances(store, load_instance, registry, err) : code;
	if (code != MESH_OK) {
		meshd_registry_free(registry);
		return code;
	}
	*out = registry;
	return MESH_OK;
}

void meshd_registry_free(struct meshd_registry *registry)
{
	if (registry == NULL) {
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&registry->services, NULL); e != NULL; e = mesh__map_next(&registry->services, e)) {
		free_service(e->value);
	}
	mesh__map_fini(&registry->services);
	mesh__free(registry);
}

/* ---- Changes: first the store, then memory, then whoever watches. ---- */

/* The version below which tombstones go when one more is made: the set stays within its bound. */
static uint64_t floor_with_one_more(const struct meshd_registry *registry, const struct meshd_service *service)
{
	return service->n_gone < registry->options.tombstones_max ? service->floor : service->oldest_gone->version;
}

static void forget_below(struct meshd_service *service, uint64_t floor)
{
	/* A delta from `floor` on needs the removals after it alone. */
	service->floor = floor;
	while (service->oldest_gone != NULL && service->oldest_gone->version <= floor) {
		struct meshd_instance *instance = service->oldest_gone;

		unlink_instance(service, instance);
		(void)mesh__map_remove(&service->by_id, instance->msg.instance);
		free_instance(instance);
	}
}

/* Puts `msg` (moved from) in the place of what the instance was, as the service's newest change, in the store and then here. */
static int commit(struct meshd_registry *registry, struct meshd_service *service, struct meshd_instance *instance, struct mesh__msg_instance *msg, struct mesh__err *err)
{
	struct meshd_instance_row row = {.name = service->name, .msg = *msg, .version = service->version + 1};
	bool was_linked = instance->version != 0;
	bool was_live = was_linked && instance->msg.reason == NULL;
	uint64_t floor = msg->reason == NULL ? service->floor : floor_with_one_more(registry, service);
	int code = meshd_store_instance_put(registry->store, &row, floor, err);

	if (code != MESH_OK) {
		return code;
	}
	if (was_linked) {
		unlink_instance(service, instance);
	}
	mesh__msg_instance_fini(&instance->msg);
	instance->msg = *msg;
	*msg = (struct mesh__msg_instance){.instance = NULL};
	instance->version = row.version;
	service->version = row.version;
	link_newest(service, instance);
	registry->n_live += (instance->msg.reason == NULL ? 1u : 0u);
	registry->n_live -= was_live ? 1u : 0u;
	forget_below(service, floor);
	registry->options.changed(registry->options.user, service->key);
	return MESH_OK;
}

static int check_instance(const struct mesh__msg_instance *msg, struct mesh__err *err)
{
	struct mesh__addr addr;

	if (mesh__label_check("instance", msg->instance, err) != MESH_OK) {
		return MESH_E_INVALID;
	}
	if (msg->n_addresses == 0) {
		return mesh__fail(err, MESH_E_INVALID, "instance \"%s\" names no address", msg->instance);
	}
	for (size_t i = 0; i < msg->n_addresses; i++) {
		if (mesh__addr_parse("address", msg->addresses[i], false, &addr, err) != MESH_OK) {
			return MESH_E_INVALID;
		}
		if (strcmp(addr.ip, "0.0.0.0") == 0 || strcmp(addr.ip, "::") == 0) {
			return mesh__fail(err, MESH_E_INVALID, "address \"%s\" is where one listens, not where one calls; set MESH_ADVERTISE", msg->addresses[i]);
		}
	}
	return MESH_OK;
}

static bool same(const struct mesh__msg_instance *a, const struct mesh__msg_instance *b)
{
	if (a->reason != NULL || a->n_addresses != b->n_addresses || !mesh__str_eq(a->version, b->version) || !mesh__str_eq(a->zone, b->zone)) {
		return false;
	}
	for (size_t i = 0; i < a->n_addresses; i++) {
		if (strcmp(a->addresses[i], b->addresses[i]) != 0) {
			return false;
		}
	}
	return true;
}

/* The service and the instance's place in it, made where they are missing. */
static int place(struct meshd_registry *registry, const struct mesh__name *name, const char *id, struct meshd_service **service, struct meshd_instance **instance, struct mesh__err *err)
{
	char key[MESH__SERVICE_KEY_MAX];

	mesh__service_key(name, key);
	*service = mesh__map_get(&registry->services, key);
	if (*service == NULL && registry->services.n >= MESHD_SERVICES_MAX) {
		return mesh__fail(err, MESH_E_OVERLOADED, "there are %d services already", MESHD_SERVICES_MAX);
	}
	if (*service == NULL && (*service = new_service(registry, name)) == NULL) {
		return mesh__fail_memory(err);
	}
	*instance = mesh__map_get(&(*service)->by_id, id);
	if ((*instance == NULL || (*instance)->msg.reason != NULL) && (*service)->n_live >= MESH__MSG_MAX_ENDPOINTS) {
		return mesh__fail(err, MESH_E_OVERLOADED, "service %s has %d instances already", key, MESH__MSG_MAX_ENDPOINTS);
	}
	if (*instance == NULL) {
		*instance = mesh__alloc(&registry->env->mem, sizeof(**instance));
		if (*instance == NULL || !mesh__map_put(&(*service)->by_id, id, *instance, NULL)) {
			mesh__free(*instance);
			return mesh__fail_memory(err);
		}
	}
	return MESH_OK;
}

/* Takes away what place() made and nothing was committed for. */
static void displace(struct meshd_registry *registry, struct meshd_service *service, struct meshd_instance *instance, const char *id)
{
	if (instance->version == 0) {
		(void)mesh__map_remove(&service->by_id, id);
		free_instance(instance);
	}
	if (service->version == 0) {
		(void)mesh__map_remove(&registry->services, service->key);
		free_service(service);
	}
}

/* Renews a lease. The first one after the wall clock was set shows that clients get in again: from then on the others have a start's grace to come back. */
static void hear(struct meshd_registry *registry, struct meshd_instance *instance)
{
	const struct meshd_lease_rules *rules = &registry->options.rules;

	instance->renewed_ms = mesh__mono_ms(registry->env);
	if (registry->unheard) {
		registry->unheard = false;
		registry->quiet_until_ms = instance->renewed_ms + (rules->grace_ms > rules->lease_ms ? rules->grace_ms : rules->lease_ms);
	}
}

int meshd_registry_register(struct meshd_registry *registry, const struct mesh__name *name, const struct mesh__msg_instance *msg, const char *session, bool *taken, struct mesh__err *err)
{
	struct mesh__msg_instance copy = {.instance = NULL};
	struct meshd_service *service = NULL;
	struct meshd_instance *instance = NULL;
	int code = check_instance(msg, err);

	*taken = false;
	code = code == MESH_OK ? place(registry, name, msg->instance, &service, &instance, err) : code;
	if (code != MESH_OK) {
		return code;
	}
	*taken = instance->version != 0 && instance->msg.reason == NULL && instance->session[0] != '\0' && strcmp(instance->session, session) != 0;
	if (instance->version == 0 || !same(&instance->msg, msg)) {
		code = mesh__msg_instance_copy(&registry->env->mem, msg, &copy) ? MESH_OK : mesh__fail_memory(err);
		if (code == MESH_OK) {
			mesh__free(copy.reason); /* a registration has none */
			copy.reason = NULL;
			code = commit(registry, service, instance, &copy, err);
			mesh__msg_instance_fini(&copy);
		}
	}
	if (code != MESH_OK) {
		displace(registry, service, instance, msg->instance);
		return code;
	}
	hear(registry, instance);
	(void)snprintf(instance->session, sizeof(instance->session), "%s", session);
	return MESH_OK;
}

static struct meshd_instance *find_live(const struct meshd_registry *registry, const char *key, const char *id, struct meshd_service **service)
{
	struct meshd_instance *instance;

	*service = mesh__map_get(&registry->services, key);
	instance = *service == NULL ? NULL : mesh__map_get(&(*service)->by_id, id);
	return instance != NULL && instance->msg.reason == NULL ? instance : NULL;
}

bool meshd_registry_renew(struct meshd_registry *registry, const char *key, const char *instance, const char *session)
{
	struct meshd_service *service;
	struct meshd_instance *found = find_live(registry, key, instance, &service);

	if (found == NULL || strcmp(found->session, session) != 0) {
		return false;
	}
	hear(registry, found);
	return true;
}

static int remove_instance(struct meshd_registry *registry, struct meshd_service *service, struct meshd_instance *instance, const char *reason, struct mesh__err *err)
{
	struct mesh__msg_instance gone = {.instance = mesh__strdup(&registry->env->mem, instance->msg.instance), .reason = mesh__strdup(&registry->env->mem, reason)};
	int code = gone.instance == NULL || gone.reason == NULL ? mesh__fail_memory(err) : commit(registry, service, instance, &gone, err);

	mesh__msg_instance_fini(&gone);
	return code;
}

int meshd_registry_remove(struct meshd_registry *registry, const char *key, const char *instance, const char *reason, struct mesh__err *err)
{
	struct meshd_service *service;
	struct meshd_instance *found = find_live(registry, key, instance, &service);

	if (found == NULL) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "service %s has no instance \"%.64s\"", key, instance);
	}
	return remove_instance(registry, service, found, reason, err);
}

static void expire_service(struct meshd_registry *registry, struct meshd_service *service, int64_t now_ms, meshd_ended_fn ended, void *user)
{
	struct meshd_instance *older;

	for (struct meshd_instance *instance = service->newest; instance != NULL; instance = older) {
		struct mesh__err why = MESH__NO_ERR;

		older = instance->older;
		if (!meshd_lease_ended(&registry->options.rules, registry->started_ms, instance->renewed_ms, now_ms)) {
			continue;
		}
		if (remove_instance(registry, service, instance, "lease", &why) != MESH_OK) {
			mesh__log(registry->env, MESH__LOG_ERROR, "an ended lease cannot be removed", "service", service->key, "instance", instance->msg.instance,
				"reason", why.message, (char *)NULL);
			return;
		}
		if (ended != NULL) {
			ended(user, service->key, instance->msg.instance);
		}
	}
}

/* Certificates are judged by the wall clock: one that was set can shut every client out, and their silence then says nothing about them. */
static void watch_the_clock(struct meshd_registry *registry, int64_t now_ms)
{
	int64_t lead_ms = mesh__wall_ms(registry->env) - now_ms;
	int64_t step_ms = lead_ms - registry->wall_lead_ms;
	char text[24];

	registry->wall_lead_ms = lead_ms;
	if (step_ms > CLOCK_STEP_MS || step_ms < -CLOCK_STEP_MS) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)step_ms);
		mesh__log(registry->env, MESH__LOG_WARN, "the wall clock was set; no lease ends until clients are heard again", "stepMs", text, (char *)NULL);
		registry->unheard = true;
	}
}

void meshd_registry_expire(struct meshd_registry *registry, meshd_ended_fn ended, void *user)
{
	int64_t now_ms = mesh__mono_ms(registry->env);
	const struct meshd_lease_rules *rules = &registry->options.rules;

	/*
	 * We ourselves stood still (a stalled disk, a stopped process): the heartbeats of that time still wait to be read. A shorter stall than half a lease ends none wrongly, and on a busy machine, where stalls
	 * come one after the other, leases must end all the same.
	 */
	if (now_ms - registry->looked_ms > rules->lease_ms / 2) {
		registry->quiet_until_ms = now_ms + rules->lease_ms;
	}
	registry->looked_ms = now_ms;
	watch_the_clock(registry, now_ms);
	if (registry->unheard || now_ms < registry->quiet_until_ms) {
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&registry->services, NULL); e != NULL; e = mesh__map_next(&registry->services, e)) {
		expire_service(registry, e->value, now_ms, ended, user);
	}
}

/* ---- Reading. ---- */

const struct meshd_service *meshd_registry_find(const struct meshd_registry *registry, const char *key)
{
	return mesh__map_get(&registry->services, key);
}

const struct mesh__map *meshd_registry_services(const struct meshd_registry *registry)
{
	return &registry->services;
}

size_t meshd_registry_n_live(const struct meshd_registry *registry)
{
	return registry->n_live;
}

const char *meshd_registry_state(const struct meshd_registry *registry, const struct meshd_instance *instance)
{
	return meshd_lease_expiring(&registry->options.rules, instance->renewed_ms, mesh__mono_ms(registry->env)) ? "expiring" : "healthy";
}

/* Those of a list that are newer than `since`, as a new array of borrowed copies. */
static bool newer_than(const struct mesh__env *env, const struct meshd_instance *newest, uint64_t since, struct mesh__msg_instance **out, size_t *n)
{
	*n = 0;
	*out = NULL;
	for (const struct meshd_instance *i = newest; i != NULL && i->version > since; i = i->older) {
		*n += 1;
	}
	if (*n == 0) {
		return true;
	}
	*out = mesh__alloc_array(&env->mem, *n, sizeof(**out));
	if (*out == NULL) {
		return false;
	}
	*n = 0;
	for (const struct meshd_instance *i = newest; i != NULL && i->version > since; i = i->older) {
		(*out)[(*n)++] = i->msg;
	}
	return true;
}

bool meshd_registry_delta(const struct meshd_registry *registry, const char *key, uint64_t since, struct mesh__record *out)
{
	struct meshd_service *service = mesh__map_get(&registry->services, key);

	*out = (struct mesh__record){.type = MESH__RECORD_ENDPOINTS, .full = true};
	if (service == NULL) {
		return true;
	}
	out->known = true;
	out->version = service->version;
	/* A version that was never ours (a store put back from a backup) tells nothing. */
	out->full = since == 0 || since < service->floor || since > service->version;
	if (!newer_than(registry->env, service->newest, out->full ? 0 : since, &out->instances, &out->n_instances)
		|| (!out->full && !newer_than(registry->env, service->newest_gone, since, &out->removed, &out->n_removed))) {
		meshd_registry_delta_fini(out);
		return false;
	}
	return true;
}

void meshd_registry_delta_fini(struct mesh__record *record)
{
	mesh__free(record->instances);
	mesh__free(record->removed);
	*record = (struct mesh__record){.type = MESH__RECORD_ENDPOINTS};
}
