/* THREATS 30, everywhere: a whole exchange (TLS handshake, request, answer) broken at every record's borders and at many places between, in either direction, in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fault_stage.h"
#include "patience.h"

enum { DEADLINE_MS = 30000, PLACES = 1, DATA_PLACES = 4 };

/* What the retry rule makes of a break at a place. */
enum rule {
	RULE_UNSENT, /* surely: the next endpoint answers */
	RULE_UNSURE, /* a byte of the request has left, the answer is not whole: an error that says so */
	RULE_WHOLE,  /* the answer is: the call has succeeded */
	RULE_RACE    /* client and fault run to the same border: any of the three, each true to what the server counts */
};

static struct fault_stage stage;
static mesh *cart;

/* What precedes the exchange that breaks. */
static enum before {
	BEFORE_NOTHING,  /* a whole handshake */
	BEFORE_EXCHANGE, /* another one, on the same connection */
	BEFORE_SESSION   /* another one, on a connection whose TLS session is resumed */
} before;
static struct outcome outcomes[STAGE_CALLS_MAX];

/* So many places within a record, beside its borders; each takes a handshake, which is slow enough in a slowed-down program. */
static long places(const struct fault_record *r)
{
	return slowed_down() ? 1 : r->type == FAULT_DATA_RECORD ? DATA_PLACES : PLACES;
}

static bool first_data(const struct fault_seen *honest, enum fault_way way, int record)
{
	return honest->records[way][record].type == FAULT_DATA_RECORD && (record == 0 || honest->records[way][record - 1].type != FAULT_DATA_RECORD);
}

/* `at` bytes from the end of a record (0 or less). */
static enum rule rule_of(const struct fault_seen *honest, const struct fault *f)
{
	int record = (int)f->n - 1;
	bool data = honest->records[f->way][record].type == FAULT_DATA_RECORD, last = record + 1 == honest->n_records[f->way];

	if (f->way == FAULT_REQUEST && !data && record > 0 && before == BEFORE_SESSION) {
		return RULE_RACE; /* its Finished is the last of the handshake: the request follows at once */
	}
	if (f->way == FAULT_REQUEST && !data) {
		/* The client hears nothing of it and goes on to send. */
		return f->at == 0 && f->action == FAULT_HALF_CLOSE && first_data(honest, f->way, record + 1) ? RULE_RACE : RULE_UNSENT;
	}
	if (f->way == FAULT_REQUEST) {
		/* The server has all of it, and may answer, where only its hearing ends. */
		return last && f->at == 0 && f->action == FAULT_HALF_CLOSE ? RULE_WHOLE : RULE_UNSURE;
	}
	if (!data) {
		return f->at == 0 && first_data(honest, f->way, record + 1) ? RULE_RACE : RULE_UNSENT;
	}
	return last && f->at == 0 ? RULE_WHOLE : RULE_UNSURE;
}

static void check(const struct outcome *out, const struct fault *f, enum rule rule)
{
	static const char *const actions[] = {
#define X(name, text) text,
		FAULT_ACTIONS(X)
#undef X
	}, *const ways[] = {"request", "answer"};
	bool ok = strcmp(out->name, "MESH_OK") == 0, fired = fault_proxy_fired(stage.proxy, 1), right = false;

	switch (rule) {
	case RULE_UNSENT:
		right = before == BEFORE_NOTHING ? ok && out->tries == 2 : !ok && !out->may_be_processed && out->tries == 1;
		break;
	case RULE_UNSURE:
		right = strcmp(out->name, "MESH_E_RESET") == 0 && strcmp(out->origin, "peer") == 0 && out->may_be_processed && out->tries == 1;
		break;
	case RULE_WHOLE:
		right = ok && out->tries == 1;
		break;
	case RULE_RACE:
		right = ok || (out->tries == 1 && (strcmp(out->name, "MESH_E_RESET") == 0 ? out->may_be_processed : before == BEFORE_SESSION && !out->may_be_processed));
		break;
	}
	if (!right || !fired || (ok && (!out->whole || out->status != 200)) || (!ok && out->status != 0) || out->ms >= DEADLINE_MS) {
		fail_msg("%s, %s, record %ld %+ld: rule %d, but %s from %s after %d tries in %lld ms%s%s, %s: %s", actions[f->action], ways[f->way], f->n, f->at, rule, out->name, out->origin, out->tries,
			(long long)out->ms, out->may_be_processed ? ", may be processed" : "", !fired ? ", the fault never came" : "", out->whole ? "whole" : "not whole", out->message);
	}
}

static void call(const char *method, struct outcome *out)
{
	fault_stage_call(&stage, cart, method, DEADLINE_MS, out);
	outcomes[out->call] = *out;
}

static void call_well(void)
{
	struct outcome out;

	call("GET", &out);
	assert_string_equal(out.name, "MESH_OK");
}

