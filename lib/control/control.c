#include "control/control.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "control/cache.h"
#include "control/credentials.h"
#include "control/link.h"
#include "control/model.h"
#include "control/report.h"
#include "control/status.h"
#include "control/swap.h"

enum { CACHE_DELAY_MS = 200, CACHE_AGAIN_MS = 1000, RETRY_MS = 100 };

/* A service that a caller waits for and that the loop has not been asked for yet. */
struct wish {
	struct wish *next;
	char key[MESH__SERVICE_KEY_MAX];
};

struct mesh__control {
	struct mesh__control_options options;
	struct mesh__loop *loop;
	const struct mesh__env *env;
	struct mesh__swap swap;
	/* Control loop only. */
	struct mesh__model *model;
	struct mesh__link *link;
	struct mesh__credentials credentials;
	struct mesh__timer *cache, *retry, *reporting;
	struct mesh__report report;
	bool cache_due;                /* the timer runs: a change puts the next write off no further */
	bool unkept;                   /* the last write failed: said once, and tried again */
	bool wish_due, begin_due, renew_due, publish_due, register_due; /* what failed here, for want of memory, and is tried again */
	struct mesh__post renew;       /* new trust: outside the record's callback */
	bool renew_posted;
	bool freed;
	bool begun;                    /* the first identity has come */
	struct mesh__counter *connected;
	/* Any thread. */
	_Atomic int n_posted;          /* posts in the loop's queue: they come back to this memory */
	struct mesh__status status;
	pthread_mutex_t mu;            /* guards wishes, the posted flags, instance, left */
	struct wish *wishes;
	struct mesh__post wish_post, serve_post, leave_post;
	bool wish_posted, serve_posted;
	atomic_bool unable;            /* changed under the lock, with what is posted for it */
	_Atomic int guard;             /* enum mesh__guard, of the snapshot of the moment */
	struct mesh__msg_instance instance;
	mesh__loop_fn left;
	void *left_arg;
};

static void fini(struct mesh__control *c);

/* ---- Posts ---- */

static void post(struct mesh__control *c, struct mesh__post *node, mesh__loop_fn fn)
{
	(void)atomic_fetch_add(&c->n_posted, 1);
	mesh__loop_post(c->loop, node, fn, c);
}

/* The first thing that a posted function does: true when there is nothing left to do it for. */
static bool is_orphan(struct mesh__control *c)
{
	bool orphan = c->freed;

	if (atomic_fetch_sub(&c->n_posted, 1) == 1 && orphan) {
		fini(c);
	}
	return orphan;
}

/* ---- Snapshots ---- */

/* What meshd has said once it does not say again: what could not be done with it is not given up. */
static void try_again(struct mesh__control *c, bool *due, const struct mesh__err *err)
{
	*due = true;
	mesh__status_trouble(&c->status, err);
	mesh__timer_start(c->retry, RETRY_MS, 0);
}

static void register_instance(struct mesh__control *c);

static enum mesh__guard guard_of(const struct mesh__service_policy *own)
{
	if (own == NULL) {
		return MESH__GUARD_UNKNOWN;
	}
	return own->authorization.default_deny || own->authorization.n_rules > 0 || own->rate.per_second > 0 || own->concurrency.on ? MESH__GUARD_RULED : MESH__GUARD_OPEN;
}

/* While it is not known who may call, nobody is told that this instance is there. */
static void guard(struct mesh__control *c, enum mesh__guard guard)
{
	bool was_unknown = atomic_exchange(&c->guard, (int)guard) == MESH__GUARD_UNKNOWN;

	if (was_unknown && guard != MESH__GUARD_UNKNOWN) {
		mesh__status_set(&c->status, MESH__FACT_GUARDED, true);
		register_instance(c);
	}
}

