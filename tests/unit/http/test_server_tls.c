#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "http/server.h"
#include "support/fake_env.h"
#include "support/http_stage.h"
#include "support/test_ca.h"
#include "support/tls_client.h"

static struct {
	struct fake_env fake;
	struct test_ca ca;
	char *chain, *key;               /* the client's */
	struct mesh__tls_conf *conf;
	struct mesh__trust *trust;
	struct mesh__http_limits limits;
	struct mesh__loop *loop;
	struct mesh__http_server *server;
	struct mesh__metrics *metrics;
	struct mesh__addr addr;
	struct tls_client *resume;       /* whose session the next callers offer */
	_Atomic int n_requests;
	pthread_mutex_t mu; /* guards rotated */
	pthread_cond_t changed;
	bool rotated;
} S;

static void on_request(void *user, struct mesh__exchange *x)
{
	const struct mesh__leaf *peer = mesh__exchange_peer(x);
	const char *mesh_try = mesh__exchange_header(x, "Mesh-Try");
	char text[512];
	struct mesh__reply reply = {.status = 200, .body = text};

	(void)user;
	S.n_requests++;
	reply.body_len = (size_t)snprintf(text, sizeof(text), "peer=%s try=%s.", peer != NULL ? peer->spiffe : "none", mesh_try != NULL ? mesh_try : "none");
	mesh__exchange_reply(x, &reply);
}

static struct mesh__trust *trust_new(const char *revoked)
{
	struct mesh__trust *trust;

	assert_int_equal(mesh__trust_new(&S.fake.env, "mesh.local", S.ca.root, &revoked, revoked != NULL, &trust, NULL), MESH_OK);
	return trust;
}

static struct mesh__tls_conf *conf_new(const char *service, bool client_optional)
{
	struct mesh__tls_conf_options options = {.trust = S.trust, .client_optional = client_optional, .sessions = mesh__sessions_new(&S.fake.env)};
	struct mesh__tls_conf *conf;
	char *chain, *key;

	test_ca_leaf(&S.ca, service, &chain, &key);
	options.chain_pem = chain;
	options.key_pem = key;
	assert_int_equal(mesh__tls_conf_new(&S.fake.env, &options, &conf, NULL), MESH_OK);
	mesh__sessions_unref(options.sessions);
	mesh__free(chain);
	mesh__free(key);
	return conf;
}

static int set_up(void **state)
{
	(void)state;
	memset(&S, 0, sizeof(S));
	fake_env_init(&S.fake);
	(void)pthread_mutex_init(&S.mu, NULL);
	(void)pthread_cond_init(&S.changed, NULL);
	test_ca_init(&S.ca, &S.fake.env, "mesh.local");
	test_ca_leaf(&S.ca, "client", &S.chain, &S.key);
	S.trust = trust_new(NULL);
	S.conf = conf_new("server", false);
	S.metrics = mesh__metrics_new(&S.fake.env);
	mesh__http_limits_default(&S.limits);
	return 0;
}

static void open_server(struct mesh__tls_conf *conf)
{
	struct mesh__http_options options = {.name = "test", .limits = S.limits, .handler = on_request, .tls = conf, .tls_required = true, .metrics = S.metrics};

	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &options.address, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&S.fake.env, &S.loop, NULL), MESH_OK);
	assert_int_equal(mesh__http_server_new(S.loop, &options, &S.server, NULL), MESH_OK);
	mesh__http_server_address(S.server, &S.addr);
	assert_int_equal(mesh__loop_start(S.loop, "mesh-test", NULL), MESH_OK);
}

static int tear_down(void **state)
{
	(void)state;
	mesh__loop_stop(S.loop);
	mesh__loop_join(S.loop);
	mesh__http_server_free(S.server);
	mesh__loop_free(S.loop);
	mesh__tls_conf_unref(S.conf);
	mesh__trust_unref(S.trust);
	mesh__metrics_free(S.metrics);
	mesh__free(S.chain);
	mesh__free(S.key);
	test_ca_fini(&S.ca);
	return 0;
}

/* ---- A TLS client that blocks, with a deadline ---- */

