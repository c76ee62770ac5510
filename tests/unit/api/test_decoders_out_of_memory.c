/* THREATS 31, memory, the decoders: each one with the n-th allocation failing, ours and that of mbedTLS, cJSON, libyaml and libc alike, for every n: an error or the whole result, no leak, no crash. The sanitizers, which have malloc to themselves, skip it; valgrind walks it with a stride. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/settings.h"
#include "base/attr.h"
#include "control/cache.h"
#include "http/head.h"
#include "http/h1.h"
#include "identity/state_dir.h"
#include "patience.h"
#include "policy/document.h"
#include "support/fail_malloc.h"
#include "test_ca.h"
#include "test_peer.h"
#include "wire/json.h"
#include "wire/message.h"
#include "wire/yaml.h"
#include "test_destination.h"

/* Up to here every n is walked; the arithmetic of mbedTLS allocates thousands of times, all alike, and is walked in ever longer steps. */
enum { EVERY_ONE = 600, ERROR_PLACES = 16 };

static struct {
	struct mesh__env env;
	struct test_ca ca;
	struct test_peer peer;
	struct mesh__err err; /* of the run at hand */
	char *csr;
	char dir[64], cert_file[96], key_file[96], roots_file[96];
} stage;

/* A decoder's run: its code, and in *whole whether the result is all there. No assertion: memory may be failing. */
typedef int run_fn(bool *whole);

/* ---- Texts ---- */

static int run_json(bool *whole)
{
	static const char text[] = "{\"a\":{\"b\":[1,{\"c\":\"long enough to be a block of its own\"}]},\"d\":\"e\"}";
	struct mesh__json *root = NULL;
	int code = mesh__json_parse(&stage.env.mem, text, strlen(text), 4096, &root, &stage.err);

	*whole = code == MESH_OK && mesh__json_count(root) == 2 && strcmp(mesh__json_text(mesh__json_get(root, "d")), "e") == 0;
	mesh__json_free(root);
	return code;
}

static int run_yaml(bool *whole)
{
	static const char text[] = "a: 1\nb: [x, {c: d, e: f}]\n---\ng: |\n  h\n  i\n";
	struct mesh__node *documents = NULL;
	int code = mesh__yaml_parse(&stage.env.mem, text, strlen(text), 4096, &documents, &stage.err);

	*whole = code == MESH_OK && mesh__node_get(documents, "b") != NULL && documents->next != NULL;
	mesh__yaml_free(documents);
	return code;
}

static int run_documents(bool *whole)
{
	static const char text[] = "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 2s\n---\n"
		"{\"apiVersion\": \"mesh/v1\", \"kind\": \"Endpoints\", \"name\": \"cart\", \"endpoints\": [{\"address\": \"10.0.0.1:443\", \"zone\": \"a\", \"labels\": {\"version\": \"v1\"}}]}\n";
	struct mesh__document *documents = NULL;
	int code = mesh__documents_parse(&stage.env.mem, "file", text, strlen(text), "default", &documents, NULL, NULL, &stage.err);

	*whole = code == MESH_OK && documents->service.timeout_ms == 2000 && documents->next != NULL && documents->next->n_endpoints == 1 &&
		strcmp(documents->next->endpoints[0].version, "v1") == 0;
	mesh__documents_free(documents);
	return code;
}

/* With faults to tell, which takes memory too. */
static int run_faulty_documents(bool *whole)
{
	static const char text[] = "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeut: 2s\nprotocol: gopher\n";
	struct mesh__document *documents = NULL;
	struct mesh__buf faults;
	int code;

	mesh__buf_init(&faults, &stage.env.mem, 4096);
	code = mesh__documents_parse(&stage.env.mem, "file", text, strlen(text), "default", &documents, &faults, NULL, &stage.err);
	*whole = code == MESH_E_INVALID && documents == NULL && faults.data != NULL && strstr(faults.data, "timeut") != NULL;
	mesh__buf_fini(&faults);
	return *whole ? MESH_OK : code;
}

