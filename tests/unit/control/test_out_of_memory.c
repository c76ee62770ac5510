/* THREATS 31: the control side from its first identity to its leave, with the n-th of its allocations failing, for every n: it becomes ready all the same, knows the service, leaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "alloc_fail.h"
#include "base/wait.h"
#include "control/control.h"
#include "fake_meshd.h"
#include "http/cancel.h"
#include "patience.h"
#include "test_destination.h"

enum { PATIENCE_US = 10000000, FIRST_US = 300000 };

/* ---- Endpoints without a state of their own ---- */

struct mesh__endpoint {
	_Atomic int refs;
};

static void host(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out)
{
	(void)endpoint;
	*out = (struct mesh__hash_host){.key = "a", .weight = 1};
}

static struct mesh__endpoint *make(void *ctx, const struct mesh__endpoint_spec *spec)
{
	const struct mesh__env *env = ctx;
	struct mesh__endpoint *e = mesh__alloc(&env->mem, sizeof(*e));

	assert_string_equal(spec->instance, "one");
	if (e != NULL) {
		atomic_init(&e->refs, 1);
	}
	return e;
}

static void ref(struct mesh__endpoint *e)
{
	atomic_fetch_add(&e->refs, 1);
}

static void unref(struct mesh__endpoint *e)
{
	if (atomic_fetch_sub(&e->refs, 1) == 1) {
		mesh__free(e);
	}
}

static void leave(struct mesh__endpoint *e)
{
	(void)e;
}

/* ---- One life ---- */

struct stage {
	struct mesh__env env, failing;
	struct fail_mem mem;
	struct test_ca ca;
	struct fake_meshd meshd;
	struct test_peer self;
	struct mesh__svid *svid;
	struct mesh__servers servers;
	struct mesh__control *control;
	struct mesh__post post;
	pthread_mutex_t mu; /* guards left */
	pthread_cond_t changed;
	bool left;
};

static struct stage stage;

static int on_credentials(void *arg, struct mesh__creds *creds, struct mesh__err *err)
{
	(void)arg;
	(void)err;
	assert_non_null(creds);
	return MESH_OK;
}

static void give_svid(void *arg)
{
	(void)arg;
	mesh__control_svid(stage.control, stage.svid);
}

static void on_left(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&stage.mu);
	stage.left = true;
	(void)pthread_cond_broadcast(&stage.changed);
	(void)pthread_mutex_unlock(&stage.mu);
}

static void say_goodbye(void)
{
	int64_t until_us = mesh__mono_us(&stage.env) + patience(PATIENCE_US);

	stage.left = false;
	mesh__control_leave(stage.control, on_left, NULL);
	(void)pthread_mutex_lock(&stage.mu);
	while (!stage.left) {
		assert_true(mesh__cond_wait_until(&stage.changed, &stage.mu, &stage.env, until_us));
	}
	(void)pthread_mutex_unlock(&stage.mu);
}

static bool ask(int64_t patience_us)
{
	struct mesh__cancel *cancel = mesh__cancel_new(&stage.env);
	struct mesh__snapshot *snapshot = NULL;
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__control_await(stage.control, "payments.default", mesh__mono_us(&stage.env) + patience_us, cancel, &snapshot, &err);

	assert_non_null(cancel);
	if (code == MESH_OK) {
		assert_int_equal(mesh__snapshot_find(snapshot, "payments.default")->n, 1);
	}
	mesh__snapshot_unref(snapshot);
	mesh__cancel_free(cancel);
	return code == MESH_OK;
}

/* A wish may be lost for want of memory: the next one after that is not. On a slow machine the first may be given up before memory has failed. */
static void ask_until_there(void)
{
	bool has_failed, there = ask(FIRST_US);

	do {
		has_failed = stage.mem.count >= stage.mem.fail_at;
		there = there || ask(patience(PATIENCE_US));
	} while (!there && !has_failed);
	assert_true(there);
}

