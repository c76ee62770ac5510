/* What a caller's own deadlines may do to the limit that an instance finds for all of its callers (policy/aimd.h): nothing, where they are shorter than the service's document gives reason for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patience.h"
#include "two_meshes.h"

enum { LONG_MS = 20000, HASTY = 8, FIRST_LIMIT = 20 };

static struct two_meshes t;

/* Calls that have begun to be handled, and those that their callers have seen the end of. */
static atomic_int n_begun, n_over;

/* Answers once its caller no longer waits; the first at once. */
static void answer_late(void *user, mesh_inbound *in)
{
	long call = strtol(mesh_inbound_path(in) + 1, NULL, 10);

	(void)user;
	(void)atomic_fetch_add(&n_begun, 1);
	while (atomic_load(&n_over) < call) {
		(void)usleep(1000); /* lint: waits for an event */
	}
	(void)mesh_reply(in, 200, NULL, 0);
}

static void write_limit(char path[32])
{
	static const char document[] = "apiVersion: mesh/v1\nkind: Service\nname: payments\nconcurrencyLimit: {mode: aimd}\n";
	int fd;

	(void)snprintf(path, 32, "/tmp/mesh-hasty-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, document, sizeof(document) - 1), sizeof(document) - 1);
	assert_int_equal(close(fd), 0);
}

static long limit_found(void)
{
	static const char name[] = "\nmesh_inbound_concurrency_limit ";
	char *text = mesh_metrics(t.payments), *at = strstr(text, name);
	long limit;

	assert_non_null(at);
	limit = strtol(at + strlen(name), NULL, 10);
	mesh_string_free(text);
	return limit;
}

static int call(mesh *cart, int i, int64_t timeout_ms)
{
	char path[16];
	mesh_request *r;
	int code;

	(void)snprintf(path, sizeof(path), "/%d", i);
	r = mesh_request_new(cart, "payments", "POST", path);
	assert_int_equal(mesh_request_timeout(r, timeout_ms), MESH_OK);
	code = mesh_call(r);
	if (code != MESH_OK && code != MESH_E_TIMEOUT) {
		fail_msg("call %d: %s", i, mesh_error_message(mesh_request_error(r)));
	}
	mesh_request_free(r);
	atomic_store(&n_over, i);
	return code;
}

/* Each is late, and each would be a tenth less. */
static void a_caller_in_a_hurry_talks_nobodys_limit_down(void **state)
{
	char path[32];
	mesh_options *o;
	mesh *cart;

	(void)state;
	write_limit(path);
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	assert_int_equal(mesh_options_set(o, "endpoints", path), MESH_OK);
	t.payments = two_meshes_open(o);
	assert_int_equal(mesh_serve(t.payments, NULL, answer_late, NULL, &t.server, NULL), MESH_OK);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	assert_int_equal(call(cart, 0, patience(LONG_MS)), MESH_OK);
	/* One whose handshake takes its time away reaches nobody. */
	for (int i = 1; atomic_load(&n_begun) <= HASTY; i++) {
		assert_int_equal(call(cart, i, patience(60)), MESH_E_TIMEOUT);
	}
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	assert_int_equal(limit_found(), FIRST_LIMIT);
	two_meshes_fini(&t);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_caller_in_a_hurry_talks_nobodys_limit_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
