#include "meshd/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/effective.h"

/* A service that somebody watches. */
struct meshd_topic {
	char key[MESH__SERVICE_KEY_MAX];
	struct meshd_subscription *first;
	struct meshd_topic *next_changed, **link_of_changed; /* while `changed` */
	bool changed;
	struct meshd_subscription *asking; /* of the session that asks at this moment: meshd_watch_ask() */
	struct meshd_effective effective; /* made once for all who watch it */
};

struct meshd_watch {
	const struct mesh__env *env;
	struct meshd_watch_options options;
	struct mesh__map topics;   /* by service key */
	struct mesh__map by_id;    /* the sessions that live */
	struct meshd_session *first;
	struct meshd_topic *changed, **last_changed; /* waiting for the flush, in turn */
	struct mesh__post flush;
	bool flush_posted, trust_changed;
	bool config_changed;       /* a configuration is among what waits for the flush */
	struct meshd_sync *sync;
	uint64_t newest;           /* generation that was noted */
	uint64_t before;           /* the one that everybody who owed nothing ran when the configuration's changes began that wait for the flush */
	struct mesh__counter *taken, *refused; /* NULL: not counted */
};

static int make_parts(struct meshd_watch *watch, struct mesh__err *err)
{
	static const char name[] = "mesh_config_answers_total", help[] = "What processes answered to a configuration.", key[] = "result";
	struct mesh__metrics *metrics = watch->options.metrics;

	mesh__map_init(&watch->topics, watch->env);
	mesh__map_init(&watch->by_id, watch->env);
	if (metrics != NULL) {
		watch->taken = mesh__metrics_counter(metrics, name, help, key, "taken");
		watch->refused = mesh__metrics_counter(metrics, name, help, key, "refused");
	}
	return meshd_sync_new(watch->env, &watch->sync, err);
}

int meshd_watch_new(const struct meshd_watch_options *options, struct meshd_watch **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(options->loop);
	struct meshd_watch *watch = mesh__alloc(&env->mem, sizeof(*watch));

	*out = watch;
	if (watch == NULL) {
		return mesh__fail_memory(err);
	}
	watch->env = env;
	watch->options = *options;
	watch->last_changed = &watch->changed;
	if (make_parts(watch, err) != MESH_OK) {
		meshd_watch_free(watch);
		*out = NULL;
		return MESH_E_NO_MEMORY;
	}
	return MESH_OK;
}

void meshd_watch_sources(struct meshd_watch *watch, const struct meshd_registry *registry, const struct meshd_config *config)
{
	watch->options.registry = registry;
	watch->options.config = config;
	watch->newest = watch->before = meshd_config_generation(config);
}

/* ---- The end of a session: over at once, freed later, because it may be in somebody's hands further up. ---- */

static void leave_changed(struct meshd_watch *watch, struct meshd_topic *topic)
{
	if (topic->changed) {
		*topic->link_of_changed = topic->next_changed;
		*(topic->next_changed == NULL ? &watch->last_changed : &topic->next_changed->link_of_changed) = topic->link_of_changed;
		topic->changed = false;
	}
}

static void drop_topic(struct meshd_watch *watch, struct meshd_topic *topic)
{
	leave_changed(watch, topic);
	(void)mesh__map_remove(&watch->topics, topic->key);
	meshd_effective_fini(&topic->effective);
	mesh__free(topic);
}

static void free_subscription(struct meshd_subscription *sub)
{
	struct meshd_topic *topic = sub->topic;
	struct meshd_watch *watch = sub->session->watch;

	*sub->link_of_topic = sub->next_of_topic;
	if (sub->next_of_topic != NULL) {
		sub->next_of_topic->link_of_topic = sub->link_of_topic;
	}
	if (topic->first == NULL) {
		drop_topic(watch, topic);
	}
	sub->session->n_awaited -= sub->awaited != 0 ? 1 : 0;
	sub->session->n_lacks -= sub->lacks ? 1 : 0;
	sub->session->n_refused -= sub->refused != NULL ? 1 : 0;
	mesh__free(sub->refused);
	mesh__free(sub->endpoints_refused);
	mesh__free(sub->report);
	mesh__free(sub);
}

