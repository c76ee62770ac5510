/* The life of an identity where no control server can be reached: what is kept in a state directory, and when there is nothing more to hope for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "base/wait.h"
#include "identity/identity.h"
#include "support/test_ca.h"

struct life {
	struct mesh__env env;
	struct fail_mem mem;
	struct test_ca ca;
	char dir[64];
	struct mesh__loop *loop;
	struct mesh__servers servers;
	struct mesh__state_dir *state;
	struct mesh__identity *identity;
	struct mesh__token token; /* given when has_token */
	bool has_token;
	struct mesh__post post;
	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t changed;
	int gained, failed, refused;
	char spiffe[MESH__SPIFFE_MAX], message[480];
};

static struct life life;

static void on_changed(void *arg, struct mesh__svid *svid)
{
	(void)arg;
	(void)pthread_mutex_lock(&life.mu);
	life.gained++;
	(void)snprintf(life.spiffe, sizeof(life.spiffe), "%s", svid->leaf.spiffe);
	(void)pthread_cond_broadcast(&life.changed);
	(void)pthread_mutex_unlock(&life.mu);
}

static void on_failed(void *arg, const struct mesh__err *err, bool final)
{
	(void)arg;
	(void)pthread_mutex_lock(&life.mu);
	life.failed++;
	life.refused += final;
	(void)snprintf(life.message, sizeof(life.message), "%s", err->message);
	(void)pthread_cond_broadcast(&life.changed);
	(void)pthread_mutex_unlock(&life.mu);
}

static void await_count(const int *count, int n)
{
	int64_t until_us = mesh__mono_us(&life.env) + 10000000;

	(void)pthread_mutex_lock(&life.mu);
	while (*count < n) {
		assert_true(mesh__cond_wait_until(&life.changed, &life.mu, &life.env, until_us));
	}
	(void)pthread_mutex_unlock(&life.mu);
}

/* A state directory of cart in which the identity of `service` lies. */
static void keep_identity_of(const char *service)
{
	struct mesh__svid *svid;
	char *chain, *key;

	test_ca_leaf(&life.ca, service, &chain, &key);
	assert_int_equal(mesh__svid_new(&life.env, key, chain, life.ca.root, &svid, NULL), MESH_OK);
	assert_int_equal(mesh__state_dir_save_svid(life.state, svid, NULL), MESH_OK);
	mesh__svid_unref(svid);
	mesh__free(chain);
	mesh__free(key);
}

static void begin(void *arg)
{
	(void)arg;
	mesh__identity_start(life.identity);
}

/* The n-th allocation from here on fails; 0: none. */
static void start(long n)
{
	struct mesh__identity_options options = {.loop = life.loop, .servers = &life.servers, .state = life.state, .service = "cart", .ns = "default", .instance = "one",
		.changed = on_changed, .failed = on_failed, .token = life.has_token ? &life.token : NULL};

	assert_int_equal(mesh__identity_new(&options, &life.identity, NULL), MESH_OK);
	fail_mem_next(&life.mem, n);
	assert_int_equal(mesh__loop_start(life.loop, "identity", NULL), MESH_OK);
	mesh__loop_post(life.loop, &life.post, begin, NULL);
}

static int set_up(void **state)
{
	(void)state;
	memset(&life, 0, sizeof(life));
	mesh__env_init(&life.env);
	fail_mem_init(&life.mem);
	(void)pthread_mutex_init(&life.mu, NULL);
	mesh__cond_init(&life.changed);
	test_ca_init(&life.ca, &life.env, "mesh.local");
	life.env.mem = life.mem.mem;
	(void)snprintf(life.dir, sizeof(life.dir), "/tmp/test_identity-XXXXXX");
	assert_non_null(mkdtemp(life.dir));
	assert_int_equal(mesh__state_dir_open(&life.env, life.dir, "default", "cart", &life.state, NULL), MESH_OK);
	assert_int_equal(mesh__servers_parse(&life.env, "https://127.0.0.1:1", &life.servers, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&life.env, &life.loop, NULL), MESH_OK);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"/default.cart/0/snapshot", "/default.cart/0/identity.pem", "/default.cart/0/lock", "/default.cart/0", "/default.cart", ""};
	char path[128];

	(void)state;
	mesh__loop_stop(life.loop);
	mesh__loop_join(life.loop);
	mesh__identity_free(life.identity);
	mesh__loop_free(life.loop);
	mesh__state_dir_close(life.state);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", life.dir, names[i]);
		(void)remove(path);
	}
	test_ca_fini(&life.ca);
	(void)pthread_cond_destroy(&life.changed);
	(void)pthread_mutex_destroy(&life.mu);
	return 0;
}

static void serves_from_the_kept_identity(void **state)
{
	(void)state;
	keep_identity_of("cart");
	start(0);
	await_count(&life.gained, 1);
	assert_string_equal(life.spiffe, "spiffe://mesh.local/ns/default/svc/cart");
}

