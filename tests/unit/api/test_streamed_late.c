/* Calls whose bodies stream and whose time is over: what they are told, so that whoever reads it knows what to set. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "patience.h"
#include "raw_server.h"
#include "serving.h"

enum { LONG_MS = 20000 };

static struct serving s;
static mesh *cart;
static _Atomic int64_t ahead_us; /* cart's clock */
static _Atomic long n_read;

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

/* Reads to the end; to /echo it has replied before. */
static void handle(void *user, mesh_inbound *in)
{
	bool begun = strcmp(mesh_inbound_path(in), "/echo") == 0 && mesh_reply_begin(in, 200) == MESH_OK;
	char piece[64];
	size_t n = 1;

	(void)user;
	while (n > 0 && mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms()) == MESH_OK) {
		atomic_fetch_add(&n_read, (long)n);
	}
	(void)(begun ? mesh_reply_end(in) : mesh_reply(in, 200, NULL, 0));
}

static int64_t clock_ahead(void *user)
{
	return mesh__mono_us(user) + atomic_load(&ahead_us);
}

static int64_t wall(void *user)
{
	return mesh__wall_ms(user);
}

static int set_up(void **state)
{
	mesh_options *o;

	(void)state;
	serving_open(&s, "pool", "streamed", handle, NULL, NULL);
	o = two_meshes_options(&s.t, "cart");
	atomic_store(&ahead_us, 0);
	atomic_store(&n_read, 0);
	mesh_options_clock(o, clock_ahead, wall, &s.t.env);
	cart = two_meshes_open(o);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mesh_close(cart, patient_ms()), MESH_OK);
	serving_fini(&s);
	return 0;
}

/* A call of which three bytes have arrived. */
static mesh_request *begin(const char *path, int64_t length, bool download)
{
	mesh_request *r = mesh_request_new(cart, "payments", "POST", path);
	long before = atomic_load(&n_read);

	assert_non_null(r);
	assert_int_equal(mesh_request_upload(r, length), MESH_OK);
	if (download) {
		assert_int_equal(mesh_request_download(r), MESH_OK);
	}
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_request_write(r, "abc", 3, NULL, patient_ms()), MESH_OK);
	assert_true(raw_wait(&n_read, before + 3));
	return r;
}

/* So much later a call looks at its clock; what it is told says so. Each byte comes so much later than the one before: the call thread may be about to take one, which has then moved in time. */
static void expect_late(mesh_request *r, int64_t later_ms, const char *expected)
{
	const char *told;

	do {
		(void)atomic_fetch_add(&ahead_us, later_ms * 1000);
	} while (mesh_request_write(r, "d", 1, NULL, patient_ms()) == MESH_OK);
	(void)mesh_call_wait(r);
	assert_int_equal(mesh_error_code(mesh_request_error(r)), MESH_E_TIMEOUT);
	assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r)), 1);
	told = mesh_error_message(mesh_request_error(r));
	if (strstr(told, expected) == NULL) {
		fail_msg("\"%s\" does not say \"%s\"", told, expected);
	}
	mesh_request_free(r);
}

static void an_upload_that_its_timeout_cuts_short_is_told_to_have_a_longer_one(void **state)
{
	char passed[64];

	(void)state;
	(void)snprintf(passed, sizeof(passed), "the call's %lld ms passed when ", (long long)patience(15000)); /* what is built in, as patient_mesh.c has it */
	expect_late(begin("/count", -1, false), 16000, passed);
	expect_late(begin("/count", -1, false), 16000, " bytes of the request's body had been sent, and not all of it");
	expect_late(begin("/count", INT64_C(1) << 40, true), 16000, "set a longer one, the caller's own or the service's `timeout`");
}

/* With its head there a call has time for as long as something moves. */
static void a_body_on_which_nothing_moves_is_told_so(void **state)
{
	mesh_request *r = begin("/echo", -1, true);

	(void)state;
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	expect_late(r, 61000, "nothing of the bodies has moved for 60 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_upload_that_its_timeout_cuts_short_is_told_to_have_a_longer_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_body_on_which_nothing_moves_is_told_so, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