static void free_session(void *arg)
{
	struct meshd_session *session = arg;

	while (session->subscriptions != NULL) {
		struct meshd_subscription *sub = session->subscriptions;

		session->subscriptions = sub->next_of_session;
		free_subscription(sub);
	}
	*session->link = session->next;
	if (session->next != NULL) {
		session->next->link = session->link;
	}
	session->sink.close(session->sink.user);
	mesh__free(session);
}

void meshd_watch_gone(struct meshd_session *session)
{
	if (!session->over) {
		session->over = true;
		meshd_sync_gone(session->watch->sync, &session->due);
		(void)mesh__map_remove(&session->watch->by_id, session->id);
		mesh__loop_post(session->watch->options.loop, &session->post, free_session, session);
	}
}

/* ---- Sending. ---- */

/* Sends a record under the stream's next number; false (and the session is over) when that cannot be. */
static bool send(struct meshd_session *session, struct mesh__record *record)
{
	struct mesh__buf line;
	bool sent;

	if (session->over) {
		return false;
	}
	record->sequence = session->sequence + 1;
	mesh__buf_init(&line, &session->watch->env->mem, MESH__MSG_MAX_BYTES);
	mesh__record_encode(record, &line);
	sent = line.error == MESH_OK && session->sink.write(session->sink.user, line.data, line.len);
	mesh__buf_fini(&line);
	if (!sent) {
		mesh__log(session->watch->env, MESH__LOG_WARN, "session ended: it does not take what it is sent", "session", session->id, "peer", session->peer.spiffe,
			(char *)NULL);
		meshd_watch_gone(session);
		return false;
	}
	session->sequence++;
	session->behind = session->sink.room(session->sink.user) == 0;
	return true;
}

static void send_endpoints(struct meshd_subscription *sub)
{
	struct meshd_session *session = sub->session;
	const struct meshd_service *service = meshd_registry_find(session->watch->options.registry, sub->topic->key);
	uint64_t version = service == NULL ? 0 : service->version;
	struct mesh__record record;

	if (sub->config_only || (sub->endpoints_told && version == sub->endpoints_version)) {
		return;
	}
	if (!meshd_registry_delta(session->watch->options.registry, sub->topic->key, sub->endpoints_version, &record)) {
		return; /* out of memory: the next change, or the client's next session, brings it */
	}
	record.service = sub->topic->key;
	if (send(session, &record)) {
		sub->endpoints_told = true;
		sub->endpoints_version = version;
		sub->endpoints_sequence = session->sequence;
	}
	meshd_registry_delta_fini(&record);
}

/* Whether it has, and has taken, all that concerns it. */
static bool runs_all(const struct meshd_session *session)
{
	return session->n_awaited == 0 && session->n_lacks == 0 && session->n_refused == 0;
}

/* The session is about to owe something of a change. Until it has that, it runs what it ran: the generation before, when it owed nothing and had a configuration of the service. */
static void hold_generation(struct meshd_session *session, bool had_one)
{
	if (had_one && runs_all(session) && session->watch->before > session->generation) {
		session->generation = session->watch->before;
	}
}

/* The record that was just sent wants an answer. */
static void await(struct meshd_subscription *sub, bool had_one)
{
	struct meshd_session *session = sub->session;

	hold_generation(session, had_one);
	if (sub->awaited == 0) {
		session->n_awaited++;
		sub->awaited_ms = sub->lacks ? sub->awaited_ms : mesh__wall_ms(session->watch->env);
	}
	sub->awaited = session->sequence;
}

static bool has_config(const struct meshd_subscription *sub)
{
	const struct meshd_config *config = sub->session->watch->options.config;

	return sub->config_told && meshd_config_changed_at(config, sub->topic->key) <= sub->generation && sub->generation <= meshd_config_generation(config);
}

