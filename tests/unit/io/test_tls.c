#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "io/tls.h"
#include "support/bad_cert.h"
#include "support/fake_env.h"
#include "support/test_ca.h"
#include "support/tls_client.h"

static const char client_uri[] = "spiffe://mesh.local/ns/default/svc/cart";
static const int64_t hour_ms = 3600000;
enum { NO_ALGORITHM = -0x6e00 }; /* MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE: a client of TLS 1.3 that cannot sign as it is asked to ends by itself */

static struct fake_env fake;
static struct test_ca ca, other_ca; /* of one trust domain, and strangers to each other */
static char *server_chain, *server_key, *client_chain, *client_key;
static bool tls13; /* what the clients offer too */

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	test_ca_init(&other_ca, &fake.env, "mesh.local");
	test_ca_leaf(&ca, "payments", &server_chain, &server_key);
	test_ca_leaf(&ca, "cart", &client_chain, &client_key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__free(server_chain);
	mesh__free_secret(server_key);
	mesh__free(client_chain);
	mesh__free_secret(client_key);
	test_ca_fini(&other_ca);
	test_ca_fini(&ca);
	return 0;
}

/* ---- two ends and what is between them ---- */

struct wire {
	struct mesh__tls_conf *conf;
	struct mesh__tls *tls;
	struct tls_client *client;
	struct mesh__buf to_server, to_client, server_plain, client_plain;
	int code;             /* the server's last */
	int rc;               /* the client's last */
	struct mesh__err err; /* the server's */
};

static void wire_init_options(struct wire *w, struct mesh__tls_conf_options options, const char *const *revoked, size_t n_revoked)
{
	memset(w, 0, sizeof(*w));
	mesh__buf_init(&w->to_server, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&w->to_client, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&w->server_plain, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&w->client_plain, mesh__mem_libc(), 1 << 20);
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", ca.root, revoked, n_revoked, &options.trust, &w->err), MESH_OK);
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &w->conf, &w->err), MESH_OK);
	mesh__trust_unref(options.trust);
	assert_int_equal(mesh__tls_new(w->conf, &w->tls), MESH_OK);
}

static void wire_init_server(struct wire *w, bool client_optional, const char *const *revoked, size_t n_revoked)
{
	wire_init_options(w, (struct mesh__tls_conf_options){.chain_pem = server_chain, .key_pem = server_key, .client_optional = client_optional}, revoked, n_revoked);
}

static void wire_init(struct wire *w, const struct tls_client_options *client)
{
	wire_init_server(w, false, NULL, 0);
	w->client = tls_client_new(client);
	assert_non_null(w->client);
}

static void wire_fini(struct wire *w)
{
	tls_client_free(w->client);
	mesh__tls_free(w->tls);
	mesh__tls_conf_unref(w->conf);
	mesh__buf_fini(&w->to_server);
	mesh__buf_fini(&w->to_client);
	mesh__buf_fini(&w->server_plain);
	mesh__buf_fini(&w->client_plain);
}

/* Gives the server what is on the way, `step` bytes at a time (0: all at once). */
static void wire_to_server(struct wire *w, size_t step)
{
	while (w->code == MESH_OK && w->to_server.len > 0) {
		size_t n = step == 0 || step > w->to_server.len ? w->to_server.len : step;
		w->code = mesh__tls_receive(w->tls, w->to_server.data, n, &w->server_plain, &w->to_client, &w->err);
		mesh__buf_consume(&w->to_server, n);
	}
}

/* Until nobody has anything to say. */
static void wire_run_in_steps(struct wire *w, size_t step)
{
	do {
		if (w->rc == 0) {
			w->rc = tls_client_step(w->client, &w->to_client, &w->to_server, &w->client_plain);
		}
		wire_to_server(w, step);
	} while (w->rc == 0 && (w->to_client.len > 0 || (w->code == MESH_OK && w->to_server.len > 0)));
}

static void wire_run(struct wire *w)
{
	wire_run_in_steps(w, 0);
}

