#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/tls.h"
#include "support/fake_env.h"
#include "support/test_ca.h"
#include "support/tls_client.h"

enum { ALERT_HANDSHAKE_FAILURE = 40 };

static struct fake_env fake;
static struct test_ca ca, other_ca; /* of one trust domain, and strangers to each other */
static char *server_chain, *server_key, *client_chain, *client_key, *renewed_chain, *renewed_key;
static struct mesh__sessions *sessions;
static bool tls13; /* what the clients offer too */

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	test_ca_init(&other_ca, &fake.env, "other.local");
	test_ca_leaf(&ca, "payments", &server_chain, &server_key);
	test_ca_leaf(&ca, "payments", &renewed_chain, &renewed_key);
	test_ca_leaf(&ca, "cart", &client_chain, &client_key);
	sessions = mesh__sessions_new(&fake.env);
	return sessions == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__sessions_unref(sessions);
	mesh__free(server_chain);
	mesh__free_secret(server_key);
	mesh__free(renewed_chain);
	mesh__free_secret(renewed_key);
	mesh__free(client_chain);
	mesh__free_secret(client_key);
	test_ca_fini(&other_ca);
	test_ca_fini(&ca);
	return 0;
}

/* ---- configurations ---- */

struct believes {
	const char *trust_domain, *roots, *revoked; /* NULL: the CA's domain, its root, none */
	bool client_optional;
	bool renewed; /* the server has another certificate */
};

static struct mesh__tls_conf *conf_new(struct believes how, struct mesh__sessions *cache)
{
	struct mesh__tls_conf_options options = {.chain_pem = how.renewed ? renewed_chain : server_chain, .key_pem = how.renewed ? renewed_key : server_key,
		.client_optional = how.client_optional, .sessions = cache};
	struct mesh__tls_conf *conf = NULL;

	assert_int_equal(mesh__trust_new(&fake.env, how.trust_domain != NULL ? how.trust_domain : "mesh.local", how.roots != NULL ? how.roots : ca.root,
		&how.revoked, how.revoked != NULL, &options.trust, NULL), MESH_OK);
	assert_int_equal(mesh__tls_conf_new(&fake.env, &options, &conf, NULL), MESH_OK);
	mesh__trust_unref(options.trust);
	return conf;
}

/* ---- a server's end and a client ---- */

struct ends {
	struct mesh__tls *tls;
	struct tls_client *client;
	struct mesh__buf to_server, to_client, plain;
	int code, rc;
	struct mesh__err err;
};

/* A handshake to its end, the server under `conf` (its reference is taken), the client offering the session of `resume`. */
static void shake(struct ends *e, struct mesh__tls_conf *conf, bool shows_certificate, struct tls_client *resume)
{
	struct tls_client_options options = {.chain_pem = shows_certificate ? client_chain : NULL, .key_pem = client_key, .roots_pem = ca.root, .tls13 = tls13, .resume = resume};

	memset(e, 0, sizeof(*e));
	mesh__buf_init(&e->to_server, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&e->to_client, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&e->plain, mesh__mem_libc(), 1 << 20);
	assert_int_equal(mesh__tls_new(conf, &e->tls), MESH_OK);
	mesh__tls_conf_unref(conf);
	e->client = tls_client_new(&options);
	assert_non_null(e->client);
	do {
		if (e->rc == 0) {
			e->rc = tls_client_step(e->client, &e->to_client, &e->to_server, &e->plain);
		}
		if (e->code == MESH_OK) {
			e->code = mesh__tls_receive(e->tls, e->to_server.data, e->to_server.len, &e->plain, &e->to_client, &e->err);
		}
		mesh__buf_clear(&e->to_server);
	} while (e->rc == 0 && e->to_client.len > 0);
}

static void part(struct ends *e)
{
	tls_client_free(e->client);
	mesh__tls_free(e->tls);
	mesh__buf_fini(&e->to_server);
	mesh__buf_fini(&e->to_client);
	mesh__buf_fini(&e->plain);
}

static void assert_let_in(const struct ends *e, bool resumed)
{
	if (e->code != MESH_OK) {
		fail_msg("%s", e->err.message);
	}
	assert_true(mesh__tls_established(e->tls));
	assert_true(mesh__tls_resumed(e->tls) == resumed);
	assert_string_equal(mesh__tls_peer(e->tls)->spiffe, "spiffe://mesh.local/ns/default/svc/cart");
}

