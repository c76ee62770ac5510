#include "control/model.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "control/routed.h"
#include "policy/effective.h"

enum { MAX_WANTED = MESH__MSG_MAX_SERVICES };

/* One instance as the control plane tells of it, and its live state. */
struct instance {
	struct mesh__msg_instance info;
	struct mesh__endpoint *state; /* one reference */
	uint64_t record;              /* the last one that told of it */
};

struct service {
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;
	struct mesh__destination *destination; /* one reference, as long as the model lives: what is under way must not be forgotten */
	bool wanted;                 /* subscribed to, as one that is called */
	bool own;                    /* what this process is: its configuration alone is subscribed to, unless it is wanted too */
	bool answered;               /* the control plane has told of its endpoints */
	bool configured;             /* and of its configuration */
	bool known;
	uint64_t version, generation;
	struct mesh__map instances;  /* id -> struct instance */
	char **documents;            /* the texts, as they came */
	size_t n_documents;
	struct mesh__service_policy policy; /* with a reference to its arena */
	struct mesh__endpoint **fixed;    /* of Endpoints documents; one reference each */
	size_t n_fixed;
	struct mesh__endpoint **local;    /* of MESH_ENDPOINTS */
	size_t n_local;
};

struct mesh__model {
	const struct mesh__env *env;
	const struct mesh__endpoint_source *source;
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1];
	char ns[MESH__LABEL_MAX + 1];
	uint64_t record;           /* counts those applied */
	bool wants_more;           /* a document has added to what is subscribed to */
	struct mesh__map services; /* key -> struct service */
	struct service *own;       /* one of them; NULL: not known yet */
	bool alone;                /* no control plane will tell of it: the static documents do */
	struct mesh__map built;    /* key -> struct mesh__service, one reference */
};

int mesh__model_new(const struct mesh__env *env, const struct mesh__endpoint_source *source, const char *trust_domain, const char *ns, struct mesh__model **out, struct mesh__err *err)
{
	struct mesh__model *m = mesh__alloc(&env->mem, sizeof(*m));

	*out = m;
	if (m == NULL) {
		return mesh__fail_memory(err);
	}
	m->env = env;
	m->source = source;
	mesh__map_init(&m->services, env);
	mesh__map_init(&m->built, env);
	mesh__model_trust_domain(m, trust_domain);
	(void)snprintf(m->ns, sizeof(m->ns), "%s", ns);
	return MESH_OK;
}

static void free_instance(struct mesh__model *m, struct instance *in)
{
	if (in != NULL) {
		if (in->state != NULL) {
			m->source->unref(in->state);
		}
		mesh__msg_instance_fini(&in->info);
		mesh__free(in);
	}
}

static void free_states(struct mesh__model *m, struct mesh__endpoint **states, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		m->source->unref(states[i]);
	}
	mesh__free(states);
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		mesh__free(texts[i]);
	}
	mesh__free(texts);
}

static void free_service(struct mesh__model *m, struct service *s)
{
	for (struct mesh__map_entry *e = mesh__map_next(&s->instances, NULL); e != NULL; e = mesh__map_next(&s->instances, e)) {
		free_instance(m, e->value);
	}
	mesh__map_fini(&s->instances);
	m->source->destination_unref(s->destination);
	mesh__service_policy_fini(&s->policy);
	free_texts(s->documents, s->n_documents);
	free_states(m, s->fixed, s->n_fixed);
	free_states(m, s->local, s->n_local);
	mesh__free(s);
}

void mesh__model_free(struct mesh__model *m)
{
	if (m == NULL) {
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&m->built, NULL); e != NULL; e = mesh__map_next(&m->built, e)) {
		mesh__service_unref(e->value);
	}
	mesh__map_fini(&m->built);
	for (struct mesh__map_entry *e = mesh__map_next(&m->services, NULL); e != NULL; e = mesh__map_next(&m->services, e)) {
		free_service(m, e->value);
	}
	mesh__map_fini(&m->services);
	mesh__free(m);
}

void mesh__model_trust_domain(struct mesh__model *m, const char *trust_domain)
{
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), "%s", trust_domain);
	for (struct mesh__map_entry *e = mesh__map_next(&m->services, NULL); e != NULL; e = mesh__map_next(&m->services, e)) {
		struct service *s = e->value; /* asked for before the trust domain was known */
		(void)snprintf(s->name.trust_domain, sizeof(s->name.trust_domain), "%s", trust_domain);
	}
}

