#include <stdio.h>
#include <string.h>

#include "http/core.h"
#include "io/trust.h"

enum {
	SWEEP_MS = 250,       /* deadlines are absolute; this is how late we may notice */
	BACKLOG = 1024,
	LOG_LINES_MAX = 20,   /* a second */
	SCRATCH_KEEP_BYTES = 256 * 1024
};

void mesh__http_limits_default(struct mesh__http_limits *limits)
{
	*limits = (struct mesh__http_limits){
		.max_connections = 10000,
		.max_handshakes = 1000,
		.max_header_bytes = 65536,
		.max_fields = 128,
		.max_body_bytes = 16 * 1024 * 1024,
		.max_stranger_body_bytes = INT64_MAX,
		.max_bodies_bytes = 32 * 1024 * 1024,
		.handshake_ms = 10000,
		.header_ms = 10000,
		.body_ms = 60000,
		.reply_ms = 120000,
		.write_ms = 30000,
		.idle_ms = 90000,
		.max_stream_bytes = 8 * 1024 * 1024,
	};
}

/* ---- Counting and telling ---- */

static void count_refusal(struct mesh__http_server *s, bool handshake, const char *reason)
{
	const char *name = handshake ? "mesh_handshakes_refused_total" : "mesh_requests_refused_total";
	const char *help = handshake ? "Connections refused before their first request, by reason." : "Requests refused before the handler, by reason.";

	if (s->options.metrics != NULL) {
		mesh__count(mesh__metrics_counter(s->options.metrics, name, help, "reason", reason), 1);
	}
}

void mesh__http_server_shook_hands(struct mesh__http_server *s, bool resumed)
{
	if (s->n_whole != NULL) {
		mesh__count(resumed ? s->n_resumed : s->n_whole, 1);
	}
}

/* True when one more line may be logged now; tells how many were not once a new second begins. */
static bool may_log(struct mesh__http_server *s)
{
	struct mesh__http_logger *l = &s->logger;
	int64_t now_us = mesh__mono_us(s->env);
	char n[24];

	if (now_us - l->window_us >= 1000000) {
		l->window_us = now_us;
		l->n_lines = 0;
		if (l->n_left_out > 0) {
			(void)snprintf(n, sizeof(n), "%lld", (long long)l->n_left_out);
			mesh__log(s->env, MESH__LOG_WARN, "refusals not logged", "listener", s->name, "count", n, (char *)NULL);
			l->n_left_out = 0;
		}
	}
	if (l->n_lines == LOG_LINES_MAX) {
		l->n_left_out++;
		return false;
	}
	l->n_lines++;
	return true;
}

void mesh__http_server_refused(struct mesh__http_server *s, const char *event, const struct mesh__addr *peer, const char *reason, const char *message)
{
	bool handshake = strcmp(event, "handshake refused") == 0;
	char address[MESH__ADDR_TEXT] = "";

	count_refusal(s, handshake, reason);
	if (may_log(s)) {
		mesh__addr_format(peer, address);
		mesh__log(s->env, handshake ? MESH__LOG_WARN : MESH__LOG_INFO, event, "listener", s->name, "peer", address, "reason", reason, "message", message, (char *)NULL);
	}
}

const char *mesh__http_server_date(struct mesh__http_server *s)
{
	int64_t wall_ms = mesh__wall_ms(s->env);

	if (s->date[0] == '\0' || s->date_s != wall_ms / 1000) {
		s->date_s = wall_ms / 1000;
		mesh__reply_date(wall_ms, s->date);
	}
	return s->date;
}

/* ---- Its connections ---- */

static void trim_scratch(struct mesh__buf *buf)
{
	if (buf->cap > SCRATCH_KEEP_BYTES) {
		mesh__buf_fini(buf);
	}
}

static void on_sweep(void *arg);

void mesh__http_server_sweep_soon(struct mesh__http_server *s)
{
	mesh__timer_start(s->sweep, 0, SWEEP_MS);
	s->sweeping = true;
}

void mesh__http_server_joined(struct mesh__http_server *s, struct mesh__conn *c)
{
	c->next = s->conns;
	if (c->next != NULL) {
		c->next->prev = c;
	}
	s->conns = c;
	s->n_conns++;
	if (s->n_accepted != NULL) {
		mesh__count(s->n_accepted, 1);
		mesh__count(s->n_open, 1);
	}
	if (!s->sweeping) {
		mesh__timer_start(s->sweep, SWEEP_MS, SWEEP_MS);
		s->sweeping = true;
	}
}