static void live(struct mesh__loop *loop)
{
	static char id[] = "two", address[] = "127.0.0.1:2";
	struct mesh__msg_instance self = {.instance = id, .addresses = {address}, .n_addresses = 1};
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__loop_start(loop, "control", &err), MESH_OK);
	mesh__loop_post(loop, &stage.post, give_svid, NULL);
	if (mesh__control_serve(stage.control, &self, &err) != MESH_OK) {
		assert_int_equal(err.code, MESH_E_NO_MEMORY);
		assert_int_equal(mesh__control_serve(stage.control, &self, &err), MESH_OK);
	}
	ask_until_there();
	if (mesh__control_await_ready(stage.control, mesh__mono_us(&stage.env) + patience(PATIENCE_US), &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	say_goodbye();
	mesh__loop_stop(loop);
	mesh__loop_join(loop);
}

static struct mesh__destination *make_destination(void *ctx, const char *key)
{
	(void)ctx;
	(void)key;
	return test_destination_new(&stage.failing.mem);
}

static void run(void)
{
	struct mesh__endpoint_source source = {TEST_DESTINATION(make_destination), .make = make, .ref = ref, .unref = unref, .leave = leave, .host = host, .ctx = &stage.failing};
	struct mesh__control_options options = {.servers = &stage.servers, .source = &source, .ns = "default", .credentials = on_credentials};
	struct mesh__metrics *metrics = mesh__metrics_new(&stage.env);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__loop *loop = NULL;

	assert_non_null(metrics);
	options.metrics = metrics;
	if (mesh__loop_new(&stage.failing, &loop, &err) == MESH_OK) {
		options.loop = loop;
		if (mesh__control_new(&options, &stage.control, &err) == MESH_OK) {
			live(loop);
		} else {
			assert_int_equal(err.code, MESH_E_NO_MEMORY);
		}
		mesh__control_free(stage.control);
		mesh__loop_free(loop);
	} else {
		assert_int_equal(err.code, MESH_E_NO_MEMORY);
	}
	mesh__metrics_free(metrics);
}

static void greet(void)
{
	static char service[] = "payments.default", self[] = "cart.default", id[] = "one", address[] = "127.0.0.1:1";
	static char document[] = "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 2s\n";
	static char *documents[] = {document};
	struct mesh__msg_instance instance = {.instance = id, .addresses = {address}, .n_addresses = 1};
	struct mesh__record trust = {.type = MESH__RECORD_TRUST, .version = 1, .roots_pem = stage.ca.root};
	struct mesh__record config = {.type = MESH__RECORD_CONFIG, .version = 1, .service = service, .documents = documents, .n_documents = 1};
	struct mesh__record own = {.type = MESH__RECORD_CONFIG, .version = 1, .service = self};
	struct mesh__record endpoints = {.type = MESH__RECORD_ENDPOINTS, .version = 1, .service = service, .full = true, .known = true, .instances = &instance, .n_instances = 1};

	fake_meshd_greet(&stage.meshd, &trust);
	fake_meshd_greet(&stage.meshd, &config);
	fake_meshd_greet(&stage.meshd, &own);
	fake_meshd_greet(&stage.meshd, &endpoints);
}

static int set_up(void **state)
{
	char url[96], text[MESH__ADDR_TEXT];

	(void)state;
	memset(&stage, 0, sizeof(stage));
	mesh__env_init(&stage.env);
	mesh__env_init(&stage.failing);
	fail_mem_init(&stage.mem);
	stage.failing.mem = stage.mem.mem;
	(void)pthread_mutex_init(&stage.mu, NULL);
	mesh__cond_init(&stage.changed);
	assert_int_equal(mesh__pki_init(NULL), MESH_OK);
	assert_int_equal(mesh__client_init(NULL), MESH_OK);
	test_ca_init(&stage.ca, &stage.env, "mesh.local");
	test_peer_init(&stage.self, &stage.ca, "cart");
	assert_int_equal(mesh__svid_new(&stage.env, stage.self.key, stage.self.chain, stage.ca.root, &stage.svid, NULL), MESH_OK);
	fake_meshd_init(&stage.meshd, &stage.ca);
	greet();
	mesh__addr_format(&stage.meshd.address, text);
	(void)snprintf(url, sizeof(url), "https://%s", text);
	assert_int_equal(mesh__servers_parse(&stage.env, url, &stage.servers, NULL), MESH_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_meshd_fini(&stage.meshd);
	mesh__svid_unref(stage.svid);
	test_peer_fini(&stage.self);
	test_ca_fini(&stage.ca);
	(void)pthread_cond_destroy(&stage.changed);
	(void)pthread_mutex_destroy(&stage.mu);
	return 0;
}

static void every_failing_allocation_is_survived(void **state)
{
	long n = 1, most;

	(void)state;
	do {
		fail_mem_next(&stage.mem, n);
		run();
		most = stage.mem.count;
		if (stage.mem.live != 0) {
			fail_msg("allocation %ld: %ld blocks are left", n, (long)stage.mem.live);
		}
		n += walk_stride();
	} while (n <= most + walk_stride());
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(every_failing_allocation_is_survived, set_up, tear_down)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