static struct service *get_service(struct mesh__model *m, const char *key)
{
	struct service *s = mesh__map_get(&m->services, key);

	if (s != NULL) {
		return s;
	}
	s = mesh__alloc(&m->env->mem, sizeof(*s));
	if (s == NULL || mesh__service_parse(key, m->ns, &s->name, NULL) != MESH_OK || (s->destination = m->source->destination(m->source->ctx, key)) == NULL ||
		!mesh__map_put(&m->services, key, s, NULL)) {
		m->source->destination_unref(s == NULL ? NULL : s->destination);
		mesh__free(s);
		return NULL;
	}
	(void)snprintf(s->name.trust_domain, sizeof(s->name.trust_domain), "%s", m->trust_domain);
	(void)snprintf(s->key, sizeof(s->key), "%s", key);
	mesh__map_init(&s->instances, m->env);
	mesh__service_policy_default(&s->policy);
	return s;
}

/* Makes what calls see of a service, and puts it in the place of what they saw before. */
static int build(struct mesh__model *m, struct service *s, struct mesh__err *err)
{
	size_t n = s->instances.n + s->n_fixed + s->n_local;
	struct mesh__service *b = mesh__alloc(&m->env->mem, sizeof(*b) + n * sizeof(struct mesh__endpoint *));
	struct mesh__service *before = mesh__map_get(&m->built, s->key);
	void *old;

	if (b == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&b->refs, 1);
	b->source = m->source;
	memcpy(b->key, s->key, sizeof(b->key));
	b->name = s->name;
	b->known = s->known || s->n_fixed + s->n_local > 0;
	mesh__service_policy_copy(&b->policy, &s->policy);
	b->destination = s->destination;
	m->source->destination_ref(b->destination);
	for (struct mesh__map_entry *e = mesh__map_next(&s->instances, NULL); e != NULL; e = mesh__map_next(&s->instances, e)) {
		b->endpoints[b->n++] = ((struct instance *)e->value)->state;
	}
	for (size_t i = 0; i < s->n_fixed; i++) {
		b->endpoints[b->n++] = s->fixed[i];
	}
	for (size_t i = 0; i < s->n_local; i++) {
		b->endpoints[b->n++] = s->local[i];
	}
	for (size_t i = 0; i < b->n; i++) {
		m->source->ref(b->endpoints[i]);
	}
	if (!mesh__service_prepare(b, before, m->env) || !mesh__map_put(&m->built, s->key, b, &old)) {
		mesh__service_unref(b);
		return mesh__fail_memory(err);
	}
	mesh__service_unref(old);
	m->source->tune(s->destination, &s->policy);
	return MESH_OK;
}

static struct mesh__endpoint *make_state(struct mesh__model *m, struct service *s, const struct mesh__msg_instance *info)
{
	struct mesh__endpoint_spec spec = {.destination = s->destination, .service = &s->name, .instance = info->instance, .version = info->version, .zone = info->zone};

	if (mesh__addr_parse("address", info->addresses[0], false, &spec.address, NULL) != MESH_OK) {
		return NULL;
	}
	return m->source->make(m->source->ctx, &spec);
}

static bool same_instance(const struct mesh__msg_instance *a, const struct mesh__msg_instance *b)
{
	return mesh__str_eq(a->addresses[0], b->addresses[0]) && mesh__str_eq(a->version, b->version) && mesh__str_eq(a->zone, b->zone);
}

static void remove_instance(struct mesh__model *m, struct service *s, const char *id)
{
	struct instance *in = mesh__map_remove(&s->instances, id);

	if (in != NULL) {
		m->source->leave(in->state);
		free_instance(m, in);
	}
}

/* An instance that is there as it was keeps its state: its connections and what was learned of it. */
static int put_instance(struct mesh__model *m, struct service *s, const struct mesh__msg_instance *info, struct mesh__err *err)
{
	struct instance *before = mesh__map_get(&s->instances, info->instance), *in;

	if (before != NULL && same_instance(&before->info, info)) {
		before->record = m->record;
		return MESH_OK;
	}
	in = mesh__alloc(&m->env->mem, sizeof(*in));
	if (in == NULL || !mesh__msg_instance_copy(&m->env->mem, info, &in->info)) {
		mesh__free(in);
		return mesh__fail_memory(err);
	}
	in->record = m->record;
	in->state = make_state(m, s, info);
	if (in->state == NULL) {
		free_instance(m, in);
		return mesh__fail_memory(err);
	}
	remove_instance(m, s, info->instance);
	if (!mesh__map_put(&s->instances, info->instance, in, NULL)) {
		free_instance(m, in);
		return mesh__fail_memory(err);
	}
	return MESH_OK;
}