struct caller {
	int fd;
	struct tls_client *tls;
	struct mesh__buf in, out, plain;
	int code;  /* of TLS; not 0: it has ended */
	bool eof;
};

static void dial(struct caller *c, bool with_cert)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(S.addr.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct tls_client_options options = {.chain_pem = with_cert ? S.chain : NULL, .key_pem = with_cert ? S.key : NULL, .roots_pem = S.ca.root, .resume = S.resume};
	struct timeval limit = {10, 0};

	memset(c, 0, sizeof(*c));
	mesh__buf_init(&c->in, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&c->out, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&c->plain, mesh__mem_libc(), 1 << 20);
	c->tls = tls_client_new(&options);
	assert_non_null(c->tls);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

static void hang_up(struct caller *c)
{
	(void)close(c->fd);
	tls_client_free(c->tls);
	mesh__buf_fini(&c->in);
	mesh__buf_fini(&c->out);
	mesh__buf_fini(&c->plain);
}

/* Sends what is due, `drip` bytes at a time. */
static void flush(struct caller *c, size_t drip)
{
	for (size_t at = 0; at < c->out.len; at += drip) {
		(void)send(c->fd, c->out.data + at, c->out.len - at < drip ? c->out.len - at : drip, MSG_NOSIGNAL);
	}
	mesh__buf_clear(&c->out);
}

/* One turn: what is due goes out, and what comes is waited for and taken. */
static void turn(struct caller *c, size_t drip)
{
	char bytes[16384];
	ssize_t n;

	flush(c, drip);
	n = socket_recv(c->fd, bytes, sizeof(bytes));
	c->eof = n <= 0;
	if (n > 0) {
		mesh__buf_add(&c->in, bytes, (size_t)n);
		c->code = tls_client_step(c->tls, &c->in, &c->out, &c->plain);
	}
}

static void shake_hands(struct caller *c, size_t drip)
{
	c->code = tls_client_step(c->tls, &c->in, &c->out, &c->plain);
	while (c->code == 0 && !c->eof && !tls_client_established(c->tls)) {
		turn(c, drip);
	}
	flush(c, drip);
}

static const char *ask(struct caller *c)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nMesh-Try: 2\r\n\r\n";

	mesh__buf_clear(&c->plain);
	assert_int_equal(tls_client_send(c->tls, text, sizeof(text) - 1, &c->out), 0);
	do {
		turn(c, SIZE_MAX);
	} while (c->code == 0 && !c->eof && (c->plain.data == NULL || strchr(c->plain.data, '=') == NULL));
	return c->plain.data != NULL ? c->plain.data : "";
}

static void until_closed(struct caller *c)
{
	while (!c->eof) {
		turn(c, SIZE_MAX);
	}
}

static void assert_counted(const char *line)
{
	struct mesh__buf text;

	mesh__buf_init(&text, mesh__mem_libc(), 1 << 20);
	mesh__metrics_text(S.metrics, &text);
	if (strstr(text.data, line) == NULL) {
		fail_msg("no \"%s\" in: %s", line, text.data);
	}
	mesh__buf_fini(&text);
}

struct rotation {
	struct mesh__post post;
	struct mesh__tls_conf *conf;
	struct mesh__trust *trust;
};

static void do_rotate(void *arg)
{
	struct rotation *r = arg;

	mesh__http_server_rotate(S.server, r->conf, r->trust);
	(void)pthread_mutex_lock(&S.mu);
	S.rotated = true;
	(void)pthread_cond_signal(&S.changed);
	(void)pthread_mutex_unlock(&S.mu);
}

static void rotate(struct mesh__tls_conf *conf, struct mesh__trust *trust)
{
	struct rotation r = {.conf = conf, .trust = trust};

	mesh__loop_post(S.loop, &r.post, do_rotate, &r);
	(void)pthread_mutex_lock(&S.mu);
	while (!S.rotated) {
		(void)pthread_cond_wait(&S.changed, &S.mu);
	}
	(void)pthread_mutex_unlock(&S.mu);
}

/* ---- Tests ---- */

