/* A route's mirror: what gets a copy, what the copy is, and that a caller never has anything of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "outbound/mirror.h"
#include "patience.h"
#include "raw_server.h"
#include "two_meshes.h"

enum { LONG_MS = 30000, DRAIN_MS = 3000, TEXT = 1024, CALLS = 10, HELD_MAX = 256 };

static const char to_subset[] =
	"subsets: [{name: all, labels: {version: v1}}]\n"
	"routes:\n"
	"- name: v1\n"
	"  match: [{path: {prefix: /v1}}]\n"
	"  rewrite: {prefix: /v2}\n"
	"  headers: {request: {set: {x-set: new}}}\n"
	"  mirror: {subset: all}\n"
	"- name: never\n"
	"  match: [{path: {exact: /never}}]\n"
	"  mirror: {subset: all, percent: 0}\n"
	"- name: all\n"
	"  match: [{path: {exact: /all}}]\n"
	"  mirror: {subset: all, percent: 100}\n";

static struct {
	struct two_meshes meshes;
	mesh *cart;
	pthread_mutex_t mu;         /* guards all below */
	bool holds;                 /* copies are not answered */
	mesh_inbound *held[HELD_MAX];
	size_t n_held;
	char copy[TEXT], own[TEXT]; /* what the last one of either was */
} stage = {.mu = PTHREAD_MUTEX_INITIALIZER};

static _Atomic long n_own, n_copies, n_dialled;

static const char *text_of(const char *text)
{
	return text != NULL ? text : "-";
}

/* Of a copy nobody reads what is said here: it is different. */
static void handle(void *user, mesh_inbound *in)
{
	bool copied = mesh_inbound_mirrored(in) == 1, keep;
	char *seen = copied ? stage.copy : stage.own;

	(void)user;
	(void)pthread_mutex_lock(&stage.mu);
	(void)snprintf(seen, TEXT, "%s %s?%s x-set=%s x-own=%s type=%s mesh-mirror=%s body=%s", mesh_inbound_method(in), mesh_inbound_path(in), mesh_inbound_query(in), text_of(mesh_inbound_header(in, "x-set")),
		text_of(mesh_inbound_header(in, "x-own")), text_of(mesh_inbound_header(in, "content-type")), text_of(mesh_inbound_header(in, "mesh-mirror")), mesh_inbound_body(in, NULL));
	keep = copied && stage.holds && stage.n_held < HELD_MAX;
	if (keep) {
		stage.held[stage.n_held++] = in;
	}
	(void)pthread_mutex_unlock(&stage.mu);
	atomic_fetch_add(copied ? &n_copies : &n_own, 1);
	if (!keep) {
		(void)mesh_reply(in, copied ? 500 : 200, copied ? "copy" : "own", copied ? 4 : 3);
	}
}

static void let_go(void)
{
	(void)pthread_mutex_lock(&stage.mu);
	stage.holds = false;
	for (; stage.n_held > 0; stage.n_held--) {
		(void)mesh_reply(stage.held[stage.n_held - 1], 200, NULL, 0);
	}
	(void)pthread_mutex_unlock(&stage.mu);
}

static void open_cart(const char *fields)
{
	stage.cart = two_meshes_open_cart(&stage.meshes, fields);
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&stage.meshes, "inline", handle, NULL);
	atomic_store(&n_own, 0);
	atomic_store(&n_copies, 0);
	atomic_store(&n_dialled, 0);
	stage.holds = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (stage.cart != NULL) {
		assert_int_equal(mesh_close(stage.cart, patience(LONG_MS)), MESH_OK);
	}
	stage.cart = NULL;
	let_go();
	two_meshes_fini(&stage.meshes);
	return 0;
}

/* A line of cart's metrics; 0: it is not there. */
static long metric(const char *name)
{
	char *text = mesh_metrics(stage.cart), line[TEXT], *at;
	long n;

	(void)snprintf(line, sizeof(line), "\n%s ", name);
	at = strstr(text, line);
	n = at == NULL ? 0 : strtol(at + strlen(line), NULL, 10);
	mesh_string_free(text);
	return n;
}