/* A whole set: who is not in it has left. */
static void remove_absent(struct mesh__model *m, struct service *s)
{
	struct mesh__map_entry *e = mesh__map_next(&s->instances, NULL);

	while (e != NULL) {
		struct mesh__map_entry *next = mesh__map_next(&s->instances, e);
		if (((struct instance *)e->value)->record != m->record) {
			remove_instance(m, s, e->key);
		}
		e = next;
	}
}

/* Every instance that we have is named among the removals. */
static bool removes_all(const struct service *s, const struct mesh__record *record)
{
	size_t named = 0;

	for (size_t i = 0; i < record->n_removed; i++) {
		named += mesh__map_get(&s->instances, record->removed[i].instance) != NULL;
	}
	return named >= s->instances.n;
}

static int apply_endpoints(struct mesh__model *m, struct service *s, const struct mesh__record *record, struct mesh__err *err)
{
	int code;

	m->record++;
	for (size_t i = 0; i < record->n_instances; i++) {
		if (record->instances[i].n_addresses == 0) {
			return mesh__fail(err, MESH_E_INVALID, "endpoints of %s: instance %s has no address", s->key, record->instances[i].instance);
		}
	}
	if (record->full && record->n_instances == 0 && s->instances.n > 0 && !removes_all(s, record)) {
		return mesh__fail(err, MESH_E_INVALID, "endpoints of %s: the set came empty and says of none of the %zu known why it left; they stay", s->key, s->instances.n);
	}
	for (size_t i = 0; i < record->n_instances; i++) {
		code = put_instance(m, s, &record->instances[i], err);
		if (code != MESH_OK) {
			return code;
		}
	}
	for (size_t i = 0; i < record->n_removed; i++) {
		remove_instance(m, s, record->removed[i].instance);
	}
	if (record->full && record->n_instances > 0) {
		remove_absent(m, s);
	}
	s->answered = true;
	s->known = record->known;
	s->version = record->version;
	return MESH_OK;
}

/* The states of an Endpoints document; those of `before` that are at the same address with the same labels are made anew: a static set changes rarely. */
static int make_fixed(struct mesh__model *m, struct service *s, const struct mesh__document *d, struct mesh__endpoint ***out, size_t *n, struct mesh__err *err)
{
	struct mesh__endpoint **states = mesh__alloc_array(&m->env->mem, d->n_endpoints + 1, sizeof(struct mesh__endpoint *));

	*n = 0;
	for (size_t i = 0; states != NULL && i < d->n_endpoints; i++) {
		char instance[MESH__ADDR_TEXT];
		struct mesh__endpoint_spec spec = {.destination = s->destination, .service = &s->name, .instance = instance, .address = d->endpoints[i].addr, .version = d->endpoints[i].version,
	.zone = d->endpoints[i].zone, .weight = d->endpoints[i].weight, .insecure_plaintext = d->insecure_plaintext};
		mesh__addr_format(&spec.address, instance);
		states[i] = m->source->make(m->source->ctx, &spec);
		if (states[i] == NULL) {
			free_states(m, states, i);
			states = NULL;
		}
	}
	if (states == NULL) {
		return mesh__fail_memory(err);
	}
	*out = states;
	*n = d->n_endpoints;
	return MESH_OK;
}

static void warn_plaintext(const struct mesh__model *m, const char *key)
{
	mesh__log(m->env, MESH__LOG_WARN, "insecure plaintext endpoints", "service", key, "remedy", "give them a mesh identity and remove insecurePlaintext", (char *)NULL);
}

/* The texts are parsed before anything changes; what they say replaces what was said before. */
static int parse_all(struct mesh__model *m, struct service *s, const struct mesh__record *record, struct mesh__service_policy *policy,
	struct mesh__endpoint ***fixed, size_t *n_fixed, struct mesh__err *err)
{
	int code = MESH_OK;

