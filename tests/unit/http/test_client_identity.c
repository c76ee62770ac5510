/* Whom the client talks to: the peer is judged before the first byte of a request, on every connection. THREATS 13 and 14. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_call.h"
#include "http/curl_conns.h"
#include "raw_server.h"
#include "test_peer.h"
#include "tls_client.h"

static struct mesh__env env;
static struct test_ca ca, other_ca;
static struct test_peer cart, payments, ledger, forged, foreign_cart;

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	test_ca_init(&ca, &env, "mesh.local");
	test_ca_init(&other_ca, &env, "mesh.local");
	test_peer_init(&cart, &ca, "cart");
	test_peer_init(&payments, &ca, "payments");
	test_peer_init(&ledger, &ca, "ledger");
	test_peer_init(&forged, &other_ca, "payments");
	test_peer_init(&foreign_cart, &other_ca, "cart");
	return mesh__client_init(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	test_peer_fini(&cart);
	test_peer_fini(&payments);
	test_peer_fini(&ledger);
	test_peer_fini(&forged);
	test_peer_fini(&foreign_cart);
	test_ca_fini(&ca);
	test_ca_fini(&other_ca);
	return 0;
}

/* A server that shows `shown`, and a pool of `own` that wants host and SPIFFE ID. */
struct scene {
	struct mesh__tls_conf *conf;
	struct raw_server *server;
	struct mesh__creds *creds;
	struct mesh__pool *pool;
};

/* A pool to the scene's server, with other credentials or another environment than the scene's own. */
static struct mesh__pool *pool_to(struct scene *s, const struct mesh__env *whose, struct mesh__creds *creds, const char *host, const char *spiffe)
{
	struct mesh__pool_options options;
	struct mesh__pool *pool = NULL;

	mesh__pool_options_default(&options);
	raw_server_address(s->server, &options.target.address);
	(void)snprintf(options.target.host, sizeof(options.target.host), "%s", host);
	(void)snprintf(options.target.spiffe, sizeof(options.target.spiffe), "%s", spiffe);
	options.creds = creds;
	assert_int_equal(mesh__pool_new(whose, &options, &pool, NULL), MESH_OK);
	return pool;
}

static void open_scene(struct scene *s, const struct test_peer *shown, const struct test_peer *own, const char *host, const char *spiffe)
{
	s->conf = test_tls_conf(shown, &ca, false);
	s->server = raw_server_new(s->conf, raw_answer_ok, NULL);
	s->creds = test_creds(own, &ca, 1);
	s->pool = pool_to(s, &env, s->creds, host, spiffe);
}

static void close_scene(struct scene *s)
{
	mesh__pool_unref(s->pool);
	mesh__creds_unref(s->creds);
	raw_server_free(s->server);
	mesh__tls_conf_unref(s->conf);
}