static void assert_refused(struct wire *w, const char *what, int code, const char *word)
{
	if (w->code != code || strcmp(mesh__tls_refusal(w->tls), word) != 0) {
		fail_msg("%s: code %d \"%s\" (%s)", what, w->code, mesh__tls_refusal(w->tls), w->err.message);
	}
	assert_true(w->err.message[0] != '\0');
	assert_false(mesh__tls_established(w->tls));
	assert_null(mesh__tls_peer(w->tls));
	assert_int_equal(w->server_plain.len, 0);
	assert_int_equal(mesh__tls_send(w->tls, "x", 1, &w->to_client, NULL), MESH_E_STATE);
	assert_int_equal(mesh__tls_receive(w->tls, "x", 1, &w->server_plain, &w->to_client, NULL), MESH_E_CLOSED);
}

static struct tls_client_options good_client(void)
{
	return (struct tls_client_options){.chain_pem = client_chain, .key_pem = client_key, .roots_pem = ca.root, .alpn = "http/1.1", .tls13 = tls13};
}

/* ---- what works ---- */

static void carries_both_ways_between_two_who_know_each_other(void **state)
{
	struct tls_client_options options = good_client();
	static char big[100000];
	struct wire w;

	(void)state;
	memset(big, 'b', sizeof(big));
	wire_init(&w, &options);
	wire_run(&w);
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.code, MESH_OK);
	assert_true(mesh__tls_established(w.tls));
	assert_true(tls_client_established(w.client));
	assert_string_equal(tls_client_version(w.client), tls13 ? "TLSv1.3" : "TLSv1.2");
	assert_string_equal(tls_client_alpn(w.client), "http/1.1");
	assert_string_equal(mesh__tls_peer(w.tls)->spiffe, client_uri);
	assert_string_equal(mesh__tls_peer(w.tls)->name.service, "cart");
	assert_string_equal(mesh__tls_refusal(w.tls), "");
	assert_int_equal(tls_client_send(w.client, "ping", 4, &w.to_server), 0);
	wire_run(&w);
	assert_string_equal(w.server_plain.data, "ping");
	assert_int_equal(mesh__tls_send(w.tls, big, sizeof(big), &w.to_client, &w.err), MESH_OK);
	wire_run(&w);
	assert_int_equal(w.client_plain.len, sizeof(big));
	assert_memory_equal(w.client_plain.data, big, sizeof(big));
	wire_fini(&w);
}

static void takes_a_handshake_in_pieces_of_any_size(void **state)
{
	static const size_t steps[] = {1, 2, 5, 7, 100, 1000};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(steps); i++) {
		struct tls_client_options options = good_client();
		struct wire w;
		wire_init(&w, &options);
		wire_run_in_steps(&w, steps[i]);
		assert_int_equal(w.code, MESH_OK);
		assert_true(mesh__tls_established(w.tls));
		assert_int_equal(tls_client_send(w.client, "ping", 4, &w.to_server), 0);
		wire_run_in_steps(&w, steps[i]);
		assert_string_equal(w.server_plain.data, "ping");
		wire_fini(&w);
	}
}

static void delivers_what_came_with_the_end_of_the_handshake(void **state)
{
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	wire_init(&w, &options);
	wire_run(&w);
	assert_int_equal(tls_client_send(w.client, "one", 3, &w.to_server), 0);
	assert_int_equal(tls_client_send(w.client, "two", 3, &w.to_server), 0);
	tls_client_close(w.client, &w.to_server);
	wire_to_server(&w, 0);
	assert_int_equal(w.code, MESH_E_CLOSED);
	assert_string_equal(w.server_plain.data, "onetwo");
	assert_int_equal(mesh__tls_receive(w.tls, NULL, 0, &w.server_plain, &w.to_client, NULL), MESH_E_CLOSED);
	/* The answer may still go out, and the farewell. */
	assert_int_equal(mesh__tls_send(w.tls, "bye", 3, &w.to_client, &w.err), MESH_OK);
	mesh__tls_close(w.tls, &w.to_client);
	assert_true(w.to_client.len > 3);
	wire_fini(&w);
}

static void tells_the_peer_that_it_closes(void **state)
{
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	wire_init(&w, &options);
	mesh__tls_close(w.tls, &w.to_client);
	assert_int_equal(w.to_client.len, 0); /* nothing to close yet */
	wire_run(&w);
	mesh__tls_close(w.tls, &w.to_client);
	wire_run(&w);
	assert_int_equal(w.rc, -0x7880); /* MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY */
	wire_fini(&w);
}

