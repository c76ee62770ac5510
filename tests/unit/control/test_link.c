/* The link against a meshd under the test's hand: THREATS 28 (what cannot be used is refused by name), and what happens when a session breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/wait.h"
#include "control/link.h"
#include "fake_meshd.h"
#include "http/client.h"
#include "patience.h"

/* The owner's side, under the test's hand. */
struct owner {
	struct mesh__env env;
	struct test_ca ca;
	struct fake_meshd meshd;
	struct test_peer self;
	struct mesh__creds *creds;
	struct mesh__loop *loop;
	struct mesh__link *link;
	struct mesh__servers servers;
	struct mesh__post post;
	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t changed;
	int opened, broken, taken, registered, not_registered, unreported;
	bool refuse, left;
	char last_service[64];
};

static struct owner o;

static void note(int *count)
{
	(void)pthread_mutex_lock(&o.mu);
	(*count)++;
	(void)pthread_cond_broadcast(&o.changed);
	(void)pthread_mutex_unlock(&o.mu);
}

static void await_count(const int *count, int n)
{
	int64_t until_us = mesh__mono_us(&o.env) + patience(10000000);

	(void)pthread_mutex_lock(&o.mu);
	while (*count < n) {
		assert_true(mesh__cond_wait_until(&o.changed, &o.mu, &o.env, until_us));
	}
	(void)pthread_mutex_unlock(&o.mu);
}

static int on_record(void *arg, const struct mesh__record *record, struct mesh__err *err)
{
	(void)arg;
	(void)snprintf(o.last_service, sizeof(o.last_service), "%s", record->service == NULL ? "" : record->service);
	if (o.refuse) {
		return mesh__fail(err, MESH_E_INVALID, "configuration of %s: it does not suit us", o.last_service);
	}
	note(&o.taken);
	return MESH_OK;
}

static int on_interests(void *arg, struct mesh__msg_subscribe *out, struct mesh__err *err)
{
	static char service[] = "payments.default";

	(void)arg;
	(void)err;
	out->services = mesh__alloc_array(&o.env.mem, 1, sizeof(*out->services));
	assert_non_null(out->services);
	out->services[0] = (struct mesh__msg_interest){.service = service, .endpoints_version = 41, .generation = 7};
	out->n_services = 1;
	out->trust_version = 3;
	return MESH_OK;
}

static void on_registered(void *arg, bool yes, const struct mesh__err *err)
{
	(void)arg;
	(void)err;
	note(yes ? &o.registered : &o.not_registered);
}

static void on_state(void *arg, const struct mesh__err *err)
{
	(void)arg;
	note(err == NULL ? &o.opened : &o.broken);
}

static void on_report(void *arg, struct mesh__buf *out)
{
	(void)arg;
	mesh__buf_str(out, "{\"services\":[]}");
}

static void on_report_refused(void *arg)
{
	(void)arg;
	note(&o.unreported);
}

static void use(void *arg)
{
	(void)arg;
	mesh__link_use(o.link, o.creds);
}

