#include "control/control.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/wait.h"
#include "control/link.h"
#include "control/model.h"
#include "control/swap.h"
#include "http/cancel.h"

enum { CACHE_DELAY_MS = 200, CACHE_MAX_BYTES = 60 * 1024 * 1024 };

/* What those who wait look at; guarded by mu. */
struct status {
	bool identity;     /* a snapshot with credentials is out */
	bool heard;        /* meshd has told of trust since the start, or the cache was read */
	bool connected;    /* a session is open */
	bool serving;      /* a registration was asked for */
	bool registered;
	bool refused;      /* there will be no identity */
	bool closed;
	struct mesh__err last; /* the last thing that went wrong */
};

/* A service that a caller waits for and that the loop has not been asked for yet. */
struct wish {
	struct wish *next;
	char key[MESH__SERVICE_KEY_MAX];
};

struct mesh__control {
	struct mesh__control_options options;
	struct mesh__loop *loop;
	const struct mesh__env *env;
	bool has_servers;
	struct mesh__swap swap;
	/* Control loop only. */
	struct mesh__model *model;
	struct mesh__link *link;
	struct mesh__svid *svid;
	char *roots_pem;               /* as meshd told last; NULL: the SVID's */
	char **revoked;
	size_t n_revoked;
	uint64_t trust_version, generation;
	struct mesh__creds *creds;
	struct mesh__timer *cache;
	struct mesh__post renew;       /* new trust: outside the record's callback */
	bool renew_posted;
	bool static_done;
	struct mesh__counter *connected;
	/* Any thread. */
	pthread_mutex_t mu;            /* guards status, wishes, wish_posted, instance, leave */
	pthread_cond_t changed;
	struct status status;
	struct wish *wishes;
	struct mesh__post wish_post, serve_post, leave_post;
	bool wish_posted, serve_posted;
	struct mesh__msg_instance instance;
	mesh__loop_fn left;
	void *left_arg;
};

static void wake(struct mesh__control *c)
{
	(void)pthread_cond_broadcast(&c->changed);
}

static void note_error(struct mesh__control *c, const struct mesh__err *err)
{
	(void)pthread_mutex_lock(&c->mu);
	c->status.last = *err;
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
}

/* ---- Snapshots ---- */

static void publish(struct mesh__control *c)
{
	struct mesh__snapshot *snapshot = mesh__snapshot_new(c->env, c->creds, mesh__model_services(c->model));
	struct mesh__err err = MESH__NO_ERR;

	if (snapshot == NULL) {
		(void)mesh__fail_memory(&err);
		note_error(c, &err);
		return;
	}
	mesh__swap_put(&c->swap, snapshot);
	(void)pthread_mutex_lock(&c->mu);
	c->status.identity = c->creds != NULL;
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
}

static void save_cache(void *arg)
{
	struct mesh__control *c = arg;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf text;

	mesh__buf_init(&text, &c->env->mem, CACHE_MAX_BYTES);
	if (c->roots_pem != NULL) {
		struct mesh__record trust = {.type = MESH__RECORD_TRUST, .sequence = 1, .version = c->trust_version, .roots_pem = c->roots_pem, .revoked = c->revoked, .n_revoked = c->n_revoked};
		mesh__record_encode(&trust, &text);
	}
	mesh__model_dump(c->model, &text);
	if (mesh__buf_error(&text, "the snapshot", &err) != MESH_OK || (text.len > 0 && mesh__state_dir_save_snapshot(c->options.state, text.data, text.len, &err) != MESH_OK)) {
		mesh__log(c->env, MESH__LOG_WARN, "snapshot not kept", "reason", err.message, (char *)NULL);
	}
	mesh__buf_fini(&text);
}

static void cache_soon(struct mesh__control *c)
{
	if (c->options.state != NULL) {
		mesh__timer_start(c->cache, CACHE_DELAY_MS, 0);
	}
}

/* ---- Trust and credentials ---- */