static void threat_9_an_authenticated_peer_is_known_and_keeps_its_mesh_fields(void **state)
{
	struct caller c;

	(void)state;
	open_server(S.conf);
	dial(&c, true);
	shake_hands(&c, SIZE_MAX);
	assert_non_null(strstr(ask(&c), "peer=spiffe://mesh.local/ns/default/svc/client try=2."));
	assert_non_null(strstr(ask(&c), "try=2."));
	hang_up(&c);
}

static void counts_whole_and_resumed_handshakes_and_knows_a_resumed_peer(void **state)
{
	struct caller c, again, once_more;

	(void)state;
	open_server(S.conf);
	assert_counted("mesh_handshakes_total{resumed=\"no\"} 0");
	assert_counted("mesh_handshakes_total{resumed=\"yes\"} 0");
	dial(&c, true);
	shake_hands(&c, SIZE_MAX);
	assert_non_null(strstr(ask(&c), "svc/client"));
	S.resume = c.tls;
	dial(&again, true);
	shake_hands(&again, SIZE_MAX);
	assert_non_null(strstr(ask(&again), "peer=spiffe://mesh.local/ns/default/svc/client try=2."));
	dial(&once_more, true);
	shake_hands(&once_more, 1);
	assert_non_null(strstr(ask(&once_more), "svc/client"));
	assert_counted("mesh_handshakes_total{resumed=\"no\"} 1");
	assert_counted("mesh_handshakes_total{resumed=\"yes\"} 2");
	hang_up(&once_more);
	hang_up(&again);
	hang_up(&c);
}

static void takes_a_handshake_that_comes_byte_by_byte(void **state)
{
	struct caller c;

	(void)state;
	open_server(S.conf);
	dial(&c, true);
	shake_hands(&c, 1);
	assert_non_null(strstr(ask(&c), "svc/client"));
	hang_up(&c);
}

static void refuses_counts_and_logs_a_client_without_certificate(void **state)
{
	struct caller c;

	(void)state;
	open_server(S.conf);
	dial(&c, false);
	shake_hands(&c, SIZE_MAX);
	until_closed(&c);
	assert_int_not_equal(tls_client_alert(c.tls), 0); /* it arrived, and not a reset */
	hang_up(&c);
	assert_counted("mesh_handshakes_refused_total{reason=\"no-certificate\"} 1");
	assert_true(fake_env_logged(&S.fake, "warn handshake refused listener=test peer=127.0.0.1:"));
	assert_int_equal(S.n_requests, 0);
}

static void threat_9_a_client_without_certificate_where_allowed_loses_its_mesh_fields(void **state)
{
	struct mesh__tls_conf *conf;
	struct caller c;

	(void)state;
	conf = conf_new("meshd", true);
	open_server(conf);
	dial(&c, false);
	shake_hands(&c, SIZE_MAX);
	assert_non_null(strstr(ask(&c), "peer=none try=none."));
	hang_up(&c);
	mesh__tls_conf_unref(conf);
}

static void a_half_open_handshake_ends_at_its_deadline(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct caller c;

	(void)state;
	open_server(S.conf);
	dial(&c, true);
	assert_int_equal(send(c.fd, "\x16\x03\x01", 3, 0), 3);
	p.fd = c.fd;
	do {
		fake_env_advance_ms(&S.fake, 10001);
	} while (poll(&p, 1, 50) <= 0);
	hang_up(&c);
	assert_counted("mesh_handshakes_refused_total{reason=\"timeout\"} 1");
}

static void handshakes_at_a_time_are_bounded(void **state)
{
	struct caller first, second;
	char byte;

	(void)state;
	S.limits.max_handshakes = 1;
	open_server(S.conf);
	dial(&first, true);
	dial(&second, true);
	assert_true(socket_recv(second.fd, &byte, 1) <= 0);
	shake_hands(&first, SIZE_MAX); /* makes room */
	assert_non_null(strstr(ask(&first), "svc/client"));
	hang_up(&second);
	dial(&second, true);
	shake_hands(&second, SIZE_MAX);
	assert_non_null(strstr(ask(&second), "svc/client"));
	hang_up(&first);
	hang_up(&second);
	assert_counted("mesh_handshakes_refused_total{reason=\"too-many-handshakes\"} 1");
}