static int set_up(void **state)
{
	struct mesh__link_events events = {.record = on_record, .interests = on_interests, .registered = on_registered, .report = on_report, .report_refused = on_report_refused, .state = on_state};
	char url[96], text[MESH__ADDR_TEXT];

	(void)state;
	memset(&o, 0, sizeof(o));
	mesh__env_init(&o.env);
	(void)pthread_mutex_init(&o.mu, NULL);
	mesh__cond_init(&o.changed);
	assert_int_equal(mesh__pki_init(NULL), MESH_OK);
	assert_int_equal(mesh__client_init(NULL), MESH_OK);
	test_ca_init(&o.ca, &o.env, "mesh.local");
	test_peer_init(&o.self, &o.ca, "cart");
	o.creds = test_creds(&o.self, &o.ca, 1);
	fake_meshd_init(&o.meshd, &o.ca);
	mesh__addr_format(&o.meshd.address, text);
	(void)snprintf(url, sizeof(url), "https://%s", text);
	assert_int_equal(mesh__servers_parse(&o.env, url, &o.servers, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&o.env, &o.loop, NULL), MESH_OK);
	assert_int_equal(mesh__link_new(o.loop, &o.servers, &events, &o.link, NULL), MESH_OK);
	assert_int_equal(mesh__loop_start(o.loop, "test-link", NULL), MESH_OK);
	mesh__loop_post(o.loop, &o.post, use, NULL);
	await_count(&o.opened, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__loop_stop(o.loop);
	mesh__loop_join(o.loop);
	mesh__link_free(o.link);
	mesh__loop_free(o.loop);
	fake_meshd_fini(&o.meshd);
	mesh__creds_unref(o.creds);
	test_peer_fini(&o.self);
	test_ca_fini(&o.ca);
	(void)pthread_cond_destroy(&o.changed);
	(void)pthread_mutex_destroy(&o.mu);
	return 0;
}

static struct mesh__record record_of(enum mesh__record_type type)
{
	static char service[] = "payments.default";

	return (struct mesh__record){.type = type, .version = 42, .service = service, .known = true};
}

static void subscribes_with_the_versions_it_has(void **state)
{
	char body[FAKE_MESHD_TEXT];
	struct mesh__msg_subscribe msg;

	(void)state;
	fake_meshd_await_post(&o.meshd, "subscribe", 1, body);
	assert_int_equal(mesh__msg_subscribe_decode(&o.env.mem, body, strlen(body), &msg, NULL), MESH_OK);
	assert_true(msg.replace);
	assert_int_equal(msg.trust_version, 3);
	assert_int_equal(msg.n_services, 1);
	assert_string_equal(msg.services[0].service, "payments.default");
	assert_int_equal(msg.services[0].endpoints_version, 41);
	assert_int_equal(msg.services[0].generation, 7);
	mesh__msg_subscribe_fini(&msg);
}

static void acknowledges_a_configuration_by_its_generation(void **state)
{
	struct mesh__record record = record_of(MESH__RECORD_CONFIG);
	struct mesh__msg_ack ack;
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_send(&o.meshd, &record);
	fake_meshd_await_post(&o.meshd, "ack", 1, body);
	assert_int_equal(mesh__msg_ack_decode(&o.env.mem, body, strlen(body), &ack, NULL), MESH_OK);
	assert_int_equal(ack.sequence, 2);
	assert_int_equal(ack.generation, 42);
	assert_null(ack.refused);
	mesh__msg_ack_fini(&ack);
}

static void threat_28_refuses_by_name_what_cannot_be_used(void **state)
{
	struct mesh__record record = record_of(MESH__RECORD_CONFIG);
	struct mesh__msg_ack ack;
	char body[FAKE_MESHD_TEXT];

	(void)state;
	o.refuse = true;
	fake_meshd_send(&o.meshd, &record);
	fake_meshd_await_post(&o.meshd, "ack", 1, body);
	assert_int_equal(mesh__msg_ack_decode(&o.env.mem, body, strlen(body), &ack, NULL), MESH_OK);
	assert_string_equal(ack.refused, "configuration of payments.default: it does not suit us");
	assert_string_equal(ack.service, "payments.default");
	mesh__msg_ack_fini(&ack);
}

static void threat_28_goes_on_after_a_line_that_is_no_record(void **state)
{
	struct mesh__record record = record_of(MESH__RECORD_ENDPOINTS);
	struct mesh__msg_ack ack;
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_send_text(&o.meshd, "{\"type\":\"endpoints\",\"sequence\":\"2\",\"service\":\"../etc\"}\n");
	fake_meshd_await_post(&o.meshd, "ack", 1, body);
	assert_int_equal(mesh__msg_ack_decode(&o.env.mem, body, strlen(body), &ack, NULL), MESH_OK);
	assert_non_null(ack.refused);
	assert_int_equal(ack.sequence, 2);
	mesh__msg_ack_fini(&ack);
	fake_meshd_send(&o.meshd, &record);
	await_count(&o.taken, 1);
	assert_int_equal(o.broken, 0);
}

static void acknowledges_an_unknown_record_type_as_unsupported(void **state)
{
	struct mesh__msg_ack ack;
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_send_text(&o.meshd, "{\"type\":\"of-a-later-version\",\"sequence\":\"2\"}\n");
	fake_meshd_await_post(&o.meshd, "ack", 1, body);
	assert_int_equal(mesh__msg_ack_decode(&o.env.mem, body, strlen(body), &ack, NULL), MESH_OK);
	assert_non_null(ack.refused);
	mesh__msg_ack_fini(&ack);
	assert_int_equal(o.taken, 0);
}

static void opens_a_new_session_when_the_stream_ends(void **state)
{
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_await_post(&o.meshd, "subscribe", 1, body);
	fake_meshd_hang_up(&o.meshd);
	await_count(&o.broken, 1);
	fake_meshd_await_watch(&o.meshd, 2);
	fake_meshd_await_post(&o.meshd, "subscribe", 2, body);
	await_count(&o.opened, 2);
}

static void opens_a_new_session_when_meshd_knows_it_no_more(void **state)
{
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_await_post(&o.meshd, "subscribe", 1, body);
	fake_meshd_answer(&o.meshd, 404, "{\"error\":\"no-session\",\"message\":\"open a new watch\"}");
	fake_meshd_await_watch(&o.meshd, 2); /* the heartbeat found out */
	fake_meshd_answer(&o.meshd, 0, "");
	await_count(&o.opened, 2);
}

static char instance_id[] = "one", instance_address[] = "127.0.0.1:1";

static void do_register(void *arg)
{
	struct mesh__msg_instance instance = {.instance = instance_id, .addresses = {instance_address}, .n_addresses = 1};

	(void)arg;
	assert_int_equal(mesh__link_register(o.link, &instance, NULL), MESH_OK);
}

static void registers_and_again_after_a_break(void **state)
{
	char body[FAKE_MESHD_TEXT];

	(void)state;
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	fake_meshd_await_post(&o.meshd, "register", 1, body);
	assert_non_null(strstr(body, "127.0.0.1:1"));
	await_count(&o.registered, 1);
	fake_meshd_hang_up(&o.meshd);
	fake_meshd_await_post(&o.meshd, "register", 2, body);
	await_count(&o.registered, 2);
}

static void registers_again_when_a_heartbeat_says_that_the_lease_is_gone(void **state)
{
	char body[FAKE_MESHD_TEXT];

	(void)state;
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	await_count(&o.registered, 1);
	fake_meshd_answer(&o.meshd, 200, "{\"registered\":false}");
	fake_meshd_await_post(&o.meshd, "register", 2, body);
	fake_meshd_answer(&o.meshd, 0, "");
}

static void tells_of_a_registration_that_was_refused(void **state)
{
	(void)state;
	fake_meshd_answer(&o.meshd, 403, "{\"error\":\"denied\",\"message\":\"not you\"}");
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	await_count(&o.not_registered, 1);
	fake_meshd_answer(&o.meshd, 0, "");
}

static void do_withdraw(void *arg)
{
	(void)arg;
	mesh__link_withdraw(o.link);
}

/* What an application that cannot serve for a while does: the session goes on, and a heartbeat that says "not registered" is no reason to register. */
static void withdraws_and_registers_again(void **state)
{
	char body[FAKE_MESHD_TEXT];
	size_t beats;

	(void)state;
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	await_count(&o.registered, 1);
	mesh__loop_post(o.loop, &o.post, do_withdraw, NULL);
	fake_meshd_await_post(&o.meshd, "deregister", 1, body);
	assert_non_null(strstr(body, "\"deregistered\""));
	fake_meshd_answer(&o.meshd, 200, "{\"registered\":false}");
	beats = fake_meshd_count(&o.meshd, "heartbeat");
	fake_meshd_await_post(&o.meshd, "heartbeat", beats + 3, body);
	assert_int_equal(fake_meshd_count(&o.meshd, "register"), 1);
	fake_meshd_answer(&o.meshd, 0, "");
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	fake_meshd_await_post(&o.meshd, "register", 2, body);
	await_count(&o.registered, 2);
}

static void on_left(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&o.mu);
	o.left = true;
	(void)pthread_cond_broadcast(&o.changed);
	(void)pthread_mutex_unlock(&o.mu);
}

