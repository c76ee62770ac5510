#include "cast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct cast cast;

int cast_begin(const struct mesh__env *env, bool with_stranger)
{
	memset(&cast, 0, sizeof(cast));
	cast.env = *env;
	test_ca_init(&cast.ca, &cast.env, "mesh.local");
	test_peer_init(&cast.cart, &cast.ca, "cart");
	test_peer_init(&cast.payments, &cast.ca, "payments");
	test_peer_init(&cast.ledger, &cast.ca, "ledger");
	if (with_stranger) {
		test_ca_init(&cast.stranger, &cast.env, "mesh.local");
		test_peer_init(&cast.forged, &cast.stranger, "payments");
	}
	return mesh__client_init(NULL);
}

static int begin(bool with_stranger)
{
	struct mesh__env env;

	mesh__env_init(&env);
	return cast_begin(&env, with_stranger);
}

int cast_set_up(void **state)
{
	(void)state;
	return begin(false);
}

int cast_set_up_with_stranger(void **state)
{
	(void)state;
	return begin(true);
}

int cast_tear_down(void **state)
{
	(void)state;
	test_peer_fini(&cast.cart);
	test_peer_fini(&cast.payments);
	test_peer_fini(&cast.ledger);
	test_peer_fini(&cast.forged);
	test_ca_fini(&cast.ca);
	test_ca_fini(&cast.stranger);
	return 0;
}

struct mesh__pool_options cast_options(const struct raw_server *server)
{
	struct mesh__pool_options options;

	mesh__pool_options_default(&options);
	if (server != NULL) {
		raw_server_address(server, &options.target.address);
	}
	(void)snprintf(options.target.host, sizeof(options.target.host), "%s", cast.payments.dns);
	(void)snprintf(options.target.spiffe, sizeof(options.target.spiffe), "%s", cast.payments.spiffe);
	return options;
}

struct mesh__pool *cast_pool(const struct mesh__env *env, const struct mesh__pool_options *options)
{
	struct mesh__creds *own = options->creds == NULL && !options->target.insecure_plaintext ? test_creds(&cast.cart, &cast.ca, 1) : NULL;
	struct mesh__pool_options o = *options;
	struct mesh__pool *pool = NULL;

	o.creds = own != NULL ? own : options->creds;
	assert_int_equal(mesh__pool_new(env, &o, &pool, NULL), MESH_OK);
	mesh__creds_unref(own);
	return pool;
}

struct mesh__pool_options scene_options(const struct scene *s)
{
	struct mesh__pool_options options = cast_options(s->server);

	options.target.insecure_plaintext = s->conf == NULL;
	options.creds = s->creds;
	return options;
}

void scene_open(struct scene *s, struct mesh__tls_conf *conf, raw_script script, const void *arg, enum mesh__http_proto proto)
{
	struct mesh__pool_options options;

	s->conf = conf;
	s->server = raw_server_new(conf, script, (void *)(uintptr_t)arg);
	s->creds = conf != NULL ? test_creds(&cast.cart, &cast.ca, 1) : NULL;
	options = scene_options(s);
	options.proto = proto;
	s->pool = cast_pool(&cast.env, &options);
	client_call_init(&s->call, "POST", "pay");
}

void scene_repool(struct scene *s, const struct mesh__env *env, const struct mesh__pool_options *options)
{
	mesh__pool_unref(s->pool);
	s->pool = cast_pool(env, options);
}

void scene_close(struct scene *s)
{
	client_call_fini(&s->call);
	mesh__pool_unref(s->pool);
	mesh__creds_unref(s->creds);
	raw_server_free(s->server);
	mesh__tls_conf_unref(s->conf);
}

void scene_expect_ok(struct scene *s, bool http2, bool reused)
{
	if (client_call_run(&s->call, s->pool) != MESH_OK) {
		fail_msg("%s: %s", mesh__code_name(s->call.code), s->call.err.message);
	}
	assert_int_equal(s->call.response.status, 200);
	assert_string_equal(s->call.response.body.data, "ok");
	assert_int_equal(s->call.result.http2, http2);
	assert_int_equal(s->call.result.reused, reused);
}