static void lets_a_client_without_certificate_in_where_that_is_asked_for(void **state)
{
	struct tls_client_options options = {.roots_pem = ca.root, .tls13 = tls13};
	struct wire w;

	(void)state;
	wire_init_server(&w, true, NULL, 0);
	w.client = tls_client_new(&options);
	wire_run(&w);
	assert_int_equal(w.code, MESH_OK);
	assert_true(mesh__tls_established(w.tls));
	assert_null(mesh__tls_peer(w.tls));
	wire_fini(&w);

	options = good_client();
	wire_init_server(&w, true, NULL, 0);
	w.client = tls_client_new(&options);
	wire_run(&w);
	assert_string_equal(mesh__tls_peer(w.tls)->spiffe, client_uri);
	wire_fini(&w);
}

/* cmocka's asserts belong to the main thread: the result is looked at there. */
static void *many_handshakes(void *arg)
{
	struct mesh__tls_conf *conf = arg;
	struct tls_client_options options = good_client();
	intptr_t good = 0;

	for (int i = 0; i < 4; i++) {
		struct wire w;
		memset(&w, 0, sizeof(w));
		mesh__buf_init(&w.to_server, mesh__mem_libc(), 1 << 20);
		mesh__buf_init(&w.to_client, mesh__mem_libc(), 1 << 20);
		w.conf = mesh__tls_conf_ref(conf);
		w.client = tls_client_new(&options);
		if (w.client != NULL && mesh__tls_new(conf, &w.tls) == MESH_OK) {
			wire_run(&w);
			good += mesh__tls_established(w.tls);
		}
		wire_fini(&w);
	}
	return (void *)good;
}

static void shares_one_configuration_among_threads(void **state)
{
	pthread_t threads[4];
	struct wire w;

	(void)state;
	wire_init_server(&w, false, NULL, 0);
	for (size_t i = 0; i < MESH__COUNT(threads); i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, many_handshakes, w.conf), 0);
	}
	for (size_t i = 0; i < MESH__COUNT(threads); i++) {
		void *good;
		assert_int_equal(pthread_join(threads[i], &good), 0);
		assert_int_equal((intptr_t)good, 4);
	}
	wire_fini(&w);
}

/* ---- THREATS 13 to 15: who is refused ---- */

/* Runs a handshake of a client with `chain` and `key` against a server of either kind. */
static void try_client(const char *what, const char *chain, const char *key, bool client_optional, int code, const char *word)
{
	struct tls_client_options options = {.chain_pem = chain, .key_pem = key, .tls13 = tls13};
	struct wire w;

	wire_init_server(&w, client_optional, NULL, 0);
	w.client = tls_client_new(&options);
	assert_non_null(w.client);
	wire_run(&w);
	assert_refused(&w, what, code, word);
	if (tls_client_alert(w.client) == 0 && w.rc != NO_ALGORITHM) {
		fail_msg("%s: the client got no alert (%d)", what, w.rc);
	}
	wire_fini(&w);
}

static void refuses_a_client_without_certificate(void **state)
{
	(void)state;
	try_client("no certificate", NULL, NULL, false, MESH_E_IDENTITY, "no-certificate");
}

static void refuses_a_client_of_an_unknown_ca(void **state)
{
	char *chain, *key, *root_and_chain;

	(void)state;
	test_ca_leaf(&other_ca, "cart", &chain, &key);
	try_client("unknown CA", chain, key, false, MESH_E_IDENTITY, "chain");
	try_client("unknown CA, certificate optional", chain, key, true, MESH_E_IDENTITY, "chain");
	root_and_chain = test_ca_join(chain, other_ca.root);
	try_client("unknown CA that shows its root", root_and_chain, key, false, MESH_E_IDENTITY, "chain");
	mesh__free(root_and_chain);
	mesh__free(chain);
	mesh__free_secret(key);
}