static void do_leave(void *arg)
{
	(void)arg;
	mesh__link_deregister(o.link, on_left, NULL);
}

static void do_report(void *arg)
{
	(void)arg;
	mesh__link_report(o.link);
}

static void reports_and_tells_when_that_is_refused(void **state)
{
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_answer_to(&o.meshd, "report", 429, "{\"code\":\"rate-limited\",\"message\":\"m\"}");
	for (int n = 1; n <= 2; n++) {
		mesh__loop_post(o.loop, &o.post, do_report, NULL);
		await_count(&o.unreported, n);
	}
	fake_meshd_answer(&o.meshd, 200, "");
	mesh__loop_post(o.loop, &o.post, do_report, NULL);
	fake_meshd_await_post(&o.meshd, "report", 3, body);
	assert_string_equal(body, "{\"services\":[]}");
	assert_int_equal(o.unreported, 2);
	assert_int_equal(o.broken, 0);
}

/* An older one, that is. */
static void a_meshd_that_takes_no_reports_is_sent_none_and_keeps_the_session(void **state)
{
	size_t beats;
	char body[FAKE_MESHD_TEXT];

	(void)state;
	fake_meshd_answer_to(&o.meshd, "report", 404, "{\"code\":\"invalid\",\"message\":\"there is no such call\"}");
	mesh__loop_post(o.loop, &o.post, do_report, NULL);
	await_count(&o.unreported, 1);
	mesh__loop_post(o.loop, &o.post, do_report, NULL);
	beats = fake_meshd_count(&o.meshd, "heartbeat");
	fake_meshd_await_post(&o.meshd, "heartbeat", beats + 2, body);
	assert_int_equal(fake_meshd_count(&o.meshd, "report"), 1);
	assert_int_equal(o.broken, 0);
}

