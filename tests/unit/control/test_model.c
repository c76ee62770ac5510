/* What the control plane has said so far. THREATS 28: an empty or partly bad push leaves the last good in force and is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "control/model.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "test_destination.h"

#define KEY "payments.default"

/* An endpoint's live state, as the test has it: what was asked for, and how often it was let go. */
struct mesh__endpoint {
	int refs;
	bool left;
	char instance[64];
	char address[MESH__ADDR_TEXT];
	char version[32];
	bool insecure_plaintext;
};

struct fixture {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__endpoint_source source;
	struct mesh__model *model;
	struct mesh__err err;
	int live, made, left;
};

static struct fixture f;

static struct mesh__endpoint *make(void *ctx, const struct mesh__endpoint_spec *spec)
{
	struct mesh__endpoint *e = mesh__alloc(&f.fake.env.mem, sizeof(*e));

	assert_ptr_equal(ctx, &f);
	if (e == NULL) {
		return NULL;
	}
	e->refs = 1;
	e->insecure_plaintext = spec->insecure_plaintext;
	(void)snprintf(e->instance, sizeof(e->instance), "%s", spec->instance);
	(void)snprintf(e->version, sizeof(e->version), "%s", spec->version == NULL ? "" : spec->version);
	mesh__addr_format(&spec->address, e->address);
	f.live++;
	f.made++;
	return e;
}

static void ref(struct mesh__endpoint *e)
{
	e->refs++;
}

static void unref(struct mesh__endpoint *e)
{
	if (--e->refs == 0) {
		f.live--;
		mesh__free(e);
	}
}

static void leave(struct mesh__endpoint *e)
{
	assert_false(e->left);
	e->left = true;
	f.left++;
}

static void labels(const struct mesh__endpoint *e, struct mesh__labels *out)
{
	*out = (struct mesh__labels){.version = e->version[0] == '\0' ? NULL : e->version};
}

static struct mesh__counter *routed(void *ctx, const char *to)
{
	assert_ptr_equal(ctx, &f);
	assert_non_null(to);
	return NULL;
}

static struct mesh__destination *make_destination(void *ctx, const char *key)
{
	(void)ctx;
	(void)key;
	return test_destination_new(&f.fake.env.mem);
}

static void host(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out)
{
	*out = (struct mesh__hash_host){.key = endpoint->instance, .weight = 1};
}

static void begin(void)
{
	f = (struct fixture){.err = MESH__NO_ERR};
	fake_env_init(&f.fake);
	fail_mem_init(&f.mem);
	f.fake.env.mem = f.mem.mem;
	f.source = (struct mesh__endpoint_source){TEST_DESTINATION(make_destination), .make = make, .ref = ref, .unref = unref, .leave = leave, .labels = labels, .host = host, .routed = routed, .faulted = routed, .ctx = &f};
	assert_int_equal(mesh__model_new(&f.fake.env, &f.source, "mesh.local", "default", &f.model, &f.err), MESH_OK);
}

static int setup(void **state)
{
	(void)state;
	begin();
	assert_true(mesh__model_want(f.model, KEY));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mesh__model_free(f.model);
	assert_int_equal(f.live, 0);
	assert_int_equal(f.mem.live, 0);
	return 0;
}

/* ---- Records by hand. ---- */

/* "ENDPOINTS full v3 [a b] -[c]": a record as its JSON line would have it, decoded by the decoder that is used. */
static int apply_line(const char *line, bool *changed)
{
	struct mesh__record record;
	int code;

	f.err = (struct mesh__err)MESH__NO_ERR;
	assert_int_equal(mesh__record_decode(&f.fake.env.mem, line, strlen(line), &record, &f.err), MESH_OK);
	code = mesh__model_apply(f.model, &record, changed, &f.err);
	mesh__record_fini(&record);
	return code;
}

#define INSTANCE(id, port) "{\"instance\":\"" id "\",\"addresses\":[\"127.0.0.1:" port "\"],\"version\":\"v1\"}"
#define GONE(id) "{\"instance\":\"" id "\",\"reason\":\"deregistered\"}"
#define ENDPOINTS(version, full, instances, removed)                                                                      \
	"{\"type\":\"endpoints\",\"sequence\":\"2\",\"version\":\"" version "\",\"service\":\"" KEY "\",\"full\":" full        \
	",\"known\":true,\"instances\":[" instances "],\"removed\":[" removed "]}"