static void assert_refused(const struct ends *e, const char *word)
{
	assert_int_equal(e->code, MESH_E_IDENTITY);
	assert_string_equal(mesh__tls_refusal(e->tls), word);
	assert_false(mesh__tls_established(e->tls));
	assert_false(mesh__tls_resumed(e->tls));
	assert_null(mesh__tls_peer(e->tls));
	assert_true(tls_client_alert(e->client) != 0);
}

/* ---- what is resumed ---- */

static void resumes_a_session_and_knows_the_peer(void **state)
{
	struct ends first, second, third;

	(void)state;
	shake(&first, conf_new((struct believes){0}, sessions), true, NULL);
	assert_let_in(&first, false);
	shake(&second, conf_new((struct believes){0}, sessions), true, first.client);
	assert_let_in(&second, true);
	assert_string_equal(mesh__tls_peer(second.tls)->serial, mesh__tls_peer(first.tls)->serial);
	assert_int_equal(tls_client_send(second.client, "ping", 4, &second.to_server), 0);
	assert_int_equal(mesh__tls_receive(second.tls, second.to_server.data, second.to_server.len, &second.plain, &second.to_client, NULL), MESH_OK);
	assert_string_equal(second.plain.data, "ping");
	shake(&third, conf_new((struct believes){0}, sessions), true, second.client);
	assert_let_in(&third, true);
	part(&third);
	part(&second);
	part(&first);
}

static void resumes_after_the_servers_own_certificate_was_renewed(void **state)
{
	struct ends first, second;

	(void)state;
	shake(&first, conf_new((struct believes){0}, sessions), true, NULL);
	shake(&second, conf_new((struct believes){.renewed = true}, sessions), true, first.client);
	assert_let_in(&second, true);
	part(&second);
	part(&first);
}

static void without_a_cache_or_with_another_every_handshake_is_whole(void **state)
{
	struct mesh__sessions *other = mesh__sessions_new(&fake.env);
	struct ends first, second;

	(void)state;
	shake(&first, conf_new((struct believes){0}, sessions), true, NULL);
	shake(&second, conf_new((struct believes){0}, NULL), true, first.client);
	assert_let_in(&second, false);
	part(&second);
	shake(&second, conf_new((struct believes){0}, other), true, first.client);
	assert_let_in(&second, false);
	part(&second);
	part(&first);
	mesh__sessions_unref(other);
}

static void a_client_without_certificate_is_never_resumed(void **state)
{
	struct believes optional = {.client_optional = true};
	struct ends first, second;

	(void)state;
	shake(&first, conf_new(optional, sessions), false, NULL);
	assert_int_equal(first.code, MESH_OK);
	shake(&second, conf_new(optional, sessions), false, first.client);
	assert_int_equal(second.code, MESH_OK);
	assert_false(mesh__tls_resumed(second.tls));
	assert_null(mesh__tls_peer(second.tls));
	part(&second);
	/* Nor does what it was let in with lead to where a certificate is asked for. */
	shake(&second, conf_new((struct believes){0}, sessions), false, first.client);
	assert_refused(&second, "no-certificate");
	part(&second);
	part(&first);
}

static void where_certificates_are_optional_one_that_was_shown_is_resumed(void **state)
{
	struct believes optional = {.client_optional = true};
	struct ends first, second;

	(void)state;
	shake(&first, conf_new(optional, sessions), true, NULL);
	shake(&second, conf_new(optional, sessions), true, first.client);
	assert_let_in(&second, true);
	part(&second);
	part(&first);
}

/* ---- which cache a new configuration gets ---- */

static struct mesh__trust *trust_new(const char *trust_domain, const char *roots, const char *revoked)
{
	struct mesh__trust *trust = NULL;

	assert_int_equal(mesh__trust_new(&fake.env, trust_domain, roots, &revoked, revoked != NULL, &trust, NULL), MESH_OK);
	return trust;
}