static void publish(struct mesh__control *c)
{
	const struct mesh__service_policy *own = mesh__model_own_policy(c->model);
	const struct mesh__svid *svid = c->credentials.svid;
	struct mesh__snapshot *snapshot = mesh__snapshot_new(c->env, c->credentials.creds, svid == NULL ? NULL : &svid->leaf.name, mesh__model_services(c->model), own);
	struct mesh__err err = MESH__NO_ERR;

	c->publish_due = false;
	if (snapshot == NULL) {
		(void)mesh__fail_memory(&err);
		try_again(c, &c->publish_due, &err);
		return;
	}
	mesh__swap_put(&c->swap, snapshot);
	guard(c, guard_of(own));
	mesh__status_set(&c->status, MESH__FACT_IDENTITY, c->credentials.creds != NULL);
	if (c->options.published != NULL) {
		c->options.published(c->options.arg);
	}
}

static void cache_in(struct mesh__control *c, int64_t delay_ms)
{
	if (c->options.state != NULL && !c->cache_due) {
		c->cache_due = true;
		mesh__timer_start(c->cache, delay_ms, 0);
	}
}

/* What cannot be kept is not to be replaced, at the next start, by an older and perhaps looser policy: then nobody is let in until meshd is there. */
static void cache_now(struct mesh__control *c)
{
	struct mesh__err err = MESH__NO_ERR;

	if (c->options.state == NULL) {
		return;
	}
	if (mesh__cache_save(c->options.state, c->env, &c->credentials, c->model, &err) == MESH_OK) {
		c->unkept = false;
		return;
	}
	mesh__state_dir_forget_snapshot(c->options.state);
	if (!c->unkept) {
		mesh__log(c->env, MESH__LOG_WARN, "snapshot not kept", "reason", err.message, "remedy", "make room in MESH_STATE_DIR, and let it be written: without a snapshot a restart needs meshd", (char *)NULL);
	}
	c->unkept = true;
	cache_in(c, CACHE_AGAIN_MS);
}

static void save_cache(void *arg)
{
	struct mesh__control *c = arg;

	c->cache_due = false;
	cache_now(c);
}

static void cache_soon(struct mesh__control *c)
{
	cache_in(c, CACHE_DELAY_MS);
}

/* ---- Credentials ---- */

/* The next generation: of a new SVID or of changed trust. */
static void renew_credentials(struct mesh__control *c)
{
	struct mesh__err err = MESH__NO_ERR;

	c->renew_due = false;
	/* Who serves does so with them before anybody is told that all is ready. */
	if (mesh__credentials_renew(&c->credentials, &err) != MESH_OK || c->options.credentials(c->options.arg, c->credentials.creds, &err) != MESH_OK) {
		mesh__log(c->env, MESH__LOG_ERROR, "credentials not renewed", "reason", err.message, (char *)NULL);
		try_again(c, &c->renew_due, &err);
		return;
	}
	publish(c);
	if (c->link != NULL) {
		mesh__link_use(c->link, c->credentials.creds);
	}
}

static void renew_posted(void *arg)
{
	struct mesh__control *c = arg;

	if (!is_orphan(c)) {
		c->renew_posted = false;
		renew_credentials(c);
	}
}

static int apply_trust(struct mesh__control *c, const struct mesh__record *record, struct mesh__err *err)
{
	bool changed = false;
	int code = mesh__credentials_trust(&c->credentials, record, &changed, err);

	if (code != MESH_OK) {
		return code;
	}
	if (changed && !c->renew_posted) {
		c->renew_posted = true;
		post(c, &c->renew, renew_posted);
	}
	mesh__status_set(&c->status, MESH__FACT_HEARD, true);
	cache_soon(c);
	return MESH_OK;
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
	if (mesh__model_wants_more(c->model)) {
		mesh__link_subscribe(c->link);
	}
	if (changed && record->type == MESH__RECORD_CONFIG && mesh__model_is_own(c->model, record->service)) {
		cache_now(c); /* before it is acknowledged, and before this instance is registered: who may call is known after any end of this process */
	} else if (changed) {
		cache_soon(c);
	}
	if (changed) {
		publish(c);
	}
	mesh__count(mesh__metrics_counter(c->options.metrics, "mesh_records_total", "Records from the control plane, by verdict.", "verdict", code == MESH_OK ? "taken" : "refused"), 1);
	return code;
}