static void until(const char *name, long wanted)
{
	for (int64_t left_ms = patience(LONG_MS); metric(name) != wanted; left_ms--) {
		if (left_ms == 0) {
			fail_msg("%s is %ld and not %ld", name, metric(name), wanted);
		}
		(void)usleep(1000); /* lint: waits for an event */
	}
}

static mesh_request *new_call(const char *path)
{
	mesh_request *r = mesh_request_new(stage.cart, "payments", "POST", path);

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	assert_int_equal(mesh_request_header(r, "x-own", "1"), MESH_OK);
	return r;
}

static void expect_own(mesh_request *r)
{
	assert_int_equal(mesh_response_status(r), 200);
	assert_string_equal(mesh_response_body(r, NULL), "own");
}

static void call(const char *path)
{
	mesh_request *r = new_call(path);

	assert_int_equal(mesh_request_body(r, "sent", 4), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_OK);
	expect_own(r);
	mesh_request_free(r);
}

static void a_copy_is_what_was_sent_and_who_gets_it_is_told(void **state)
{
	mesh_request *r;

	(void)state;
	open_cart(to_subset);
	call("/v1/pay?q=1");
	assert_true(raw_wait(&n_copies, 1));
	assert_string_equal(stage.own, "POST /v2/pay?q=1 x-set=new x-own=1 type=- mesh-mirror=- body=sent");
	assert_string_equal(stage.copy, stage.own);
	until("mesh_mirror_total{result=\"answered\"}", 1);

	r = new_call("/v1/pay"); /* started, its response streamed, no body: the request is whole */
	assert_int_equal(mesh_request_header(r, "content-type", "application/grpc"), MESH_OK);
	assert_int_equal(mesh_request_download(r), MESH_OK);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	assert_true(raw_wait(&n_copies, 2));
	assert_string_equal(stage.copy, "POST /v2/pay? x-set=new x-own=1 type=application/grpc mesh-mirror=- body=");
	mesh_request_free(r);
	assert_int_equal(n_own, 2);
}

static void shares_of_none_and_all_are_exact_and_other_calls_have_no_copies(void **state)
{
	(void)state;
	open_cart(to_subset);
	for (int i = 0; i < CALLS; i++) {
		call("/never");
		call("/");
		call("/all");
	}
	until("mesh_mirror_total{result=\"answered\"}", CALLS);
	assert_int_equal(n_own, 3 * CALLS);
	assert_int_equal(n_copies, CALLS);
	assert_int_equal(metric("mesh_calls_total{result=\"answered\"}"), 3 * CALLS); /* copies are none of the application's calls */
	assert_int_equal(metric("mesh_tries_total"), 3 * CALLS);
}

static void a_body_that_streams_has_no_copy(void **state)
{
	mesh_request *r;

	(void)state;
	open_cart(to_subset);
	r = new_call("/all");
	assert_int_equal(mesh_request_upload(r, 4), MESH_OK);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_request_write(r, "sent", 4, NULL, patience(LONG_MS)), MESH_OK);
	assert_int_equal(mesh_request_end(r), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	expect_own(r);
	mesh_request_free(r);
	assert_int_equal(metric("mesh_mirror_left_out_total{reason=\"streamed\"}"), 1);
	assert_int_equal(n_copies, 0);
}

static void copies_that_nobody_answers_hold_up_no_call_and_are_bounded(void **state)
{
	(void)state;
	stage.holds = true;
	open_cart(to_subset);
	for (int i = 0; i < MESH__MIRROR_COPIES_MAX + CALLS; i++) {
		call("/all");
	}
	assert_int_equal(n_own, MESH__MIRROR_COPIES_MAX + CALLS);
	assert_int_equal(metric("mesh_mirror_left_out_total{reason=\"limit\"}"), CALLS);
	assert_true(raw_wait(&n_copies, MESH__MIRROR_COPIES_MAX));
	let_go();
	until("mesh_mirror_total{result=\"answered\"}", MESH__MIRROR_COPIES_MAX);
	call("/all");
	assert_true(raw_wait(&n_copies, MESH__MIRROR_COPIES_MAX + 1));
}