	for (size_t i = 0; code == MESH_OK && i < record->n_documents; i++) {
		struct mesh__document *d = NULL;
		code = mesh__effective_parse(&m->env->mem, s->key, record->documents[i], s->name.ns, &d, err);
		for (struct mesh__document *at = d; code == MESH_OK && at != NULL; at = at->next) {
			if (strcmp(at->name, s->name.service) != 0 || strcmp(at->ns, s->name.ns) != 0) {
				code = mesh__fail(err, MESH_E_INVALID, "configuration of %s: a document of %s.%s came with it", s->key, at->name, at->ns);
			} else if (at->kind == MESH__KIND_SERVICE) {
				mesh__service_policy_fini(policy);
				mesh__service_policy_copy(policy, &at->service);
			} else if (*fixed == NULL) {
				code = make_fixed(m, s, at, fixed, n_fixed, err);
				if (code == MESH_OK && at->insecure_plaintext) {
					warn_plaintext(m, s->key);
				}
			}
		}
		mesh__documents_free(d);
	}
	return code;
}

static int copy_texts(struct mesh__model *m, char *const *texts, size_t n, char ***out, struct mesh__err *err)
{
	char **copies = mesh__alloc_array(&m->env->mem, n + 1, sizeof(char *));

	for (size_t i = 0; copies != NULL && i < n; i++) {
		copies[i] = mesh__strdup(&m->env->mem, texts[i]);
		if (copies[i] == NULL) {
			free_texts(copies, i);
			copies = NULL;
		}
	}
	*out = copies;
	return copies == NULL ? mesh__fail_memory(err) : MESH_OK;
}

/* Services that calls will be sent on to are known before the first of those calls; and in the cache, when the control plane is not. */
static void want_destinations(struct mesh__model *m, const struct mesh__service_policy *policy)
{
	for (size_t i = 0; i < policy->n_routes; i++) {
		const struct mesh__route *route = &policy->routes[i];
		for (size_t k = 0; k < route->n_sides; k++) {
			m->wants_more |= route->sides[k].service != NULL && mesh__model_want(m, route->sides[k].service);
		}
		m->wants_more |= route->mirror.to.service != NULL && mesh__model_want(m, route->mirror.to.service);
	}
	for (size_t i = 0; i < policy->n_failover; i++) {
		m->wants_more |= mesh__model_want(m, policy->failover[i].service);
	}
}

static int apply_config(struct mesh__model *m, struct service *s, const struct mesh__record *record, struct mesh__err *err)
{
	struct mesh__service_policy policy;
	struct mesh__endpoint **fixed = NULL;
	size_t n_fixed = 0;
	char **texts = NULL;
	int code;

	mesh__service_policy_default(&policy);
	code = parse_all(m, s, record, &policy, &fixed, &n_fixed, err);
	if (code == MESH_OK) {
		code = copy_texts(m, record->documents, record->n_documents, &texts, err);
	}
	if (code != MESH_OK) {
		free_states(m, fixed, n_fixed);
		mesh__service_policy_fini(&policy);
		return code;
	}
	for (size_t i = 0; i < s->n_fixed; i++) {
		m->source->leave(s->fixed[i]);
	}
	free_states(m, s->fixed, s->n_fixed);
	free_texts(s->documents, s->n_documents);
	mesh__service_policy_fini(&s->policy);
	s->policy = policy;
	s->fixed = fixed;
	s->n_fixed = n_fixed;
	s->documents = texts;
	s->n_documents = record->n_documents;
	s->generation = record->version;
	s->configured = true;
	if (s->wanted) {
		want_destinations(m, &s->policy);
	}
	return MESH_OK;
}

/* What was read of it is not what calls go by. */
static void ask_again(struct service *s, enum mesh__record_type type)
{
	if (type == MESH__RECORD_ENDPOINTS) {
		s->version = 0;
	} else {
		s->generation = 0;
	}
}

int mesh__model_apply(struct mesh__model *m, const struct mesh__record *record, bool *changed, struct mesh__err *err)
{
	struct service *s = record->service == NULL ? NULL : mesh__map_get(&m->services, record->service);
	int code;

	*changed = false;
	if (s == NULL || !(s->wanted || (s->own && record->type == MESH__RECORD_CONFIG))) {
		return mesh__fail(err, MESH_E_INVALID, "%s was not asked for", record->service == NULL ? "a record without a service" : record->service);
	}
	code = record->type == MESH__RECORD_ENDPOINTS ? apply_endpoints(m, s, record, err) : apply_config(m, s, record, err);
	if (code == MESH_OK && s->wanted && (s->answered || s->n_fixed > 0)) {
		code = build(m, s, err);
		*changed = code == MESH_OK;
		if (!*changed) {
			ask_again(s, record->type);
		}
	}
	*changed = *changed || (code == MESH_OK && s->own && record->type == MESH__RECORD_CONFIG);
	return code;
}