static int on_interests(void *arg, struct mesh__msg_subscribe *out, struct mesh__err *err)
{
	struct mesh__control *c = arg;

	out->trust_version = c->credentials.trust_version;
	return mesh__model_interests(c->model, &out->services, &out->n_services, err);
}

static void on_registered(void *arg, bool yes, const struct mesh__err *err)
{
	struct mesh__control *c = arg;

	if (!yes) {
		mesh__status_trouble(&c->status, err);
	}
	mesh__status_set(&c->status, MESH__FACT_REGISTERED, yes);
	mesh__log(c->env, yes ? MESH__LOG_INFO : MESH__LOG_WARN, yes ? "registered" : "not registered", "reason", yes ? NULL : err->message, (char *)NULL);
}

static void on_report_time(void *arg)
{
	struct mesh__control *c = arg;

	if (mesh__report_look(&c->report, mesh__model_services(c->model))) {
		mesh__link_report(c->link);
	}
}

static void on_report(void *arg, struct mesh__buf *out)
{
	struct mesh__control *c = arg;

	mesh__buf_add(out, c->report.text.data, c->report.text.len);
}

static void on_report_refused(void *arg)
{
	struct mesh__control *c = arg;

	mesh__report_forget(&c->report);
}

/* A new session knows nothing. */
static void report_from_here(struct mesh__control *c, bool open)
{
	mesh__report_forget(&c->report);
	if (open) {
		mesh__timer_start(c->reporting, MESH__REPORT_EVERY_MS, MESH__REPORT_EVERY_MS);
	} else {
		mesh__timer_stop(c->reporting);
	}
}

static void on_link_state(void *arg, const struct mesh__err *err)
{
	struct mesh__control *c = arg;

	if (err != NULL) {
		mesh__status_trouble(&c->status, err);
	}
	mesh__status_set(&c->status, MESH__FACT_APART, err != NULL);
	mesh__gauge_set(c->connected, err == NULL);
	report_from_here(c, err == NULL);
}

/* ---- Identity ---- */

static void first_identity(struct mesh__control *c)
{
	const struct mesh__name *self = &c->credentials.svid->leaf.name;
	struct mesh__err err = MESH__NO_ERR;
	char own[MESH__SERVICE_KEY_MAX];
	int code;

	c->begin_due = false;
	mesh__model_trust_domain(c->model, self->trust_domain);
	mesh__service_key(self, own);
	code = mesh__model_own(c->model, own, c->link == NULL) ? mesh__model_static(c->model, c->options.documents, &err) : mesh__fail_memory(&err);
	if (code == MESH_E_NO_MEMORY) {
		try_again(c, &c->begin_due, &err); /* not ready without them */
		return;
	}
	c->begun = true;
	if (code != MESH_OK) {
		mesh__log(c->env, MESH__LOG_ERROR, "static endpoints not used", "reason", err.message, (char *)NULL);
		mesh__status_trouble(&c->status, &err);
	}
	/* Alone the documents are all there is: what a control plane once said would stay in force for good. */
	if (c->link != NULL && c->options.state != NULL && mesh__cache_load(c->options.state, c->env, &c->credentials, c->model)) {
		mesh__status_set(&c->status, MESH__FACT_HEARD, true);
		mesh__log(c->env, MESH__LOG_INFO, "snapshot read from the state directory", (char *)NULL);
	}
}

static void use_svid(struct mesh__control *c)
{
	if (!c->begun) {
		first_identity(c);
	}
	if (c->begun) {
		renew_credentials(c);
	}
}