#define CONFIG(version, documents)                                                                                        \
	"{\"type\":\"config\",\"sequence\":\"2\",\"version\":\"" version "\",\"service\":\"" KEY "\",\"documents\":[" documents "]}"
#define DOCUMENT(fields) "\"{\\\"apiVersion\\\":\\\"mesh/v1\\\",\\\"kind\\\":\\\"Service\\\",\\\"name\\\":\\\"payments\\\"," fields "}\""
#define TIMEOUT(time) "\\\"timeout\\\":\\\"" time "\\\""

static const char three[] = ENDPOINTS("3", "true", INSTANCE("a", "1") "," INSTANCE("b", "2") "," INSTANCE("c", "3"), "");

static void must(const char *line)
{
	bool changed;
	int code = apply_line(line, &changed);

	if (code != MESH_OK) {
		fail_msg("%s", f.err.message);
	}
	assert_true(changed);
}

static void must_refuse(const char *line, const char *why)
{
	bool changed = true;

	assert_int_equal(apply_line(line, &changed), MESH_E_INVALID);
	assert_false(changed);
	if (strstr(f.err.message, why) == NULL) {
		fail_msg("\"%s\" does not say \"%s\"", f.err.message, why);
	}
}

static struct mesh__service *service(void)
{
	return mesh__map_get(mesh__model_services(f.model), KEY);
}

static struct mesh__endpoint *endpoint(const char *instance)
{
	struct mesh__service *s = service();

	for (size_t i = 0; s != NULL && i < s->n; i++) {
		if (strcmp(s->endpoints[i]->instance, instance) == 0) {
			return s->endpoints[i];
		}
	}
	return NULL;
}

static void has(const char *letters)
{
	char id[2] = "";

	assert_non_null(service());
	assert_int_equal(service()->n, strlen(letters));
	for (size_t i = 0; letters[i] != '\0'; i++) {
		id[0] = letters[i];
		assert_non_null(endpoint(id));
	}
}

static struct mesh__msg_interest interest(void)
{
	struct mesh__msg_interest *list, first;
	size_t n;

	assert_int_equal(mesh__model_interests(f.model, &list, &n, &f.err), MESH_OK);
	assert_int_equal(n, 1);
	first = list[0];
	mesh__free(list);
	return first;
}

/* ---- Endpoints. ---- */

static void nothing_is_seen_before_the_control_plane_has_spoken(void **state)
{
	(void)state;
	assert_null(service());
	assert_int_equal(interest().endpoints_version, 0);
	assert_int_equal(interest().generation, 0);
}

static void a_whole_set_is_what_calls_see_and_its_version_is_remembered(void **state)
{
	(void)state;
	must(three);
	has("abc");
	assert_true(service()->known);
	assert_string_equal(endpoint("b")->address, "127.0.0.1:2");
	assert_string_equal(endpoint("b")->version, "v1");
	assert_string_equal(service()->name.trust_domain, "mesh.local");
	assert_int_equal(interest().endpoints_version, 3);
}

static void threat_28_a_set_that_merely_comes_empty_is_refused_and_the_last_good_stays(void **state)
{
	(void)state;
	must(three);
	must_refuse(ENDPOINTS("4", "true", "", ""), KEY);
	has("abc");
	assert_int_equal(f.left, 0);
	assert_int_equal(interest().endpoints_version, 3); /* so that it is sent again */
	must(ENDPOINTS("5", "false", INSTANCE("d", "4"), ""));
	has("abcd");
}

static void threat_28_an_empty_set_that_names_only_some_of_the_removed_is_refused(void **state)
{
	bool changed;

	(void)state;
	must(three);
	must_refuse(ENDPOINTS("4", "true", "", GONE("a") "," GONE("b")), KEY);
	has("abc");
	(void)apply_line(ENDPOINTS("4", "true", "", GONE("a") "," GONE("b") "," GONE("b")), &changed); /* named twice is not named three */
	assert_non_null(endpoint("c"));
}