static bool send_config(struct meshd_subscription *sub)
{
	struct meshd_session *session = sub->session;
	const struct meshd_config *config = session->watch->options.config;
	struct mesh__record record = {.type = MESH__RECORD_CONFIG, .service = sub->topic->key, .version = meshd_config_generation(config)};
	const struct meshd_config_entry *endpoints = meshd_config_find(config, MESH__KIND_ENDPOINTS, sub->topic->key);
	bool had_one = sub->config_told;
	struct mesh__err err = MESH__NO_ERR;
	const char *policy = NULL;
	char *texts[2];

	if (has_config(sub)) {
		return false;
	}
	if (meshd_effective_text(config, sub->topic->key, &sub->topic->effective, &policy, &err) != MESH_OK) {
		mesh__log(session->watch->env, MESH__LOG_ERROR, "configuration not sent", "service", sub->topic->key, "reason", err.message, (char *)NULL);
		return false; /* the next change, or the client's next session, brings it; until then it waits */
	}
	record.documents = texts;
	if (policy != NULL) {
		texts[record.n_documents++] = (char *)(uintptr_t)policy; /* an encoder only reads */
	}
	if (endpoints != NULL) {
		texts[record.n_documents++] = endpoints->row.text;
	}
	if (!send(session, &record)) {
		return false;
	}
	sub->config_told = true;
	sub->generation = record.version;
	await(sub, had_one);
	return true;
}

/* Whether the newest configuration was sent is known by now. */
static void note_lack(struct meshd_subscription *sub)
{
	struct meshd_session *session = sub->session;
	bool lacks = !has_config(sub);

	if (lacks && !sub->lacks) {
		hold_generation(session, sub->config_told);
		sub->awaited_ms = sub->awaited != 0 ? sub->awaited_ms : mesh__wall_ms(session->watch->env);
		session->n_lacks++;
	} else if (!lacks && sub->lacks) {
		session->n_lacks--;
	}
	sub->lacks = lacks;
}

static void put_off(struct meshd_subscription *sub, bool change)
{
	note_lack(sub);
	sub->due = true;
	sub->changed = sub->changed || change;
}

/*
 * The configuration goes first: with its endpoints a service becomes one that is called, and the first call already goes by its policy (and by its static endpoints, of which the registry knows nothing). A change is
 * followed until it is answered.
 */
static void tell(struct meshd_subscription *sub, bool change)
{
	struct meshd_session *session = sub->session;

	if (session->behind) {
		put_off(sub, change);
		return;
	}
	if (send_config(sub) && change) {
		meshd_sync_told(session->watch->sync, &session->due, sub->generation, session->sequence);
	}
	note_lack(sub);
	sub->changed = false;
	sub->due = session->behind;
	if (!sub->due) {
		send_endpoints(sub);
	}
}

static bool send_trust(struct meshd_session *session)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__record record;
	bool sent;

	session->trust_due = session->behind;
	if (session->trust_due) {
		return true;
	}
	if (session->watch->options.trust_record(session->watch->options.user, &record, &err) != MESH_OK) {
		mesh__log(session->watch->env, MESH__LOG_ERROR, "the trust bundle cannot be told", "reason", err.message, (char *)NULL);
		meshd_watch_gone(session); /* whoever misses a revocation must not go on as if there were none */
		return false;
	}
	sent = send(session, &record);
	mesh__record_fini(&record);
	return sent;
}

static bool send_hello(struct meshd_session *session)
{
	const struct meshd_lease_rules *rules = &session->watch->options.rules;
	struct mesh__record record = {.type = MESH__RECORD_HELLO, .session = session->id, .protocol = MESH__PROTOCOL_VERSION,
		.heartbeat_ms = rules->heartbeat_ms, .lease_ms = rules->lease_ms};

	return send(session, &record);
}

/* ---- Opening and subscribing. ---- */