/* THREATS 17. Who opens connections and says nothing holds no place against those who mean it. */
static void threat_17_silent_handshakes_make_room_for_a_newcomer(void **state)
{
	enum { SILENT = 8 };
	struct caller silent[SILENT], good;
	char byte;

	(void)state;
	S.limits.max_handshakes = SILENT;
	open_server(S.conf);
	for (int i = 0; i < SILENT; i++) {
		dial(&silent[i], true);
	}
	dial(&good, true);
	shake_hands(&good, SIZE_MAX);
	for (int i = 0; i < 6000 && !tls_client_established(good.tls); i++) { /* until they have had their second */
		hang_up(&good);
		(void)poll(NULL, 0, 10); /* each leaves a port behind for a minute */
		dial(&good, true);
		shake_hands(&good, SIZE_MAX);
	}
	assert_non_null(strstr(ask(&good), "svc/client"));
	assert_true(socket_recv(silent[0].fd, &byte, 1) < 0); /* the oldest, by a reset */
	assert_counted("mesh_handshakes_refused_total{reason=\"crowded-out\"} 1");
	hang_up(&good);
	for (int i = 0; i < SILENT; i++) {
		hang_up(&silent[i]);
	}
}

/* ---- Many handshakes in one turn of the loop: each look at the clock takes a whole slice of time ---- */

static int64_t (*still_mono_us)(void *user);
static atomic_bool ticks;

static int64_t ticking_mono_us(void *user)
{
	if (atomic_load(&ticks)) {
		fake_env_advance_us(&S.fake, 5000);
	}
	return still_mono_us(user);
}

static void open_ticking_server(void)
{
	still_mono_us = S.fake.env.mono_us;
	S.fake.env.mono_us = ticking_mono_us;
	atomic_store(&ticks, false);
	open_server(S.conf);
}

struct gate {
	struct mesh__post post;
	bool entered, open; /* under S.mu */
};

static void pass(void *arg)
{
	struct gate *g = arg;

	(void)pthread_mutex_lock(&S.mu);
	g->entered = true;
	(void)pthread_cond_broadcast(&S.changed);
	while (!g->open) {
		(void)pthread_cond_wait(&S.changed, &S.mu);
	}
	(void)pthread_mutex_unlock(&S.mu);
}

/* The loop stands still from here on; what was accepted before is watched. */
static void close_gate(struct gate *g)
{
	for (int i = 0; i < 4; i++) { /* turns: to accept, to watch, and one to spare */
		*g = (struct gate){.open = i < 3};
		mesh__loop_post(S.loop, &g->post, pass, g);
		(void)pthread_mutex_lock(&S.mu);
		while (!g->entered) {
			(void)pthread_cond_wait(&S.changed, &S.mu);
		}
		(void)pthread_mutex_unlock(&S.mu);
	}
}

static void open_gate(struct gate *g)
{
	atomic_store(&ticks, true);
	(void)pthread_mutex_lock(&S.mu);
	g->open = true;
	(void)pthread_cond_broadcast(&S.changed);
	(void)pthread_mutex_unlock(&S.mu);
}

enum { ORDERED = 7, TURNS_MAX = 10000 };

/* In which turn of the loop each of some callers was sent something; 0: it was not. */
struct order {
	struct mesh__post post;
	struct caller *callers;
	int turn, answered, turns[ORDERED];
	bool done; /* under S.mu */
};

static void look(void *arg)
{
	struct order *o = arg;

	o->turn++;
	for (int i = 0; i < ORDERED; i++) {
		struct pollfd p = {.fd = o->callers[i].fd, .events = POLLIN};

		if (o->turns[i] == 0 && poll(&p, 1, 0) == 1) {
			o->turns[i] = o->turn;
			o->answered++;
		}
	}
	if (o->answered < ORDERED && o->turn < TURNS_MAX) {
		mesh__loop_post(S.loop, &o->post, look, o);
		return;
	}
	(void)pthread_mutex_lock(&S.mu);
	o->done = true;
	(void)pthread_cond_broadcast(&S.changed);
	(void)pthread_mutex_unlock(&S.mu);
}