static void threat_28_explicit_removals_may_reach_zero(void **state)
{
	(void)state;
	must(three);
	must(ENDPOINTS("4", "false", "", GONE("a") "," GONE("b")));
	has("c");
	must(ENDPOINTS("5", "false", "", GONE("c")));
	has("");
	assert_true(service()->known);
	assert_int_equal(f.left, 3);
	must(three);
	must(ENDPOINTS("6", "true", "", GONE("a") "," GONE("b") "," GONE("c")));
	has("");
}

static void threat_28_an_empty_set_of_a_service_that_has_none_is_taken(void **state)
{
	(void)state;
	must("{\"type\":\"endpoints\",\"sequence\":\"2\",\"version\":\"0\",\"service\":\"" KEY "\",\"full\":true,\"known\":false,\"instances\":[],\"removed\":[]}");
	has("");
	assert_false(service()->known);
	must(ENDPOINTS("1", "true", INSTANCE("a", "1"), ""));
	has("a");
	assert_true(service()->known);
}

static void threat_28_a_set_with_one_bad_instance_is_refused_by_its_name_and_none_of_it_is_taken(void **state)
{
	static const char line[] = ENDPOINTS("4", "true", INSTANCE("d", "4") "," INSTANCE("lost", "5"), "");
	struct mesh__record record;
	bool changed = true;

	(void)state;
	must(three);
	assert_int_equal(mesh__record_decode(&f.fake.env.mem, line, strlen(line), &record, &f.err), MESH_OK);
	mesh__free(record.instances[1].addresses[0]); /* the decoder takes no such record; the model does not rely on it */
	record.instances[1].n_addresses = 0;
	record.instances[1].addresses[0] = NULL;
	assert_int_equal(mesh__model_apply(f.model, &record, &changed, &f.err), MESH_E_INVALID);
	mesh__record_fini(&record);
	assert_false(changed);
	assert_non_null(strstr(f.err.message, "lost"));
	has("abc");
	assert_int_equal(interest().endpoints_version, 3);
	must(ENDPOINTS("4", "false", INSTANCE("e", "5"), ""));
	has("abce"); /* and not d, from the refused one */
}

static void threat_28_a_record_for_a_service_that_was_not_asked_for_is_refused_by_its_name(void **state)
{
	(void)state;
	must_refuse("{\"type\":\"endpoints\",\"sequence\":\"2\",\"version\":\"1\",\"service\":\"orders.default\",\"full\":true,\"known\":true,\"instances\":[" INSTANCE("a", "1") "],\"removed\":[]}",
		"orders.default");
	must_refuse("{\"type\":\"config\",\"sequence\":\"2\",\"version\":\"1\",\"service\":\"orders.default\",\"documents\":[]}", "orders.default");
	assert_int_equal(mesh__model_services(f.model)->n, 0);
}

static void what_is_not_in_a_whole_set_has_left(void **state)
{
	(void)state;
	must(three);
	must(ENDPOINTS("4", "true", INSTANCE("b", "2") "," INSTANCE("d", "4"), ""));
	has("bd");
	assert_int_equal(f.left, 2);
}

static void what_did_not_change_keeps_its_state_and_what_did_gets_a_new_one(void **state)
{
	struct mesh__endpoint *a, *b;

	(void)state;
	must(three);
	a = endpoint("a");
	b = endpoint("b");
	b->refs++; /* a call that is under way */
	must(ENDPOINTS("4", "true", INSTANCE("a", "1") "," INSTANCE("b", "22") "," INSTANCE("c", "3"), ""));
	has("abc");
	assert_ptr_equal(endpoint("a"), a);
	assert_ptr_not_equal(endpoint("b"), b);
	assert_string_equal(endpoint("b")->address, "127.0.0.1:22");
	assert_true(b->left);
	assert_int_equal(f.made, 4);
	unref(b);
}

static void a_snapshot_in_use_is_not_touched_by_what_comes_later(void **state)
{
	struct mesh__service *before;

	(void)state;
	must(three);
	before = mesh__service_ref(service());
	must(ENDPOINTS("4", "false", "", GONE("a") "," GONE("b") "," GONE("c")));
	has("");
	assert_int_equal(before->n, 3);
	assert_string_equal(before->endpoints[0]->version, "v1");
	mesh__service_unref(before);
}

