#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/message.h"

#define PEM "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

static void fill(struct mesh__buf *buf)
{
	mesh__buf_init(buf, mesh__mem_libc(), MESH__MSG_MAX_BYTES);
}

/* ---- each message survives its own encoding ---- */

#define ROUND_TRIP(name, in, back)                                                                                     \
	do {                                                                                                           \
		struct mesh__buf buf;                                                                                  \
		struct mesh__err err = MESH__NO_ERR;                                                                   \
		fill(&buf);                                                                                            \
		mesh__msg_##name##_encode(&(in), &buf);                                                                \
		if (mesh__msg_##name##_decode(mesh__mem_libc(), buf.data, buf.len, &(back), &err) != MESH_OK) {        \
			fail_msg("%s: %s", buf.data, err.message);                                                     \
		}                                                                                                      \
		mesh__buf_fini(&buf);                                                                                  \
	} while (0)

static void bundle_survives_encoding(void **state)
{
	struct mesh__msg_bundle in = {"mesh.local", PEM}, back;

	(void)state;
	ROUND_TRIP(bundle, in, back);
	assert_string_equal(back.trust_domain, in.trust_domain);
	assert_string_equal(back.roots_pem, in.roots_pem);
	mesh__msg_bundle_fini(&back);
	mesh__msg_bundle_fini(&back); /* left zeroed, so once more is harmless */
}

static void enrolment_survives_encoding(void **state)
{
	struct mesh__msg_enroll in = {"mesh1.x", PEM, "pay-1"}, renewal = {NULL, PEM, NULL}, back;

	(void)state;
	ROUND_TRIP(enroll, in, back);
	assert_string_equal(back.token, in.token);
	assert_string_equal(back.csr_pem, in.csr_pem);
	assert_string_equal(back.instance, in.instance);
	mesh__msg_enroll_fini(&back);
	ROUND_TRIP(enroll, renewal, back);
	assert_null(back.token);
	assert_null(back.instance);
	mesh__msg_enroll_fini(&back);
}

static void certificate_survives_encoding(void **state)
{
	struct mesh__msg_certificate in = {PEM PEM, PEM, "mesh.local", "default", "payments"}, back;

	(void)state;
	ROUND_TRIP(certificate, in, back);
	assert_string_equal(back.chain_pem, in.chain_pem);
	assert_string_equal(back.roots_pem, in.roots_pem);
	assert_string_equal(back.trust_domain, in.trust_domain);
	assert_string_equal(back.ns, in.ns);
	assert_string_equal(back.service, in.service);
	mesh__msg_certificate_fini(&back);
}

static void instance_survives_encoding(void **state)
{
	struct mesh__msg_instance in = {
		.instance = "pay-1", .addresses = {"10.0.0.1:8443", "[::1]:8443"}, .n_addresses = 2, .version = "v1", .zone = "eu/a \xc3\xa4", .reason = NULL};
	struct mesh__msg_instance gone = {.instance = "pay-1", .reason = "deregistered"}, back;

	(void)state;
	ROUND_TRIP(instance, in, back);
	assert_string_equal(back.instance, "pay-1");
	assert_int_equal(back.n_addresses, 2);
	assert_string_equal(back.addresses[1], "[::1]:8443");
	assert_string_equal(back.version, "v1");
	assert_string_equal(back.zone, in.zone);
	assert_null(back.reason);
	mesh__msg_instance_fini(&back);
	ROUND_TRIP(instance, gone, back);
	assert_int_equal(back.n_addresses, 0);
	assert_string_equal(back.reason, "deregistered");
	mesh__msg_instance_fini(&back);
}

static void subscription_survives_encoding(void **state)
{
	struct mesh__msg_interest services[] = {{"payments.default", UINT64_MAX, 7, false}, {"cart.shop", 0, 0, true}};
	struct mesh__msg_subscribe in = {services, 2, true, 9007199254740993}, none = {NULL, 0, false, 0}, back;

	(void)state;
	ROUND_TRIP(subscribe, in, back);
	assert_int_equal(back.n_services, 2);
	assert_string_equal(back.services[0].service, "payments.default");
	assert_true(back.services[0].endpoints_version == UINT64_MAX);
	assert_int_equal(back.services[0].generation, 7);
	assert_false(back.services[0].config_only);
	assert_string_equal(back.services[1].service, "cart.shop");
	assert_true(back.services[1].config_only);
	assert_true(back.replace);
	assert_true(back.trust_version == 9007199254740993);
	mesh__msg_subscribe_fini(&back);
	ROUND_TRIP(subscribe, none, back);
	assert_int_equal(back.n_services, 0);
	assert_false(back.replace);
	mesh__msg_subscribe_fini(&back);
}