static int run_url(bool *whole)
{
	struct mesh__servers servers;
	char value[16];
	int code = mesh__servers_parse(&stage.env, "https://meshd.example:7440,https://[::1]:7440", &servers, &stage.err);

	*whole = code == MESH_OK && servers.n == 2 && mesh__query_get("a=b%20c&d=e", "a", value, sizeof(value)) == MESH__QUERY_GIVEN && strcmp(value, "b c") == 0;
	return code;
}

static int run_names(bool *whole)
{
	struct mesh__name name = {.ns = ""};
	struct mesh__addr addr = {.port = 0};
	int code = mesh__addr_parse("listen", "[::1]:80", false, &addr, &stage.err);

	*whole = code == MESH_OK && addr.port == 80 && mesh__service_parse("payments.shop", "default", &name, &stage.err) == MESH_OK && strcmp(name.ns, "shop") == 0 &&
		mesh__spiffe_parse(stage.peer.spiffe, strlen(stage.peer.spiffe), &name) && strcmp(name.service, "cart") == 0;
	return code;
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TOKEN "mesh1.0123456789abcdef." HEX64 "." HEX64

static int run_token(bool *whole)
{
	struct mesh__token token = {.id = ""};
	int code = mesh__token_parse(TOKEN "\n", &token, &stage.err);

	*whole = code == MESH_OK && strcmp(token.secret, HEX64) == 0;
	return code;
}

static int run_settings(bool *whole)
{
	struct mesh__settings s;
	int code = mesh__settings_load(&stage.env, NULL, &s, &stage.err);

	*whole = code == MESH_OK && s.servers.n == 1 && s.has_token && s.workers == 5;
	mesh__settings_fini(&s);
	return code;
}

/* ---- Messages ---- */

#define PEM "\"-----BEGIN-----\\n\""

#define MESSAGE(name, text, is_whole)                                                                                  \
	static int run_##name(bool *whole)                                                                             \
	{                                                                                                              \
		struct mesh__msg_##name msg;                                                                           \
		int code = mesh__msg_##name##_decode(&stage.env.mem, text, strlen(text), &msg, &stage.err);                  \
		if (code == MESH_OK) {                                                                                 \
			*whole = (is_whole);                                                                           \
			mesh__msg_##name##_fini(&msg);                                                                 \
		}                                                                                                      \
		return code;                                                                                           \
	}

#define INSTANCE "{\"instance\":\"a\",\"addresses\":[\"10.0.0.1:1\",\"[::1]:1\"],\"version\":\"v\",\"zone\":\"z\",\"reason\":\"lease\"}"

MESSAGE(bundle, "{\"trust_domain\":\"m\",\"roots_pem\":" PEM "}", msg.roots_pem != NULL)
MESSAGE(enroll, "{\"token\":\"t\",\"csr_pem\":" PEM ",\"instance\":\"i\"}", msg.token != NULL && msg.instance != NULL)
MESSAGE(certificate, "{\"chain_pem\":" PEM ",\"roots_pem\":" PEM ",\"trust_domain\":\"m\",\"namespace\":\"n\",\"service\":\"s\"}", msg.service != NULL)
MESSAGE(instance, INSTANCE, msg.n_addresses == 2 && msg.zone != NULL && msg.reason != NULL)
MESSAGE(subscribe, "{\"services\":[{\"service\":\"a.b\"},{\"service\":\"c.d\"}]}", msg.n_services == 2)
MESSAGE(heartbeat, "{\"registered\":true}", msg.registered)
MESSAGE(ack, "{\"sequence\":\"1\",\"refused\":\"r\",\"service\":\"a.b\"}", msg.refused != NULL && msg.service != NULL)
MESSAGE(refusal, "{\"code\":\"denied\",\"message\":\"m\"}", msg.code != NULL && msg.message != NULL)

#define RECORD(name, text, is_whole)                                                                                   \
	static int run_record_##name(bool *whole)                                                                      \
	{                                                                                                              \
		struct mesh__record record;                                                                            \
		int code = mesh__record_decode(&stage.env.mem, text, strlen(text), &record, &stage.err);                     \
		if (code == MESH_OK) {                                                                                 \
			*whole = (is_whole);                                                                           \
			mesh__record_fini(&record);                                                                    \
		}                                                                                                      \
		return code;                                                                                           \
	}

RECORD(hello, "{\"type\":\"hello\",\"sequence\":\"1\",\"session\":\"s\",\"protocol\":1,\"heartbeat_ms\":1,\"lease_ms\":1}", record.session != NULL)
RECORD(endpoints, "{\"type\":\"endpoints\",\"sequence\":\"1\",\"service\":\"a.b\",\"instances\":[" INSTANCE "],\"removed\":[" INSTANCE "]}", record.n_instances == 1 && record.n_removed == 1)
RECORD(config, "{\"type\":\"config\",\"sequence\":\"1\",\"service\":\"a.b\",\"documents\":[\"x\",\"y\"]}", record.n_documents == 2)
RECORD(trust, "{\"type\":\"trust\",\"sequence\":\"1\",\"roots_pem\":" PEM ",\"revoked\":[\"1\",\"2\"]}", record.n_revoked == 2)

/* ---- HTTP ---- */

static int run_response_head(bool *whole)
{
	static const char *const lines[] = {"HTTP/1.1 200 OK\r\n", "content-length: 5\r\n", "x-one: a value that is longer than a small block\r\n", "x-two: 2\r\n", "\r\n"};
	struct mesh__client_response r;
	struct mesh__head head;
	int code = MESH_OK;

	mesh__client_response_init(&r, &stage.env, 0);
	mesh__head_init(&head, &r);
	for (size_t i = 0; code == MESH_OK && i < MESH__COUNT(lines); i++) {
		code = mesh__head_line(&head, lines[i], strlen(lines[i]), &stage.err);
	}
	*whole = code == MESH_OK && r.status == 200 && mesh__client_response_header(&r, "x-two") != NULL;
	mesh__client_response_fini(&r);
	return code;
}

static int run_request_head(bool *whole)
{
	char text[] = "POST /a?b=c HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n";
	struct mesh__field_text fields[2];
	struct mesh__request_head head;

	*whole = mesh__h1_parse(text, strlen(text), fields, MESH__COUNT(fields), 1000, &head) == MESH__REFUSAL_NONE && head.content_length == 3 && strcmp(head.query, "b=c") == 0;
	return *whole ? MESH_OK : MESH_E_PROTOCOL;
}

/* ---- Certificates ---- */

static int run_cert(bool *whole)
{
	struct mesh__cert facts;
	int code = mesh__pki_cert_read(stage.ca.root, &facts, &stage.err);

	*whole = code == MESH_OK && facts.ca && facts.serial[0] != '\0';
	return code;
}

static int run_leaf_and_san(bool *whole)
{
	struct mesh__leaf leaf;
	const char *reason = "";
	int code = mesh__pki_leaf_judge(stage.peer.chain, strlen(stage.peer.chain), &leaf, &reason, &stage.err);

	*whole = code == MESH_OK && strcmp(leaf.spiffe, stage.peer.spiffe) == 0;
	return code;
}

static int run_ca_of_chain(bool *whole)
{
	*whole = true;
	return mesh__pki_ca_judge(stage.ca.inter, strlen(stage.ca.inter), "mesh.local", &stage.err);
}

static int run_split(bool *whole)
{
	char *parts[MESH__CHAIN_MAX];
	size_t n = 0;
	int code = mesh__pki_split(&stage.env.mem, stage.peer.chain, parts, &n, &stage.err);

	*whole = code == MESH_OK && n == 2;
	while (code == MESH_OK && n > 0) {
		mesh__free(parts[--n]);
	}
	return code;
}

static int run_chain(bool *whole)
{
	*whole = true;
	return mesh__pki_chain_verify(&stage.env, stage.peer.chain, stage.ca.root, &stage.err);
}

static int run_csr(bool *whole)
{
	struct mesh__csr csr;
	int code = mesh__pki_csr_read(&stage.env, stage.csr, strlen(stage.csr), &csr, &stage.err);

	*whole = code == MESH_OK && csr.has_uri && strcmp(csr.spiffe, stage.peer.spiffe) == 0;
	return code;
}

static int run_key(bool *whole)
{
	unsigned char of_key[32], of_cert[32];
	int code = mesh__pki_pin_of_key(stage.peer.key, of_key, &stage.err);

	code = code == MESH_OK ? mesh__pki_pin_of_cert(stage.peer.chain, of_cert, &stage.err) : code;
	*whole = code == MESH_OK && memcmp(of_key, of_cert, sizeof(of_key)) == 0;
	return code;
}

static int run_trust(bool *whole)
{
	static const char *const revoked[] = {"12", "34"};
	struct mesh__trust *trust = NULL;
	int code = mesh__trust_new(&stage.env, "mesh.local", stage.ca.root, revoked, 2, &trust, &stage.err);

	*whole = code == MESH_OK && mesh__trust_revoked(trust, "34");
	mesh__trust_unref(trust);
	return code;
}

static int run_svid(bool *whole)
{
	struct mesh__svid *svid = NULL;
	int code = mesh__svid_from_files(&stage.env, stage.cert_file, stage.key_file, stage.roots_file, &svid, &stage.err);

	*whole = code == MESH_OK && strcmp(svid->leaf.spiffe, stage.peer.spiffe) == 0;
	mesh__svid_unref(svid);
	return code;
}

/* ---- The state directory ---- */

static const char KEPT[] = "kept-instance";

static int run_state_dir(bool *whole)
{
	struct mesh__state_dir *state = NULL;
	char *instance = NULL, *text = NULL;
	size_t len = 0;
	int code = mesh__state_dir_open(&stage.env, stage.dir, "default", "cart", &state, &stage.err);

	if (code == MESH_OK) {
		code = mesh__state_dir_instance(state, &instance, &stage.err);
	}
	if (code == MESH_OK) {
		code = mesh__state_dir_load_snapshot(state, &text, &len, &stage.err);
	}
	*whole = code == MESH_OK && strcmp(instance, KEPT) == 0 && len > 0;
	mesh__free(text);
	mesh__free(instance);
	mesh__state_dir_close(state);
	return code;
}

static int run_kept_identity(bool *whole)
{
	struct mesh__state_dir *state = NULL;
	struct mesh__svid *svid = NULL;
	int code = mesh__state_dir_open(&stage.env, stage.dir, "default", "cart", &state, &stage.err);

	if (code == MESH_OK) {
		code = mesh__state_dir_load_svid(state, &svid, &stage.err);
	}
	*whole = code == MESH_OK && strcmp(svid->key_pem, stage.peer.key) == 0;
	mesh__svid_unref(svid);
	mesh__state_dir_close(state);
	return code;
}

struct mesh__endpoint {
	int refs;
};

static void host(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out)
{
	(void)endpoint;
	*out = (struct mesh__hash_host){.key = "a", .weight = 1};
}

static struct mesh__endpoint *make(void *ctx, const struct mesh__endpoint_spec *spec)
{
	struct mesh__endpoint *e = mesh__alloc(&stage.env.mem, sizeof(*e));

	(void)ctx;
	(void)spec;
	if (e != NULL) {
		e->refs = 1;
	}
	return e;
}

static void ref(struct mesh__endpoint *e)
{
	e->refs++;
}

static void unref(struct mesh__endpoint *e)
{
	if (--e->refs == 0) {
		mesh__free(e);
	}
}

static void leave(struct mesh__endpoint *e)
{
	(void)e;
}

static struct mesh__destination *make_destination(void *ctx, const char *key)
{
	(void)ctx;
	(void)key;
	return test_destination_new(&stage.env.mem);
}

static int run_cached_snapshot(bool *whole)
{
	const struct mesh__endpoint_source source = {TEST_DESTINATION(make_destination), .make = make, .ref = ref, .unref = unref, .leave = leave, .host = host};
	struct mesh__credentials credentials;
	struct mesh__state_dir *state = NULL;
	struct mesh__model *model = NULL;
	bool taken = false;
	int code = mesh__state_dir_open(&stage.env, stage.dir, "default", "cart", &state, &stage.err);

	mesh__credentials_init(&credentials, &stage.env);
	if (code == MESH_OK) {
		code = mesh__model_new(&stage.env, &source, "mesh.local", "default", &model, &stage.err);
	}
	if (code == MESH_OK) {
		taken = mesh__cache_load(state, &stage.env, &credentials, model);
	}
	*whole = taken;
	mesh__model_free(model);
	mesh__credentials_fini(&credentials);
	mesh__state_dir_close(state);
	return code == MESH_OK && !taken ? mesh__fail_memory(&stage.err) : code; /* it goes to the log alone */
}

/* ---- The walk ---- */

/* X(decoder, whether it allocates at all) */
#define DECODERS(X)                                                                                                    \
	X(json, true) X(yaml, true) X(documents, true) X(faulty_documents, true) X(url, false) X(names, false)         \
	X(token, false) X(settings, true) X(bundle, true) X(enroll, true) X(certificate, true) X(instance, true)       \
	X(subscribe, true) X(heartbeat, true) X(ack, true) X(refusal, true) X(record_hello, true)                      \
	X(record_endpoints, true) X(record_config, true) X(record_trust, true) X(response_head, true)                  \
	X(request_head, false) X(cert, true) X(leaf_and_san, true) X(ca_of_chain, true) X(split, true) X(chain, true)  \
	X(csr, true) X(key, true) X(trust, true) X(svid, true) X(state_dir, true) X(kept_identity, true)               \
	X(cached_snapshot, true)

static long step_of(long n)
{
	return walk_stride() * (n < EVERY_ONE ? 1 : n / 20);
}

/* The run with the n-th allocation failing. A block that is left is a leak if each repetition leaves one: OpenSSL's queue of errors has 16 places, and each keeps the room for a text once it has held one. */
static int run_failing(run_fn *run, long n, bool for_good, struct fail_malloc *was, bool *whole)
{
	int code = MESH_OK;

	was->live = 1;
	for (int i = 0; i <= ERROR_PLACES && was->live != 0; i++) {
		*whole = false;
		stage.err = (struct mesh__err)MESH__NO_ERR;
		fail_malloc_arm(n, for_good);
		code = run(whole);
		*was = fail_malloc_disarm();
	}
	return code;
}

static void walk(const char *name, run_fn *run, bool allocates, bool for_good)
{
	struct fail_malloc was = {.count = 0};
	bool whole = false;
	long n = 1;
	int code;

	assert_int_equal(run(&whole), MESH_OK); /* what is made once and kept is made here */
	for (long last = 0; was.count >= last; n += step_of(n)) {
		last = n;
		code = run_failing(run, n, for_good, &was, &whole);
		if (was.live != 0 || (code == MESH_OK ? !whole : stage.err.code != code || stage.err.message[0] == '\0') || (was.count < n && code != MESH_OK)) {
			fail_msg("%s: allocation %ld of %ld: code %d (%s), %s result, %ld blocks left", name, n, was.count, code, stage.err.message, whole ? "a whole" : "no whole", was.live);
		}
	}
	if (allocates != (was.count > 0)) {
		fail_msg("%s: %ld allocations", name, was.count);
	}
}

#define X(name, allocates)                                                                                             \
	static void threat_31_out_of_memory_in_##name(void **state)                                                    \
	{                                                                                                              \
		(void)state;                                                                                           \
		if (!fail_malloc_works()) {                                                                            \
			assert_true(slowed_down());                                                                    \
			skip();                                                                                        \
		}                                                                                                      \
		walk(#name, run_##name, allocates, false);                                                             \
		walk(#name, run_##name, allocates, true);                                                              \
	}
DECODERS(X)
#undef X

/* ---- The stage ---- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void fill_state_dir(void)
{
	static const char snapshot[] = "{\"type\":\"endpoints\",\"sequence\":\"1\",\"service\":\"a.b\",\"version\":\"1\",\"full\":true,\"known\":true,\"instances\":[" INSTANCE "]}\n"
		"{\"type\":\"config\",\"sequence\":\"2\",\"service\":\"a.b\",\"version\":\"1\",\"documents\":[\"{\\\"apiVersion\\\":\\\"mesh/v1\\\",\\\"kind\\\":\\\"Service\\\",\\\"name\\\":\\\"a\\\",\\\"namespace\\\":\\\"b\\\",\\\"timeout\\\":\\\"2s\\\"}\"]}\n";
	struct mesh__state_dir *state;
	struct mesh__svid *svid;
	char path[160];

	assert_int_equal(mesh__svid_from_files(&stage.env, stage.cert_file, stage.key_file, stage.roots_file, &svid, NULL), MESH_OK);
	assert_int_equal(mesh__state_dir_open(&stage.env, stage.dir, "default", "cart", &state, NULL), MESH_OK);
	assert_int_equal(mesh__state_dir_save_svid(state, svid, NULL), MESH_OK);
	assert_int_equal(mesh__state_dir_save_snapshot(state, snapshot, strlen(snapshot), NULL), MESH_OK);
	mesh__state_dir_close(state);
	mesh__svid_unref(svid);
	(void)snprintf(path, sizeof(path), "%s/default.cart/0/instance", stage.dir);
	write_file(path, KEPT);
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&stage.env);
	assert_int_equal(mesh__pki_init(NULL), MESH_OK);
	test_ca_init(&stage.ca, &stage.env, "mesh.local");
	test_peer_init(&stage.peer, &stage.ca, "cart");
	assert_int_equal(mesh__pki_csr_new(&stage.env, stage.peer.key, stage.peer.spiffe, &stage.csr, NULL), MESH_OK);
	(void)snprintf(stage.dir, sizeof(stage.dir), "/tmp/decoders-XXXXXX");
	assert_non_null(mkdtemp(stage.dir));
	(void)snprintf(stage.cert_file, sizeof(stage.cert_file), "%s/cert", stage.dir);
	(void)snprintf(stage.key_file, sizeof(stage.key_file), "%s/key", stage.dir);
	(void)snprintf(stage.roots_file, sizeof(stage.roots_file), "%s/roots", stage.dir);
	write_file(stage.cert_file, stage.peer.chain);
	write_file(stage.key_file, stage.peer.key);
	write_file(stage.roots_file, stage.ca.root);
	fill_state_dir();
	assert_int_equal(setenv("MESH_CONTROL", "https://a:1", 1), 0);
	assert_int_equal(setenv("MESH_TOKEN", TOKEN, 1), 0);
	assert_int_equal(setenv("MESH_WORKERS", "5", 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"cert", "key", "roots", "default.cart/0/identity.pem", "default.cart/0/instance", "default.cart/0/snapshot", "default.cart/0/lock",
		"default.cart/0", "default.cart", ""};
	char path[160];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", stage.dir, files[i]);
		assert_int_equal(remove(path), 0);
	}
	mesh__free(stage.csr);
	test_peer_fini(&stage.peer);
	test_ca_fini(&stage.ca);
	return 0;
}

int main(void)
{
#define X(name, allocates) cmocka_unit_test(threat_31_out_of_memory_in_##name),
	const struct CMUnitTest tests[] = {DECODERS(X)};
#undef X

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