/* A client's certificate by plan, under the intermediate unless the plan says otherwise. */
static void try_plan(const char *what, struct bad_cert plan, bool client_optional, const char *word)
{
	char *cert, *key, *chain;

	plan.not_before_ms = plan.not_before_ms != 0 ? plan.not_before_ms : mesh__wall_ms(&fake.env) - 60000;
	plan.not_after_ms = plan.not_after_ms != 0 ? plan.not_after_ms : mesh__wall_ms(&fake.env) + 48 * hour_ms;
	plan.ca_cert_pem = plan.ca_cert_pem != NULL ? plan.ca_cert_pem : ca.inter;
	plan.ca_key_pem = plan.ca_key_pem != NULL ? plan.ca_key_pem : ca.inter_key;
	assert_true(bad_cert_mint(&plan, &cert, &key));
	chain = test_ca_join(cert, plan.ca_cert_pem);
	try_client(what, chain, key, client_optional, MESH_E_IDENTITY, word);
	mesh__free(chain);
	free(cert);
	free(key);
}

static void refuses_by_the_rule(void **state)
{
	int64_t now_ms = mesh__wall_ms(&fake.env);
	const struct {
		const char *rule;
		struct bad_cert plan;
		const char *word;
	} rows[] = {
		{"two URI names", {.uri = {client_uri, "spiffe://mesh.local/ns/default/svc/admin"}}, "uri-san"},
		{"the SPIFFE ID only in the CN", {.cn = client_uri}, "uri-san"},
		{"the SPIFFE ID only as DNS name", {.dns = {client_uri}}, "uri-san"},
		{"a NUL inside the URI", {.uri = {"spiffe://mesh.local/ns/default/svc/cart\0x"}, .uri_len = sizeof(client_uri) + 1}, "uri-san"},
		{"another trust domain under the right CA", {.uri = {"spiffe://other.local/ns/default/svc/cart"}}, "trust-domain"},
		{"a CA", {.uri = {client_uri}, .ca = true}, "ca"},
		{"keyCertSign", {.uri = {client_uri}, .cert_sign = true}, "ca"},
		{"no extended key usage", {.uri = {client_uri}, .eku = BAD_CERT_EKU_NONE}, "eku"},
		{"serverAuth alone", {.uri = {client_uri}, .eku = BAD_CERT_EKU_SERVER}, "eku"},
		{"an RSA key", {.uri = {client_uri}, .rsa2048 = true}, "key"},
		{"a P-384 key", {.uri = {client_uri}, .p384 = true}, "key"},
		{"five hundred names", {.uri = {client_uri}, .extra_dns = 500}, "uri-san"},
		{"expired", {.uri = {client_uri}, .not_before_ms = now_ms - 2 * hour_ms, .not_after_ms = now_ms - hour_ms}, "expired"},
		{"not yet valid", {.uri = {client_uri}, .not_before_ms = now_ms + hour_ms, .not_after_ms = now_ms + 2 * hour_ms}, "not-yet-valid"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		try_plan(rows[i].rule, rows[i].plan, false, rows[i].word);
		try_plan(rows[i].rule, rows[i].plan, true, rows[i].word);
	}
}

/* root -> intermediate (pathlen 0) -> one more CA -> leaf. */
static void refuses_a_path_that_is_longer_than_allowed(void **state)
{
	struct bad_cert plan = {.ca = true, .not_before_ms = mesh__wall_ms(&fake.env) - 60000, .not_after_ms = mesh__wall_ms(&fake.env) + hour_ms,
		.ca_cert_pem = ca.inter, .ca_key_pem = ca.inter_key};
	char *sub, *sub_key, *chain;

	(void)state;
	assert_true(bad_cert_mint(&plan, &sub, &sub_key));
	chain = test_ca_join(sub, ca.inter);
	try_plan("pathlen", (struct bad_cert){.uri = {client_uri}, .ca_cert_pem = chain, .ca_key_pem = sub_key}, false, "chain");
	mesh__free(chain);
	free(sub);
	free(sub_key);
}

static void refuses_a_leaf_that_a_leaf_signed(void **state)
{
	struct bad_cert plan = {.cn = "a leaf", .uri = {client_uri}, .not_before_ms = mesh__wall_ms(&fake.env) - 60000, .not_after_ms = mesh__wall_ms(&fake.env) + hour_ms,
		.ca_cert_pem = ca.inter, .ca_key_pem = ca.inter_key};
	char *leaf, *leaf_key, *chain;

	(void)state;
	assert_true(bad_cert_mint(&plan, &leaf, &leaf_key));
	chain = test_ca_join(leaf, ca.inter);
	try_plan("signed by a leaf", (struct bad_cert){.uri = {client_uri}, .ca_cert_pem = chain, .ca_key_pem = leaf_key}, false, "chain");
	mesh__free(chain);
	free(leaf);
	free(leaf_key);
}

/* An intermediate of our root for another trust domain issues a leaf for ours. */
static void refuses_an_intermediate_of_another_trust_domain(void **state)
{
	struct bad_cert plan = {.ca = true, .uri = {"spiffe://other.local"}, .not_before_ms = mesh__wall_ms(&fake.env) - 60000, .not_after_ms = mesh__wall_ms(&fake.env) + hour_ms,
		.ca_cert_pem = ca.root, .ca_key_pem = ca.root_key};
	char *inter, *inter_key;

	(void)state;
	assert_true(bad_cert_mint(&plan, &inter, &inter_key));
	try_plan("foreign intermediate", (struct bad_cert){.uri = {client_uri}, .ca_cert_pem = inter, .ca_key_pem = inter_key}, false, "trust-domain");
	free(inter);
	free(inter_key);
}

static void refuses_a_revoked_serial(void **state)
{
	struct tls_client_options options = good_client();
	const char *revoked[1];
	struct mesh__leaf leaf;
	struct wire w;

	(void)state;
	assert_int_equal(mesh__pki_leaf_read(client_chain, strlen(client_chain), &leaf, NULL), MESH_OK);
	revoked[0] = leaf.serial;
	wire_init_server(&w, true, revoked, 1);
	w.client = tls_client_new(&options);
	wire_run(&w);
	assert_refused(&w, "revoked", MESH_E_IDENTITY, "revoked");
	assert_int_equal(tls_client_alert(w.client), 44); /* certificate_revoked */
	wire_fini(&w);
}

/* THREATS 17: before the arithmetic, and with a key in the chain that would make it costly. */
static void refuses_a_chain_over_the_bound(void **state)
{
	char *chain = test_ca_join(client_chain, "");

	(void)state;
	for (int i = 0; i < MESH__CHAIN_MAX; i++) {
		char *longer = test_ca_join(chain, ca.inter);
		mesh__free(chain);
		chain = longer;
	}
	try_client("a chain of ten", chain, client_key, false, MESH_E_IDENTITY, "chain");
	mesh__free(chain);
}

static void refuses_an_rsa_key_anywhere_in_the_chain(void **state)
{
	struct bad_cert plan = {.ca = true, .rsa2048 = true, .not_before_ms = mesh__wall_ms(&fake.env) - 60000, .not_after_ms = mesh__wall_ms(&fake.env) + hour_ms};
	char *rsa, *rsa_key, *chain;

	(void)state;
	assert_true(bad_cert_mint(&plan, &rsa, &rsa_key));
	chain = test_ca_join(client_chain, rsa);
	try_client("an RSA CA beside a good chain", chain, client_key, false, MESH_E_IDENTITY, "key");
	mesh__free(chain);
	free(rsa);
	free(rsa_key);
}

static void goes_by_the_wall_clock_of_the_environment(void **state)
{
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	fake_env_advance_ms(&fake, 49 * hour_ms);
	wire_init(&w, &options);
	wire_run(&w);
	assert_refused(&w, "two days later", MESH_E_IDENTITY, "expired");
	wire_fini(&w);
	fake_env_advance_ms(&fake, -50 * hour_ms);
	wire_init(&w, &options);
	wire_run(&w);
	assert_refused(&w, "an hour too early", MESH_E_IDENTITY, "not-yet-valid");
	wire_fini(&w);
	fake_env_advance_ms(&fake, hour_ms);
	wire_init(&w, &options);
	wire_run(&w);
	assert_true(mesh__tls_established(w.tls));
	wire_fini(&w);
}

/* A certificate under `issuer` (NULL: by itself) that lives for so many hours from now; heap PEM for free(). */
static void mint(struct bad_cert plan, int64_t hours, const char *issuer, const char *issuer_key, char **cert, char **key)
{
	plan.not_before_ms = mesh__wall_ms(&fake.env) - 60000;
	plan.not_after_ms = mesh__wall_ms(&fake.env) + hours * hour_ms;
	plan.ca_cert_pem = issuer;
	plan.ca_key_pem = issuer_key;
	assert_true(bad_cert_mint(&plan, cert, key));
}

/* The server knows its own intermediate, and need not ask for the root above it each time; for the end of both it must. */
static void refuses_a_peer_once_anything_above_it_has_expired(void **state)
{
	static const struct {
		const char *rule;
		int64_t root_hours, inter_hours, later_hours;
		const char *word;
	} rows[] = {
		{"all live", 10, 9, 2, NULL},
		{"the intermediate has expired", 10, 3, 4, "expired"},
		{"the root has expired before its intermediate", 3, 9, 4, "expired"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__tls_conf_options options = {.client_optional = false};
		struct tls_client_options peer;
		char *root, *root_key, *inter, *inter_key, *leaf, *key;
		struct wire w;

		mint((struct bad_cert){.cn = "a root", .ca = true, .uri = {"spiffe://mesh.local"}}, rows[i].root_hours, NULL, NULL, &root, &root_key);
		mint((struct bad_cert){.cn = "an intermediate", .ca = true, .pathlen = 1, .uri = {"spiffe://mesh.local"}}, rows[i].inter_hours, root, root_key, &inter, &inter_key);
		mint((struct bad_cert){.uri = {client_uri}}, 48, inter, inter_key, &leaf, &key);
		options.chain_pem = test_ca_join(leaf, inter);
		options.key_pem = key;
		wire_init_server(&w, false, NULL, 0);
		mesh__tls_free(w.tls);
		mesh__tls_conf_unref(w.conf);
		assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", root, NULL, 0, &options.trust, &w.err), MESH_OK);
		assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &w.conf, &w.err), MESH_OK);
		mesh__trust_unref(options.trust);
		fake_env_advance_ms(&fake, rows[i].later_hours * hour_ms);
		assert_int_equal(mesh__tls_new(w.conf, &w.tls), MESH_OK);
		peer = (struct tls_client_options){.chain_pem = options.chain_pem, .key_pem = key};
		w.client = tls_client_new(&peer);
		assert_non_null(w.client);
		wire_run(&w);
		if (rows[i].word == NULL) {
			assert_true(mesh__tls_established(w.tls));
		} else {
			assert_refused(&w, rows[i].rule, MESH_E_IDENTITY, rows[i].word);
		}
		wire_fini(&w);
		fake_env_advance_ms(&fake, -rows[i].later_hours * hour_ms);
		mesh__free((void *)(uintptr_t)options.chain_pem);
		free(root);
		free(root_key);
		free(inter);
		free(inter_key);
		free(leaf);
		free(key);
	}
}