static void threat_16_another_trust_begins_with_an_empty_cache_and_the_same_goes_on(void **state)
{
	char *both = test_ca_join(ca.root, other_ca.root);
	const struct {
		const char *what, *trust_domain, *roots, *revoked;
		bool same;
	} cases[] = {
		{"the same", "mesh.local", ca.root, "1a", true},
		{"one revoked no longer", "mesh.local", ca.root, NULL, false},
		{"another revoked", "mesh.local", ca.root, "1b", false},
		{"one root more", "mesh.local", both, "1a", false},
		{"other roots", "mesh.local", other_ca.root, "1a", false},
		{"another trust domain", "other.local", ca.root, "1a", false},
	};
	struct mesh__tls_conf *old = conf_new((struct believes){.revoked = "1a"}, sessions), *uncached = conf_new((struct believes){.revoked = "1a"}, NULL);

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		struct mesh__trust *trust = trust_new(cases[i].trust_domain, cases[i].roots, cases[i].revoked);
		struct mesh__sessions *next = mesh__tls_conf_sessions(&fake.env, old, trust);

		if (next == NULL || (next == sessions) != cases[i].same) {
			fail_msg("%s", cases[i].what);
		}
		mesh__sessions_unref(next);
		mesh__sessions_unref(mesh__tls_conf_sessions(&fake.env, NULL, trust));
		next = mesh__tls_conf_sessions(&fake.env, uncached, trust);
		assert_non_null(next);
		mesh__sessions_unref(next);
		mesh__trust_unref(trust);
	}
	mesh__tls_conf_unref(old);
	mesh__tls_conf_unref(uncached);
	mesh__free(both);
}

/* ---- THREATS 16: a resumed peer is judged again ---- */

static void threat_16_a_session_whose_peer_has_expired_is_not_resumed_and_the_peer_is_refused(void **state)
{
	struct ends first, second;

	(void)state;
	shake(&first, conf_new((struct believes){0}, sessions), true, NULL);
	fake_env_advance_ms(&fake, (int64_t)MESH__SESSION_LIFE_MS - 60000);
	atomic_fetch_add(&fake.wall_ms, (int64_t)49 * 3600 * 1000); /* the wall clock alone: the session's own time is not over */
	shake(&second, conf_new((struct believes){0}, sessions), true, first.client);
	assert_refused(&second, "expired");
	part(&second);
	part(&first);
}

/*
 * A cache that served another trust than the one at hand: nothing does that (control/credentials.c), and if something did, the judgement would hold all the same. The refusal comes as an alert of the
 * resumed connection itself: 40, where a whole handshake would say 42 to 48, that of the certificate.
 */
static void threat_16_a_resumed_peer_is_judged_by_the_trust_at_hand(void **state)
{
	struct ends first, second;
	struct mesh__leaf leaf;

	(void)state;
	assert_int_equal(mesh__pki_leaf_read(client_chain, strlen(client_chain), &leaf, NULL), MESH_OK);
	shake(&first, conf_new((struct believes){0}, sessions), true, NULL);
	shake(&second, conf_new((struct believes){.revoked = leaf.serial}, sessions), true, first.client);
	assert_refused(&second, "revoked");
	assert_int_equal(tls_client_alert(second.client), ALERT_HANDSHAKE_FAILURE);
	part(&second);
	shake(&second, conf_new((struct believes){.trust_domain = "other.local", .roots = other_ca.root}, sessions), true, first.client);
	assert_refused(&second, "trust-domain");
	assert_int_equal(tls_client_alert(second.client), ALERT_HANDSHAKE_FAILURE);
	part(&second);
	part(&first);
}

static void threat_16_a_peer_that_was_refused_left_no_session(void **state)
{
	struct ends first, second;
	struct mesh__leaf leaf;

	(void)state;
	assert_int_equal(mesh__pki_leaf_read(client_chain, strlen(client_chain), &leaf, NULL), MESH_OK);
	for (int i = 0; i < 2; i++) {
		shake(&first, conf_new((struct believes){.revoked = leaf.serial, .client_optional = i == 1}, sessions), true, NULL);
		assert_refused(&first, "revoked");
		part(&first);
	}
	shake(&second, conf_new((struct believes){0}, sessions), true, NULL);
	assert_let_in(&second, false);
	part(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(resumes_a_session_and_knows_the_peer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(resumes_after_the_servers_own_certificate_was_renewed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_cache_or_with_another_every_handshake_is_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_without_certificate_is_never_resumed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(where_certificates_are_optional_one_that_was_shown_is_resumed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threat_16_a_session_whose_peer_has_expired_is_not_resumed_and_the_peer_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threat_16_a_resumed_peer_is_judged_by_the_trust_at_hand, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threat_16_another_trust_begins_with_an_empty_cache_and_the_same_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threat_16_a_peer_that_was_refused_left_no_session, set_up, tear_down),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	tls13 = tls_client_has_tls13();
	return failed + (tls13 ? cmocka_run_group_tests_name("TLS 1.3", tests, NULL, NULL) : 0);
}
