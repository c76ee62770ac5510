#include "fake_meshd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wait.h"
#include "support/patience.h"

enum { PATIENCE_US = 10000000 };

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "fake_meshd: %s\n", what);
		abort();
	}
}

static void keep_post(struct fake_meshd *m, const char *what, const char *body)
{
	(void)pthread_mutex_lock(&m->mu);
	if (m->n_greeting > 0) {
		m->n_posts %= FAKE_MESHD_POSTS; /* who is greeted comes often, and is not asked what it posted */
	}
	must(m->n_posts < FAKE_MESHD_POSTS, "too many posts");
	(void)snprintf(m->posts[m->n_posts].what, sizeof(m->posts[0].what), "%s", what);
	(void)snprintf(m->posts[m->n_posts].body, sizeof(m->posts[0].body), "%s", body);
	m->n_posts++;
	(void)pthread_cond_broadcast(&m->changed);
	(void)pthread_mutex_unlock(&m->mu);
}

static void on_gone(void *arg)
{
	struct fake_meshd *m = arg;
	struct mesh__exchange *x = m->watch;

	m->watch = NULL;
	mesh__stream_end(x);
}

static void write_record(struct fake_meshd *m, struct mesh__record *record)
{
	record->sequence = ++m->sequence;
	mesh__buf_clear(&m->line);
	mesh__record_encode(record, &m->line);
	if (m->watch != NULL) {
		(void)!mesh__stream_write(m->watch, m->line.data, m->line.len);
	}
}

static void open_watch(struct fake_meshd *m, struct mesh__exchange *x)
{
	char session[32];
	struct mesh__record hello = {.type = MESH__RECORD_HELLO, .protocol = 1, .heartbeat_ms = 100, .lease_ms = 1000, .session = session};

	must(mesh__stream_begin(x, 200, NULL, 0, on_gone, m), "the watch could not begin");
	m->watch = x;
	m->sequence = 0;
	(void)snprintf(session, sizeof(session), "s%d", m->n_watches + 1);
	write_record(m, &hello);
	(void)pthread_mutex_lock(&m->mu);
	m->n_watches++;
	(void)pthread_cond_broadcast(&m->changed);
	(void)pthread_mutex_unlock(&m->mu);
}

static void on_request(void *user, struct mesh__exchange *x)
{
	struct fake_meshd *m = user;
	const char *path = mesh__exchange_path(x), *body;
	struct mesh__reply reply = {.status = 200, .body = "{}", .body_len = 2};
	char answer[256];
	bool hanging, other;
	size_t len;

	if (strcmp(path, "/v1/watch") == 0) {
		open_watch(m, x);
		return;
	}
	body = mesh__exchange_body(x, &len);
	keep_post(m, strrchr(path, '/') + 1, body == NULL ? "" : body);
	(void)pthread_mutex_lock(&m->mu);
	hanging = m->hanging;
	other = m->answered[0] != '\0' && strcmp(strrchr(path, '/') + 1, m->answered) != 0;
	reply.status = m->status == 0 || other ? 200 : m->status;
	(void)snprintf(answer, sizeof(answer), "%s", m->answer[0] == '\0' || other ? "{\"registered\":true}" : m->answer);
	(void)pthread_mutex_unlock(&m->mu);
	if (hanging) {
		must(m->n_hung < sizeof(m->hung) / sizeof(m->hung[0]), "too many posts hang");
		m->hung[m->n_hung++] = x;
		return;
	}
	reply.body = answer;
	reply.body_len = strlen(answer);
	if (m->watch != NULL && m->n_greeting > 0 && strcmp(strrchr(path, '/'), "/subscribe") == 0) {
		(void)!mesh__stream_write(m->watch, m->greeting.data, m->greeting.len);
	}
	mesh__exchange_reply(x, &reply);
}

/* meshd's own name is in a namespace that no other service is in. */
static void make_identity(struct fake_meshd *m)
{
	struct mesh__name name = {.ns = "mesh-system", .service = "meshd"};
	int64_t now_ms = mesh__wall_ms(&m->env);
	struct mesh__validity validity = {now_ms - 60000, now_ms + 3600000};
	char serial[MESH__SERIAL_MAX], *csr, *leaf;
	struct mesh__csr asked;

	(void)snprintf(name.trust_domain, sizeof(name.trust_domain), "%s", m->ca->trust_domain);
	must(mesh__pki_key_new(&m->env, &m->self.key, NULL) == MESH_OK, "no key");
	must(mesh__pki_csr_new(&m->env, m->self.key, NULL, &csr, NULL) == MESH_OK, "no request");
	must(mesh__pki_csr_read(&m->env, csr, strlen(csr), &asked, NULL) == MESH_OK, "no sound request");
	must(mesh__pki_leaf(&m->env, &name, &asked, m->ca->inter, m->ca->inter_key, &validity, &leaf, serial, NULL) == MESH_OK, "no leaf");
	m->self.chain = test_ca_join(leaf, m->ca->inter);
	mesh__free(leaf);
	mesh__free(csr);
}