static void free_revoked(struct mesh__control *c)
{
	for (size_t i = 0; i < c->n_revoked; i++) {
		mesh__free(c->revoked[i]);
	}
	mesh__free(c->revoked);
	c->revoked = NULL;
	c->n_revoked = 0;
}

static int make_credentials(struct mesh__control *c, struct mesh__creds **creds, struct mesh__tls_conf **tls, struct mesh__trust **trust, struct mesh__err *err)
{
	int code = mesh__trust_new(c->env, c->svid->leaf.name.trust_domain, c->roots_pem != NULL ? c->roots_pem : c->svid->roots_pem,
		(const char *const *)c->revoked, c->n_revoked, trust, err);

	if (code == MESH_OK) {
		code = mesh__creds_new(c->env, c->generation + 1, c->svid->chain_pem, c->svid->key_pem, *trust, creds, err);
	}
	if (code == MESH_OK) {
		struct mesh__tls_conf_options options = {.chain_pem = c->svid->chain_pem, .key_pem = c->svid->key_pem, .trust = *trust};
		code = mesh__tls_conf_new(c->env, &options, tls, err);
	}
	return code;
}

/* The next generation: of a new SVID or of changed trust. */
static void renew_credentials(struct mesh__control *c)
{
	struct mesh__creds *creds = NULL;
	struct mesh__tls_conf *tls = NULL;
	struct mesh__trust *trust = NULL;
	struct mesh__err err = MESH__NO_ERR;

	if (make_credentials(c, &creds, &tls, &trust, &err) == MESH_OK) {
		struct mesh__creds *old = c->creds;
		c->generation++;
		c->creds = mesh__creds_ref(creds);
		publish(c);
		if (old != NULL) {
			mesh__creds_unref(old);
		}
		c->options.credentials(c->options.arg, creds, tls, trust);
		if (c->link != NULL) {
			mesh__link_use(c->link, creds);
		}
	} else {
		mesh__log(c->env, MESH__LOG_ERROR, "credentials not renewed", "reason", err.message, (char *)NULL);
		note_error(c, &err);
	}
	mesh__creds_unref(creds);
	mesh__tls_conf_unref(tls);
	mesh__trust_unref(trust);
}

static void renew_posted(void *arg)
{
	struct mesh__control *c = arg;

	c->renew_posted = false;
	renew_credentials(c);
}

static bool same_trust(const struct mesh__control *c, const struct mesh__record *record)
{
	const char *roots = c->roots_pem != NULL ? c->roots_pem : c->svid->roots_pem;

	if (!mesh__str_eq(roots, record->roots_pem) || c->n_revoked != record->n_revoked) {
		return false;
	}
	for (size_t i = 0; i < c->n_revoked; i++) {
		if (strcmp(c->revoked[i], record->revoked[i]) != 0) {
			return false;
		}
	}
	return true;
}

static int copy_trust(struct mesh__control *c, const struct mesh__record *record, struct mesh__err *err)
{
	char *roots = mesh__strdup(&c->env->mem, record->roots_pem);
	char **revoked = mesh__alloc_array(&c->env->mem, record->n_revoked + 1, sizeof(char *));
	bool ok = roots != NULL && revoked != NULL;

	for (size_t i = 0; ok && i < record->n_revoked; i++) {
		revoked[i] = mesh__strdup(&c->env->mem, record->revoked[i]);
		ok = revoked[i] != NULL;
	}
	if (!ok) {
		for (size_t i = 0; revoked != NULL && revoked[i] != NULL; i++) {
			mesh__free(revoked[i]);
		}
		mesh__free(revoked);
		mesh__free(roots);
		return mesh__fail_memory(err);
	}
	free_revoked(c);
	mesh__free(c->roots_pem);
	c->roots_pem = roots;
	c->revoked = revoked;
	c->n_revoked = record->n_revoked;
	return MESH_OK;
}