void mesh__http_server_left(struct mesh__http_server *s, struct mesh__conn *c)
{
	if (c->next != NULL) {
		c->next->prev = c->prev;
	}
	if (c->prev != NULL) {
		c->prev->next = c->next;
	} else {
		s->conns = c->next;
	}
	c->next = NULL;
	c->prev = NULL;
	s->n_conns--;
	(void)atomic_fetch_sub(&s->spread.n_placed, 1);
	if (s->n_open != NULL) {
		mesh__count(s->n_open, -1);
	}
	if (s->draining && s->conns == NULL && !s->closed) {
		mesh__http_server_sweep_soon(s); /* not from here: the one who closes may be in the middle of something */
	}
}

/* Calls fn for each connection. fn may close any of them, or free the server. */
static void each_conn(struct mesh__http_server *s, void (*fn)(struct mesh__conn *c, int64_t arg), int64_t arg)
{
	struct mesh__conn *c = s->conns;

	while (c != NULL) {
		struct mesh__conn *next = c->next;
		bool lost;

		if (next != NULL) {
			mesh__conn_hold(next);
		}
		fn(c, arg);
		lost = next != NULL && next->closed;
		c = lost ? s->conns : next; /* what was looked at already is not due again */
		if (next != NULL) {
			mesh__conn_release(next);
		}
	}
}

static void cut(struct mesh__conn *c, int64_t unused)
{
	(void)unused;
	mesh__conn_close(c, false);
}

static void sweep_one(struct mesh__conn *c, int64_t now_us)
{
	mesh__conn_sweep(c, now_us);
}

static void drain_one(struct mesh__conn *c, int64_t unused)
{
	(void)unused;
	c->protocol->drain(c);
}

/* One that is fed waits for who feeds it: as long as that one listens, there is more to come. */
static bool grace_is_over(const struct mesh__http_server *s, int64_t now_us)
{
	return s->options.fed ? s->spread.ended : now_us >= s->grace_until_us || mesh__spread_is_empty(s);
}

/* Here the listener goes, and what is idle with it. */
static void end_grace(struct mesh__http_server *s)
{
	if (s->listener != NULL) {
		mesh__listener_take_backlog(s->listener);
		mesh__listener_address(s->listener, &s->options.address);
		mesh__listener_free(s->listener);
		s->listener = NULL;
	}
	mesh__spread_end(s);
	s->grace = false;
	each_conn(s, drain_one, 0);
}

static void finish_drain(struct mesh__http_server *s)
{
	mesh__loop_fn fn = s->drained;

	if (fn != NULL) {
		s->drained = NULL;
		fn(s->drained_arg);
	}
}

static void on_sweep(void *arg)
{
	struct mesh__http_server *s = mesh__http_server_ref(arg);
	int64_t now_us = mesh__mono_us(s->env);

	s->n_sweeps++;
	each_conn(s, sweep_one, now_us);
	if (s->grace && grace_is_over(s, now_us)) {
		end_grace(s);
	}
	if (s->draining && now_us >= s->drain_until_us) {
		s->cutting = true;
		each_conn(s, cut, 0);
	}
	trim_scratch(&s->plain);
	trim_scratch(&s->cipher);
	trim_scratch(&s->out);
	if (s->conns == NULL && !s->grace && !s->closed) {
		mesh__timer_stop(s->sweep);
		s->sweeping = false;
		if (s->draining) {
			finish_drain(s);
		}
	}
	mesh__http_server_unref(s);
}

/* ---- Life ---- */