int meshd_watch_open(struct meshd_watch *watch, const struct mesh__leaf *peer, const char *address, const struct meshd_sink *sink, struct meshd_session **out, struct mesh__err *err)
{
	struct meshd_session *session = NULL;

	*out = NULL;
	if (watch->by_id.n >= MESHD_SESSIONS_MAX) {
		sink->close(sink->user);
		return mesh__fail(err, MESH_E_OVERLOADED, "there are %d sessions already", MESHD_SESSIONS_MAX);
	}
	session = mesh__alloc(&watch->env->mem, sizeof(*session));
	if (session == NULL) {
		sink->close(sink->user);
		return mesh__fail_memory(err);
	}
	*session = (struct meshd_session){.watch = watch, .sink = *sink, .peer = *peer, .since_ms = mesh__wall_ms(watch->env)};
	mesh__random_hex(watch->env, session->id, MESHD_SESSION_ID);
	mesh__service_key(&peer->name, session->service);
	(void)snprintf(session->address, sizeof(session->address), "%s", address);
	session->next = watch->first;
	session->link = &watch->first;
	if (session->next != NULL) {
		session->next->link = &session->next;
	}
	watch->first = session;
	if (!mesh__map_put(&watch->by_id, session->id, session, NULL)) {
		meshd_watch_gone(session);
		return mesh__fail_memory(err);
	}
	if (!send_hello(session) || !send_trust(session)) {
		return mesh__fail(err, MESH_E_RESET, "the peer has gone");
	}
	*out = session;
	return MESH_OK;
}

void meshd_watch_drained(struct meshd_session *session)
{
	session->behind = false;
	if (session->over || (session->trust_due && !send_trust(session))) {
		return;
	}
	for (struct meshd_subscription *sub = session->subscriptions; sub != NULL && !session->behind && !session->over; sub = sub->next_of_session) {
		if (sub->due) {
			tell(sub, sub->changed);
		}
	}
}

struct meshd_session *meshd_watch_find(const struct meshd_watch *watch, const char *id)
{
	return mesh__map_get(&watch->by_id, id);
}

static struct meshd_topic *topic_of(struct meshd_watch *watch, const char *key)
{
	struct meshd_topic *topic = mesh__map_get(&watch->topics, key);

	if (topic == NULL) {
		topic = mesh__alloc(&watch->env->mem, sizeof(*topic));
		if (topic != NULL) {
			(void)snprintf(topic->key, sizeof(topic->key), "%s", key);
		}
		if (topic != NULL && !mesh__map_put(&watch->topics, key, topic, NULL)) {
			mesh__free(topic);
			topic = NULL;
		}
	}
	return topic;
}

static struct meshd_subscription *find_subscription(const struct meshd_session *session, const char *key)
{
	const struct meshd_topic *topic = mesh__map_get(&session->watch->topics, key);
	struct meshd_subscription *sub = topic == NULL ? NULL : session->subscriptions;

	while (sub != NULL && sub->topic != topic) {
		sub = sub->next_of_session;
	}
	return sub;
}

static struct meshd_subscription *add_subscription(struct meshd_session *session, const struct mesh__msg_interest *interest)
{
	struct meshd_subscription *sub = mesh__alloc(&session->watch->env->mem, sizeof(*sub));
	struct meshd_topic *topic = sub == NULL ? NULL : topic_of(session->watch, interest->service);

	if (topic == NULL) {
		mesh__free(sub);
		return NULL;
	}
	*sub = (struct meshd_subscription){.session = session, .topic = topic, .endpoints_version = interest->endpoints_version, .endpoints_told = interest->endpoints_version > 0,
		.generation = interest->generation, .config_told = interest->generation > 0, .config_only = interest->config_only};
	sub->next_of_topic = topic->first;
	sub->link_of_topic = &topic->first;
	if (sub->next_of_topic != NULL) {
		sub->next_of_topic->link_of_topic = &sub->next_of_topic;
	}
	topic->first = sub;
	sub->next_of_session = session->subscriptions;
	session->subscriptions = sub;
	session->n_subscriptions++;
	return sub;
}

