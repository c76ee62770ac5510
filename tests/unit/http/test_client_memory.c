/* Every failing allocation of ours, one after the other: an error, no leak, no crash, and the next exchange works. THREATS 31. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "cast.h"

/* Credentials, pool, two exchanges (one that dials, one that reuses), all with `own`'s memory. MESH_OK, or what failed first. */
static int one_life_of_a_pool(struct raw_server *server, const struct mesh__env *own, struct mesh__trust *trust)
{
	static const struct mesh__client_field fields[] = {{"traceparent", "00-1"}, {"x-empty", ""}};
	struct mesh__pool_options options = cast_options(server);
	struct mesh__creds *creds = NULL;
	struct mesh__pool *pool = NULL;
	struct mesh__err err = MESH__NO_ERR;
	struct client_call call;
	int code;

	client_call_init(&call, "POST", "pay");
	call.env = *own;
	call.request.fields = fields;
	call.request.n_fields = MESH__COUNT(fields);
	mesh__client_response_init(&call.response, own, 4096);
	code = mesh__creds_new(own, 1, cast.cart.chain, cast.cart.key, trust, &creds, &err);
	options.creds = creds;
	if (code == MESH_OK) {
		code = mesh__pool_new(own, &options, &pool, &err);
	}
	for (int i = 0; code == MESH_OK && i < 2; i++) {
		code = client_call_run(&call, pool);
		assert_true(code == MESH_OK || call.err.message[0] != '\0');
	}
	client_call_fini(&call);
	mesh__pool_unref(pool);
	mesh__creds_unref(creds);
	return code;
}

static void every_failing_allocation_of_a_pool_is_told(void **state)
{
	struct mesh__tls_conf *conf = test_tls_conf(&cast.payments, &cast.ca, false);
	struct raw_server *server = raw_server_new(conf, raw_answer_ok, NULL);
	struct mesh__trust *trust = test_trust(&cast.ca, NULL);
	bool done = false;

	(void)state;
	for (long n = 1; !done; n++) {
		struct fail_mem f;
		struct mesh__env own;
		int code;

		fail_mem_init(&f);
		mesh__env_init(&own);
		own.mem = f.mem;
		atomic_store(&f.fail_at, n);
		code = one_life_of_a_pool(server, &own, trust);
		done = atomic_load(&f.count) < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		assert_int_equal(atomic_load(&f.live), 0);
		assert_true(n < 100);
	}
	mesh__trust_unref(trust);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

struct ended {
	struct mesh__loop *loop;
	int code;
};

static void on_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct ended *ended = arg;

	(void)response;
	(void)result;
	(void)err;
	ended->code = code;
	mesh__loop_stop(ended->loop);
}

static int one_transfer(struct raw_server *server, struct mesh__loop *loop, struct mesh__trust *trust)
{
	static const struct mesh__client_field field = {"accept", "application/json"};
	struct ended ended = {.loop = loop};
	struct mesh__transfer_options o = {.verify = MESH__VERIFY_PEER, .connect_timeout_ms = 50000, .timeout_ms = 60000, .done = on_done, .arg = &ended, .trust = trust};
	struct mesh__multi *multi = NULL;
	struct mesh__transfer *transfer;
	struct mesh__addr address;
	int code = mesh__multi_new(loop, NULL, &multi, NULL);

	raw_server_address(server, &address);
	(void)snprintf(o.host, sizeof(o.host), "%s", cast.payments.dns);
	(void)snprintf(o.spiffe, sizeof(o.spiffe), "%s", cast.payments.spiffe);
	(void)snprintf(o.connect_host, sizeof(o.connect_host), "%s", address.ip);
	o.connect_port = address.port;
	o.request = (struct mesh__client_request){.method = "POST", .target = "/", .body = "x", .body_len = 1, .has_body = true, .fields = &field, .n_fields = 1, .max_response_bytes = 4096};
	if (code == MESH_OK) {
		code = mesh__transfer_start(multi, &o, &transfer, NULL);
	}
	if (code == MESH_OK) {
		mesh__loop_run(loop);
		code = ended.code;
	}
	mesh__multi_free(multi);
	return code;
}

static void every_failing_allocation_of_a_transfer_is_told(void **state)
{
	struct mesh__tls_conf *open_conf = test_tls_conf(&cast.payments, &cast.ca, true);
	struct raw_server *server = raw_server_new(open_conf, raw_answer_ok, NULL);
	struct mesh__trust *trust = test_trust(&cast.ca, NULL);
	bool done = false;

	(void)state;
	for (long n = 1; !done; n++) {
		struct fail_mem f;
		struct mesh__env own;
		struct mesh__loop *loop = NULL;
		int code;

		fail_mem_init(&f);
		mesh__env_init(&own);
		own.mem = f.mem;
		assert_int_equal(mesh__loop_new(&own, &loop, NULL), MESH_OK);
		fail_mem_next(&f, n);
		code = one_transfer(server, loop, trust);
		done = atomic_load(&f.count) < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__loop_free(loop);
		assert_int_equal(atomic_load(&f.live), 0);
		assert_true(n < 100);
	}
	mesh__trust_unref(trust);
	raw_server_free(server);
	mesh__tls_conf_unref(open_conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failing_allocation_of_a_pool_is_told),
		cmocka_unit_test(every_failing_allocation_of_a_transfer_is_told),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