static void until_looked(struct order *o)
{
	(void)pthread_mutex_lock(&S.mu);
	while (!o->done) {
		(void)pthread_cond_wait(&S.changed, &S.mu);
	}
	(void)pthread_mutex_unlock(&S.mu);
}

/* Has its first flight ready to be sent. */
static void dial_only(struct caller *c, struct tls_client *resume)
{
	S.resume = resume;
	dial(c, true);
	S.resume = NULL;
	c->code = tls_client_step(c->tls, &c->in, &c->out, &c->plain);
	assert_int_equal(c->code, 0);
}

static void between_handshakes_others_are_served_and_what_is_nearly_done_goes_first(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	enum { FIRST, OLD, MIDDLE, LATE, HALF_DONE, RESUMES, ESTABLISHED };
	struct caller c[ORDERED];
	struct order order = {.callers = c};
	struct gate gate;

	(void)state;
	open_ticking_server();
	dial(&c[ESTABLISHED], true);
	shake_hands(&c[ESTABLISHED], SIZE_MAX);
	assert_non_null(strstr(ask(&c[ESTABLISHED]), "svc/client"));
	dial_only(&c[HALF_DONE], NULL);
	turn(&c[HALF_DONE], SIZE_MAX);
	for (int i = FIRST; i <= LATE; i++) {
		dial_only(&c[i], NULL);
	}
	dial_only(&c[RESUMES], c[ESTABLISHED].tls);
	assert_int_equal(tls_client_send(c[ESTABLISHED].tls, request, sizeof(request) - 1, &c[ESTABLISHED].out), 0);
	close_gate(&gate);
	for (int i = 0; i < ORDERED; i++) {
		flush(&c[i], SIZE_MAX);
	}
	mesh__loop_post(S.loop, &order.post, look, &order);
	open_gate(&gate);
	until_looked(&order);
	assert_int_equal(order.answered, ORDERED);
	assert_int_equal(order.turns[ESTABLISHED], order.turns[FIRST]);
	assert_true(order.turns[FIRST] < order.turns[HALF_DONE]);
	assert_true(order.turns[HALF_DONE] < order.turns[RESUMES]);
	assert_true(order.turns[RESUMES] < order.turns[LATE]);
	assert_true(order.turns[LATE] < order.turns[MIDDLE]);
	assert_true(order.turns[MIDDLE] < order.turns[OLD]);
	for (int i = 0; i < ORDERED; i++) {
		hang_up(&c[i]);
	}
}

static void a_request_behind_a_handshake_that_waits_is_answered_though_its_sender_has_ended(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct caller established, first, waits;
	struct gate gate;

	(void)state;
	open_ticking_server();
	dial(&established, true);
	shake_hands(&established, SIZE_MAX);
	dial_only(&first, NULL);
	dial_only(&waits, established.tls);
	turn(&waits, SIZE_MAX);
	assert_true(tls_client_established(waits.tls));
	assert_int_equal(tls_client_send(waits.tls, request, sizeof(request) - 1, &waits.out), 0);
	close_gate(&gate);
	flush(&first, SIZE_MAX);
	flush(&waits, SIZE_MAX);
	assert_int_equal(shutdown(waits.fd, SHUT_WR), 0);
	open_gate(&gate);
	until_closed(&waits);
	assert_non_null(waits.plain.data);
	assert_non_null(strstr(waits.plain.data, "svc/client"));
	hang_up(&established);
	hang_up(&first);
	hang_up(&waits);
}

static void a_rotation_is_for_new_connections_and_drops_no_old_one(void **state)
{
	struct mesh__tls_conf *next;
	struct caller old, fresh;

	(void)state;
	open_server(S.conf);
	dial(&old, true);
	shake_hands(&old, SIZE_MAX);
	(void)ask(&old);
	next = conf_new("server", true);
	rotate(next, S.trust);
	mesh__tls_conf_unref(next);
	assert_non_null(strstr(ask(&old), "svc/client"));
	dial(&fresh, false); /* which the old configuration would refuse */
	shake_hands(&fresh, SIZE_MAX);
	assert_non_null(strstr(ask(&fresh), "peer=none"));
	hang_up(&old);
	hang_up(&fresh);
}