void mesh__control_svid(struct mesh__control *c, struct mesh__svid *svid)
{
	mesh__credentials_svid(&c->credentials, svid);
	use_svid(c);
}

void mesh__control_identity_failed(struct mesh__control *c, const struct mesh__err *err, bool final)
{
	mesh__status_trouble(&c->status, err);
	if (final && c->credentials.creds == NULL) {
		mesh__status_set(&c->status, MESH__FACT_REFUSED, true);
	}
}

/* ---- Any thread's side ---- */

struct mesh__snapshot *mesh__control_snapshot(struct mesh__control *c)
{
	return mesh__swap_get(&c->swap);
}

/* A wish that there was no memory for stays one. */
static void keep_wish(struct mesh__control *c, struct wish *w)
{
	struct mesh__err err = MESH__NO_ERR;

	(void)pthread_mutex_lock(&c->mu);
	w->next = c->wishes;
	c->wishes = w;
	(void)pthread_mutex_unlock(&c->mu);
	(void)mesh__fail_memory(&err);
	try_again(c, &c->wish_due, &err);
}

static void take_wishes(struct mesh__control *c)
{
	struct wish *list;
	bool news = false;

	c->wish_due = false;
	(void)pthread_mutex_lock(&c->mu);
	list = c->wishes;
	c->wishes = NULL;
	c->wish_posted = false;
	(void)pthread_mutex_unlock(&c->mu);
	while (list != NULL) {
		struct wish *next = list->next;
		news = mesh__model_want(c->model, list->key) || news;
		if (mesh__model_may_want(c->model, list->key)) {
			keep_wish(c, list);
		} else {
			mesh__free(list);
		}
		list = next;
	}
	if (news && c->link != NULL) {
		mesh__link_subscribe(c->link);
	}
}

static void wishes_posted(void *arg)
{
	struct mesh__control *c = arg;

	if (!is_orphan(c)) {
		take_wishes(c);
	}
}

static int wish_for(struct mesh__control *c, const char *key, struct mesh__err *err)
{
	struct wish *w = mesh__alloc(&c->env->mem, sizeof(*w));
	bool first;

	if (w == NULL) {
		return mesh__fail_memory(err);
	}
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	(void)pthread_mutex_lock(&c->mu);
	w->next = c->wishes;
	c->wishes = w;
	first = !c->wish_posted;
	c->wish_posted = true;
	(void)pthread_mutex_unlock(&c->mu);
	if (first) {
		post(c, &c->wish_post, wishes_posted);
	}
	return MESH_OK;
}

struct awaited {
	struct mesh__control *control;
	const char *key;
	struct mesh__snapshot *snapshot; /* in which it is; one reference */
};

static bool is_there(void *arg, struct mesh__err *err)
{
	struct awaited *a = arg;
	struct mesh__snapshot *s = mesh__swap_get(&a->control->swap);
	bool identity = s != NULL && s->creds != NULL;

	if (identity && mesh__snapshot_find(s, a->key) != NULL) {
		a->snapshot = s;
		return true;
	}
	if (identity && !a->control->status.has_servers) {
		(void)mesh__fail(err, MESH_E_NO_SERVICE, "no control plane is set and %s is not among the static endpoints", a->key);
	}
	mesh__snapshot_unref(s);
	return false;
}

int mesh__control_await(struct mesh__control *c, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err)
{
	struct awaited awaited = {.control = c, .key = key};
	int code = wish_for(c, key, err);

	if (code == MESH_OK) {
		code = mesh__status_await(&c->status, key, is_there, &awaited, deadline_us, cancel, err);
	}
	*out = awaited.snapshot;
	return code;
}

int mesh__control_ask(struct mesh__control *c, const char *key, struct mesh__err *err)
{
	return wish_for(c, key, err);
}

int mesh__control_look(struct mesh__control *c, const char *key, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__snapshot **out, struct mesh__err *err)
{
	struct awaited awaited = {.control = c, .key = key};
	int code = mesh__status_look(&c->status, key, is_there, &awaited, deadline_us, cancel, err);

	*out = awaited.snapshot;
	return code;
}