static void refuses_the_kept_identity_of_another_service(void **state)
{
	(void)state;
	keep_identity_of("payments");
	start(0);
	await_count(&life.refused, 1);
	assert_int_equal(life.gained, 0);
	assert_non_null(strstr(life.message, "svc/payments"));
	assert_non_null(strstr(life.message, "MESH_TOKEN"));
}

static void pin_root_of(const struct test_ca *ca)
{
	life.has_token = true;
	assert_int_equal(mesh__pki_pin_of_cert(ca->root, life.token.pin, NULL), MESH_OK);
}

static void prefers_the_kept_identity_to_a_token_of_the_same_mesh(void **state)
{
	(void)state;
	keep_identity_of("cart");
	pin_root_of(&life.ca);
	start(0);
	await_count(&life.gained, 1);
	assert_int_equal(life.failed, 0);
}

/* A program that was pointed at another mesh: what it kept of the last one would keep it out of this one for ever. */
static void joins_with_a_token_that_pins_another_root_than_the_kept_identitys(void **state)
{
	struct test_ca other;

	(void)state;
	keep_identity_of("cart");
	assert_int_equal(mesh__state_dir_save_snapshot(life.state, "{}\n", 3, NULL), MESH_OK);
	test_ca_init(&other, &life.env, "mesh.local");
	pin_root_of(&other);
	test_ca_fini(&other);
	start(0);
	await_count(&life.failed, 1); /* nobody answers there, but it was asked */
	assert_int_equal(life.gained, 0);
	assert_int_equal(life.refused, 0);
	assert_non_null(strstr(life.message, "joining"));
	assert_int_equal(mesh__state_dir_load_snapshot(life.state, &(char *){NULL}, &(size_t){0}, NULL), MESH_E_NOT_FOUND);
}

static void is_refused_at_once_where_nothing_is_kept_and_there_is_no_token(void **state)
{
	(void)state;
	start(0);
	await_count(&life.refused, 1);
	assert_int_equal(life.failed, 1);
}

/* Not passed over, which without a token would be the end and with one would spend it. */
static void asks_again_for_what_it_could_not_read_for_want_of_memory(void **state)
{
	(void)state;
	keep_identity_of("cart");
	start(1);
	await_count(&life.gained, 1);
	assert_int_equal(life.failed, 1);
	assert_int_equal(life.refused, 0);
}

/* ---- The key made beforehand ---- */

/* An identity that is never begun; what making the key beforehand asked for, with the n-th allocation failing (0: none). */
static long prepare(bool token, bool kept, const char *service, long n)
{
	struct mesh__identity_options options = {.loop = life.loop, .servers = &life.servers, .state = kept ? life.state : NULL, .service = service, .ns = "default", .instance = "one",
		.changed = on_changed, .failed = on_failed, .token = token ? &life.token : NULL};
	long live = life.mem.live, asked;

	assert_int_equal(mesh__identity_new(&options, &life.identity, NULL), MESH_OK);
	fail_mem_next(&life.mem, n);
	mesh__identity_prepare(life.identity);
	asked = life.mem.count;
	fail_mem_next(&life.mem, 0);
	mesh__identity_free(life.identity);
	life.identity = NULL;
	assert_int_equal(mesh__loop_start(life.loop, "identity", NULL), MESH_OK); /* the timer is the loop's to free */
	mesh__loop_stop(life.loop);
	mesh__loop_join(life.loop);
	mesh__loop_free(life.loop);
	assert_int_equal(mesh__loop_new(&life.env, &life.loop, NULL), MESH_OK);
	assert_int_equal(life.mem.live, live);
	return asked;
}

static void a_key_is_made_beforehand_only_where_it_will_be_needed(void **state)
{
	long with_name, without;

	(void)state;
	assert_int_equal(prepare(false, false, "cart", 0), 0);
	assert_int_equal(prepare(true, true, "cart", 0), 0);
	with_name = prepare(true, false, "cart", 0);
	without = prepare(true, false, NULL, 0);
	assert_true(with_name > 0);
	assert_true(without > with_name); /* the request too: no name goes into it that meshd has to tell first */
	for (long n = 1; n <= without; n++) {
		(void)prepare(true, false, NULL, n);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(serves_from_the_kept_identity),
		T(refuses_the_kept_identity_of_another_service),
		T(prefers_the_kept_identity_to_a_token_of_the_same_mesh),
		T(joins_with_a_token_that_pins_another_root_than_the_kept_identitys),
		T(is_refused_at_once_where_nothing_is_kept_and_there_is_no_token),
		T(asks_again_for_what_it_could_not_read_for_want_of_memory),
		T(a_key_is_made_beforehand_only_where_it_will_be_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