static int apply_trust(struct mesh__control *c, const struct mesh__record *record, struct mesh__err *err)
{
	struct mesh__trust *trust = NULL;
	int code = MESH_OK;

	if (record->roots_pem == NULL || record->roots_pem[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "trust: it came without roots; the last ones stay");
	}
	if (!same_trust(c, record)) {
		code = mesh__trust_new(c->env, c->svid->leaf.name.trust_domain, record->roots_pem, (const char *const *)record->revoked, record->n_revoked, &trust, err);
		mesh__trust_unref(trust);
		if (code == MESH_OK) {
			code = copy_trust(c, record, err);
		}
		if (code == MESH_OK && !c->renew_posted) {
			c->renew_posted = true;
			mesh__loop_post(c->loop, &c->renew, renew_posted, c);
		}
	}
	if (code == MESH_OK) {
		c->trust_version = record->version;
		(void)pthread_mutex_lock(&c->mu);
		c->status.heard = true;
		wake(c);
		(void)pthread_mutex_unlock(&c->mu);
		cache_soon(c);
	}
	return code;
}

/* ---- What the link says ---- */

static int on_record(void *arg, const struct mesh__record *record, struct mesh__err *err)
{
	struct mesh__control *c = arg;
	bool changed = false;
	int code;

	if (record->type == MESH__RECORD_TRUST) {
		return apply_trust(c, record, err);
	}
	code = mesh__model_apply(c->model, record, &changed, err);
	if (changed) {
		publish(c);
		cache_soon(c);
	}
	mesh__count(mesh__metrics_counter(c->options.metrics, "mesh_records_total", "Records from the control plane, by verdict.", "verdict", code == MESH_OK ? "taken" : "refused"), 1);
	return code;
}

static int on_interests(void *arg, struct mesh__msg_subscribe *out, struct mesh__err *err)
{
	struct mesh__control *c = arg;

	out->trust_version = c->trust_version;
	return mesh__model_interests(c->model, &out->services, &out->n_services, err);
}

static void on_registered(void *arg, bool yes, const struct mesh__err *err)
{
	struct mesh__control *c = arg;

	(void)pthread_mutex_lock(&c->mu);
	c->status.registered = yes;
	if (!yes) {
		c->status.last = *err;
	}
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
	mesh__log(c->env, yes ? MESH__LOG_INFO : MESH__LOG_WARN, yes ? "registered" : "not registered", "reason", yes ? NULL : err->message, (char *)NULL);
}

static void on_link_state(void *arg, const struct mesh__err *err)
{
	struct mesh__control *c = arg;

	(void)pthread_mutex_lock(&c->mu);
	c->status.connected = err == NULL;
	if (err != NULL) {
		c->status.last = *err;
	}
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
	mesh__gauge_set(c->connected, err == NULL);
}

/* ---- Identity ---- */

/* The cached snapshot is read as meshd's own records would be. */
static void load_cache(struct mesh__control *c)
{
	struct mesh__err err = MESH__NO_ERR;
	char *text = NULL, *line, *end;
	size_t len = 0, taken = 0;

	if (c->options.state == NULL || mesh__state_dir_load_snapshot(c->options.state, &text, &len, &err) != MESH_OK) {
		return;
	}
	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		struct mesh__record record;
		bool changed;
		int code = mesh__record_decode(&c->env->mem, line, (size_t)(end - line), &record, &err);
		if (code != MESH_OK) {
			continue;
		}
		if (record.type == MESH__RECORD_TRUST) {
			code = record.roots_pem == NULL ? MESH_E_INVALID : copy_trust(c, &record, &err);
			c->trust_version = code == MESH_OK ? record.version : 0;
		} else {
			(void)mesh__model_want(c->model, record.service == NULL ? "" : record.service);
			code = mesh__model_apply(c->model, &record, &changed, &err);
		}
		taken += code == MESH_OK;
		mesh__record_fini(&record);
	}
	mesh__free(text);
	(void)pthread_mutex_lock(&c->mu);
	c->status.heard = c->status.heard || taken > 0;
	(void)pthread_mutex_unlock(&c->mu);
	mesh__log(c->env, MESH__LOG_INFO, "snapshot read from the state directory", (char *)NULL);
}