static void the_small_ones_survive_encoding(void **state)
{
	struct mesh__msg_heartbeat beat = {true}, beat_back;
	struct mesh__msg_ack ack = {5, 12, "line 3: no", "payments.default"}, taken = {5, 0, NULL, NULL}, ack_back;
	struct mesh__msg_refusal refusal = {"token-spent", "the token was used"}, refusal_back;

	(void)state;
	ROUND_TRIP(heartbeat, beat, beat_back);
	assert_true(beat_back.registered);
	mesh__msg_heartbeat_fini(&beat_back);
	ROUND_TRIP(ack, ack, ack_back);
	assert_int_equal(ack_back.sequence, 5);
	assert_int_equal(ack_back.generation, 12);
	assert_string_equal(ack_back.refused, ack.refused);
	assert_string_equal(ack_back.service, ack.service);
	mesh__msg_ack_fini(&ack_back);
	ROUND_TRIP(ack, taken, ack_back);
	assert_null(ack_back.refused);
	mesh__msg_ack_fini(&ack_back);
	ROUND_TRIP(refusal, refusal, refusal_back);
	assert_string_equal(refusal_back.code, "token-spent");
	assert_string_equal(refusal_back.message, "the token was used");
	mesh__msg_refusal_fini(&refusal_back);
}

static void report_survives_encoding(void **state)
{
	struct mesh__msg_endpoint of_payments[] = {{.instance = "pay-1", .ejected = true, .cost_us = 9007199254740993}, {.instance = "10.0.0.7:8443", .failed_check = true}, {.instance = "[::1]:80"}};
	struct mesh__msg_reported services[] = {{"payments.default", of_payments, MESH__COUNT(of_payments)}, {"cart.shop", NULL, 0}};
	struct mesh__msg_report in = {services, MESH__COUNT(services)}, none = {NULL, 0}, back;

	(void)state;
	ROUND_TRIP(report, in, back);
	assert_int_equal(back.n_services, 2);
	assert_string_equal(back.services[0].service, "payments.default");
	assert_int_equal(back.services[0].n_endpoints, 3);
	for (size_t i = 0; i < MESH__COUNT(of_payments); i++) {
		const struct mesh__msg_endpoint *e = &back.services[0].endpoints[i];
		assert_string_equal(e->instance, of_payments[i].instance);
		assert_int_equal(e->ejected, of_payments[i].ejected);
		assert_int_equal(e->failed_check, of_payments[i].failed_check);
		assert_true(e->cost_us == of_payments[i].cost_us);
	}
	assert_int_equal(back.services[1].n_endpoints, 0);
	mesh__msg_report_fini(&back);
	ROUND_TRIP(report, none, back);
	assert_int_equal(back.n_services, 0);
	mesh__msg_report_fini(&back);
}

/* ---- hostile bytes ---- */

#define DECODE(name)                                                                                                   \
	static int decode_##name(const char *text, struct mesh__err *err)                                              \
	{                                                                                                              \
		static const struct mesh__msg_##name zero;                                                             \
		struct mesh__msg_##name msg;                                                                           \
		int code = mesh__msg_##name##_decode(mesh__mem_libc(), text, strlen(text), &msg, err);                 \
		if (code == MESH_OK) {                                                                                 \
			mesh__msg_##name##_fini(&msg);                                                                 \
		}                                                                                                      \
		assert_memory_equal(&msg, &zero, sizeof(msg)); /* a failure needs no fini, a fini leaves zeroes */     \
		return code;                                                                                           \
	}

DECODE(bundle)
DECODE(enroll)
DECODE(certificate)
DECODE(instance)
DECODE(subscribe)
DECODE(heartbeat)
DECODE(ack)
DECODE(report)
DECODE(refusal)

#define P "\"-----BEGIN-----\\n\""