static void a_removal_of_what_was_never_there_changes_nobody(void **state)
{
	(void)state;
	must(three);
	must(ENDPOINTS("4", "false", "", GONE("z")));
	has("abc");
	assert_int_equal(interest().endpoints_version, 4);
}

/* ---- Configuration. ---- */

static void a_document_is_in_force_and_one_that_is_withdrawn_is_not(void **state)
{
	(void)state;
	must(three);
	assert_int_equal(service()->policy.timeout_ms, 15000);
	must(CONFIG("7", DOCUMENT(TIMEOUT("3s"))));
	assert_int_equal(service()->policy.timeout_ms, 3000);
	assert_int_equal(interest().generation, 7);
	must(CONFIG("8", ""));
	assert_int_equal(service()->policy.timeout_ms, 15000);
	has("abc");
}

/* What is under way to a service is counted in one place, whatever becomes of its configuration and its endpoints. */
static void a_destination_outlives_what_is_built_and_hears_of_its_policy(void **state)
{
	struct mesh__destination *d;

	(void)state;
	must(three);
	d = service()->destination;
	assert_int_equal(d->policy.breaker.max_requests, 1024);
	must(CONFIG("7", DOCUMENT("\\\"circuitBreaker\\\":{\\\"maxRequests\\\":3,\\\"maxPending\\\":2,\\\"maxConnections\\\":1}")));
	assert_ptr_equal(service()->destination, d);
	assert_int_equal(d->policy.breaker.max_requests, 3);
	assert_int_equal(d->policy.breaker.max_pending, 2);
	assert_int_equal(d->policy.breaker.max_connections, 1);
	assert_int_equal(service()->policy.breaker.max_requests, 3);
	assert_int_equal(d->policy.protocol, MESH__PROTOCOL_HTTP);
	must(CONFIG("8", DOCUMENT("\\\"protocol\\\":\\\"grpc\\\"")));
	assert_int_equal(d->policy.protocol, MESH__PROTOCOL_GRPC);
	assert_int_equal(d->policy.breaker.max_requests, 1024);
	must(ENDPOINTS("4", "false", "", GONE("a") "," GONE("b") "," GONE("c")));
	assert_ptr_equal(service()->destination, d);
	assert_int_equal(d->refs, 2); /* the model's, and that of the one service that is built */
	must(CONFIG("9", ""));
	assert_int_equal(d->policy.protocol, MESH__PROTOCOL_HTTP);
}

static void threat_28_a_document_that_does_not_parse_is_refused_with_its_fault_and_the_last_good_stays(void **state)
{
	static const struct {
		const char *documents, *why;
	} cases[] = {
		{DOCUMENT(TIMEOUT("soon")), "timeout"},
		{DOCUMENT("\\\"timeuot\\\":\\\"1s\\\""), "timeuot"},
		{DOCUMENT(TIMEOUT("1s")) "," DOCUMENT(TIMEOUT("never")), "timeout"}, /* partly bad: the good part is not taken either */
		{"\"{\"", ""},
		{"\"apiVersion: mesh/v9\\nkind: Service\\nname: payments\\n\"", "apiVersion"},
		{"\"apiVersion: mesh/v1\\nkind: Service\\nname: orders\\n\"", "orders.default"},
		{"\"apiVersion: mesh/v1\\nkind: Service\\nname: payments\\nnamespace: shop\\n\"", "payments.shop"},
	};

	(void)state;
	must(three);
	must(CONFIG("7", DOCUMENT(TIMEOUT("3s"))));
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		char line[2048];

		(void)snprintf(line, sizeof(line), "{\"type\":\"config\",\"sequence\":\"2\",\"version\":\"9\",\"service\":\"" KEY "\",\"documents\":[%s]}", cases[i].documents);
		must_refuse(line, cases[i].why);
		assert_int_equal(service()->policy.timeout_ms, 3000);
		assert_int_equal(interest().generation, 7);
		has("abc");
	}
}