/* Who watched the configuration alone may want the endpoints too, but not the other way round: what it has it would have to forget. */
static void widen(struct meshd_subscription *sub, const struct mesh__msg_interest *interest)
{
	if (sub->config_only && !interest->config_only) {
		sub->config_only = false;
		sub->endpoints_version = interest->endpoints_version;
		sub->endpoints_told = interest->endpoints_version > 0;
	}
}

/* Lets go of those that a replacing list did not name. */
static void drop_others(struct meshd_session *session)
{
	struct meshd_subscription **at = &session->subscriptions;

	while (*at != NULL) {
		struct meshd_subscription *sub = *at;

		if (sub->keep) {
			at = &sub->next_of_session;
			continue;
		}
		*at = sub->next_of_session;
		session->n_subscriptions--;
		free_subscription(sub);
	}
}

void meshd_watch_ask(struct meshd_session *session, bool asks)
{
	for (struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		sub->topic->asking = asks ? sub : NULL;
	}
}

struct meshd_subscription *meshd_watch_asked(const struct meshd_session *session, const char *key)
{
	const struct meshd_topic *topic = mesh__map_get(&session->watch->topics, key);

	return topic == NULL ? NULL : topic->asking;
}

static int subscribe_all(struct meshd_session *session, const struct mesh__msg_subscribe *msg, struct mesh__err *err)
{
	for (size_t i = 0; i < msg->n_services; i++) {
		struct meshd_subscription *sub = meshd_watch_asked(session, msg->services[i].service);

		if (sub == NULL && session->n_subscriptions >= MESH__MSG_MAX_SERVICES) {
			return mesh__fail(err, MESH_E_TOO_LARGE, "a session may watch %d services, and this one watches so many", MESH__MSG_MAX_SERVICES);
		}
		if (sub == NULL && (sub = add_subscription(session, &msg->services[i])) == NULL) {
			return mesh__fail_memory(err);
		}
		sub->topic->asking = sub;
		widen(sub, &msg->services[i]);
		sub->keep = true;
		tell(sub, false);
	}
	return MESH_OK;
}

int meshd_watch_subscribe(struct meshd_session *session, const struct mesh__msg_subscribe *msg, struct mesh__err *err)
{
	int code;

	for (struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		sub->keep = !msg->replace;
	}
	meshd_watch_ask(session, true);
	code = subscribe_all(session, msg, err);
	meshd_watch_ask(session, false);
	if (code == MESH_OK) {
		drop_others(session);
	}
	return code;
}

/* Verdicts on endpoints come by themselves only as refusals. One of a set that a newer one has followed says nothing any more. */
static void refuse_endpoints(struct meshd_subscription *sub, const struct mesh__msg_ack *ack)
{
	if (ack->sequence >= sub->endpoints_sequence) {
		mesh__free(sub->endpoints_refused);
		sub->endpoints_refused = mesh__strdup(&sub->session->watch->env->mem, ack->refused);
		sub->endpoints_refused_sequence = ack->sequence;
	}
}

/* All up to this record has been judged: of sets that were sent after one that was refused, and of which no refusal is known, they were taken. */
static void take_endpoints(struct meshd_session *session, uint64_t sequence)
{
	for (struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		if (sub->endpoints_refused != NULL && sub->endpoints_sequence > sub->endpoints_refused_sequence && sequence >= sub->endpoints_sequence) {
			mesh__free(sub->endpoints_refused);
			sub->endpoints_refused = NULL;
		}
	}
}