static void refuses_fields_against_their_rule(void **state)
{
	static const struct {
		int (*decode)(const char *text, struct mesh__err *err);
		const char *text;
		const char *says;
	} bad[] = {
		{decode_bundle, "[]", "no JSON object"},
		{decode_bundle, "{}", "\"trust_domain\" is missing"},
		{decode_bundle, "{\"trust_domain\":\"m\",\"trust_domain\":\"m\"}", "1:21: duplicate key"},
		{decode_bundle, "{\"trust_domain\":\"M\",\"roots_pem\":" P "}", "\"trust_domain\""},
		{decode_bundle, "{\"trust_domain\":5,\"roots_pem\":" P "}", "\"trust_domain\" is no string"},
		{decode_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":\"\"}", "\"roots_pem\" is missing"},
		{decode_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":\"\xc3\xa4\"}", "\"roots_pem\""},
		{decode_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":\"\\u001b[2J\"}", "\"roots_pem\""},
		{decode_enroll, "{\"token\":\"t\"}", "\"csr_pem\" is missing"},
		{decode_enroll, "{\"csr_pem\":" P ",\"token\":\"a\\nb\"}", "\"token\""},
		{decode_enroll, "{\"csr_pem\":" P ",\"instance\":\"../x\"}", "\"instance\""},
		{decode_certificate, "{\"chain_pem\":" P ",\"roots_pem\":" P ",\"trust_domain\":\"m\",\"namespace\":\"n\",\"service\":\"*\"}", "\"service\""},
		{decode_certificate, "{\"chain_pem\":" P ",\"roots_pem\":" P ",\"trust_domain\":\"m\",\"namespace\":null,\"service\":\"s\"}", "\"namespace\" is missing"},
		{decode_instance, "{\"addresses\":[]}", "\"instance\" is missing"},
		{decode_instance, "{\"instance\":\"a\",\"addresses\":\"10.0.0.1:1\"}", "\"addresses\" is no array"},
		{decode_instance, "{\"instance\":\"a\",\"addresses\":[\"localhost:1\"]}", "\"addresses\" has a malformed"},
		{decode_instance, "{\"instance\":\"a\",\"addresses\":[\"10.0.0.1:0\"]}", "\"addresses\" has a malformed"},
		{decode_instance, "{\"instance\":\"a\",\"addresses\":[\"10.0.0.1:1\",5]}", "\"addresses\" holds"},
		{decode_instance, "{\"instance\":\"a\",\"version\":\"v\\u0007\"}", "\"version\""},
		{decode_instance, "{\"instance\":\"a\",\"service\":\"no.such.name\"}", "\"service\""},
		{decode_instance, "{\"instance\":\"a\",\"version\":\"v\\u0085\"}", "\"version\""},
		{decode_instance, "{\"instance\":\"a\",\"zone\":{}}", "\"zone\" is no string"},
		{decode_instance, "{\"instance\":\"a\",\"reason\":\"<b>\"}", "\"reason\""},
		{decode_subscribe, "{\"services\":{}}", "\"services\" is no array"},
		{decode_subscribe, "{\"services\":[5]}", "\"services\" holds"},
		{decode_subscribe, "{\"services\":[{}]}", "\"service\" is missing"},
		{decode_subscribe, "{\"services\":[{\"service\":\"a.b\"},{\"service\":\"a\"}]}", "\"service\" has a malformed"},
		{decode_subscribe, "{\"services\":[{\"service\":\"a.b.c\"}]}", "\"service\" has a malformed"},
		{decode_subscribe, "{\"services\":[{\"service\":\"a.b\",\"generation\":-1}]}", "\"generation\""},
		{decode_subscribe, "{\"services\":[],\"trust_version\":\"18446744073709551616\"}", "\"trust_version\""},
		{decode_subscribe, "{\"services\":[],\"replace\":1}", "\"replace\""},
		{decode_heartbeat, "{\"registered\":\"yes\"}", "\"registered\""},
		{decode_heartbeat, "\"x\"", "no JSON object"},
		{decode_ack, "{}", "\"sequence\" is missing"},
		{decode_ack, "{\"sequence\":1.5}", "\"sequence\""},
		{decode_ack, "{\"sequence\":9007199254740993}", "\"sequence\""},
		{decode_ack, "{\"sequence\":1,\"service\":\"x\"}", "\"service\""},
		{decode_ack, "{\"sequence\":1,\"refused\":\"a\\r\\nb\"}", "\"refused\""},
		{decode_report, "{\"services\":5}", "\"services\" is no array"},
		{decode_report, "{\"services\":[{\"endpoints\":[]}]}", "\"service\" is missing"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":{}}]}", "\"endpoints\" is no array"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[\"x\"]}]}", "\"endpoints\" holds"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{}]}]}", "\"instance\" is missing"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"<b>\"}]}]}", "\"instance\" has a malformed"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"a\",\"ejected\":1}]}]}", "\"ejected\""},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"a\",\"cost_us\":-1}]}]}", "\"cost_us\""},
		{decode_refusal, "{\"code\":\"no session\",\"message\":\"m\"}", "\"code\""},
		{decode_refusal, "{\"code\":\"denied\"}", "\"message\" is missing"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (bad[i].decode(bad[i].text, &err) != MESH_E_INVALID || strstr(err.message, bad[i].says) == NULL) {
			fail_msg("%s: \"%s\"", bad[i].text, err.message);
		}
		assert_int_equal(bad[i].decode(bad[i].text, NULL), MESH_E_INVALID);
	}
}

