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

#include "cast.h"
#include "http/curl_conns.h"
#include "patience.h"
#include "tls_client.h"

/* Where payments must be, who answers is `shown`. */
static void open_scene(struct scene *s, const struct test_peer *shown)
{
	scene_open(s, test_tls_conf(shown, &cast.ca, false), raw_answer_ok, NULL, MESH__HTTP_1);
}

/* Another pool to the scene's server, with other credentials or another environment. */
static struct mesh__pool *pool_to(struct scene *s, const struct mesh__env *whose, struct mesh__creds *creds)
{
	struct mesh__pool_options options = scene_options(s);

	options.creds = creds;
	return cast_pool(whose, &options);
}

static void calls_the_right_peer_on_one_connection(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, &cast.payments);
	for (int i = 0; i < 3; i++) {
		if (client_call_run(&s.call, s.pool) != MESH_OK) {
			fail_msg("%s", s.call.err.message);
		}
		assert_int_equal(s.call.response.status, 200);
		assert_int_equal(s.call.result.reused, i > 0);
		assert_true((s.call.result.connect_us > 0) == (i == 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), 1);
	scene_close(&s);
}

static void refuses_before_the_first_request_byte(void **state)
{
	static const struct {
		const char *rule;
		const struct test_peer *shown, *wanted; /* by its SPIFFE ID; the DNS name is payments' */
		const char *said;
	} rows[] = {
		{"the right DNS name under another SPIFFE ID", &cast.payments, &cast.ledger, "spiffe://"},
		{"the wrong DNS name", &cast.ledger, &cast.ledger, "is the endpoint's address right?"},
		{"the right name under another CA", &cast.forged, &cast.payments, "of another CA"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__pool_options options;
		struct scene s;

		open_scene(&s, rows[i].shown);
		options = scene_options(&s);
		(void)snprintf(options.target.spiffe, sizeof(options.target.spiffe), "%s", rows[i].wanted->spiffe);
		scene_repool(&s, &cast.env, &options);
		for (int round = 0; round < 3; round++) { /* a second call must not sail through on the refused connection */
			if (client_call_run(&s.call, s.pool) != MESH_E_IDENTITY) {
				fail_msg("%s: %s %s", rows[i].rule, mesh__code_name(s.call.code), s.call.err.message);
			}
			assert_int_equal(s.call.result.sent, MESH__SENT_NOTHING);
			assert_int_equal(s.call.err.origin, MESH__ORIGIN_TLS);
			assert_int_equal(s.call.response.status, 0);
			if (strstr(s.call.err.message, rows[i].said) == NULL) {
				fail_msg("%s: %s", rows[i].rule, s.call.err.message);
			}
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
		scene_close(&s);
	}
}

/* In TLS 1.3 the peer judges it when this side's part is over, so that a request may have left: the peer takes none, but who cannot know that does not claim it. */
static void a_refused_client_certificate_is_a_tls_error_and_no_request_is_taken(void **state)
{
	struct mesh__creds *creds;
	struct test_peer foreign;
	struct scene s;

	(void)state;
	test_peer_init(&foreign, &cast.stranger, "cart");
	creds = test_creds(&foreign, &cast.ca, 1);
	open_scene(&s, &cast.payments);
	mesh__pool_unref(s.pool);
	s.pool = pool_to(&s, &cast.env, creds);
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_E_TLS);
	assert_int_equal(s.call.err.origin, MESH__ORIGIN_TLS);
	assert_int_equal(s.call.result.sent, tls_client_has_tls13() ? MESH__SENT_MAYBE : MESH__SENT_NOTHING);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	scene_close(&s);
	mesh__creds_unref(creds);
	test_peer_fini(&foreign);
}

static void generations_share_no_connection(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, &cast.payments);
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_OK);
	for (uint64_t generation = 2; generation < 5; generation++) {
		struct mesh__creds *creds = test_creds(&cast.cart, &cast.ca, generation);
		struct mesh__pool *next = pool_to(&s, &cast.env, creds);

		assert_int_equal(mesh__creds_generation(creds), generation);
		mesh__creds_unref(creds);
		assert_int_equal(client_call_run(&s.call, next), MESH_OK);
		assert_false(s.call.result.reused);
		mesh__pool_retire(s.pool);
		mesh__pool_unref(s.pool);
		s.pool = next;
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), 4);
	scene_close(&s);
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
	for (int generation = 0; generation < (under_valgrind() ? 1 : GENERATIONS); generation++) { /* one thread runs at a time there */
		struct mesh__pool *pools[AT_ONCE];
		pthread_t callers[AT_ONCE];
		struct scene s;

		open_scene(&s, &cast.payments);
		for (size_t i = 0; i < AT_ONCE; i++) {
			pools[i] = pool_to(&s, &cast.env, s.creds);
			assert_int_equal(pthread_create(&callers[i], NULL, call_with_the_others, pools[i]), 0);
		}
		for (size_t i = 0; i < AT_ONCE; i++) {
			void *code;
			assert_int_equal(pthread_join(callers[i], &code), 0);
			assert_int_equal((intptr_t)code, MESH_OK);
			mesh__pool_unref(pools[i]);
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), AT_ONCE);
		scene_close(&s);
	}
	(void)pthread_barrier_destroy(&go);
}

