#include "decision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "outbound/steps.h"

#define KEY "payments.default"
enum { TEXT = 32 * 1024, FIRST_PORT = 1, RTT_US = 1000 };

static void documents(char *text, const char *balancer)
{
	int at = snprintf(text, TEXT, "---\napiVersion: mesh/v1\nkind: Endpoints\nname: payments\ninsecurePlaintext: true\nendpoints:\n");

	for (int i = 0; i < DECISION_ENDPOINTS; i++) {
		at += snprintf(text + at, (size_t)(TEXT - at), "- {address: '127.0.0.1:%d', zone: %c, labels: {version: v%d}}\n", FIRST_PORT + i, 'a' + i % 3, 1 + i % 2);
	}
	at += snprintf(text + at, (size_t)(TEXT - at),
		"---\napiVersion: mesh/v1\nkind: Service\nname: payments\nloadBalancer: {policy: %s, hashOn: {header: x-user}}\nsubsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\nroutes:\n", balancer);
	for (int i = 0; i < DECISION_ROUTES; i++) {
		at += snprintf(text + at, (size_t)(TEXT - at), "- {name: route-%d, match: [{path: {prefix: /of-%d/}}], split: [{weight: 8}, {subset: v1, weight: 1}, {subset: v2, weight: 1}]}\n", i, i);
	}
	assert_true(at < TEXT);
}

void decision_open(struct static_mesh *m, const char *balancer)
{
	static char text[TEXT];

	documents(text, balancer);
	static_mesh_open(m, text, "a");
	m->outbound.tries = mesh__metrics_counter(m->outbound.metrics, "mesh_tries_total", "Tries.", NULL, NULL);
	m->outbound.retries = mesh__metrics_counter(m->outbound.metrics, "mesh_retries_total", "Retries.", NULL, NULL);
}

struct mesh_request *decision_request(struct static_mesh *m, unsigned n)
{
	char path[32], user[32];
	struct mesh_request *r;

	(void)snprintf(path, sizeof(path), "/of-%u/some?thing=1", n);
	(void)snprintf(user, sizeof(user), "user-%u", n);
	r = static_mesh_request(m, KEY, path);
	assert_int_equal(mesh__request_field(r, "accept", "application/json"), MESH_OK);
	assert_int_equal(mesh__request_field(r, "x-user", user), MESH_OK);
	return r;
}

struct mesh__endpoint *decision_endpoint(struct static_mesh *m, unsigned n)
{
	return static_mesh_endpoint(m, KEY, FIRST_PORT + n);
}

/* What an exchange would leave. */
static void answer(struct mesh_request *r, int status)
{
	r->try_code = MESH_OK;
	r->response.status = status;
	r->result.total_us = RTT_US;
	r->result.sent = MESH__SENT_MAYBE;
}

bool decision_make(struct static_mesh *m, struct mesh_request *r, int failures)
{
	static_mesh_route(m, r);
	r->begun_us = r->now_us;
	r->deadline_us = r->now_us + INT64_C(1000000);
	do {
		if (mesh__step_pick(r) != MESH_OK || mesh__step_admit(r) != MESH_OK) {
			return false;
		}
		answer(r, r->tries < failures ? 503 : 200);
		mesh__step_judge(r);
		mesh__step_observe(r);
	} while (r->response.status != 200 && mesh__step_retry(r));
	return true;
}
