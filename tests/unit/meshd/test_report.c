/* What meshd keeps of its clients' reports: whole or not at all, of what they watch alone, so often and no more; and what all of them say together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshd/report.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

enum { SESSIONS = 3 };

static struct {
	struct scratch scratch;
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__loop *loop;
	struct meshd_store *store;
	struct meshd_registry *registry;
	struct meshd_config *config;
	struct meshd_watch *watch;
	struct meshd_session *sessions[SESSIONS];
} f;

static bool take_all(void *user, const void *bytes, size_t len)
{
	(void)user;
	(void)bytes;
	(void)len;
	return true;
}

static size_t room(void *user)
{
	(void)user;
	return 1;
}

static void nothing(void *user)
{
	(void)user;
}

static int trust_record(void *user, struct mesh__record *record, struct mesh__err *err)
{
	(void)user;
	(void)err;
	*record = (struct mesh__record){.type = MESH__RECORD_TRUST, .version = 1};
	return MESH_OK;
}

static void config_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	(void)user;
	(void)kind;
	(void)name;
}

/* Each watches payments, and orders' configuration alone. */
static void open_sessions(void)
{
	const struct meshd_sink sink = {.write = take_all, .room = room, .close = nothing};
	const struct mesh__leaf leaf = {.name = {"mesh.local", "default", "cart"}, .spiffe = "spiffe://mesh.local/ns/default/svc/cart", .serial = "c0"};
	static char payments[] = "payments.default", orders[] = "orders.default";
	struct mesh__msg_interest interests[] = {{.service = payments}, {.service = orders, .config_only = true}};
	struct mesh__msg_subscribe msg = {.services = interests, .n_services = MESH__COUNT(interests), .replace = true};

	for (size_t i = 0; i < SESSIONS; i++) {
		assert_int_equal(meshd_watch_open(f.watch, &leaf, "127.0.0.1:9", &sink, &f.sessions[i], NULL), MESH_OK);
		assert_int_equal(meshd_watch_subscribe(f.sessions[i], &msg, NULL), MESH_OK);
	}
}

static int setup(void **state)
{
	struct meshd_watch_options watch = {.trust_record = trust_record};
	struct meshd_registry_options registry = {.changed = NULL};

	(void)state;
	memset(&f, 0, sizeof(f));
	fake_env_init(&f.fake);
	fail_mem_init(&f.mem);
	f.fake.env.mem = f.mem.mem;
	meshd_lease_rules_default(&registry.rules);
	watch.rules = registry.rules;
	if (scratch_init(&f.scratch) != 0 || mesh__loop_new(&f.fake.env, &f.loop, NULL) != MESH_OK) {
		return -1;
	}
	watch.loop = f.loop;
	if (meshd_watch_new(&watch, &f.watch, NULL) != MESH_OK || meshd_store_open(&f.fake.env, scratch_path(&f.scratch, "meshd.db"), &f.store, NULL) != MESH_OK
		|| meshd_registry_new(&f.fake.env, f.store, &registry, &f.registry, NULL) != MESH_OK
		|| meshd_config_new(&f.fake.env, f.store, config_changed, NULL, &f.config, NULL) != MESH_OK) {
		return -1;
	}
	meshd_watch_sources(f.watch, f.registry, f.config);
	open_sessions();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	meshd_watch_end_all(f.watch);
	mesh__loop_free(f.loop);
	meshd_watch_free(f.watch);
	meshd_registry_free(f.registry);
	meshd_config_free(f.config);
	meshd_store_close(f.store);
	scratch_fini(&f.scratch);
	return f.mem.live == 0 ? 0 : -1;
}

/* The report is text, as it comes. */
static int take(size_t session, const char *text, struct mesh__err *err)
{
	struct mesh__msg_report msg;
	int code;

	assert_int_equal(mesh__msg_report_decode(mesh__mem_libc(), text, strlen(text), &msg, err), MESH_OK);
	code = meshd_report_take(f.sessions[session], &msg, err);
	mesh__msg_report_fini(&msg);
	return code;
}

#define OF(service, endpoints) "{\"service\":\"" service "\",\"endpoints\":[" endpoints "]}"
#define PAYMENTS(endpoints) "{\"services\":[" OF("payments.default", endpoints) "]}"
#define P0_EJECTED "{\"instance\":\"p0\",\"ejected\":true,\"cost_us\":\"5\"}"
#define P0_WELL "{\"instance\":\"p0\",\"cost_us\":\"5\"}"
#define P1_FAILS "{\"instance\":\"p1\",\"failed_check\":true}"

static void assert_opinion(const char *instance, size_t ejected, size_t failed, size_t callers)
{
	struct meshd_opinions opinions;
	struct meshd_opinion opinion;

	assert_int_equal(meshd_opinions_init(&opinions, f.watch, &f.mem.mem, "payments.default", NULL), MESH_OK);
	opinion = meshd_opinions_of(&opinions, instance);
	assert_int_equal(opinions.callers, callers);
	assert_int_equal(opinion.ejected, ejected);
	assert_int_equal(opinion.failed_check, failed);
	meshd_opinions_fini(&opinions);
}