static void first_identity(struct mesh__control *c)
{
	struct mesh__err err = MESH__NO_ERR;

	c->static_done = true;
	mesh__model_trust_domain(c->model, c->svid->leaf.name.trust_domain);
	if (mesh__model_static(c->model, c->options.documents, &err) != MESH_OK) {
		mesh__log(c->env, MESH__LOG_ERROR, "static endpoints not used", "reason", err.message, (char *)NULL);
		note_error(c, &err);
	}
	load_cache(c);
}

void mesh__control_svid(struct mesh__control *c, struct mesh__svid *svid)
{
	mesh__svid_unref(c->svid);
	c->svid = mesh__svid_ref(svid);
	if (!c->static_done) {
		first_identity(c);
	}
	renew_credentials(c);
}

void mesh__control_identity_failed(struct mesh__control *c, const struct mesh__err *err, bool final)
{
	(void)pthread_mutex_lock(&c->mu);
	c->status.last = *err;
	c->status.refused = final && !c->status.identity;
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
}

/* ---- Any thread's side ---- */

struct mesh__snapshot *mesh__control_snapshot(struct mesh__control *c)
{
	return mesh__swap_get(&c->swap);
}

static void take_wishes(void *arg)
{
	struct mesh__control *c = arg;
	struct wish *list;
	bool news = false;

	(void)pthread_mutex_lock(&c->mu);
	list = c->wishes;
	c->wishes = NULL;
	c->wish_posted = false;
	(void)pthread_mutex_unlock(&c->mu);
	while (list != NULL) {
		struct wish *next = list->next;
		news = mesh__model_want(c->model, list->key) || news;
		mesh__free(list);
		list = next;
	}
	if (news && c->link != NULL) {
		mesh__link_subscribe(c->link);
	}
}

static int wish_for(struct mesh__control *c, const char *key, struct mesh__err *err)
{
	struct wish *w = mesh__alloc(&c->env->mem, sizeof(*w));
	bool post;

	if (w == NULL) {
		return mesh__fail_memory(err);
	}
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	(void)pthread_mutex_lock(&c->mu);
	w->next = c->wishes;
	c->wishes = w;
	post = !c->wish_posted;
	c->wish_posted = true;
	(void)pthread_mutex_unlock(&c->mu);
	if (post) {
		mesh__loop_post(c->loop, &c->wish_post, take_wishes, c);
	}
	return MESH_OK;
}

static void on_cancel(void *arg)
{
	struct mesh__control *c = arg;

	(void)pthread_mutex_lock(&c->mu);
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
}

/* Why a wait for `key` must end now, or MESH_OK to wait on. mu is held. */
static int stop_locked(struct mesh__control *c, const struct mesh__cancel *cancel, struct mesh__err *err)
{
	if (c->status.closed) {
		return mesh__fail(err, MESH_E_CLOSED, "the mesh is closing");
	}
	if (mesh__cancel_fired(cancel)) {
		return mesh__fail(err, MESH_E_CANCELLED, "cancelled while waiting for the control plane");
	}
	if (c->status.refused) {
		return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_DENIED, "no identity: %s", c->status.last.message);
	}
	return MESH_OK;
}

static int timed_out_locked(struct mesh__control *c, const char *key, struct mesh__err *err)
{
	const char *why = c->status.last.code == MESH_OK ? "" : "; the last trouble: ";

	if (!c->status.identity) {
		return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_NOT_READY, "no identity within the deadline%s%.300s", why, c->status.last.message);
	}
	return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_TIMEOUT, "the control plane has not told of %s within the deadline%s%.300s", key, why, c->status.last.message);
}