void mesh__control_listen(struct mesh__control *c, void (*listener)(void *arg), void *arg)
{
	mesh__status_listen(&c->status, listener, arg);
}

int mesh__control_await_ready(struct mesh__control *c, int64_t deadline_us, struct mesh__err *err)
{
	return mesh__status_await_ready(&c->status, deadline_us, err);
}

bool mesh__control_is_ready(struct mesh__control *c, char *why)
{
	return mesh__status_is_ready(&c->status, why);
}

static void withdraw_instance(struct mesh__control *c)
{
	mesh__status_set(&c->status, MESH__FACT_REGISTERED, false);
	if (c->link != NULL) {
		mesh__link_withdraw(c->link);
	}
}

/* Or takes the registration back, when the application has said that it cannot serve. */
static void register_instance(struct mesh__control *c)
{
	struct mesh__msg_instance instance = {0};
	struct mesh__err err = MESH__NO_ERR;
	bool copied, serves, waits;

	c->register_due = false;
	(void)pthread_mutex_lock(&c->mu);
	serves = c->instance.instance != NULL && !atomic_load(&c->unable);
	waits = c->left != NULL || (serves && mesh__control_guard(c) == MESH__GUARD_UNKNOWN);
	copied = serves && !waits && mesh__msg_instance_copy(&c->env->mem, &c->instance, &instance);
	(void)pthread_mutex_unlock(&c->mu);
	if (waits) {
		return; /* for good, or for guard() */
	}
	if (!serves) {
		withdraw_instance(c);
	} else if (c->link == NULL) {
		on_registered(c, true, NULL);
	} else if (!copied || mesh__link_register(c->link, &instance, &err) != MESH_OK) {
		(void)mesh__fail_memory(&err);
		on_registered(c, false, &err);
		try_again(c, &c->register_due, &err);
	}
	if (copied) {
		mesh__msg_instance_fini(&instance);
	}
}

static void serve_posted(void *arg)
{
	struct mesh__control *c = arg;

	if (!is_orphan(c)) {
		(void)pthread_mutex_lock(&c->mu);
		c->serve_posted = false;
		(void)pthread_mutex_unlock(&c->mu);
		register_instance(c);
	}
}

static void on_retry(void *arg)
{
	struct mesh__control *c = arg;

	if (c->wish_due) {
		take_wishes(c);
	}
	if (c->begin_due) {
		use_svid(c);
	} else if (c->renew_due) {
		renew_credentials(c); /* publishes, too */
	} else if (c->publish_due) {
		publish(c);
	}
	if (c->register_due) {
		register_instance(c);
	}
}

int mesh__control_serve(struct mesh__control *c, const struct mesh__msg_instance *instance, struct mesh__err *err)
{
	struct mesh__msg_instance copy;
	bool first;

	if (!mesh__msg_instance_copy(&c->env->mem, instance, &copy)) {
		return mesh__fail_memory(err);
	}
	(void)pthread_mutex_lock(&c->mu);
	mesh__msg_instance_fini(&c->instance);
	c->instance = copy;
	first = !c->serve_posted;
	c->serve_posted = true;
	(void)pthread_mutex_unlock(&c->mu);
	mesh__status_set(&c->status, MESH__FACT_REGISTERED, false);
	mesh__status_set(&c->status, MESH__FACT_SERVING, true);
	if (first) {
		post(c, &c->serve_post, serve_posted);
	}
	return MESH_OK;
}

void mesh__control_able(struct mesh__control *c, const char *why)
{
	bool first = false;

	mesh__status_able(&c->status, why);
	(void)pthread_mutex_lock(&c->mu);
	if (atomic_exchange(&c->unable, why != NULL) != (why != NULL) && c->instance.instance != NULL) {
		mesh__status_set(&c->status, MESH__FACT_REGISTERED, false);
		first = !c->serve_posted;
		c->serve_posted = true;
	}
	(void)pthread_mutex_unlock(&c->mu);
	if (first) {
		post(c, &c->serve_post, serve_posted);
	}
}