static void what_all_say_is_counted_by_instance_as_long_as_they_are_there(void **state)
{
	(void)state;
	assert_opinion("p0", 0, 0, 0);
	assert_int_equal(take(0, PAYMENTS(P1_FAILS "," P0_EJECTED), NULL), MESH_OK);
	assert_int_equal(take(1, PAYMENTS(P0_WELL "," P1_FAILS), NULL), MESH_OK);
	assert_opinion("p0", 1, 0, 2);
	assert_opinion("p1", 0, 2, 2);
	assert_opinion("p2", 0, 0, 2);
	assert_int_equal(take(2, PAYMENTS(P0_EJECTED), NULL), MESH_OK);
	assert_opinion("p0", 2, 0, 3);
	meshd_watch_gone(f.sessions[2]);
	assert_opinion("p0", 1, 0, 2);
	assert_int_equal(take(0, PAYMENTS(P0_WELL), NULL), MESH_OK); /* the last holds, whole */
	assert_opinion("p0", 0, 0, 2);
	assert_opinion("p1", 0, 1, 2);
	assert_int_equal(take(1, "{\"services\":[]}", NULL), MESH_OK);
	assert_opinion("p1", 0, 0, 1);
}

static void threat_22_of_what_a_session_does_not_watch_it_reports_nothing(void **state)
{
	static const char *const texts[] = {
		"{\"services\":[" OF("payments.default", P1_FAILS) "," OF("ledger.default", P1_FAILS) "]}",
		"{\"services\":[" OF("payments.default", P1_FAILS) "," OF("orders.default", P1_FAILS) "]}", /* whose configuration alone it watches */
	};

	(void)state;
	assert_int_equal(take(0, PAYMENTS(P0_EJECTED), NULL), MESH_OK);
	for (size_t i = 0; i < MESH__COUNT(texts); i++) {
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(take(0, texts[i], &err), MESH_E_DENIED);
		assert_non_null(strstr(err.message, i == 0 ? "ledger.default" : "orders.default"));
		assert_opinion("p0", 1, 0, 1);
		assert_opinion("p1", 0, 0, 1);
	}
}

static void a_report_that_tells_of_a_service_twice_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(take(0, PAYMENTS(P0_EJECTED), NULL), MESH_OK);
	assert_int_equal(take(0, "{\"services\":[" OF("payments.default", P1_FAILS) "," OF("payments.default", P0_WELL) "]}", NULL), MESH_E_INVALID);
	assert_opinion("p0", 1, 0, 1);
}

static void threat_24_a_caller_counts_once_however_often_it_says_the_same(void **state)
{
	(void)state;
	assert_int_equal(take(0, PAYMENTS(P0_EJECTED "," P1_FAILS "," P0_EJECTED "," P0_WELL "," P0_EJECTED), NULL), MESH_OK);
	assert_opinion("p0", 1, 0, 1);
	assert_opinion("p1", 0, 1, 1);
}

static void threat_24_a_session_reports_twice_a_second_in_the_long_run(void **state)
{
	int64_t due_us = 0, now_us = 1000000;
	int admitted = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) { /* in one moment */
		admitted += meshd_report_admits(&due_us, now_us);
	}
	assert_int_equal(admitted, MESHD_REPORT_BURST);
	for (int i = 0; i < 1000; i++) { /* 100 a second for 10 s */
		now_us += 10000;
		admitted += meshd_report_admits(&due_us, now_us);
	}
	assert_int_equal(admitted, MESHD_REPORT_BURST + 10 * 1000 / MESHD_REPORT_EVERY_MS);
	for (int i = 0; i < 100; i++) { /* as the library does */
		now_us += 1000000;
		assert_true(meshd_report_admits(&due_us, now_us));
	}
}

static void threat_31_out_of_memory_the_last_report_stays(void **state)
{
	struct meshd_opinions opinions;

	(void)state;
	assert_int_equal(take(0, PAYMENTS(P0_EJECTED), NULL), MESH_OK);
	fail_mem_next(&f.mem, 1);
	assert_int_equal(take(0, PAYMENTS(P0_WELL), NULL), MESH_E_NO_MEMORY);
	fail_mem_next(&f.mem, 1);
	assert_int_equal(meshd_opinions_init(&opinions, f.watch, &f.mem.mem, "payments.default", NULL), MESH_E_NO_MEMORY);
	fail_mem_next(&f.mem, 0);
	assert_opinion("p0", 1, 0, 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_all_say_is_counted_by_instance_as_long_as_they_are_there),
		T(threat_22_of_what_a_session_does_not_watch_it_reports_nothing),
		T(a_report_that_tells_of_a_service_twice_changes_nothing),
		T(threat_24_a_caller_counts_once_however_often_it_says_the_same),
		T(threat_24_a_session_reports_twice_a_second_in_the_long_run),
		T(threat_31_out_of_memory_the_last_report_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