/* Not when the first call is sent there: that would wait, and with the control plane away in vain. */
static void a_service_that_a_route_leads_to_is_asked_for_with_the_document(void **state)
{
	struct mesh__msg_interest *list;
	size_t n;

	(void)state;
	must(three);
	assert_false(mesh__model_wants_more(f.model));
	must(CONFIG("1", DOCUMENT("\\\"routes\\\":[{\\\"name\\\":\\\"a\\\",\\\"split\\\":[{\\\"weight\\\":1},{\\\"service\\\":\\\"next\\\",\\\"weight\\\":1}]}]")));
	assert_true(mesh__model_wants_more(f.model));
	assert_false(mesh__model_wants_more(f.model));
	assert_int_equal(mesh__model_interests(f.model, &list, &n, &f.err), MESH_OK);
	assert_int_equal(n, 2);
	assert_true(strcmp(list[0].service, "next.default") == 0 || strcmp(list[1].service, "next.default") == 0);
	mesh__free(list);
	assert_int_equal(service()->policy.n_routes, 1);
	must(CONFIG("2", ""));
	assert_false(mesh__model_wants_more(f.model));
	assert_int_equal(service()->policy.n_routes, 0);
	must(CONFIG("3", DOCUMENT("\\\"failover\\\":[{\\\"service\\\":\\\"dr\\\"}]"))); /* likewise */
	assert_true(mesh__model_wants_more(f.model));
	assert_int_equal(mesh__model_interests(f.model, &list, &n, &f.err), MESH_OK);
	assert_int_equal(n, 3);
	mesh__free(list);
}

static void a_configuration_alone_does_not_make_a_service_known(void **state)
{
	bool changed = true;

	(void)state;
	assert_int_equal(apply_line(CONFIG("7", DOCUMENT(TIMEOUT("3s"))), &changed), MESH_OK);
	assert_false(changed);
	assert_null(service());
	must(three);
	assert_int_equal(service()->policy.timeout_ms, 3000);
}

#define FIXED "\"apiVersion: mesh/v1\\nkind: Endpoints\\nname: payments\\ninsecurePlaintext: true\\nendpoints: [{address: 127.0.0.1:9, labels: {version: v9}}]\\n\""

static void static_endpoints_stand_beside_the_registered_ones_and_are_warned_of_when_plaintext(void **state)
{
	(void)state;
	must(CONFIG("7", FIXED)); /* of a service that never registered */
	assert_int_equal(service()->n, 1);
	assert_true(service()->known);
	assert_string_equal(service()->endpoints[0]->version, "v9");
	assert_true(service()->endpoints[0]->insecure_plaintext);
	assert_true(fake_env_logged(&f.fake, "insecure plaintext"));
	must(three);
	assert_int_equal(service()->n, 4);
	assert_false(endpoint("a")->insecure_plaintext);
	must_refuse(ENDPOINTS("4", "true", "", ""), KEY); /* the static one does not count as a rest */
	must(CONFIG("8", ""));
	has("abc");
}

static void static_documents_say_the_same_in_any_order(void **state)
{
#define STATIC_POLICY "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 3s\n"
#define STATIC_ENDPOINTS "apiVersion: mesh/v1\nkind: Endpoints\nname: payments\nendpoints: [{address: 127.0.0.1:9}]\n"
	static const char *const texts[] = {STATIC_POLICY "---\n" STATIC_ENDPOINTS, STATIC_ENDPOINTS "---\n" STATIC_POLICY};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(texts); i++) {
		struct mesh__document *documents = NULL;

		mesh__model_free(f.model);
		assert_int_equal(mesh__model_new(&f.fake.env, &f.source, "mesh.local", "default", &f.model, &f.err), MESH_OK);
		assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "static.yaml", texts[i], strlen(texts[i]), "default", &documents, NULL, NULL, NULL), MESH_OK);
		assert_int_equal(mesh__model_static(f.model, documents, &f.err), MESH_OK);
		assert_int_equal(service()->n, 1);
		assert_int_equal(service()->policy.timeout_ms, 3000);
		mesh__documents_free(documents);
	}
}