static void says_goodbye_with_a_reason(void **state)
{
	int64_t until_us = mesh__mono_us(&o.env) + patience(10000000);
	char body[FAKE_MESHD_TEXT];
	size_t beats;

	(void)state;
	mesh__loop_post(o.loop, &o.post, do_register, NULL);
	await_count(&o.registered, 1);
	mesh__loop_post(o.loop, &o.post, do_leave, NULL);
	fake_meshd_await_post(&o.meshd, "deregister", 1, body);
	assert_non_null(strstr(body, "\"deregistered\""));
	(void)pthread_mutex_lock(&o.mu);
	while (!o.left) {
		assert_true(mesh__cond_wait_until(&o.changed, &o.mu, &o.env, until_us));
	}
	(void)pthread_mutex_unlock(&o.mu);
	/* While requests drain the session lives on, and meshd says that there is no lease. */
	fake_meshd_answer(&o.meshd, 200, "{\"registered\":false}");
	beats = fake_meshd_count(&o.meshd, "heartbeat");
	fake_meshd_await_post(&o.meshd, "heartbeat", beats + 3, body);
	assert_int_equal(fake_meshd_count(&o.meshd, "register"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(subscribes_with_the_versions_it_has),
		T(acknowledges_a_configuration_by_its_generation),
		T(threat_28_refuses_by_name_what_cannot_be_used),
		T(threat_28_goes_on_after_a_line_that_is_no_record),
		T(acknowledges_an_unknown_record_type_as_unsupported),
		T(opens_a_new_session_when_the_stream_ends),
		T(opens_a_new_session_when_meshd_knows_it_no_more),
		T(registers_and_again_after_a_break),
		T(registers_again_when_a_heartbeat_says_that_the_lease_is_gone),
		T(tells_of_a_registration_that_was_refused),
		T(withdraws_and_registers_again),
		T(reports_and_tells_when_that_is_refused),
		T(a_meshd_that_takes_no_reports_is_sent_none_and_keeps_the_session),
		T(says_goodbye_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