bool mesh__control_is_able(const struct mesh__control *c)
{
	return !atomic_load_explicit(&c->unable, memory_order_relaxed);
}

enum mesh__guard mesh__control_guard(const struct mesh__control *c)
{
	return (enum mesh__guard)atomic_load_explicit(&c->guard, memory_order_acquire);
}

static void leave_posted(void *arg)
{
	struct mesh__control *c = arg;

	if (is_orphan(c)) {
		return;
	}
	c->register_due = false;
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
	(void)pthread_mutex_unlock(&c->mu);
	mesh__status_set(&c->status, MESH__FACT_CLOSED, true);
	post(c, &c->leave_post, leave_posted);
}

char *mesh__control_spiffe(struct mesh__control *c)
{
	struct mesh__snapshot *s = mesh__swap_get(&c->swap);
	struct mesh__leaf leaf;
	char *text = NULL;

	if (s != NULL && s->creds != NULL) {
		const char *chain = mesh__creds_chain(s->creds);
		if (mesh__pki_leaf_read(chain, strlen(chain), &leaf, NULL) == MESH_OK) {
			text = mesh__strdup(mesh__mem_libc(), leaf.spiffe); /* given away: it may outlive the mesh and its allocator */
		}
	}
	mesh__snapshot_unref(s);
	return text;
}

/* ---- Life ---- */

int mesh__control_new(const struct mesh__control_options *options, struct mesh__control **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(options->loop);
	struct mesh__control *c = mesh__alloc(&env->mem, sizeof(*c));
	struct mesh__link_events events = {.record = on_record, .interests = on_interests, .registered = on_registered, .report = on_report, .report_refused = on_report_refused, .state = on_link_state, .arg = c};
	int code;

	*out = NULL;
	if (c == NULL) {
		return mesh__fail_memory(err);
	}
	c->options = *options;
	c->loop = options->loop;
	c->env = env;
	(void)pthread_mutex_init(&c->mu, NULL);
	mesh__swap_init(&c->swap);
	mesh__status_init(&c->status, env, options->servers->n > 0);
	mesh__credentials_init(&c->credentials, env);
	c->connected = mesh__metrics_gauge(options->metrics, "mesh_control_connected", "1 while a session with meshd is open.", NULL, NULL);
	mesh__report_init(&c->report, env);
	code = mesh__model_new(env, options->source, "", options->ns, &c->model, err);
	if (code == MESH_OK && (mesh__timer_new(c->loop, save_cache, c, &c->cache) != MESH_OK || mesh__timer_new(c->loop, on_retry, c, &c->retry) != MESH_OK ||
		mesh__timer_new(c->loop, on_report_time, c, &c->reporting) != MESH_OK)) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK && c->status.has_servers) {
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
	mesh__credentials_fini(&c->credentials);
	mesh__report_fini(&c->report);
	mesh__status_fini(&c->status);
	mesh__msg_instance_fini(&c->instance);
	(void)pthread_mutex_destroy(&c->mu);
	mesh__free(c);
}

void mesh__control_free(struct mesh__control *c)
{
	if (c == NULL) {
		return;
	}
	if (c->cache_due) {
		save_cache(c);
	}
	mesh__link_free(c->link);
	mesh__timer_free(c->cache);
	mesh__timer_free(c->retry);
	mesh__timer_free(c->reporting);
	c->freed = true;
	if (atomic_load(&c->n_posted) == 0) {
		fini(c);
	} /* else the last post does, when its turn in the loop's queue comes */
}

void mesh__control_abandon(struct mesh__control *c)
{
	if (c != NULL) {
		mesh__link_abandon(c->link);
	}
}