static void static_documents_of_the_namespace_and_the_mesh_are_what_a_services_says_nothing_of(void **state)
{
	static const char text[] = STATIC_ENDPOINTS "---\n" STATIC_POLICY
		"---\napiVersion: mesh/v1\nkind: Mesh\nname: mesh\ntimeout: 9s\nconnectTimeout: 3s\ncircuitBreaker: {maxPending: 3}\n"
		"---\napiVersion: mesh/v1\nkind: Namespace\nname: other\nconnectTimeout: 9s\n"
		"---\napiVersion: mesh/v1\nkind: Namespace\nname: default\ntimeout: 8s\nconnectTimeout: 2s\n";
	struct mesh__document *documents = NULL;

	(void)state;
	mesh__model_free(f.model);
	assert_int_equal(mesh__model_new(&f.fake.env, &f.source, "mesh.local", "default", &f.model, &f.err), MESH_OK);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "static.yaml", text, strlen(text), "default", &documents, NULL, NULL, NULL), MESH_OK);
	assert_int_equal(mesh__model_static(f.model, documents, &f.err), MESH_OK);
	assert_int_equal(service()->policy.timeout_ms, 3000);
	assert_int_equal(service()->policy.connect_timeout_ms, 2000);
	assert_int_equal(service()->policy.breaker.max_pending, 3);
	assert_int_equal(service()->policy.breaker.max_requests, MESH__BREAKER_BUILT_IN);
	mesh__documents_free(documents);
}

/* ---- The cache. ---- */

static void what_was_dumped_brings_an_empty_model_to_the_same_place(void **state)
{
	struct mesh__buf text;
	char *copy, *line, *next;
	bool changed;

	(void)state;
	must(three);
	must(CONFIG("7", DOCUMENT(TIMEOUT("3s")) "," FIXED));
	mesh__buf_init(&text, mesh__mem_libc(), 1 << 20);
	mesh__model_dump(f.model, &text);
	assert_int_equal(text.error, MESH_OK);
	copy = strdup(text.data);
	mesh__buf_fini(&text);
	mesh__model_free(f.model);
	assert_int_equal(f.live, 0);
	assert_int_equal(mesh__model_new(&f.fake.env, &f.source, "mesh.local", "default", &f.model, &f.err), MESH_OK);
	assert_true(mesh__model_want(f.model, KEY));
	for (line = copy; *line != '\0'; line = next) {
		next = strchr(line, '\n');
		*next++ = '\0';
		assert_int_equal(apply_line(line, &changed), MESH_OK);
	}
	free(copy);
	assert_int_equal(service()->n, 4);
	assert_non_null(endpoint("c"));
	assert_int_equal(service()->policy.timeout_ms, 3000);
	assert_int_equal(interest().endpoints_version, 3);
	assert_int_equal(interest().generation, 7);
}

/* ---- Subscriptions. ---- */

static void a_service_is_new_once(void **state)
{
	(void)state;
	assert_false(mesh__model_want(f.model, KEY));
	assert_true(mesh__model_want(f.model, "orders.default"));
	assert_false(mesh__model_want(f.model, "orders.default"));
}

static void no_more_services_are_asked_for_than_a_subscription_holds(void **state)
{
	char key[64];
	int taken = 1; /* payments */

	(void)state;
	for (int i = 0; i < MESH__MSG_MAX_SERVICES + 10; i++) {
		(void)snprintf(key, sizeof(key), "s%d.default", i);
		taken += mesh__model_want(f.model, key) ? 1 : 0;
	}
	assert_int_equal(taken, MESH__MSG_MAX_SERVICES);
	assert_false(mesh__model_want(f.model, KEY));
}

/* ---- What this process is. ---- */

