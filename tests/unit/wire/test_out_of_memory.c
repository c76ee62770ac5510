/* Every decoder with every one of its allocations failing in turn: an error, no leak, no crash (THREATS 31). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "support/alloc_fail.h"
#include "wire/json.h"
#include "wire/message.h"
#include "wire/yaml.h"

#define P "\"-----BEGIN-----\\n\""

typedef int run_fn(const struct mesh__mem *mem, const char *text, struct mesh__err *err);

static int run_json(const struct mesh__mem *mem, const char *text, struct mesh__err *err)
{
	struct mesh__json *root;
	int code = mesh__json_parse(mem, text, strlen(text), 4096, &root, err);

	mesh__json_free(root);
	return code;
}

static int run_yaml(const struct mesh__mem *mem, const char *text, struct mesh__err *err)
{
	struct mesh__node *documents;
	int code = mesh__yaml_parse(mem, text, strlen(text), 4096, &documents, err);

	mesh__yaml_free(documents);
	return code;
}

/* A message that fails to decode needs no fini, so none is called: a leak would show. */
#define RUN(name)                                                                                                      \
	static int run_##name(const struct mesh__mem *mem, const char *text, struct mesh__err *err)                    \
	{                                                                                                              \
		struct mesh__msg_##name msg;                                                                           \
		int code = mesh__msg_##name##_decode(mem, text, strlen(text), &msg, err);                              \
		if (code == MESH_OK) {                                                                                 \
			mesh__msg_##name##_fini(&msg);                                                                 \
		}                                                                                                      \
		return code;                                                                                           \
	}

RUN(bundle)
RUN(enroll)
RUN(certificate)
RUN(instance)
RUN(subscribe)
RUN(ack)
RUN(report)
RUN(refusal)

static int run_record(const struct mesh__mem *mem, const char *text, struct mesh__err *err)
{
	struct mesh__record record;
	int code = mesh__record_decode(mem, text, strlen(text), &record, err);

	if (code == MESH_OK) {
		mesh__record_fini(&record);
	}
	return code;
}

static int run_copy(const struct mesh__mem *mem, const char *text, struct mesh__err *err)
{
	struct mesh__msg_instance from = {.instance = "a", .addresses = {"10.0.0.1:1", "10.0.0.2:1"}, .n_addresses = 2, .version = "v", .zone = "z", .reason = "lease"}, to;

	(void)text;
	if (!mesh__msg_instance_copy(mem, &from, &to)) {
		return mesh__fail_memory(err);
	}
	mesh__msg_instance_fini(&to);
	return MESH_OK;
}

#define INSTANCE "{\"instance\":\"a\",\"addresses\":[\"10.0.0.1:1\",\"[::1]:1\"],\"version\":\"v\",\"zone\":\"z\",\"reason\":\"lease\"}"

static void survives_each_failing_allocation(void **state)
{
	static const struct {
		run_fn *run;
		const char *text;
		long at_least; /* allocations, lest the walk be empty */
	} rows[] = {
		{run_json, "{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":\"e\"}", 1},
		{run_yaml, "a: 1\nb: [x, {c: d, e: f}]\n---\ng: |\n  h\n", 18},
		{run_bundle, "{\"trust_domain\":\"m\",\"roots_pem\":" P "}", 3},
		{run_enroll, "{\"token\":\"t\",\"csr_pem\":" P ",\"instance\":\"i\"}", 4},
		{run_certificate, "{\"chain_pem\":" P ",\"roots_pem\":" P ",\"trust_domain\":\"m\",\"namespace\":\"n\",\"service\":\"s\"}", 6},
		{run_instance, INSTANCE, 7},
		{run_subscribe, "{\"services\":[{\"service\":\"a.b\"},{\"service\":\"c.d\"}]}", 4},
		{run_report, "{\"services\":[{\"service\":\"a.b\",\"endpoints\":[{\"instance\":\"a\"},{\"instance\":\"b\"}]},{\"service\":\"c.d\"}]}", 6},
		{run_ack, "{\"sequence\":1,\"refused\":\"r\",\"service\":\"a.b\"}", 3},
		{run_refusal, "{\"code\":\"denied\",\"message\":\"m\"}", 3},
		{run_record, "{\"type\":\"hello\",\"sequence\":1,\"session\":\"s\",\"protocol\":1,\"heartbeat_ms\":1,\"lease_ms\":1}", 2},
		{run_record, "{\"type\":\"endpoints\",\"sequence\":1,\"service\":\"a.b\",\"instances\":[" INSTANCE "],\"removed\":[" INSTANCE "]}", 16},
		{run_record, "{\"type\":\"config\",\"sequence\":1,\"service\":\"a.b\",\"documents\":[\"x\",\"y\"]}", 5},
		{run_record, "{\"type\":\"trust\",\"sequence\":1,\"roots_pem\":" P ",\"revoked\":[\"1\",\"2\"]}", 5},
		{run_copy, "", 6},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		long n = 0, asked;
		int code;
		do {
			struct fail_mem f;
			struct mesh__err err = MESH__NO_ERR;
			fail_mem_init(&f);
			f.fail_at = ++n;
			code = rows[i].run(&f.mem, rows[i].text, &err);
			asked = f.count;
			if (f.live != 0 || code != (asked < n ? MESH_OK : MESH_E_NO_MEMORY)) {
				fail_msg("%s: allocation %ld: code %d, %ld live, \"%s\"", rows[i].text, n, code, (long)f.live, err.message);
			}
		} while (asked >= n);
		if (asked < rows[i].at_least) {
			fail_msg("%s: %ld allocations alone", rows[i].text, asked);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