static bool has_service(const struct mesh__snapshot *s, const char *key)
{
	return s != NULL && s->creds != NULL && mesh__snapshot_find(s, key) != NULL;
}

static int await_service(struct mesh__control *c, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err)
{
	int code = MESH_OK;

	(void)pthread_mutex_lock(&c->mu);
	for (;;) {
		struct mesh__snapshot *s = mesh__swap_get(&c->swap); /* a shard's lock is never held around mu */
		if (has_service(s, key)) {
			*out = s;
			break;
		}
		if (s != NULL && s->creds != NULL && !c->has_servers) {
			code = mesh__fail(err, MESH_E_NO_SERVICE, "no control plane is set and %s is not among the static endpoints", key);
		}
		mesh__snapshot_unref(s);
		if (code == MESH_OK) {
			code = stop_locked(c, cancel, err);
		}
		if (code == MESH_OK && !mesh__cond_wait_until(&c->changed, &c->mu, c->env, deadline_us)) {
			code = timed_out_locked(c, key, err);
		}
		if (code != MESH_OK) {
			break;
		}
	}
	(void)pthread_mutex_unlock(&c->mu);
	return code;
}

int mesh__control_await(struct mesh__control *c, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err)
{
	int code;

	*out = NULL;
	code = wish_for(c, key, err);
	if (code == MESH_OK) {
		mesh__cancel_watch(cancel, on_cancel, c);
		code = await_service(c, key, deadline_us, cancel, out, err);
		mesh__cancel_unwatch(cancel);
	}
	return code;
}

static bool ready_locked(const struct mesh__control *c)
{
	const struct status *s = &c->status;

	return s->identity && (!c->has_servers || s->heard) && (!s->serving || !c->has_servers || s->registered || !s->connected);
}

int mesh__control_await_ready(struct mesh__control *c, int64_t deadline_us, struct mesh__err *err)
{
	int code = MESH_OK;

	(void)pthread_mutex_lock(&c->mu);
	while (code == MESH_OK && !ready_locked(c)) {
		code = stop_locked(c, NULL, err);
		if (code == MESH_OK && !mesh__cond_wait_until(&c->changed, &c->mu, c->env, deadline_us)) {
			code = mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_TIMEOUT, "not ready: %s%s%.300s",
				!c->status.identity ? "no identity yet" : !c->status.heard ? "no word from the control plane yet" : "not registered yet",
				c->status.last.code == MESH_OK ? "" : "; the last trouble: ", c->status.last.message);
		}
	}
	(void)pthread_mutex_unlock(&c->mu);
	return code;
}

bool mesh__control_is_ready(struct mesh__control *c)
{
	bool ready;

	(void)pthread_mutex_lock(&c->mu);
	ready = ready_locked(c) && !c->status.closed;
	(void)pthread_mutex_unlock(&c->mu);
	return ready;
}

static void serve_posted(void *arg)
{
	struct mesh__control *c = arg;
	struct mesh__msg_instance instance = {0};
	struct mesh__err err = MESH__NO_ERR;
	bool copied;

	(void)pthread_mutex_lock(&c->mu);
	c->serve_posted = false;
	copied = mesh__msg_instance_copy(&c->env->mem, &c->instance, &instance);
	(void)pthread_mutex_unlock(&c->mu);
	if (c->link == NULL) {
		on_registered(c, true, NULL);
	} else if (!copied || mesh__link_register(c->link, &instance, &err) != MESH_OK) {
		(void)mesh__fail_memory(&err);
		on_registered(c, false, &err);
	}
	if (copied) {
		mesh__msg_instance_fini(&instance);
	}
}