/* The verdict on a configuration: accepted, or refused. */
static void judge(struct meshd_session *session, struct meshd_subscription *sub, const struct mesh__msg_ack *ack)
{
	struct meshd_watch *watch = session->watch;
	int64_t now_ms = mesh__wall_ms(watch->env);

	session->n_refused -= sub->refused != NULL ? 1 : 0;
	mesh__free(sub->refused);
	sub->refused = mesh__strdup(&watch->env->mem, ack->refused);
	session->n_refused += sub->refused != NULL ? 1 : 0;
	sub->refused_generation = ack->generation;
	sub->refused_ms = now_ms;
	if (sub->awaited != 0 && ack->sequence >= sub->awaited) {
		sub->awaited = 0;
		session->n_awaited--;
	}
	meshd_sync_answered(watch->sync, &session->due, ack->generation, ack->sequence, ack->refused != NULL, mesh__mono_us(watch->env));
	if (ack->refused == NULL) {
		session->taken_ms = now_ms;
	}
	if (watch->taken != NULL) {
		mesh__count(ack->refused == NULL ? watch->taken : watch->refused, 1);
	}
}

void meshd_watch_ack(struct meshd_session *session, const struct mesh__msg_ack *ack)
{
	struct meshd_subscription *sub = ack->service == NULL ? NULL : find_subscription(session, ack->service);

	if (ack->sequence > session->sequence) {
		return; /* of a record that was never sent */
	}
	if (ack->refused != NULL) {
		mesh__log(session->watch->env, MESH__LOG_WARN, "configuration refused", "peer", session->peer.spiffe, "instance", session->instance,
			"service", ack->service, "reason", ack->refused, (char *)NULL);
	}
	if (sub != NULL && ack->refused != NULL && ack->generation == 0) {
		refuse_endpoints(sub, ack);
	} else if (sub != NULL) {
		judge(session, sub, ack);
	}
	if (ack->refused == NULL) {
		take_endpoints(session, ack->sequence);
	}
	if (runs_all(session) && ack->refused == NULL && ack->generation > session->generation) {
		session->generation = ack->generation;
	}
}

const char *meshd_watch_refusal(const struct meshd_session *session)
{
	const char *endpoints = NULL;

	for (const struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		if (sub->refused != NULL) {
			return sub->refused;
		}
		endpoints = endpoints == NULL ? sub->endpoints_refused : endpoints;
	}
	return endpoints;
}

uint64_t meshd_watch_owed(const struct meshd_subscription *sub)
{
	return sub->lacks ? meshd_config_changed_at(sub->session->watch->options.config, sub->topic->key) : sub->awaited != 0 ? sub->generation : 0;
}

const struct meshd_sync *meshd_watch_sync(const struct meshd_watch *watch)
{
	return watch->sync;
}

const struct meshd_subscription *meshd_watch_subscribers(const struct meshd_watch *watch, const char *key)
{
	const struct meshd_topic *topic = mesh__map_get(&watch->topics, key);

	return topic == NULL ? NULL : topic->first;
}

const struct mesh__mem *meshd_watch_mem(const struct meshd_session *session)
{
	return &session->watch->env->mem;
}

const char *meshd_watch_subscribed(const struct meshd_subscription *sub)
{
	return sub->topic->key;
}

uint64_t meshd_watch_generation(const struct meshd_session *session)
{
	/* What did not concern it, it runs already. */
	return runs_all(session) ? meshd_config_generation(session->watch->options.config) : session->generation;
}

/* ---- Changes. ---- */

static void flush(void *arg)
{
	struct meshd_watch *watch = arg;
	struct meshd_topic *topic;

	watch->flush_posted = watch->config_changed = false;
	if (watch->trust_changed) {
		watch->trust_changed = false;
		for (struct meshd_session *s = watch->first; s != NULL; s = s->next) {
			(void)(s->over || send_trust(s));
		}
	}
	while ((topic = watch->changed) != NULL) {
		leave_changed(watch, topic);
		for (struct meshd_subscription *sub = topic->first; sub != NULL; sub = sub->next_of_topic) {
			tell(sub, true);
		}
	}
}

void meshd_watch_flush(struct meshd_watch *watch)
{
	if (watch->flush_posted) {
		flush(watch);
		watch->flush_posted = true; /* it still comes, and finds nothing */
	}
}