static const char *text_of(const struct mesh__document *documents, enum mesh__kind kind, const char *name, const char *ns)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		if (d->kind == kind && (name == NULL || strcmp(d->name, name) == 0) && (ns == NULL || strcmp(d->ns, ns) == 0)) {
			return d->text;
		}
	}
	return NULL;
}

/* What the documents together make of the service's policy: as meshd does it with its own. */
static int static_policy(struct mesh__model *m, struct service *s, const struct mesh__document *documents, struct mesh__err *err)
{
	const char *const texts[MESH__LAYERS] = {
		[MESH__LAYER_SERVICE] = text_of(documents, MESH__KIND_SERVICE, s->name.service, s->name.ns),
		[MESH__LAYER_NAMESPACE] = text_of(documents, MESH__KIND_NAMESPACE, s->name.ns, NULL),
		[MESH__LAYER_MESH] = text_of(documents, MESH__KIND_MESH, NULL, NULL),
		[MESH__LAYER_FAULT] = text_of(documents, MESH__KIND_FAULT, s->name.service, s->name.ns),
	};
	struct mesh__document *d = NULL;
	struct mesh__buf text;
	int code;

	mesh__buf_init(&text, &m->env->mem, MESH__DOCUMENT_MAX_BYTES);
	code = mesh__effective(&m->env->mem, &s->name, texts, &text, err);
	if (code == MESH_OK && text.len > 0) {
		code = mesh__effective_parse(&m->env->mem, s->key, text.data, s->name.ns, &d, err);
	}
	if (code == MESH_OK && d != NULL) {
		mesh__service_policy_fini(&s->policy);
		mesh__service_policy_copy(&s->policy, &d->service);
	}
	mesh__documents_free(d);
	mesh__buf_fini(&text);
	return code;
}

/* A document of a service, one of `all`. */
static int add_static(struct mesh__model *m, const struct mesh__document *d, const struct mesh__document *all, struct mesh__err *err)
{
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name = {.trust_domain = ""};
	struct service *s;
	int code;

	(void)snprintf(name.ns, sizeof(name.ns), "%s", d->ns);
	(void)snprintf(name.service, sizeof(name.service), "%s", d->name);
	mesh__service_key(&name, key);
	s = get_service(m, key);
	if (s == NULL) {
		return mesh__fail_memory(err);
	}
	code = static_policy(m, s, all, err);
	if (code != MESH_OK || d->kind != MESH__KIND_ENDPOINTS) {
		return code; /* the endpoints have the policy as well, whichever came first */
	}
	if (s->local != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "Endpoints %s are given twice", key);
	}
	code = make_fixed(m, s, d, &s->local, &s->n_local, err);
	if (code == MESH_OK && d->insecure_plaintext) {
		warn_plaintext(m, key);
	}
	return code == MESH_OK ? build(m, s, err) : code;
}

/* Nothing else has been built yet. */
static void forget_static(struct mesh__model *m)
{
	for (struct mesh__map_entry *e = mesh__map_next(&m->services, NULL); e != NULL; e = mesh__map_next(&m->services, e)) {
		struct service *s = e->value;
		mesh__service_unref(mesh__map_remove(&m->built, s->key));
		free_states(m, s->local, s->n_local);
		s->local = NULL;
		s->n_local = 0;
	}
}

static bool guards(const struct mesh__service_policy *policy)
{
	return policy->authorization.default_deny || policy->authorization.n_rules > 0;
}

/* MESH_NAMESPACE is what a document's namespace is when it says none, and the certificate may be of another: who meant this process would leave it open. */
static void warn_namesakes(const struct mesh__model *m, const struct mesh__document *documents)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		if (d->kind == MESH__KIND_SERVICE && strcmp(d->name, m->own->name.service) == 0 && strcmp(d->ns, m->own->name.ns) != 0 && guards(&d->service)) {
			mesh__log(m->env, MESH__LOG_WARN, "authorization of another namespace's service", "service", m->own->key, "namespace", d->ns,
				"remedy", "write the certificate's namespace into the document, or set MESH_NAMESPACE to it", (char *)NULL);
		}
	}
}

/* The policy of what this process is, when nobody else tells: also where only its Namespace or the Mesh have a document. */
static int own_static(struct mesh__model *m, const struct mesh__document *documents, struct mesh__err *err)
{
	if (!m->alone || m->own == NULL) {
		return MESH_OK;
	}
	warn_namesakes(m, documents);
	return static_policy(m, m->own, documents, err);
}

