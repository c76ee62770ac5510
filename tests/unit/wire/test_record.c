#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/message.h"

static int decode(const char *text, struct mesh__record *out, struct mesh__err *err)
{
	return mesh__record_decode(mesh__mem_libc(), text, strlen(text), out, err);
}

/* Encodes and decodes again; the line must be one line. */
static struct mesh__record there_and_back(const struct mesh__record *in)
{
	struct mesh__buf buf;
	struct mesh__record back;
	struct mesh__err err = MESH__NO_ERR;

	mesh__buf_init(&buf, mesh__mem_libc(), MESH__MSG_MAX_BYTES);
	mesh__record_encode(in, &buf);
	assert_int_equal(buf.error, MESH_OK);
	assert_ptr_equal(strchr(buf.data, '\n'), buf.data + buf.len - 1);
	if (mesh__record_decode(mesh__mem_libc(), buf.data, buf.len, &back, &err) != MESH_OK) {
		fail_msg("%s: %s", buf.data, err.message);
	}
	assert_int_equal(back.type, in->type);
	assert_true(back.sequence == in->sequence);
	assert_true(back.version == in->version);
	mesh__buf_fini(&buf);
	return back;
}

static void hello_survives_encoding(void **state)
{
	struct mesh__record in = {.type = MESH__RECORD_HELLO, .sequence = 1, .session = "aB3-_", .protocol = 1, .heartbeat_ms = 3000, .lease_ms = 10000};
	struct mesh__record back = there_and_back(&in);

	(void)state;
	assert_string_equal(back.session, "aB3-_");
	assert_int_equal(back.protocol, 1);
	assert_int_equal(back.heartbeat_ms, 3000);
	assert_int_equal(back.lease_ms, 10000);
	mesh__record_fini(&back);
}

static void endpoints_survive_encoding(void **state)
{
	struct mesh__msg_instance here[] = {
		{.instance = "a", .addresses = {"10.0.0.1:1"}, .n_addresses = 1, .version = "v1"}, {.instance = "b", .addresses = {"[::1]:2"}, .n_addresses = 1}};
	struct mesh__msg_instance gone[] = {{.instance = "c", .reason = "lease"}};
	struct mesh__record in = {.type = MESH__RECORD_ENDPOINTS, .sequence = UINT64_MAX, .version = 9007199254740993, .service = "pay.default", .full = true, .known = true,
		.instances = here, .n_instances = 2, .removed = gone, .n_removed = 1};
	struct mesh__record back = there_and_back(&in);

	(void)state;
	assert_string_equal(back.service, "pay.default");
	assert_true(back.full && back.known);
	assert_int_equal(back.n_instances, 2);
	assert_string_equal(back.instances[1].addresses[0], "[::1]:2");
	assert_int_equal(back.n_removed, 1);
	assert_string_equal(back.removed[0].reason, "lease");
	mesh__record_fini(&back);
	mesh__record_fini(&back);
}

static void an_empty_set_stays_told_apart_from_an_unknown_service(void **state)
{
	struct mesh__record in = {.type = MESH__RECORD_ENDPOINTS, .sequence = 2, .service = "pay.default", .full = true, .known = false};
	struct mesh__record back = there_and_back(&in);

	(void)state;
	assert_true(back.full);
	assert_false(back.known);
	assert_int_equal(back.n_instances, 0);
	mesh__record_fini(&back);
	in.known = true;
	back = there_and_back(&in);
	assert_true(back.known);
	mesh__record_fini(&back);
}

static void config_and_trust_survive_encoding(void **state)
{
	char *documents[] = {"{\"kind\":\"Service\"}", "a: 1\nb: \"\xc3\xa4\"\n"};
	char *revoked[] = {"1", "deadbeef00"};
	struct mesh__record config = {.type = MESH__RECORD_CONFIG, .sequence = 3, .version = 8, .service = "pay.default", .documents = documents, .n_documents = 2};
	struct mesh__record trust = {.type = MESH__RECORD_TRUST, .sequence = 4, .version = 2, .roots_pem = "-----BEGIN-----\n", .revoked = revoked, .n_revoked = 2};
	struct mesh__record back = there_and_back(&config);

	(void)state;
	assert_int_equal(back.n_documents, 2);
	assert_string_equal(back.documents[1], documents[1]);
	mesh__record_fini(&back);
	back = there_and_back(&trust);
	assert_string_equal(back.roots_pem, trust.roots_pem);
	assert_int_equal(back.n_revoked, 2);
	assert_string_equal(back.revoked[1], "deadbeef00");
	mesh__record_fini(&back);
}

static void ping_survives_encoding(void **state)
{
	struct mesh__record in = {.type = MESH__RECORD_PING, .sequence = 5};
	struct mesh__record back = there_and_back(&in);

	(void)state;
	mesh__record_fini(&back);
}