/* Found out when they are made, and not by the first s.call. */
static void credentials_that_cannot_be_used_are_refused(void **state)
{
	static const char torn[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
	char cut_off[4096];
	const struct {
		const char *chain, *key;
	} rows[] = {
		{NULL, cast.cart.key},
		{cast.cart.chain, NULL},
		{"", cast.cart.key},
		{cast.cart.key, cast.cart.key},
		{torn, cast.cart.key},
		{cut_off, cast.cart.key},
		{cast.cart.chain, ""},
		{cast.cart.chain, cast.cart.chain},
		{cast.cart.chain, cast.payments.key},
	};
	struct mesh__trust *trust = test_trust(&cast.ca, NULL);

	(void)state;
	/* A good leaf, and an issuer that ends in the middle. */
	(void)snprintf(cut_off, sizeof(cut_off), "%.*s", (int)(strlen(cast.cart.chain) - 100), cast.cart.chain);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__creds *creds = (void *)trust;
		struct mesh__err err = MESH__NO_ERR;

		assert_int_equal(mesh__creds_new(&cast.env, 1, rows[i].chain, rows[i].key, trust, &creds, &err), MESH_E_INVALID);
		assert_null(creds);
		assert_true(err.message[0] != '\0');
	}
	mesh__trust_unref(trust);
}

static void refuses_a_revoked_serial(void **state)
{
	struct scene s;
	struct mesh__leaf leaf;
	struct mesh__trust *trust;
	struct mesh__creds *creds = NULL;
	struct mesh__pool *strict;

	(void)state;
	open_scene(&s, &cast.payments);
	assert_int_equal(mesh__pki_leaf_read(cast.payments.chain, strlen(cast.payments.chain), &leaf, NULL), MESH_OK);
	trust = test_trust(&cast.ca, leaf.serial);
	assert_int_equal(mesh__creds_new(&cast.env, 2, cast.cart.chain, cast.cart.key, trust, &creds, NULL), MESH_OK);
	strict = pool_to(&s, &cast.env, creds);
	assert_int_equal(client_call_run(&s.call, strict), MESH_E_IDENTITY);
	assert_int_equal(s.call.result.sent, MESH__SENT_NOTHING);
	assert_non_null(strstr(s.call.err.message, "revoked"));
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	mesh__pool_unref(strict);
	mesh__creds_unref(creds);
	mesh__trust_unref(trust);
	scene_close(&s);
}

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

	(void)state;
	open_scene(&s, &cast.payments);
	mesh__env_init(&late); /* the client's alone: the server's clock stays */
	late.wall_ms = wall_ahead;
	mesh__pool_unref(s.pool);
	s.pool = pool_to(&s, &late, s.creds);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_call_run(&s.call, s.pool), MESH_OK);
		assert_int_equal(s.call.result.reused, i > 0);
	}
	ahead_ms = INT64_C(49) * 3600 * 1000;
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_OK); /* libcurl goes by the system's clock, where it is good still */
	assert_false(s.call.result.reused);
	ahead_ms = 0;
	scene_close(&s);
}

/* The child's exit, and what it does to libcurl's handles, must not say goodbye on the parent's connection. */
static void a_forked_child_leaves_the_parents_connection_alone(void **state)
{
	struct scene s;
	int status = -1;
	pid_t child;

	(void)state;
	open_scene(&s, &cast.payments);
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_OK);
	child = fork();
	if (child == 0) {
		mesh__pool_abandon(s.pool);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_OK);
	assert_true(s.call.result.reused);
	scene_close(&s);
}

/* No child that is executed inherits a connection. */
static void sockets_are_close_on_exec(void **state)
{
	struct mesh__conns conns;
	char path[32];
	int fd;

	(void)state;
	mesh__conns_init(&conns, &cast.env);
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

	return cmocka_run_group_tests(tests, cast_set_up_with_stranger, cast_tear_down);
}