void fake_meshd_init(struct fake_meshd *m, struct test_ca *ca)
{
	struct mesh__http_options options = {.name = "control", .handler = on_request, .user = m};
	struct mesh__tls_conf *tls;

	memset(m, 0, sizeof(*m));
	mesh__env_init(&m->env);
	m->ca = ca;
	(void)pthread_mutex_init(&m->mu, NULL);
	mesh__cond_init(&m->changed);
	mesh__buf_init(&m->line, &m->env.mem, MESH__MSG_MAX_BYTES);
	mesh__buf_init(&m->greeting, &m->env.mem, MESH__MSG_MAX_BYTES);
	make_identity(m);
	tls = test_tls_conf(&m->self, ca, true);
	options.tls = tls;
	mesh__http_limits_default(&options.limits);
	must(mesh__addr_parse("listen", "127.0.0.1:0", true, &options.address, NULL) == MESH_OK, "no address");
	must(mesh__loop_new(&m->env, &m->loop, NULL) == MESH_OK, "no loop");
	must(mesh__http_server_new(m->loop, &options, &m->http, NULL) == MESH_OK, "no server");
	mesh__http_server_address(m->http, &m->address);
	must(mesh__loop_start(m->loop, "fake-meshd", NULL) == MESH_OK, "no thread");
	mesh__tls_conf_unref(tls);
}

static void on_done(struct fake_meshd *m)
{
	(void)pthread_mutex_lock(&m->mu);
	m->done = true;
	(void)pthread_cond_broadcast(&m->changed);
	(void)pthread_mutex_unlock(&m->mu);
}

/* Runs `fn` on the loop and waits for it. */
static void on_loop(struct fake_meshd *m, mesh__loop_fn fn)
{
	m->done = false;
	mesh__loop_post(m->loop, &m->post, fn, m);
	(void)pthread_mutex_lock(&m->mu);
	while (!m->done) {
		(void)pthread_cond_wait(&m->changed, &m->mu);
	}
	(void)pthread_mutex_unlock(&m->mu);
}

static void send_line(void *arg)
{
	struct fake_meshd *m = arg;

	if (m->watch != NULL) {
		(void)!mesh__stream_write(m->watch, m->line.data, m->line.len);
	}
	on_done(m);
}

void fake_meshd_send_text(struct fake_meshd *m, const char *text)
{
	mesh__buf_clear(&m->line);
	mesh__buf_str(&m->line, text);
	on_loop(m, send_line);
}

void fake_meshd_send(struct fake_meshd *m, struct mesh__record *record)
{
	record->sequence = ++m->sequence; /* the loop touches it only when a watch opens */
	mesh__buf_clear(&m->line);
	mesh__record_encode(record, &m->line);
	on_loop(m, send_line);
}

void fake_meshd_greet(struct fake_meshd *m, struct mesh__record *record)
{
	record->sequence = ++m->n_greeting + 1;
	mesh__record_encode(record, &m->greeting);
}

void fake_meshd_hang(struct fake_meshd *m)
{
	(void)pthread_mutex_lock(&m->mu);
	m->hanging = true;
	(void)pthread_mutex_unlock(&m->mu);
}

static void end_stream(void *arg)
{
	struct fake_meshd *m = arg;

	if (m->watch != NULL) {
		struct mesh__exchange *x = m->watch;
		m->watch = NULL;
		mesh__stream_end(x);
	}
	on_done(m);
}

void fake_meshd_hang_up(struct fake_meshd *m)
{
	on_loop(m, end_stream);
}

void fake_meshd_fini(struct fake_meshd *m)
{
	fake_meshd_hang_up(m);
	mesh__loop_stop(m->loop);
	mesh__loop_join(m->loop);
	mesh__http_server_free(m->http);
	for (size_t i = 0; i < m->n_hung; i++) {
		mesh__exchange_unref(m->hung[i]);
	}
	mesh__loop_free(m->loop);
	test_peer_fini(&m->self);
	mesh__buf_fini(&m->line);
	mesh__buf_fini(&m->greeting);
	(void)pthread_cond_destroy(&m->changed);
	(void)pthread_mutex_destroy(&m->mu);
}

void fake_meshd_answer(struct fake_meshd *m, int status, const char *body)
{
	fake_meshd_answer_to(m, "", status, body);
}

void fake_meshd_answer_to(struct fake_meshd *m, const char *what, int status, const char *body)
{
	(void)pthread_mutex_lock(&m->mu);
	m->status = status;
	(void)snprintf(m->answered, sizeof(m->answered), "%s", what);
	(void)snprintf(m->answer, sizeof(m->answer), "%s", body);
	(void)pthread_mutex_unlock(&m->mu);
}

void fake_meshd_await_watch(struct fake_meshd *m, int n)
{
	int64_t until_us = mesh__mono_us(&m->env) + patience(PATIENCE_US);

	(void)pthread_mutex_lock(&m->mu);
	while (m->n_watches < n) {
		must(mesh__cond_wait_until(&m->changed, &m->mu, &m->env, until_us), "no watch came");
	}
	(void)pthread_mutex_unlock(&m->mu);
}

static const struct fake_post *find_locked(const struct fake_meshd *m, const char *what, size_t n)
{
	for (size_t i = 0; i < m->n_posts; i++) {
		if (strcmp(m->posts[i].what, what) == 0 && --n == 0) {
			return &m->posts[i];
		}
	}
	return NULL;
}

void fake_meshd_await_post(struct fake_meshd *m, const char *what, size_t n, char *out)
{
	int64_t until_us = mesh__mono_us(&m->env) + patience(PATIENCE_US);
	const struct fake_post *found;

	(void)pthread_mutex_lock(&m->mu);
	while ((found = find_locked(m, what, n)) == NULL) {
		must(mesh__cond_wait_until(&m->changed, &m->mu, &m->env, until_us), what);
	}
	memcpy(out, found->body, FAKE_MESHD_TEXT);
	(void)pthread_mutex_unlock(&m->mu);
}

size_t fake_meshd_count(struct fake_meshd *m, const char *what)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&m->mu);
	while (find_locked(m, what, n + 1) != NULL) {
		n++;
	}
	(void)pthread_mutex_unlock(&m->mu);
	return n;
}
