#include "inbound/loops.h"

#include <sched.h>
#include <stdio.h>

#include "base/wait.h"

void mesh__loops_init(struct mesh__loops *l)
{
	*l = (struct mesh__loops){.n = 0};
	(void)pthread_mutex_init(&l->mu, NULL);
	mesh__cond_init(&l->changed);
}

void mesh__loops_fini(struct mesh__loops *l)
{
	(void)pthread_cond_destroy(&l->changed);
	(void)pthread_mutex_destroy(&l->mu);
}

int32_t mesh__loops_default(void)
{
	cpu_set_t cpus;
	int n = 1;

	CPU_ZERO(&cpus);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) {
		n = CPU_COUNT(&cpus);
	}
	return n < 1 ? 1 : n < MESH__LOOPS_MAX ? n : MESH__LOOPS_MAX;
}

/* ---- Beginning ---- */

static int open_one(struct mesh__loops *l, int32_t i, const struct mesh__env *env, const struct mesh__http_options *http, struct mesh__err *err)
{
	struct mesh__loops_one *one = &l->list[i];
	struct mesh__http_options options = *http;
	int code;

	one->all = l;
	code = mesh__loop_new(env, &one->loop, err);
	if (code == MESH_OK) {
		l->n++;
		options.fed = i > 0;
		code = mesh__http_server_new(one->loop, &options, &one->http, err);
	}
	return code;
}

int mesh__loops_open(struct mesh__loops *l, const struct mesh__env *env, int32_t n, const struct mesh__http_options *http, struct mesh__thread_set *threads, struct mesh__err *err)
{
	struct mesh__http_server *others[MESH__LOOPS_MAX];
	int code = MESH_OK;

	n = n > 0 ? n : mesh__loops_default();
	l->threads = threads;
	l->list = mesh__alloc_array(&env->mem, (size_t)n, sizeof(*l->list));
	if (l->list == NULL) {
		return mesh__fail_memory(err);
	}
	for (int32_t i = 0; i < n && code == MESH_OK; i++) {
		code = open_one(l, i, env, http, err);
		others[i] = l->list[i].http;
	}
	return code == MESH_OK && n > 1 ? mesh__http_server_spread(others[0], others + 1, (size_t)n - 1, err) : code;
}

static void enter_thread(void *arg)
{
	struct mesh__loops_one *one = arg;

	mesh__thread_set_add_this(one->all->threads);
}

int mesh__loops_start(struct mesh__loops *l, struct mesh__err *err)
{
	char name[16];
	int code = MESH_OK;

	/* The one that listens comes last: the others run before they are fed. */
	for (int32_t i = l->n - 1; i >= 0 && code == MESH_OK; i--) {
		(void)snprintf(name, sizeof(name), "mesh-in-%u", (unsigned)i % MESH__LOOPS_MAX); /* the modulus tells the compiler that it fits */
		mesh__loop_post(l->list[i].loop, &l->list[i].thread_post, enter_thread, &l->list[i]); /* before anything can be served there */
		code = mesh__loop_start(l->list[i].loop, name, err);
	}
	return code;
}

void mesh__loops_address(const struct mesh__loops *l, struct mesh__addr *out)
{
	mesh__http_server_address(l->list[0].http, out);
}

/* ---- Rotation ---- */

static void rotate(void *arg)
{
	struct mesh__loops_one *one = arg;
	struct mesh__tls_conf *tls;
	struct mesh__trust *trust;

	(void)pthread_mutex_lock(&one->all->mu);
	tls = one->next_tls;
	trust = one->next_trust;
	one->next_tls = NULL;
	one->next_trust = NULL;
	one->rotate_posted = false;
	(void)pthread_mutex_unlock(&one->all->mu);
	if (tls != NULL && one->http != NULL) {
		mesh__http_server_rotate(one->http, tls, trust);
	}
	mesh__tls_conf_unref(tls);
	mesh__trust_unref(trust);
}