static void post_flush(struct meshd_watch *watch)
{
	if (!watch->flush_posted) {
		watch->flush_posted = true;
		mesh__loop_post(watch->options.loop, &watch->flush, flush, watch);
	}
}

/* Each change of the configuration is followed from here on, also one that concerns nobody. */
static void note_generation(struct meshd_watch *watch)
{
	uint64_t generation = watch->options.config == NULL ? 0 : meshd_config_generation(watch->options.config);

	if (generation > watch->newest) {
		watch->before = watch->config_changed ? watch->before : watch->newest;
		watch->newest = generation;
		meshd_sync_begin(watch->sync, generation, mesh__wall_ms(watch->env), mesh__mono_us(watch->env));
	}
}

static void topic_changed(struct meshd_watch *watch, struct meshd_topic *topic)
{
	if (topic != NULL && !topic->changed) {
		topic->changed = true;
		topic->next_changed = NULL;
		topic->link_of_changed = watch->last_changed;
		*watch->last_changed = topic;
		watch->last_changed = &topic->next_changed;
		post_flush(watch);
	}
}

void meshd_watch_service_changed(struct meshd_watch *watch, const char *key)
{
	topic_changed(watch, mesh__map_get(&watch->topics, key));
}

static void topic_config_changed(struct meshd_watch *watch, struct meshd_topic *topic)
{
	watch->config_changed = watch->config_changed || topic != NULL;
	topic_changed(watch, topic);
}

static bool in_namespace(const struct meshd_topic *topic, const char *ns)
{
	const char *dot = strchr(topic->key, '.');

	return dot != NULL && strcmp(dot + 1, ns) == 0;
}

void meshd_watch_config_changed(struct meshd_watch *watch, enum mesh__kind kind, const struct mesh__name *name)
{
	char key[MESH__SERVICE_KEY_MAX];

	note_generation(watch);
	if (mesh__kind_is_of_a_service(kind)) {
		mesh__service_key(name, key);
		topic_config_changed(watch, mesh__map_get(&watch->topics, key));
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&watch->topics, NULL); e != NULL; e = mesh__map_next(&watch->topics, e)) {
		if (kind == MESH__KIND_MESH || in_namespace(e->value, name->ns)) {
			topic_config_changed(watch, e->value);
		}
	}
}

void meshd_watch_trust_changed(struct meshd_watch *watch, const struct mesh__trust *trust)
{
	for (struct meshd_session *s = watch->first; s != NULL; s = s->next) {
		if (!s->over && mesh__trust_revoked(trust, s->peer.serial)) {
			mesh__log(watch->env, MESH__LOG_WARN, "session ended: its certificate was revoked", "session", s->id, "peer", s->peer.spiffe, "serial", s->peer.serial,
				(char *)NULL);
			meshd_watch_gone(s);
		}
	}
	watch->trust_changed = true;
	post_flush(watch);
}

void meshd_watch_ping(struct meshd_watch *watch)
{
	for (struct meshd_session *s = watch->first; s != NULL; s = s->next) {
		struct mesh__record record = {.type = MESH__RECORD_PING};

		(void)(s->over || s->behind || send(s, &record)); /* who is behind hears enough */
	}
}

/* ---- Looking, and the end. ---- */

const struct meshd_session *meshd_watch_sessions(const struct meshd_watch *watch)
{
	return watch->first;
}

size_t meshd_watch_n_sessions(const struct meshd_watch *watch)
{
	return watch->by_id.n;
}

void meshd_watch_end_all(struct meshd_watch *watch)
{
	for (struct meshd_session *s = watch->first; s != NULL; s = s->next) {
		meshd_watch_gone(s);
	}
}

/* After the loop has ended: what was posted has run, or runs when the loop is freed, and finds nothing of this. */
void meshd_watch_free(struct meshd_watch *watch)
{
	if (watch == NULL) {
		return;
	}
	mesh__map_fini(&watch->topics);
	mesh__map_fini(&watch->by_id);
	meshd_sync_free(watch->sync);
	mesh__free(watch);
}