int mesh__model_static(struct mesh__model *m, const struct mesh__document *documents, struct mesh__err *err)
{
	int code = own_static(m, documents, err);

	for (const struct mesh__document *d = documents; code == MESH_OK && d != NULL; d = d->next) {
		if (mesh__kind_is_of_a_service(d->kind)) {
			code = add_static(m, d, documents, err);
		}
	}
	if (code == MESH_E_NO_MEMORY) {
		forget_static(m);
	}
	if (code == MESH_OK && m->alone && m->own != NULL) {
		m->own->configured = true; /* with a fault in them it is not known what they meant */
	}
	return code;
}

const struct mesh__map *mesh__model_services(const struct mesh__model *m)
{
	return &m->built;
}

bool mesh__model_want(struct mesh__model *m, const char *key)
{
	struct service *s = m->services.n >= MAX_WANTED ? mesh__map_get(&m->services, key) : get_service(m, key);

	if (s == NULL || s->wanted) {
		return false;
	}
	s->wanted = true;
	if (s->own) {
		want_destinations(m, &s->policy); /* what is called is told of with the rest; this was there before it was called */
	}
	return true;
}

bool mesh__model_wants_more(struct mesh__model *m)
{
	bool more = m->wants_more;

	m->wants_more = false;
	return more;
}

bool mesh__model_own(struct mesh__model *m, const char *key, bool alone)
{
	m->alone = alone;
	m->own = get_service(m, key);
	if (m->own != NULL) {
		m->own->own = true;
	}
	return m->own != NULL;
}

bool mesh__model_is_own(const struct mesh__model *m, const char *key)
{
	return m->own != NULL && strcmp(m->own->key, key) == 0;
}

const struct mesh__service_policy *mesh__model_own_policy(const struct mesh__model *m)
{
	return m->own != NULL && m->own->configured ? &m->own->policy : NULL;
}

bool mesh__model_may_want(const struct mesh__model *m, const char *key)
{
	const struct service *s = mesh__map_get(&m->services, key);

	return s == NULL ? m->services.n < MAX_WANTED : !s->wanted;
}

int mesh__model_interests(const struct mesh__model *m, struct mesh__msg_interest **out, size_t *n, struct mesh__err *err)
{
	struct mesh__msg_interest *list = mesh__alloc_array(&m->env->mem, m->services.n + 1, sizeof(*list));

	*n = 0;
	*out = list;
	if (list == NULL) {
		return mesh__fail_memory(err);
	}
	for (struct mesh__map_entry *e = mesh__map_next(&m->services, NULL); e != NULL; e = mesh__map_next(&m->services, e)) {
		struct service *s = e->value;
		if (s->wanted || s->own) {
			list[(*n)++] = (struct mesh__msg_interest){.service = s->key, .endpoints_version = s->version, .generation = s->generation, .config_only = !s->wanted};
		}
	}
	return MESH_OK;
}

static void dump_endpoints(const struct mesh__model *m, const struct service *s, struct mesh__buf *out)
{
	struct mesh__msg_instance *list = mesh__alloc_array(&m->env->mem, s->instances.n + 1, sizeof(*list));
	struct mesh__record r = {.type = MESH__RECORD_ENDPOINTS, .sequence = 1, .version = s->version, .service = (char *)(uintptr_t)s->key, .full = true, .known = s->known, .instances = list};

	if (list == NULL) {
		out->error = MESH_E_NO_MEMORY;
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&s->instances, NULL); e != NULL; e = mesh__map_next(&s->instances, e)) {
		list[r.n_instances++] = ((struct instance *)e->value)->info;
	}
	mesh__record_encode(&r, out);
	mesh__free(list);
}

void mesh__model_dump(const struct mesh__model *m, struct mesh__buf *out)
{
	for (struct mesh__map_entry *e = mesh__map_next(&m->services, NULL); e != NULL; e = mesh__map_next(&m->services, e)) {
		struct service *s = e->value;
		if (s->wanted && s->answered) {
			dump_endpoints(m, s, out);
		}
		if ((s->wanted && s->n_documents > 0) || (s->own && s->configured)) { /* that there is none for itself is worth knowing: until it is known nobody is let in */
			struct mesh__record r = {.type = MESH__RECORD_CONFIG, .sequence = 1, .version = s->generation, .service = s->key, .documents = s->documents, .n_documents = s->n_documents};
			mesh__record_encode(&r, out);
		}
	}
}