static void of_itself_a_process_is_told_the_configuration(void **state)
{
	struct mesh__buf text;
	bool changed;

	(void)state;
	mesh__model_free(f.model);
	assert_int_equal(mesh__model_new(&f.fake.env, &f.source, "mesh.local", "default", &f.model, &f.err), MESH_OK);
	assert_true(mesh__model_own(f.model, KEY, false));
	assert_true(mesh__model_is_own(f.model, KEY));
	assert_true(interest().config_only);
	assert_null(mesh__model_own_policy(f.model));
	must_refuse(three, "not asked for");
	must(CONFIG("7", DOCUMENT(TIMEOUT("3s"))));
	assert_int_equal(mesh__model_own_policy(f.model)->timeout_ms, 3000);
	assert_null(service()); /* who calls it waits until its endpoints are told */
	must(CONFIG("8", "")); /* that there is none is known, too, and kept */
	assert_int_equal(mesh__model_own_policy(f.model)->timeout_ms, 15000);
	mesh__buf_init(&text, mesh__mem_libc(), 1 << 20);
	mesh__model_dump(f.model, &text);
	assert_non_null(strstr(text.data, "\"version\":\"8\""));
	mesh__buf_fini(&text);
	assert_true(mesh__model_want(f.model, KEY)); /* it calls itself */
	assert_false(interest().config_only);
	assert_int_equal(interest().generation, 8);
	assert_int_equal(apply_line(three, &changed), MESH_OK);
	has("abc");
}

#define OF_MESH(kind, name, fields) "---\n{apiVersion: mesh/v1, kind: " kind ", name: " name ", " fields "}\n"
#define DENY "authorization: {default: deny}"

static const struct own_documents {
	const char *text;
	bool denies, warned;
	int64_t timeout_ms;
} own_documents[] = {
	{"", false, false, 15000},
	{OF_MESH("Service", "payments", "timeout: 2s"), false, false, 2000},
	{OF_MESH("Service", "payments", DENY), true, false, 15000},
	{OF_MESH("Mesh", "mesh", DENY), true, false, 15000},
	{OF_MESH("Namespace", "default", DENY), true, false, 15000},
	{OF_MESH("Namespace", "other", DENY), false, false, 15000},
	{OF_MESH("Mesh", "mesh", DENY) OF_MESH("Service", "orders", "timeout: 2s"), true, false, 15000},
	{OF_MESH("Mesh", "mesh", DENY) OF_MESH("Service", "payments", "authorization: {default: allow}"), false, false, 15000},
	{OF_MESH("Service", "payments", "namespace: shop, " DENY), false, true, 15000},
	{OF_MESH("Service", "payments", "namespace: shop, timeout: 2s"), false, false, 15000},
};

/* With every allocation failing once: until all is read nobody is let in. */
static void go_by(const struct own_documents *row)
{
	struct mesh__document *documents = NULL;
	int code = MESH_E_NO_MEMORY;

	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "t", row->text, strlen(row->text), "default", &documents, NULL, NULL, NULL), MESH_OK);
	for (long n = 1; code != MESH_OK; n++) {
		begin();
		assert_true(mesh__model_own(f.model, KEY, true));
		assert_null(mesh__model_own_policy(f.model));
		fail_mem_next(&f.mem, n);
		code = mesh__model_static(f.model, documents, &f.err);
		fail_mem_next(&f.mem, 0);
		if (code != MESH_OK) {
			assert_null(mesh__model_own_policy(f.model));
			assert_int_equal(mesh__model_static(f.model, documents, &f.err), MESH_OK);
		}
		assert_int_equal(mesh__model_own_policy(f.model)->authorization.default_deny, row->denies);
		assert_int_equal(mesh__model_own_policy(f.model)->timeout_ms, row->timeout_ms);
		assert_int_equal(fake_env_logged(&f.fake, "another namespace"), row->warned);
		mesh__model_free(f.model);
		assert_int_equal(f.mem.live, 0);
	}
	mesh__documents_free(documents);
}

static void who_has_no_control_plane_goes_by_its_own_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(own_documents) / sizeof(own_documents[0]); i++) {
		go_by(&own_documents[i]);
	}
}

/* ---- Out of memory. ---- */

/* Whether a subscription says that the record has come. */
static bool is_had(const struct mesh__record *record)
{
	struct mesh__msg_interest *list = NULL;
	bool had;
	size_t n = 0;

	assert_int_equal(mesh__model_interests(f.model, &list, &n, &f.err), MESH_OK);
	assert_int_equal(n, 1);
	had = (record->type == MESH__RECORD_ENDPOINTS ? list[0].endpoints_version : list[0].generation) == record->version;
	mesh__free(list);
	return had;
}

