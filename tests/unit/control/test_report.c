/* What a process reports of the endpoints that it calls: when, what, and how much at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "control/report.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

enum { MANY = MESH__REPORT_MAX_ENDPOINTS + 10 };

struct mesh__endpoint {
	char instance[32];
	struct mesh__endpoint_view view;
};

struct mesh__destination {
	uint32_t epoch;
};

static struct {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__endpoint_source source;
	struct mesh__endpoint endpoints[MANY];
	struct mesh__destination destination;
	struct mesh__service *service;
	struct mesh__map services;
	struct mesh__report report;
} f;

static void view(const struct mesh__endpoint *endpoint, struct mesh__endpoint_view *out)
{
	*out = endpoint->view;
}

static uint32_t health_epoch(const struct mesh__destination *destination)
{
	return destination->epoch;
}

/* payments with its first n endpoints, of which nothing is known. */
static void begin(size_t n)
{
	memset(&f, 0, sizeof(f));
	fake_env_init(&f.fake);
	fail_mem_init(&f.mem);
	f.fake.env.mem = f.mem.mem;
	f.source = (struct mesh__endpoint_source){.view = view, .health_epoch = health_epoch};
	f.service = mesh__alloc(&f.fake.env.mem, sizeof(*f.service) + n * sizeof(struct mesh__endpoint *));
	f.service->source = &f.source;
	f.service->destination = &f.destination;
	(void)snprintf(f.service->key, sizeof(f.service->key), "payments.default");
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(f.endpoints[i].instance, sizeof(f.endpoints[i].instance), "p%zu", i);
		f.endpoints[i].view.instance = f.endpoints[i].instance;
		f.service->endpoints[f.service->n++] = &f.endpoints[i];
	}
	mesh__map_init(&f.services, &f.fake.env);
	assert_true(mesh__map_put(&f.services, f.service->key, f.service, NULL));
	mesh__report_init(&f.report, &f.fake.env);
}

static void end(void)
{
	mesh__report_fini(&f.report);
	mesh__map_fini(&f.services);
	mesh__free(f.service);
	assert_int_equal(f.mem.live, 0);
}

static bool look(void)
{
	return mesh__report_look(&f.report, &f.services);
}

static void assert_told(const char *endpoints)
{
	char wanted[512];

	(void)snprintf(wanted, sizeof(wanted), "{\"services\":[{\"service\":\"payments.default\",\"endpoints\":[%s]}]}", endpoints);
	assert_int_equal(f.report.text.len, strlen(wanted));
	assert_memory_equal(f.report.text.data, wanted, strlen(wanted));
}

static void eject(size_t i, bool on)
{
	f.endpoints[i].view.ejected = on;
	f.destination.epoch++;
}

static void nothing_is_told_while_nothing_is_known(void **state)
{
	(void)state;
	begin(2);
	for (int i = 0; i < 3 * MESH__REPORT_COSTS_EVERY; i++) {
		assert_false(look());
	}
	end();
}

static void a_first_call_and_each_change_of_health_are_told_with_the_next_look(void **state)
{
	(void)state;
	begin(2);
	assert_false(look());
	f.endpoints[0].view.cost_us = 1200;
	assert_true(look());
	assert_told("{\"instance\":\"p0\",\"cost_us\":\"1200\"}");
	assert_false(look());
	eject(1, true);
	assert_true(look());
	assert_told("{\"instance\":\"p0\",\"cost_us\":\"1200\"},{\"instance\":\"p1\",\"ejected\":true,\"cost_us\":\"0\"}");
	f.endpoints[1].view.failed_check = true;
	eject(1, false);
	assert_true(look());
	assert_told("{\"instance\":\"p0\",\"cost_us\":\"1200\"},{\"instance\":\"p1\",\"failed_check\":true,\"cost_us\":\"0\"}");
	assert_false(look());
	end();
}

static void costs_alone_are_told_now_and_then_and_only_where_they_have_changed(void **state)
{
	int told = 0;

	(void)state;
	begin(1);
	f.endpoints[0].view.cost_us = 1000;
	assert_true(look());
	for (int i = 0; i < 10 * MESH__REPORT_COSTS_EVERY; i++) {
		f.endpoints[0].view.cost_us++;
		told += look();
	}
	assert_int_equal(told, 10);
	for (int i = 0; i < 10 * MESH__REPORT_COSTS_EVERY; i++) {
		told += look();
	}
	assert_int_equal(told, 10);
	end();
}

static void a_new_session_is_told_whole(void **state)
{
	(void)state;
	begin(2);
	eject(0, true);
	assert_true(look());
	assert_false(look());
	mesh__report_forget(&f.report);
	assert_true(look());
	assert_told("{\"instance\":\"p0\",\"ejected\":true,\"cost_us\":\"0\"}");
	assert_false(look());
	end();
}

static void threat_24_of_too_many_endpoints_the_unhealthy_are_told_first(void **state)
{
	struct mesh__msg_report msg;
	size_t unhealthy = 0;

	(void)state;
	begin(MANY);
	for (size_t i = 0; i < MANY; i++) {
		f.endpoints[i].view.cost_us = 1;
		eject(i, i >= MANY - 100);
	}
	assert_true(look());
	assert_int_equal(mesh__msg_report_decode(mesh__mem_libc(), f.report.text.data, f.report.text.len, &msg, NULL), MESH_OK);
	assert_int_equal(msg.services[0].n_endpoints, MESH__REPORT_MAX_ENDPOINTS);
	for (size_t i = 0; i < msg.services[0].n_endpoints; i++) {
		unhealthy += msg.services[0].endpoints[i].ejected;
	}
	assert_int_equal(unhealthy, 100);
	mesh__msg_report_fini(&msg);
	end();
}

static void threat_31_out_of_memory_a_report_is_put_off(void **state)
{
	(void)state;
	for (long n = 1; n <= 3; n++) {
		begin(1);
		eject(0, true);
		fail_mem_next(&f.mem, n);
		assert_false(look());
		fail_mem_next(&f.mem, 0);
		assert_true(look());
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_told_while_nothing_is_known),
		cmocka_unit_test(a_first_call_and_each_change_of_health_are_told_with_the_next_look),
		cmocka_unit_test(costs_alone_are_told_now_and_then_and_only_where_they_have_changed),
		cmocka_unit_test(a_new_session_is_told_whole),
		cmocka_unit_test(threat_24_of_too_many_endpoints_the_unhealthy_are_told_first),
		cmocka_unit_test(threat_31_out_of_memory_a_report_is_put_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