static void rotate_one(struct mesh__loops_one *one, struct mesh__tls_conf *tls, struct mesh__trust *trust)
{
	struct mesh__tls_conf *old_tls;
	struct mesh__trust *old_trust;
	bool post;

	(void)pthread_mutex_lock(&one->all->mu);
	old_tls = one->next_tls;
	old_trust = one->next_trust;
	one->next_tls = mesh__tls_conf_ref(tls);
	one->next_trust = mesh__trust_ref(trust);
	post = !one->rotate_posted;
	one->rotate_posted = true;
	(void)pthread_mutex_unlock(&one->all->mu);
	if (post) {
		mesh__loop_post(one->loop, &one->rotate_post, rotate, one);
	}
	mesh__tls_conf_unref(old_tls);
	mesh__trust_unref(old_trust);
}

void mesh__loops_rotate(struct mesh__loops *l, struct mesh__tls_conf *tls, struct mesh__trust *trust)
{
	for (int32_t i = 0; i < l->n; i++) {
		rotate_one(&l->list[i], tls, trust);
	}
}

/* ---- Drain ---- */

static void on_drained(void *arg)
{
	struct mesh__loops_one *one = arg;
	struct mesh__loops *l = one->all;

	(void)pthread_mutex_lock(&l->mu);
	l->n_drained++;
	l->cut_short |= mesh__http_server_cut_short(one->http);
	(void)pthread_cond_broadcast(&l->changed);
	(void)pthread_mutex_unlock(&l->mu);
}

static void drain(void *arg)
{
	struct mesh__loops_one *one = arg;

	mesh__http_server_drain(one->http, one->all->drain_ms, on_drained, one);
}

bool mesh__loops_drain(struct mesh__loops *l, int64_t drain_ms)
{
	bool all;

	l->drain_ms = drain_ms;
	for (int32_t i = 0; i < l->n; i++) {
		mesh__loop_post(l->list[i].loop, &l->list[i].drain_post, drain, &l->list[i]);
	}
	(void)pthread_mutex_lock(&l->mu);
	while (l->n_drained < l->n && !l->hurried) {
		(void)pthread_cond_wait(&l->changed, &l->mu);
	}
	all = l->n_drained == l->n && !l->cut_short;
	(void)pthread_mutex_unlock(&l->mu);
	return all;
}

void mesh__loops_hurry(struct mesh__loops *l)
{
	(void)pthread_mutex_lock(&l->mu);
	l->hurried = true;
	(void)pthread_cond_broadcast(&l->changed);
	(void)pthread_mutex_unlock(&l->mu);
}

/* ---- The end ---- */

void mesh__loops_stop(struct mesh__loops *l)
{
	/* The one that feeds the others first. */
	for (int32_t i = 0; i < l->n; i++) {
		mesh__loop_stop(l->list[i].loop);
		mesh__loop_join(l->list[i].loop);
	}
	for (int32_t i = l->n - 1; i >= 0; i--) {
		mesh__http_server_free(l->list[i].http);
		l->list[i].http = NULL;
	}
	if (l->n > 0) {
		mesh__thread_set_clear(l->threads);
	}
}

void mesh__loops_halt(struct mesh__loops *l)
{
	for (int32_t i = 0; i < l->n; i++) {
		mesh__loop_stop(l->list[i].loop);
	}
}

void mesh__loops_join_until(struct mesh__loops *l, const struct mesh__env *env, int64_t deadline_us)
{
	for (int32_t i = 0; i < l->n; i++) {
		(void)mesh__loop_join_until(l->list[i].loop, env, deadline_us);
	}
}

void mesh__loops_close(struct mesh__loops *l)
{
	for (int32_t i = 0; i < l->n; i++) {
		mesh__loop_free(l->list[i].loop);
		mesh__tls_conf_unref(l->list[i].next_tls);
		mesh__trust_unref(l->list[i].next_trust);
	}
	mesh__free(l->list);
	l->list = NULL;
	l->n = 0;
}

void mesh__loops_abandon(struct mesh__loops *l)
{
	for (int32_t i = 0; i < l->n; i++) {
		mesh__http_server_abandon(l->list[i].http);
		mesh__loop_abandon(l->list[i].loop);
	}
}

bool mesh__loops_is_current(const struct mesh__loops *l)
{
	bool current = false;

	for (int32_t i = 0; i < l->n && !current; i++) {
		current = mesh__loop_is_current(l->list[i].loop);
	}
	return current;
}