struct mesh__http_server *mesh__http_server_ref(struct mesh__http_server *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void mesh__http_server_unref(struct mesh__http_server *s)
{
	if (atomic_fetch_sub(&s->refs, 1) == 1) {
		mesh__buf_fini(&s->plain);
		mesh__buf_fini(&s->cipher);
		mesh__buf_fini(&s->out);
		(void)pthread_mutex_destroy(&s->loop_mu);
		mesh__free(s);
	}
}

static void set_up_metrics(struct mesh__http_server *s)
{
	struct mesh__metrics *m = s->options.metrics;

	if (m != NULL) {
		s->n_accepted = mesh__metrics_counter(m, "mesh_connections_total", "Connections accepted, by listener.", "listener", s->name);
		s->n_open = mesh__metrics_gauge(m, "mesh_connections", "Connections open now, by listener.", "listener", s->name);
	}
	if (m != NULL && (s->options.tls != NULL || s->options.tls_required)) {
		const char *help = "TLS handshakes done, by whether a session was resumed.";

		s->n_whole = mesh__metrics_counter(m, "mesh_handshakes_total", help, "resumed", "no");
		s->n_resumed = mesh__metrics_counter(m, "mesh_handshakes_total", help, "resumed", "yes");
	}
}

int mesh__http_server_new(struct mesh__loop *loop, const struct mesh__http_options *options, struct mesh__http_server **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct mesh__http_server *s = mesh__alloc(&env->mem, sizeof(*s));
	int rc;

	*out = NULL;
	if (s == NULL) {
		return mesh__fail_memory(err);
	}
	s->refs = 1;
	s->env = env;
	s->loop = loop;
	(void)pthread_mutex_init(&s->loop_mu, NULL);
	s->options = *options;
	s->options.tls = options->tls != NULL ? mesh__tls_conf_ref(options->tls) : NULL;
	(void)snprintf(s->name, sizeof(s->name), "%s", options->name);
	mesh__buf_init(&s->plain, &env->mem, SIZE_MAX / 2);
	mesh__buf_init(&s->cipher, &env->mem, SIZE_MAX / 2);
	mesh__buf_init(&s->out, &env->mem, SIZE_MAX / 2);
	set_up_metrics(s);
	rc = mesh__timer_new(loop, on_sweep, s, &s->sweep);
	if (rc != MESH_OK) {
		rc = mesh__fail_memory(err);
		goto fail;
	}
	if (!options->fed) {
		rc = mesh__listener_new(loop, &options->address, BACKLOG, mesh__spread_accept, s, &s->listener, err);
		if (rc != MESH_OK) {
			goto fail;
		}
	}
	*out = s;
	return MESH_OK;
fail:
	mesh__http_server_free(s);
	return rc;
}

void mesh__http_server_address(const struct mesh__http_server *s, struct mesh__addr *out)
{
	*out = s->options.address;
	if (s->listener != NULL) {
		mesh__listener_address(s->listener, out);
	}
}

static void close_revoked(struct mesh__conn *c, int64_t unused)
{
	(void)unused;
	if (c->state == MESH__CONN_IDLE && !mesh__conn_still_trusted(c)) {
		c->protocol->expire(c);
	}
}

void mesh__http_server_rotate(struct mesh__http_server *s, struct mesh__tls_conf *tls, struct mesh__trust *trust)
{
	struct mesh__tls_conf *old_tls = s->options.tls;
	struct mesh__trust *old_trust = s->trust;

	s->options.tls = tls != NULL ? mesh__tls_conf_ref(tls) : NULL;
	s->trust = trust != NULL ? mesh__trust_ref(trust) : NULL;
	if (old_tls != NULL) {
		mesh__tls_conf_unref(old_tls);
	}
	if (old_trust != NULL) {
		mesh__trust_unref(old_trust);
	}
	if (s->trust != NULL) {
		each_conn(s, close_revoked, 0);
	}
}

void mesh__http_server_drain(struct mesh__http_server *s, int64_t drain_ms, mesh__loop_fn done, void *arg)
{
	int64_t now_us = mesh__mono_us(s->env), half_ms = drain_ms / 2;
	int64_t grace_ms = s->options.limits.drain_grace_ms < half_ms ? s->options.limits.drain_grace_ms : half_ms;

	s->draining = true;
	s->grace = true;
	s->grace_until_us = now_us + grace_ms * 1000;
	s->drain_until_us = now_us + drain_ms * 1000;
	s->drained = done;
	s->drained_arg = arg;
	each_conn(s, drain_one, 0);
	if (grace_is_over(s, now_us)) {
		end_grace(s);
	}
	mesh__http_server_sweep_soon(s);
}

bool mesh__http_server_cut_short(const struct mesh__http_server *s)
{
	return s->cut_short;
}

void mesh__http_server_free(struct mesh__http_server *s)
{
	if (s == NULL) {
		return;
	}
	s->closed = true;
	mesh__listener_free(s->listener);
	each_conn(s, cut, 0);
	mesh__spread_fini(s);
	/* After the connections have parted with their exchanges: from here on another thread may free one by itself. */
	(void)pthread_mutex_lock(&s->loop_mu);
	s->loop = NULL;
	(void)pthread_mutex_unlock(&s->loop_mu);
	mesh__timer_free(s->sweep);
	if (s->options.tls != NULL) {
		mesh__tls_conf_unref(s->options.tls);
	}
	if (s->trust != NULL) {
		mesh__trust_unref(s->trust);
	}
	mesh__http_server_unref(s);
}