int mesh__control_serve(struct mesh__control *c, const struct mesh__msg_instance *instance, struct mesh__err *err)
{
	struct mesh__msg_instance copy;
	bool post;

	if (!mesh__msg_instance_copy(&c->env->mem, instance, &copy)) {
		return mesh__fail_memory(err);
	}
	(void)pthread_mutex_lock(&c->mu);
	mesh__msg_instance_fini(&c->instance);
	c->instance = copy;
	c->status.serving = true;
	c->status.registered = false;
	post = !c->serve_posted;
	c->serve_posted = true;
	(void)pthread_mutex_unlock(&c->mu);
	if (post) {
		mesh__loop_post(c->loop, &c->serve_post, serve_posted, c);
	}
	return MESH_OK;
}

static void leave_posted(void *arg)
{
	struct mesh__control *c = arg;

	if (c->link == NULL) {
		c->left(c->left_arg);
	} else {
		mesh__link_deregister(c->link, c->left, c->left_arg);
	}
}

void mesh__control_leave(struct mesh__control *c, mesh__loop_fn done, void *arg)
{
	(void)pthread_mutex_lock(&c->mu);
	c->left = done;
	c->left_arg = arg;
	c->status.closed = true;
	wake(c);
	(void)pthread_mutex_unlock(&c->mu);
	mesh__loop_post(c->loop, &c->leave_post, leave_posted, c);
}

char *mesh__control_spiffe(struct mesh__control *c)
{
	struct mesh__snapshot *s = mesh__swap_get(&c->swap);
	struct mesh__leaf leaf;
	char *text = NULL;

	if (s != NULL && s->creds != NULL) {
		const char *chain = mesh__creds_chain(s->creds);
		if (mesh__pki_leaf_read(chain, strlen(chain), &leaf, NULL) == MESH_OK) {
			text = mesh__strdup(&c->env->mem, leaf.spiffe);
		}
	}
	mesh__snapshot_unref(s);
	return text;
}

/* ---- Life ---- */

static void init_locks(struct mesh__control *c)
{
	(void)pthread_mutex_init(&c->mu, NULL);
	mesh__cond_init(&c->changed);
	mesh__swap_init(&c->swap);
}

int mesh__control_new(const struct mesh__control_options *options, struct mesh__control **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(options->loop);
	struct mesh__control *c = mesh__alloc(&env->mem, sizeof(*c));
	struct mesh__link_events events = {.record = on_record, .interests = on_interests, .registered = on_registered, .state = on_link_state, .arg = c};
	int code;

	*out = NULL;
	if (c == NULL) {
		return mesh__fail_memory(err);
	}
	c->options = *options;
	c->loop = options->loop;
	c->env = env;
	c->has_servers = options->servers->n > 0;
	init_locks(c);
	c->connected = mesh__metrics_gauge(options->metrics, "mesh_control_connected", "1 while a session with meshd is open.", NULL, NULL);
	code = mesh__model_new(env, options->source, "", options->ns, &c->model, err);
	if (code == MESH_OK && mesh__timer_new(c->loop, save_cache, c, &c->cache) != MESH_OK) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK && c->has_servers) {
		code = mesh__link_new(c->loop, options->servers, &events, &c->link, err);
	}
	if (code != MESH_OK) {
		mesh__control_free(c);
		return code;
	}
	*out = c;
	return MESH_OK;
}

static void fini(struct mesh__control *c)
{
	while (c->wishes != NULL) {
		struct wish *next = c->wishes->next;
		mesh__free(c->wishes);
		c->wishes = next;
	}
	mesh__swap_fini(&c->swap);
	mesh__model_free(c->model);
	free_revoked(c);
	mesh__free(c->roots_pem);
	mesh__svid_unref(c->svid);
	if (c->creds != NULL) {
		mesh__creds_unref(c->creds);
	}
	mesh__msg_instance_fini(&c->instance);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->mu);
	mesh__free(c);
}

void mesh__control_free(struct mesh__control *c)
{
	if (c != NULL) {
		mesh__link_free(c->link);
		mesh__timer_free(c->cache);
		fini(c);
	}
}

void mesh__control_abandon(struct mesh__control *c)
{
	if (c != NULL) {
		mesh__link_abandon(c->link);
		fini(c);
	}
}