static void calls_the_right_peer_on_one_connection(void **state)
{
	struct scene s;
	struct client_call call;

	(void)state;
	open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
	client_call_init(&call, "POST", "pay");
	for (int i = 0; i < 3; i++) {
		if (client_call_run(&call, s.pool) != MESH_OK) {
			fail_msg("%s", call.err.message);
		}
		assert_int_equal(call.response.status, 200);
		assert_int_equal(call.result.reused, i > 0);
		assert_true((call.result.connect_us > 0) == (i == 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), 1);
	client_call_fini(&call);
	close_scene(&s);
}

static void refuses_before_the_first_request_byte(void **state)
{
	static const struct {
		const char *rule;
		const struct test_peer *shown;
		const struct test_peer *wanted_dns, *wanted_spiffe;
		const char *said;
	} rows[] = {
		{"the right DNS name under another SPIFFE ID", &payments, &payments, &ledger, "spiffe://"},
		{"the wrong DNS name", &ledger, &payments, &ledger, "not who it must be"},
		{"the right name under another CA", &forged, &payments, &payments, "not who it must be"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct scene s;
		struct client_call call;

		open_scene(&s, rows[i].shown, &cart, rows[i].wanted_dns->dns, rows[i].wanted_spiffe->spiffe);
		client_call_init(&call, "POST", "pay");
		for (int round = 0; round < 3; round++) { /* a second call must not sail through on the refused connection */
			if (client_call_run(&call, s.pool) != MESH_E_IDENTITY) {
				fail_msg("%s: %s %s", rows[i].rule, mesh__code_name(call.code), call.err.message);
			}
			assert_int_equal(call.result.sent, MESH__SENT_NOTHING);
			assert_int_equal(call.err.origin, MESH__ORIGIN_TLS);
			assert_int_equal(call.response.status, 0);
			if (strstr(call.err.message, rows[i].said) == NULL) {
				fail_msg("%s: %s", rows[i].rule, call.err.message);
			}
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
		client_call_fini(&call);
		close_scene(&s);
	}
}

/* In TLS 1.3 the peer judges it when this side's part is over, so that a request may have left: the peer takes none, but who cannot know that does not claim it. */
static void a_refused_client_certificate_is_a_tls_error_and_no_request_is_taken(void **state)
{
	struct scene s;
	struct client_call call;

	(void)state;
	open_scene(&s, &payments, &foreign_cart, payments.dns, payments.spiffe);
	client_call_init(&call, "POST", "pay");
	assert_int_equal(client_call_run(&call, s.pool), MESH_E_TLS);
	assert_int_equal(call.err.origin, MESH__ORIGIN_TLS);
	assert_int_equal(call.result.sent, tls_client_has_tls13() ? MESH__SENT_MAYBE : MESH__SENT_NOTHING);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	client_call_fini(&call);
	close_scene(&s);
}

static void generations_share_no_connection(void **state)
{
	struct scene s;
	struct client_call call;

	(void)state;
	open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
	client_call_init(&call, "GET", NULL);
	assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
	for (uint64_t generation = 2; generation < 5; generation++) {
		struct mesh__creds *creds = test_creds(&cart, &ca, generation);
		struct mesh__pool *next = pool_to(&s, &env, creds, payments.dns, payments.spiffe);

		assert_int_equal(mesh__creds_generation(creds), generation);
		mesh__creds_unref(creds);
		assert_int_equal(client_call_run(&call, next), MESH_OK);
		assert_false(call.result.reused);
		mesh__pool_retire(s.pool);
		mesh__pool_unref(s.pool);
		s.pool = next;
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), 4);
	client_call_fini(&call);
	close_scene(&s);
}

/* ---- the first handshakes of a generation, at once ---- */

enum { AT_ONCE = 4, GENERATIONS = 6 };

static pthread_barrier_t go;

static void *call_with_the_others(void *pool)
{
	struct client_call call;
	intptr_t code;

	client_call_init(&call, "GET", NULL);
	(void)pthread_barrier_wait(&go);
	code = client_call_run(&call, pool);
	client_call_fini(&call);
	return (void *)code;
}

/* Each through a pool of its own: all that they share is the generation's certificate, key and roots, to which none of them may write. ThreadSanitizer is the judge of that. */
static void first_handshakes_share_what_none_writes_to(void **state)
{
	(void)state;
	assert_int_equal(pthread_barrier_init(&go, NULL, AT_ONCE), 0);
	for (int generation = 0; generation < GENERATIONS; generation++) {
		struct mesh__pool *pools[AT_ONCE];
		pthread_t callers[AT_ONCE];
		struct scene s;

		open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
		for (size_t i = 0; i < AT_ONCE; i++) {
			pools[i] = pool_to(&s, &env, s.creds, payments.dns, payments.spiffe);
			assert_int_equal(pthread_create(&callers[i], NULL, call_with_the_others, pools[i]), 0);
		}
		for (size_t i = 0; i < AT_ONCE; i++) {
			void *code;
			assert_int_equal(pthread_join(callers[i], &code), 0);
			assert_int_equal((intptr_t)code, MESH_OK);
			mesh__pool_unref(pools[i]);
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), AT_ONCE);
		close_scene(&s);
	}
	(void)pthread_barrier_destroy(&go);
}

/* Found out when they are made, and not by the first call. */
static void credentials_that_cannot_be_used_are_refused(void **state)
{
	static const char torn[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
	char cut_off[4096];
	const struct {
		const char *chain, *key;
	} rows[] = {
		{NULL, cart.key},
		{cart.chain, NULL},
		{"", cart.key},
		{cart.key, cart.key},
		{torn, cart.key},
		{cut_off, cart.key},
		{cart.chain, ""},
		{cart.chain, cart.chain},
		{cart.chain, payments.key},
	};
	struct mesh__trust *trust = test_trust(&ca, NULL);

	(void)state;
	/* A good leaf, and an issuer that ends in the middle. */
	(void)snprintf(cut_off, sizeof(cut_off), "%.*s", (int)(strlen(cart.chain) - 100), cart.chain);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__creds *creds = (void *)trust;
		struct mesh__err err = MESH__NO_ERR;

		assert_int_equal(mesh__creds_new(&env, 1, rows[i].chain, rows[i].key, trust, &creds, &err), MESH_E_INVALID);
		assert_null(creds);
		assert_true(err.message[0] != '\0');
	}
	mesh__trust_unref(trust);
}

static void refuses_a_revoked_serial(void **state)
{
	struct scene s;
	struct client_call call;
	struct mesh__leaf leaf;
	struct mesh__trust *trust;
	struct mesh__creds *creds = NULL;
	struct mesh__pool *strict;

	(void)state;
	open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
	assert_int_equal(mesh__pki_leaf_read(payments.chain, strlen(payments.chain), &leaf, NULL), MESH_OK);
	trust = test_trust(&ca, leaf.serial);
	assert_int_equal(mesh__creds_new(&env, 2, cart.chain, cart.key, trust, &creds, NULL), MESH_OK);
	strict = pool_to(&s, &env, creds, payments.dns, payments.spiffe);
	client_call_init(&call, "POST", "pay");
	assert_int_equal(client_call_run(&call, strict), MESH_E_IDENTITY);
	assert_int_equal(call.result.sent, MESH__SENT_NOTHING);
	assert_non_null(strstr(call.err.message, "revoked"));
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	client_call_fini(&call);
	mesh__pool_unref(strict);
	mesh__creds_unref(creds);
	mesh__trust_unref(trust);
	close_scene(&s);
}

/* The child's exit, and what it does to libcurl's handles, must not say goodbye on the parent's connection. */
static _Atomic int64_t ahead_ms;

static int64_t wall_ahead(void *user)
{
	struct timespec ts;

	(void)user;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ahead_ms;
}

/* TLS judges a certificate when the connection is made; a kept one must not outlive it. */
static void a_kept_connection_ends_with_its_peers_certificate(void **state)
{
	static struct mesh__env late;
	struct scene s;
	struct client_call call;

	(void)state;
	open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
	mesh__env_init(&late); /* the client's alone: the server's clock stays */
	late.wall_ms = wall_ahead;
	mesh__pool_unref(s.pool);
	s.pool = pool_to(&s, &late, s.creds, payments.dns, payments.spiffe);
	client_call_init(&call, "GET", NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
		assert_int_equal(call.result.reused, i > 0);
	}
	ahead_ms = INT64_C(49) * 3600 * 1000;
	assert_int_equal(client_call_run(&call, s.pool), MESH_OK); /* libcurl goes by the system's clock, where it is good still */
	assert_false(call.result.reused);
	ahead_ms = 0;
	client_call_fini(&call);
	close_scene(&s);
}

static void a_forked_child_leaves_the_parents_connection_alone(void **state)
{
	struct scene s;
	struct client_call call;
	int status = -1;
	pid_t child;

	(void)state;
	open_scene(&s, &payments, &cart, payments.dns, payments.spiffe);
	client_call_init(&call, "GET", NULL);
	assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
	child = fork();
	if (child == 0) {
		mesh__pool_abandon(s.pool);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
	assert_true(call.result.reused);
	client_call_fini(&call);
	close_scene(&s);
}

/* No child that is executed inherits a connection. */
static void sockets_are_close_on_exec(void **state)
{
	struct mesh__conns conns;
	char path[32];
	int fd;

	(void)state;
	mesh__conns_init(&conns, &env);
	fd = mesh__conns_open(&conns, AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	mesh__conns_close(&conns, fd);
	assert_null(conns.first);
	assert_int_equal(access(path, F_OK), -1); /* it is closed; valgrind lets nobody ask the descriptor itself */
	mesh__conns_fini(&conns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_the_right_peer_on_one_connection),
		cmocka_unit_test(refuses_before_the_first_request_byte),
		cmocka_unit_test(a_refused_client_certificate_is_a_tls_error_and_no_request_is_taken),
		cmocka_unit_test(generations_share_no_connection),
		cmocka_unit_test(first_handshakes_share_what_none_writes_to),
		cmocka_unit_test(credentials_that_cannot_be_used_are_refused),
		cmocka_unit_test(refuses_a_revoked_serial),
		cmocka_unit_test(a_kept_connection_ends_with_its_peers_certificate),
		cmocka_unit_test(a_forked_child_leaves_the_parents_connection_alone),
		cmocka_unit_test(sockets_are_close_on_exec),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