static void a_revoked_peers_idle_connection_is_closed(void **state)
{
	struct mesh__trust *revoking;
	struct mesh__leaf leaf;
	struct caller c;

	(void)state;
	open_server(S.conf);
	dial(&c, true);
	shake_hands(&c, SIZE_MAX);
	(void)ask(&c);
	assert_int_equal(mesh__pki_leaf_read(S.chain, strlen(S.chain) + 1, &leaf, NULL), MESH_OK);
	revoking = trust_new(leaf.serial);
	rotate(S.conf, revoking);
	mesh__trust_unref(revoking);
	(void)ask(&c);
	until_closed(&c);
	assert_int_equal(S.n_requests, 1);
	hang_up(&c);
	assert_counted("mesh_requests_refused_total{reason=\"revoked\"} 1");
}

static void a_peer_whose_certificate_has_expired_since_is_not_served(void **state)
{
	struct caller c;

	(void)state;
	S.limits.idle_ms = INT64_C(1000) * 86400 * 365;
	open_server(S.conf);
	dial(&c, true);
	shake_hands(&c, SIZE_MAX);
	(void)ask(&c);
	fake_env_advance_ms(&S.fake, INT64_C(49) * 3600 * 1000);
	(void)ask(&c);
	until_closed(&c);
	assert_int_equal(S.n_requests, 1);
	hang_up(&c);
	assert_counted("mesh_requests_refused_total{reason=\"expired\"} 1");
}

static void without_an_identity_nothing_is_served_in_plaintext(void **state)
{
	struct caller c;
	char byte;

	(void)state;
	open_server(NULL);
	dial(&c, true);
	(void)send(c.fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, MSG_NOSIGNAL);
	assert_true(socket_recv(c.fd, &byte, 1) <= 0);
	hang_up(&c);
	assert_int_equal(S.n_requests, 0);
	assert_counted("mesh_handshakes_refused_total{reason=\"no-identity\"} 1");
}

static void a_flood_of_refusals_is_counted_but_not_all_logged(void **state)
{
	struct caller c;

	(void)state;
	open_server(NULL);
	for (int i = 0; i < 60; i++) {
		char byte;

		dial(&c, true);
		assert_true(socket_recv(c.fd, &byte, 1) <= 0);
		hang_up(&c);
	}
	assert_counted("mesh_handshakes_refused_total{reason=\"no-identity\"} 60");
	assert_int_equal(fake_env_events(&S.fake), 20);
	fake_env_advance_ms(&S.fake, 1001);
	dial(&c, true);
	until_closed(&c);
	hang_up(&c);
	assert_true(fake_env_logged(&S.fake, "refusals not logged listener=test count=40"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threat_9_an_authenticated_peer_is_known_and_keeps_its_mesh_fields),
		TEST(counts_whole_and_resumed_handshakes_and_knows_a_resumed_peer),
		TEST(takes_a_handshake_that_comes_byte_by_byte),
		TEST(refuses_counts_and_logs_a_client_without_certificate),
		TEST(threat_9_a_client_without_certificate_where_allowed_loses_its_mesh_fields),
		TEST(a_half_open_handshake_ends_at_its_deadline),
		TEST(handshakes_at_a_time_are_bounded),
		TEST(threat_17_silent_handshakes_make_room_for_a_newcomer),
		TEST(between_handshakes_others_are_served_and_what_is_nearly_done_goes_first),
		TEST(a_request_behind_a_handshake_that_waits_is_answered_though_its_sender_has_ended),
		TEST(a_rotation_is_for_new_connections_and_drops_no_old_one),
		TEST(a_revoked_peers_idle_connection_is_closed),
		TEST(a_peer_whose_certificate_has_expired_since_is_not_served),
		TEST(without_an_identity_nothing_is_served_in_plaintext),
		TEST(a_flood_of_refusals_is_counted_but_not_all_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