static void ignores_unknown_fields_and_takes_null_for_absent(void **state)
{
	static const struct {
		int (*decode)(const char *text, struct mesh__err *err);
		const char *text;
	} good[] = {
		{decode_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":" P ",\"later\":{\"a\":[1]}}"},
		{decode_enroll, "{\"csr_pem\":" P ",\"token\":null,\"instance\":\"\"}"},
		{decode_instance, "{\"instance\":\"a\",\"addresses\":null,\"version\":null,\"colour\":5}"},
		{decode_subscribe, "{}"},
		{decode_heartbeat, "{}"},
		{decode_ack, "{\"sequence\":1}"},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"a\",\"mood\":\"good\"}]}]}"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (good[i].decode(good[i].text, &err) != MESH_OK) {
			fail_msg("%s: %s", good[i].text, err.message);
		}
	}
}

/* `open`, then `unit` n times with commas between, then `close`. */
static char *text_of(const char *open, const char *unit, size_t n, const char *comma, const char *close)
{
	struct mesh__buf buf;

	mesh__buf_init(&buf, mesh__mem_libc(), 2 * (size_t)MESH__MSG_MAX_BYTES);
	mesh__buf_str(&buf, open);
	for (size_t i = 0; i < n; i++) {
		mesh__buf_str(&buf, i == 0 ? "" : comma);
		mesh__buf_str(&buf, unit);
	}
	mesh__buf_str(&buf, close);
	assert_int_equal(buf.error, MESH_OK);
	return mesh__buf_take(&buf);
}

static void bounds_counts_and_sizes(void **state)
{
	static const struct {
		int (*decode)(const char *text, struct mesh__err *err);
		const char *open, *unit, *comma, *close;
		size_t most;
	} rows[] = {
		{decode_instance, "{\"instance\":\"a\",\"addresses\":[", "\"10.0.0.1:1\"", ",", "]}", MESH__MSG_MAX_ADDRESSES},
		{decode_subscribe, "{\"services\":[", "{\"service\":\"a.b\"}", ",", "]}", MESH__MSG_MAX_SERVICES},
		{decode_report, "{\"services\":[", "{\"service\":\"a.b\"}", ",", "]}", MESH__REPORT_MAX_ENDPOINTS},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[", "{\"instance\":\"a\"}", ",", "]}]}", MESH__REPORT_MAX_ENDPOINTS},
		{decode_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"a\"}]},{\"service\":\"c.d\",\"endpoints\":[", "{\"instance\":\"a\"}", ",", "]}]}", MESH__REPORT_MAX_ENDPOINTS - 1},
		{decode_enroll, "{\"csr_pem\":\"", "x", "", "\"}", 16 * 1024},
		{decode_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":\"", "x", "", "\"}", 1024 * 1024},
		{decode_refusal, "{\"code\":\"denied\",\"message\":\"", "x", "", "\"}", 1024},
		{decode_instance, "{\"instance\":\"", "a", "", "\"}", 63},
		{decode_heartbeat, "", " ", "", "{}", MESH__MSG_MAX_BYTES - 2},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char *most = text_of(rows[i].open, rows[i].unit, rows[i].most, rows[i].comma, rows[i].close);
		char *over = text_of(rows[i].open, rows[i].unit, rows[i].most + 1, rows[i].comma, rows[i].close);
		struct mesh__err err = MESH__NO_ERR;
		if (rows[i].decode(most, &err) != MESH_OK) {
			fail_msg("%s: %s", rows[i].open, err.message);
		}
		if (rows[i].decode(over, &err) != MESH_E_TOO_LARGE) {
			fail_msg("%s: taken", rows[i].open);
		}
		mesh__free(most);
		mesh__free(over);
	}
}

static void copies_an_instance_whole(void **state)
{
	struct mesh__msg_instance from = {.instance = "a", .addresses = {"10.0.0.1:1"}, .n_addresses = 1, .zone = "z"}, to;

	(void)state;
	assert_true(mesh__msg_instance_copy(mesh__mem_libc(), &from, &to));
	assert_string_equal(to.instance, "a");
	assert_ptr_not_equal(to.instance, from.instance);
	assert_int_equal(to.n_addresses, 1);
	assert_string_equal(to.addresses[0], "10.0.0.1:1");
	assert_ptr_not_equal(to.addresses[0], from.addresses[0]);
	assert_string_equal(to.zone, "z");
	assert_null(to.version);
	assert_null(to.reason);
	mesh__msg_instance_fini(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bundle_survives_encoding),
		cmocka_unit_test(enrolment_survives_encoding),
		cmocka_unit_test(certificate_survives_encoding),
		cmocka_unit_test(instance_survives_encoding),
		cmocka_unit_test(subscription_survives_encoding),
		cmocka_unit_test(report_survives_encoding),
		cmocka_unit_test(the_small_ones_survive_encoding),
		cmocka_unit_test(refuses_fields_against_their_rule),
		cmocka_unit_test(ignores_unknown_fields_and_takes_null_for_absent),
		cmocka_unit_test(bounds_counts_and_sizes),
		cmocka_unit_test(copies_an_instance_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