static void one_that_would_hold_too_much_is_left_out(void **state)
{
	char *body = calloc(1, MESH__MIRROR_BYTES_MAX);
	mesh_request *r;

	(void)state;
	assert_non_null(body);
	stage.holds = true;
	open_cart(to_subset);
	call("/all");
	assert_true(raw_wait(&n_copies, 1));
	r = new_call("/all");
	assert_int_equal(mesh_request_body(r, body, MESH__MIRROR_BYTES_MAX), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_OK);
	mesh_request_free(r);
	assert_int_equal(metric("mesh_mirror_left_out_total{reason=\"limit\"}"), 1);
	let_go();
	until("mesh_mirror_total{result=\"answered\"}", 1);
	free(body);
}

/* Takes the connection, and that is all. */
static void hangs_up(struct raw_conn *conn)
{
	(void)conn;
	atomic_fetch_add(&n_dialled, 1);
}

static void a_mirror_that_is_down_is_tried_once_and_costs_no_call(void **state)
{
	struct raw_server *ledger[] = {raw_server_new(NULL, hangs_up, NULL), raw_server_new(NULL, hangs_up, NULL)};
	char text[MESH__COUNT(ledger)][MESH__ADDR_TEXT], fields[TEXT];
	struct mesh__addr address;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(ledger); i++) {
		raw_server_address(ledger[i], &address);
		mesh__addr_format(&address, text[i]);
	}
	(void)snprintf(fields, sizeof(fields),
		"connectTimeout: 20s\n"
		"routes: [{name: all, mirror: {service: ledger}}]\n"
		"---\n"
		"apiVersion: mesh/v1\n"
		"kind: Endpoints\n"
		"name: ledger\n"
		"endpoints: [{address: \"%s\"}, {address: \"%s\"}]\n", text[0], text[1]);
	open_cart(fields);
	for (int i = 0; i < CALLS; i++) {
		call("/");
	}
	until("mesh_mirror_total{result=\"failed\"}", CALLS);
	assert_int_equal(n_dialled, CALLS);
	assert_int_equal(metric("mesh_calls_total{result=\"failed\"}"), 0);
	assert_int_equal(metric("mesh_tries_total"), CALLS);
	assert_int_equal(metric("mesh_retries_total"), 0);
	assert_int_equal(n_own, CALLS);
	for (size_t i = 0; i < MESH__COUNT(ledger); i++) {
		raw_server_free(ledger[i]);
	}
}

static void a_mirror_whose_subset_has_no_endpoint_fails_its_copies_alone(void **state)
{
	(void)state;
	open_cart("subsets: [{name: empty, labels: {version: v9}}]\n"
		"routes: [{name: all, mirror: {subset: empty}}]\n");
	for (int i = 0; i < CALLS; i++) {
		call("/");
	}
	until("mesh_mirror_total{result=\"failed\"}", CALLS);
	assert_int_equal(metric("mesh_calls_total{result=\"failed\"}"), 0);
	assert_int_equal(n_own, CALLS);
	assert_int_equal(n_copies, 0);
}

static void closing_waits_for_calls_and_not_for_copies(void **state)
{
	(void)state;
	stage.holds = true;
	open_cart(to_subset);
	call("/all");
	assert_true(raw_wait(&n_copies, 1));
	assert_int_equal(mesh_close(stage.cart, patience(DRAIN_MS)), MESH_OK); /* the copy is held until after, and its own deadline is far */
	stage.cart = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_copy_is_what_was_sent_and_who_gets_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shares_of_none_and_all_are_exact_and_other_calls_have_no_copies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_body_that_streams_has_no_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copies_that_nobody_answers_hold_up_no_call_and_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_would_hold_too_much_is_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mirror_that_is_down_is_tried_once_and_costs_no_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mirror_whose_subset_has_no_endpoint_fails_its_copies_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(closing_waits_for_calls_and_not_for_copies, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