/* Applies `line` with every allocation failing once: what calls see is what was or what is to be, and the same record can be taken afterwards. */
static void survives_every_failing_allocation(const char *line, const char *before, const char *after)
{
	long n = 0;
	bool done = false;

	while (!done) {
		struct mesh__record record;
		bool changed = false;
		int code;

		begin();
		assert_true(mesh__model_want(f.model, KEY));
		must(three);
		assert_int_equal(mesh__record_decode(mesh__mem_libc(), line, strlen(line), &record, &f.err), MESH_OK);
		fail_mem_next(&f.mem, ++n);
		code = mesh__model_apply(f.model, &record, &changed, &f.err);
		done = f.mem.count < n;
		fail_mem_next(&f.mem, 0);
		if (code != MESH_OK) {
			assert_int_equal(code, MESH_E_NO_MEMORY);
			assert_false(changed);
			has(before);
			assert_false(is_had(&record));
			assert_int_equal(mesh__model_apply(f.model, &record, &changed, &f.err), MESH_OK);
		}
		assert_true(changed);
		has(after);
		assert_true(is_had(&record));
		mesh__record_fini(&record);
		mesh__model_free(f.model);
		assert_int_equal(f.live, 0);
		assert_int_equal(f.mem.live, 0);
	}
	assert_true(n > 3);
}

static void survives_every_failing_allocation_of_a_delta(void **state)
{
	(void)state;
	survives_every_failing_allocation(ENDPOINTS("4", "false", INSTANCE("d", "4") "," INSTANCE("a", "11"), GONE("c")), "abc", "abd");
}

static void survives_every_failing_allocation_of_a_whole_set(void **state)
{
	(void)state;
	survives_every_failing_allocation(ENDPOINTS("4", "true", INSTANCE("d", "4") "," INSTANCE("e", "5"), ""), "abc", "de");
}

static void survives_every_failing_allocation_of_a_configuration(void **state)
{
	(void)state;
	survives_every_failing_allocation(CONFIG("7", DOCUMENT(TIMEOUT("3s"))), "abc", "abc");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_seen_before_the_control_plane_has_spoken),
		TEST(a_whole_set_is_what_calls_see_and_its_version_is_remembered),
		TEST(threat_28_a_set_that_merely_comes_empty_is_refused_and_the_last_good_stays),
		TEST(threat_28_an_empty_set_that_names_only_some_of_the_removed_is_refused),
		TEST(threat_28_explicit_removals_may_reach_zero),
		TEST(threat_28_an_empty_set_of_a_service_that_has_none_is_taken),
		TEST(threat_28_a_set_with_one_bad_instance_is_refused_by_its_name_and_none_of_it_is_taken),
		TEST(threat_28_a_record_for_a_service_that_was_not_asked_for_is_refused_by_its_name),
		TEST(what_is_not_in_a_whole_set_has_left),
		TEST(what_did_not_change_keeps_its_state_and_what_did_gets_a_new_one),
		TEST(a_snapshot_in_use_is_not_touched_by_what_comes_later),
		TEST(a_removal_of_what_was_never_there_changes_nobody),
		TEST(a_document_is_in_force_and_one_that_is_withdrawn_is_not),
		TEST(a_destination_outlives_what_is_built_and_hears_of_its_policy),
		TEST(threat_28_a_document_that_does_not_parse_is_refused_with_its_fault_and_the_last_good_stays),
		TEST(a_service_that_a_route_leads_to_is_asked_for_with_the_document),
		TEST(a_configuration_alone_does_not_make_a_service_known),
		TEST(static_documents_say_the_same_in_any_order),
		TEST(static_documents_of_the_namespace_and_the_mesh_are_what_a_services_says_nothing_of),
		TEST(static_endpoints_stand_beside_the_registered_ones_and_are_warned_of_when_plaintext),
		TEST(what_was_dumped_brings_an_empty_model_to_the_same_place),
		TEST(a_service_is_new_once),
		TEST(of_itself_a_process_is_told_the_configuration),
		cmocka_unit_test(who_has_no_control_plane_goes_by_its_own_documents),
		TEST(no_more_services_are_asked_for_than_a_subscription_holds),
		cmocka_unit_test(survives_every_failing_allocation_of_a_delta),
		cmocka_unit_test(survives_every_failing_allocation_of_a_whole_set),
		cmocka_unit_test(survives_every_failing_allocation_of_a_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