/* ---- the protocol ---- */

static void refuses_what_is_not_tls_1_2(void **state)
{
	/* A whole ClientHello of TLS 1.1: version 3.2, 32 bytes of random, no session, ECDHE-ECDSA-AES128-SHA, no compression. */
	static const char hello_1_1[] = "\x16\x03\x02\x00\x2d\x01\x00\x00\x29\x03\x02" "0123456789abcdef0123456789abcdef" "\x00\x00\x02\xc0\x09\x01\x00";
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
	} rows[] = {
		{"plain HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
		{"TLS 1.1", hello_1_1, sizeof(hello_1_1) - 1},
		{"SSL 2", "\x80\x2e\x01\x00\x02\x00", 6},
		{"a record over the bound", "\x16\x03\x01\xff\xff", 5},
		{"an empty handshake record", "\x16\x03\x01\x00\x00", 5},
		{"a message in pieces", "\x16\x03\x01\x00\x04\x01\x00\x10\x00", 9},
		{"application data first", "\x17\x03\x03\x00\x01x", 6},
		{"a certificate before the hello", "\x16\x03\x03\x00\x07\x0b\x00\x00\x03\x00\x00\x00", 12},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct wire w;
		wire_init_server(&w, false, NULL, 0);
		mesh__buf_add(&w.to_server, rows[i].bytes, rows[i].len);
		wire_to_server(&w, 0);
		assert_refused(&w, rows[i].what, MESH_E_TLS, "protocol");
		wire_fini(&w);
	}
}