/* Each case has a mesh of its own, and so no session but the one that is meant. A session belongs to its endpoint: one alone, where there is one. */
static void come_before(const struct fault *faults, size_t n)
{
	cart = fault_stage_open(&stage, stage.addresses, before == BEFORE_NOTHING ? 2 : 1, FAULT_STAGE_PATIENT);
	fault_proxy_plan(stage.proxy, NULL, 0, false);
	if (before == BEFORE_SESSION) {
		call_well();
	}
	fault_proxy_plan(stage.proxy, faults, n, false);
	if (before == BEFORE_EXCHANGE) {
		call_well();
	}
}

/* Under valgrind a stride lies between the places, and each sweep has others: all go on counting. */
static long n_places;

static void break_at(const struct fault_seen *honest, enum fault_way way, int record, long at, enum fault_action action)
{
	struct fault f = {.connection = 1, .way = way, .unit = FAULT_RECORDS, .n = record + 1, .at = at, .action = action};
	struct outcome out;

	if (n_places++ % walk_stride() != 0) {
		return;
	}
	come_before(&f, 1);
	call(at % 2 == 0 ? "POST" : "GET", &out);
	(void)mesh_close(cart, 0);
	check(&out, &f, rule_of(honest, &f));
}

static void sweep_record(const struct fault_seen *honest, enum fault_way way, int record, enum fault_action action)
{
	const struct fault_record *r = &honest->records[way][record];
	long len = (long)(r->end - (record > 0 ? honest->records[way][record - 1].end : 0));

	for (long at = 1 - len; at < -1; at += 1 + len / places(r)) {
		break_at(honest, way, record, at, action);
	}
	break_at(honest, way, record, -1, action);
	break_at(honest, way, record, 0, action);
}

/* After everything has ended: what the server counted is what the callers were told. */
static void check_executions(void)
{
	for (int i = 0; i < stage.n_calls; i++) {
		int n = atomic_load(&stage.executed[i]);
		bool ok = strcmp(outcomes[i].name, "MESH_OK") == 0;
		if (n > 1 || (ok && n != 1) || (!ok && !outcomes[i].may_be_processed && n != 0)) {
			fail_msg("call %d: %s, may be processed %d, but the handler ran %d times", i, outcomes[i].name, outcomes[i].may_be_processed, n);
		}
	}
}

static void sweep(enum fault_action action, enum before what)
{
	struct fault_seen first, honest;

	fault_stage_init(&stage);
	before = what;
	come_before(NULL, 0);
	fault_proxy_seen(stage.proxy, 1, &first);
	call_well();
	(void)mesh_close(cart, 0);
	fault_proxy_seen(stage.proxy, 1, &honest);
	for (int way = 0; way < FAULT_WAYS; way++) {
		int n = honest.n_records[way];
		while (honest.records[way][n - 1].type != FAULT_DATA_RECORD) {
			n--; /* the farewell comes after the answer: not of the exchange */
		}
		honest.n_records[way] = n;
		assert_in_range(n, first.n_records[way] + 1, FAULT_RECORDS_SEEN);
		for (int record = first.n_records[way]; record < n; record++) {
			sweep_record(&honest, (enum fault_way)way, record, action);
		}
	}
	fault_stage_fini(&stage);
	check_executions();
}

static void threat_30_reset_anywhere_a_call_ends_by_the_retry_rule(void **state)
{
	(void)state;
	sweep(FAULT_RESET, BEFORE_NOTHING);
}

static void threat_30_cut_anywhere_a_call_ends_by_the_retry_rule(void **state)
{
	(void)state;
	sweep(FAULT_CUT, BEFORE_NOTHING);
}

static void threat_30_half_closed_anywhere_a_call_ends_by_the_retry_rule(void **state)
{
	(void)state;
	sweep(FAULT_HALF_CLOSE, BEFORE_NOTHING);
}

static void threat_30_reset_anywhere_on_a_reused_connection_nothing_is_sent_twice(void **state)
{
	(void)state;
	sweep(FAULT_RESET, BEFORE_EXCHANGE);
}

static void threat_30_cut_anywhere_on_a_reused_connection_nothing_is_sent_twice(void **state)
{
	(void)state;
	sweep(FAULT_CUT, BEFORE_EXCHANGE);
}

static void threat_30_reset_anywhere_of_a_resumed_session_a_call_ends_by_the_retry_rule(void **state)
{
	(void)state;
	sweep(FAULT_RESET, BEFORE_SESSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_30_reset_anywhere_a_call_ends_by_the_retry_rule),
		cmocka_unit_test(threat_30_cut_anywhere_a_call_ends_by_the_retry_rule),
		cmocka_unit_test(threat_30_half_closed_anywhere_a_call_ends_by_the_retry_rule),
		cmocka_unit_test(threat_30_reset_anywhere_on_a_reused_connection_nothing_is_sent_twice),
		cmocka_unit_test(threat_30_cut_anywhere_on_a_reused_connection_nothing_is_sent_twice),
		cmocka_unit_test(threat_30_reset_anywhere_of_a_resumed_session_a_call_ends_by_the_retry_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