static void an_unknown_type_keeps_its_sequence(void **state)
{
	static const char *const forms[] = {"{\"type\":\"weather\",\"sequence\":\"7\",\"sun\":true}", "{\"type\":\"\",\"sequence\":7}", "{\"type\":5,\"sequence\":7}", "{\"sequence\":7}"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(forms); i++) {
		struct mesh__record record;
		assert_int_equal(decode(forms[i], &record, NULL), MESH_OK);
		assert_int_equal(record.type, MESH__RECORD_UNKNOWN);
		assert_int_equal(record.sequence, 7);
		mesh__record_fini(&record);
	}
}

static void refuses_a_malformed_record(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"", "1:1"},
		{"[]", "no JSON object"},
		{"{\"type\":\"ping\"}", "\"sequence\" is missing"},
		{"{\"type\":\"ping\",\"sequence\":0}", "\"sequence\" counts from 1"},
		{"{\"type\":\"ping\",\"sequence\":1}\n{\"type\":\"ping\",\"sequence\":2}", "2:1: something follows"},
		{"{\"type\":\"ping\",\"sequence\":1,\"version\":-1}", "\"version\""},
		{"{\"type\":\"hello\",\"sequence\":1}", "\"session\" is missing"},
		{"{\"type\":\"hello\",\"sequence\":1,\"session\":\"a/../b\",\"protocol\":1,\"heartbeat_ms\":1,\"lease_ms\":1}", "\"session\" has a malformed"},
		{"{\"type\":\"hello\",\"sequence\":1,\"session\":\"a\",\"protocol\":1,\"heartbeat_ms\":0,\"lease_ms\":1}", "\"heartbeat_ms\""},
		{"{\"type\":\"hello\",\"sequence\":1,\"session\":\"a\",\"protocol\":1,\"heartbeat_ms\":1,\"lease_ms\":86400001}", "\"lease_ms\""},
		{"{\"type\":\"hello\",\"sequence\":1,\"session\":\"a\",\"heartbeat_ms\":1,\"lease_ms\":1}", "\"protocol\" is missing"},
		{"{\"type\":\"endpoints\",\"sequence\":1}", "\"service\" is missing"},
		{"{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"instances\":5}", "\"instances\" is no array"},
		{"{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"instances\":[5]}", "\"instances\" holds"},
		{"{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"instances\":[{\"instance\":\"x\"}]}", "instance \"x\" has no address"},
		{"{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"removed\":[{\"instance\":\"x\"},{}]}", "\"instance\" is missing"},
		{"{\"type\":\"config\",\"sequence\":1,\"service\":\"a.b\",\"documents\":[\"x\",\"\\u0001\"]}", "\"documents\" has a malformed"},
		{"{\"type\":\"config\",\"sequence\":1,\"service\":\"a.b\",\"documents\":[{}]}", "\"documents\" holds"},
		{"{\"type\":\"trust\",\"sequence\":1,\"revoked\":[]}", "\"roots_pem\" is missing"},
		{"{\"type\":\"trust\",\"sequence\":1,\"roots_pem\":\"x\",\"revoked\":[\"0a\"]}", "\"revoked\" has a malformed"},
		{"{\"type\":\"trust\",\"sequence\":1,\"roots_pem\":\"x\",\"revoked\":[\"a\",\"A\"]}", "\"revoked\" has a malformed"},
	};
	static const struct mesh__record zero;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__record record;
		if (decode(bad[i].text, &record, &err) != MESH_E_INVALID || strstr(err.message, bad[i].says) == NULL) {
			fail_msg("%s: \"%s\"", bad[i].text, err.message);
		}
		assert_memory_equal(&record, &zero, sizeof(record));
	}
}

static int decode_n_instances(size_t n)
{
	struct mesh__buf buf;
	struct mesh__record record;
	int code;

	mesh__buf_init(&buf, mesh__mem_libc(), MESH__MSG_MAX_BYTES);
	mesh__buf_str(&buf, "{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"removed\":[");
	for (size_t i = 0; i < n; i++) {
		mesh__buf_printf(&buf, "%s{\"instance\":\"i%zu\",\"reason\":\"lease\"}", i == 0 ? "" : ",", i);
	}
	mesh__buf_str(&buf, "]}");
	assert_int_equal(buf.error, MESH_OK);
	code = mesh__record_decode(mesh__mem_libc(), buf.data, buf.len, &record, NULL);
	if (code == MESH_OK) {
		assert_int_equal(record.n_removed, n);
		mesh__record_fini(&record);
	}
	mesh__buf_fini(&buf);
	return code;
}

static void bounds_the_endpoints_of_a_record(void **state)
{
	(void)state;
	assert_int_equal(decode_n_instances(MESH__MSG_MAX_ENDPOINTS), MESH_OK);
	assert_int_equal(decode_n_instances(MESH__MSG_MAX_ENDPOINTS + 1), MESH_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_survives_encoding),
		cmocka_unit_test(endpoints_survive_encoding),
		cmocka_unit_test(an_empty_set_stays_told_apart_from_an_unknown_service),
		cmocka_unit_test(config_and_trust_survive_encoding),
		cmocka_unit_test(ping_survives_encoding),
		cmocka_unit_test(an_unknown_type_keeps_its_sequence),
		cmocka_unit_test(refuses_a_malformed_record),
		cmocka_unit_test(bounds_the_endpoints_of_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