static void holds_no_more_than_a_record_before_the_handshake(void **state)
{
	static const char header[] = "\x16\x03\x01\x40\x00";
	struct wire w;

	(void)state;
	wire_init_server(&w, false, NULL, 0);
	mesh__buf_add(&w.to_server, header, 5);
	wire_to_server(&w, 0);
	assert_int_equal(w.code, MESH_OK);
	for (int i = 0; i < 16; i++) {
		static const char zeros[1024];
		mesh__buf_add(&w.to_server, zeros, sizeof(zeros));
	}
	wire_to_server(&w, 1024);
	assert_refused(&w, "16 KiB of zeros as handshake", MESH_E_TLS, "protocol");
	wire_fini(&w);
}

static void refuses_suites_without_forward_secrecy_or_aead_and_other_protocols(void **state)
{
	static const int suites[] = {0xc009 /* ECDHE-ECDSA-AES128-CBC-SHA */, 0xc023 /* ECDHE-ECDSA-AES128-CBC-SHA256 */, 0xc02f /* ECDHE-RSA-AES128-GCM */};
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(suites); i++) {
		options.suite = suites[i];
		wire_init(&w, &options);
		wire_run(&w);
		assert_refused(&w, "suite", MESH_E_TLS, "protocol");
		wire_fini(&w);
	}
	options.suite = 0;
	options.alpn = "h2";
	wire_init(&w, &options);
	wire_run(&w);
	assert_refused(&w, "ALPN h2", MESH_E_TLS, "protocol");
	assert_int_equal(tls_client_alert(w.client), 120); /* no_application_protocol */
	wire_fini(&w);
}

static void settles_on_http2_where_both_ends_want_it(void **state)
{
	static const struct {
		const char *rule;
		bool server;
		const char *first, *then, *settled;
	} rows[] = {
		{"both want both", true, "h2", "http/1.1", "h2"},
		{"the server's order decides", true, "http/1.1", "h2", "h2"},
		{"the client wants HTTP/2 alone", true, "h2", NULL, "h2"},
		{"the client has HTTP/1.1 alone", true, "http/1.1", NULL, "http/1.1"},
		{"the server has HTTP/1.1 alone", false, "h2", "http/1.1", "http/1.1"},
		{"a client that names none", true, NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct tls_client_options options = good_client();
		struct wire w;
		const char *settled;

		options.alpn = rows[i].first;
		options.alpn_then = rows[i].then;
		wire_init_options(&w, (struct mesh__tls_conf_options){.chain_pem = server_chain, .key_pem = server_key, .http2 = rows[i].server}, NULL, 0);
		w.client = tls_client_new(&options);
		assert_non_null(w.client);
		assert_false(mesh__tls_is_http2(w.tls));
		wire_run(&w);
		settled = tls_client_alpn(w.client);
		if (!mesh__tls_established(w.tls) || (settled == NULL) != (rows[i].settled == NULL) || (settled != NULL && strcmp(settled, rows[i].settled) != 0) ||
		    mesh__tls_is_http2(w.tls) != (settled != NULL && strcmp(settled, "h2") == 0)) {
			fail_msg("%s: %s, %d", rows[i].rule, settled != NULL ? settled : "none", mesh__tls_is_http2(w.tls));
		}
		wire_fini(&w);
	}
}

static void says_when_the_peer_refuses_us(void **state)
{
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	options.roots_pem = other_ca.root;
	wire_init(&w, &options);
	wire_run(&w);
	wire_to_server(&w, 0);
	assert_refused(&w, "server of an unknown CA", MESH_E_TLS, "protocol");
	if (!tls13) { /* mbedTLS's client sends it in the clear then, and a server takes none that is */
		assert_non_null(strstr(w.err.message, "alert 48 (unknown_ca"));
	}
	wire_fini(&w);
}

static void refuses_a_record_that_was_changed_on_the_way(void **state)
{
	struct tls_client_options options = good_client();
	struct wire w;

	(void)state;
	wire_init(&w, &options);
	wire_run(&w);
	assert_int_equal(tls_client_send(w.client, "good", 4, &w.to_server), 0);
	assert_int_equal(tls_client_send(w.client, "evil", 4, &w.to_server), 0);
	w.to_server.data[w.to_server.len - 1] ^= 1;
	wire_to_server(&w, 0);
	assert_int_equal(w.code, MESH_E_PROTOCOL);
	assert_string_equal(w.server_plain.data, "good");
	assert_true(w.to_client.len > 0); /* the alert */
	assert_false(mesh__tls_established(w.tls));
	wire_fini(&w);
}

static void says_so_when_the_caller_takes_no_more(void **state)
{
	struct tls_client_options options = good_client();
	struct mesh__buf small;
	struct wire w;

	(void)state;
	wire_init(&w, &options);
	wire_run(&w);
	assert_int_equal(tls_client_send(w.client, "twelve bytes", 12, &w.to_server), 0);
	mesh__buf_init(&small, mesh__mem_libc(), 11);
	assert_int_equal(mesh__tls_receive(w.tls, w.to_server.data, w.to_server.len, &small, &w.to_client, &w.err), MESH_E_TOO_LARGE);
	mesh__buf_fini(&small);
	assert_int_equal(mesh__tls_send(w.tls, "x", 1, &w.to_client, NULL), MESH_E_STATE);
	wire_fini(&w);
}

static void refuses_a_configuration_that_cannot_work(void **state)
{
	struct mesh__tls_conf_options options = {.chain_pem = server_chain, .key_pem = client_key};
	struct mesh__tls_conf *conf;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", ca.root, NULL, 0, &options.trust, &err), MESH_OK);
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &conf, &err), MESH_E_INVALID);
	assert_null(conf);
	assert_non_null(strstr(err.message, "does not belong"));
	options.key_pem = "no key";
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &conf, &err), MESH_E_INVALID);
	options.key_pem = NULL;
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &conf, &err), MESH_E_INVALID);
	options.key_pem = server_key;
	options.chain_pem = "no certificate";
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &conf, &err), MESH_E_INVALID);
	mesh__trust_unref(options.trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_both_ways_between_two_who_know_each_other),
		cmocka_unit_test(takes_a_handshake_in_pieces_of_any_size),
		cmocka_unit_test(delivers_what_came_with_the_end_of_the_handshake),
		cmocka_unit_test(tells_the_peer_that_it_closes),
		cmocka_unit_test(lets_a_client_without_certificate_in_where_that_is_asked_for),
		cmocka_unit_test(shares_one_configuration_among_threads),
		cmocka_unit_test(refuses_a_client_without_certificate),
		cmocka_unit_test(refuses_a_client_of_an_unknown_ca),
		cmocka_unit_test(refuses_by_the_rule),
		cmocka_unit_test(refuses_a_path_that_is_longer_than_allowed),
		cmocka_unit_test(refuses_a_leaf_that_a_leaf_signed),
		cmocka_unit_test(refuses_an_intermediate_of_another_trust_domain),
		cmocka_unit_test(refuses_a_revoked_serial),
		cmocka_unit_test(refuses_a_chain_over_the_bound),
		cmocka_unit_test(refuses_an_rsa_key_anywhere_in_the_chain),
		cmocka_unit_test(goes_by_the_wall_clock_of_the_environment),
		cmocka_unit_test(refuses_a_peer_once_anything_above_it_has_expired),
		cmocka_unit_test(refuses_what_is_not_tls_1_2),
		cmocka_unit_test(holds_no_more_than_a_record_before_the_handshake),
		cmocka_unit_test(refuses_suites_without_forward_secrecy_or_aead_and_other_protocols),
		cmocka_unit_test(settles_on_http2_where_both_ends_want_it),
		cmocka_unit_test(says_when_the_peer_refuses_us),
		cmocka_unit_test(refuses_a_record_that_was_changed_on_the_way),
		cmocka_unit_test(says_so_when_the_caller_takes_no_more),
		cmocka_unit_test(refuses_a_configuration_that_cannot_work),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);

	tls13 = tls_client_has_tls13();
	return failed + (tls13 ? cmocka_run_group_tests_name("TLS 1.3", tests, set_up, tear_down) : 0);
}
