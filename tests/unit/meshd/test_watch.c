#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshd/plan.h"
#include "meshd/watch.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/test_ca.h"
#include "unit/meshd/scratch.h"

/*
 * Sessions write into sinks that keep what they get as short words: "hello", "trust", "endpoints:payments.default:full:2+1-0", "config:payments.default:3:1" (generation, documents), "ping".
 */
struct peer {
	char seen[2048];
	bool stuck;  /* takes nothing more */
	bool slow;   /* has no room once it was written to */
	bool closed;
	uint64_t last_sequence;
	char text[512]; /* of the last configuration's first document; "" when it had none */
};

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct fail_mem failing;
	struct mesh__loop *loop;
	struct meshd_store *store;
	struct meshd_registry *registry;
	struct meshd_config *config;
	struct meshd_watch *watch;
	struct peer a, b; /* they outlive the sessions, which end in the teardown */
};

static const struct mesh__name payments = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"};
static const struct mesh__name cart = {.trust_domain = "mesh.local", .ns = "default", .service = "cart"};

static void service_changed(void *user, const char *key)
{
	struct fixture *f = user;

	meshd_watch_service_changed(f->watch, key);
}

static void config_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	struct fixture *f = user;

	meshd_watch_config_changed(f->watch, kind, name);
}

static int trust_record(void *user, struct mesh__record *record, struct mesh__err *err)
{
	struct fixture *f = user;

	*record = (struct mesh__record){.type = MESH__RECORD_TRUST, .version = 1, .roots_pem = mesh__strdup(&f->fake.env.mem, "-----BEGIN")};
	return record->roots_pem == NULL ? mesh__fail_memory(err) : MESH_OK;
}

static int setup(void **state)
{
	static struct fixture f;
	struct meshd_registry_options registry = {.changed = service_changed, .user = &f};
	struct meshd_watch_options watch = {.trust_record = trust_record, .user = &f};

	f = (struct fixture){.loop = NULL};
	*state = &f;
	fake_env_init(&f.fake);
	fail_mem_init(&f.failing);
	f.fake.env.mem = f.failing.mem;
	meshd_lease_rules_default(&registry.rules);
	watch.rules = registry.rules;
	if (scratch_init(&f.scratch) != 0 || mesh__loop_new(&f.fake.env, &f.loop, NULL) != MESH_OK) {
		return -1;
	}
	watch.loop = f.loop;
	if (meshd_watch_new(&watch, &f.watch, NULL) != MESH_OK || meshd_store_open(&f.fake.env, scratch_path(&f.scratch, "meshd.db"), &f.store, NULL) != MESH_OK
		|| meshd_registry_new(&f.fake.env, f.store, &registry, &f.registry, NULL) != MESH_OK
		|| meshd_config_new(&f.fake.env, f.store, config_changed, &f, &f.config, NULL) != MESH_OK) {
		return -1;
	}
	meshd_watch_sources(f.watch, f.registry, f.config);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_watch_end_all(f->watch);
	mesh__loop_free(f->loop);
	meshd_watch_free(f->watch);
	meshd_registry_free(f->registry);
	meshd_config_free(f->config);
	meshd_store_close(f->store);
	scratch_fini(&f->scratch);
	return f->failing.live == 0 ? 0 : -1;
}

static void stop_loop(void *arg)
{
	mesh__loop_stop(arg);
}

/* Lets the loop do what was posted, and no more. */
static void turn(struct fixture *f)
{
	struct mesh__post post;

	mesh__loop_post(f->loop, &post, stop_loop, f->loop);
	mesh__loop_run(f->loop);
}

static const char *type_name(enum mesh__record_type type)
{
#define X(name, text) text,
	static const char *const names[] = {MESH__RECORDS(X)};
#undef X

	return names[type];
}

static bool peer_write(void *user, const void *bytes, size_t len)
{
	struct mesh__record record;
	struct peer *peer = user;
	size_t n = strlen(peer->seen);

	assert_false(peer->closed);
	if (peer->stuck) {
		return false;
	}
	assert_int_equal(mesh__record_decode(mesh__mem_libc(), bytes, len, &record, NULL), MESH_OK);
	assert_int_equal(record.sequence, peer->last_sequence + 1);
	peer->last_sequence = record.sequence;
	n += (size_t)snprintf(peer->seen + n, sizeof(peer->seen) - n, " %s", type_name(record.type));
	if (record.type == MESH__RECORD_ENDPOINTS) {
		(void)snprintf(peer->seen + n, sizeof(peer->seen) - n, ":%s:%s:%d+%d-%d", record.service, record.full ? "full" : "delta", (int)record.version,
			(int)record.n_instances, (int)record.n_removed);
	} else if (record.type == MESH__RECORD_CONFIG) {
		(void)snprintf(peer->seen + n, sizeof(peer->seen) - n, ":%s:%d:%d", record.service, (int)record.version, (int)record.n_documents);
		(void)snprintf(peer->text, sizeof(peer->text), "%s", record.n_documents == 0 ? "" : record.documents[0]);
	}
	mesh__record_fini(&record);
	return true;
}

static size_t peer_room(void *user)
{
	const struct peer *peer = user;

	return peer->slow ? 0 : 1;
}

static void peer_close(void *user)
{
	struct peer *peer = user;

	assert_false(peer->closed);
	peer->closed = true;
}

/* What the peer got since it was last asked. */
static void assert_saw(struct peer *peer, const char *expected)
{
	assert_string_equal(peer->seen, expected);
	peer->seen[0] = '\0';
}

static struct meshd_session *open_session(struct fixture *f, struct peer *peer)
{
	struct meshd_sink sink = {.write = peer_write, .room = peer_room, .close = peer_close, .user = peer};
	struct mesh__leaf leaf = {.name = cart, .spiffe = "spiffe://mesh.local/ns/default/svc/cart", .serial = "c0"};
	struct meshd_session *session = NULL;

	*peer = (struct peer){.seen = ""};
	assert_int_equal(meshd_watch_open(f->watch, &leaf, "127.0.0.1:9", &sink, &session, NULL), MESH_OK);
	assert_saw(peer, " hello trust");
	return session;
}

static void subscribe(struct meshd_session *session, const char *service, uint64_t endpoints_version, uint64_t generation, bool replace)
{
	struct mesh__msg_interest interest = {.service = (char *)(uintptr_t)service, .endpoints_version = endpoints_version, .generation = generation};
	struct mesh__msg_subscribe msg = {.services = &interest, .n_services = 1, .replace = replace};

	assert_int_equal(meshd_watch_subscribe(session, &msg, NULL), MESH_OK);
}

static void join(struct fixture *f, const char *instance)
{
	struct mesh__msg_instance msg = {.instance = (char *)(uintptr_t)instance, .addresses = {(char *)(uintptr_t)"127.0.0.1:1"}, .n_addresses = 1};
	bool taken;

	assert_int_equal(meshd_registry_register(f->registry, &payments, &msg, "s", &taken, NULL), MESH_OK);
}

static void apply(struct fixture *f, const char *text)
{
	const struct meshd_writer writer = {.who = "admin"};
	struct mesh__document *documents = NULL;
	struct meshd_plan plan;

	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "t", text, strlen(text), "default", &documents, NULL, NULL, NULL), MESH_OK);
	assert_int_equal(meshd_plan_apply(f->config, documents, &plan, NULL), MESH_OK);
	assert_int_equal(meshd_plan_commit(&plan, &writer, NULL), MESH_OK);
	meshd_plan_free(&plan);
}

static const char payments_2s[] = "{apiVersion: mesh/v1, kind: Service, name: payments, timeout: 2s}";
static const char payments_3s[] = "{apiVersion: mesh/v1, kind: Service, name: payments, timeout: 3s}";
static const char other_2s[] = "{apiVersion: mesh/v1, kind: Service, name: other, timeout: 2s}";

static void a_subscriber_is_told_what_is_there_and_then_only_changes(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;

	join(f, "a");
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	assert_saw(&f->a, " config:payments.default:0:0 endpoints:payments.default:full:1+1-0");
	join(f, "b");
	turn(f);
	assert_saw(&f->a, " endpoints:payments.default:delta:2+1-0");
	assert_int_equal(meshd_registry_remove(f->registry, "payments.default", "a", "deregistered", NULL), MESH_OK);
	turn(f);
	assert_saw(&f->a, " endpoints:payments.default:delta:3+0-1");
	apply(f, payments_2s);
	turn(f);
	assert_saw(&f->a, " config:payments.default:1:1");
	apply(f, other_2s); /* does not concern it */
	turn(f);
	assert_saw(&f->a, "");
}

static void who_asks_for_the_configuration_alone_is_told_no_endpoints(void **state)
{
	struct fixture *f = *state;
	struct mesh__msg_interest own = {.service = (char *)(uintptr_t)"payments.default", .config_only = true};
	struct mesh__msg_subscribe msg = {.services = &own, .n_services = 1, .replace = true};
	struct meshd_session *session;

	join(f, "a");
	session = open_session(f, &f->a);
	assert_int_equal(meshd_watch_subscribe(session, &msg, NULL), MESH_OK);
	assert_saw(&f->a, " config:payments.default:0:0");
	join(f, "b");
	apply(f, payments_2s);
	turn(f);
	assert_saw(&f->a, " config:payments.default:1:1");
	own.generation = 1;
	own.config_only = false; /* it calls itself now */
	assert_int_equal(meshd_watch_subscribe(session, &msg, NULL), MESH_OK);
	assert_saw(&f->a, " endpoints:payments.default:full:2+2-0");
	own.config_only = true;
	assert_int_equal(meshd_watch_subscribe(session, &msg, NULL), MESH_OK);
	join(f, "c");
	turn(f);
	assert_saw(&f->a, " endpoints:payments.default:delta:3+1-0");
}

static void several_changes_before_the_loop_turns_make_one_record(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;

	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	f->a.seen[0] = '\0';
	join(f, "a");
	join(f, "b");
	join(f, "c");
	turn(f);
	assert_saw(&f->a, " endpoints:payments.default:full:3+3-0");
}

static void a_resumed_session_is_told_only_what_it_missed(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;

	join(f, "a");
	join(f, "b");
	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 2, 1, false);
	assert_saw(&f->a, "");
	meshd_watch_gone(session);
	join(f, "c");
	apply(f, payments_3s);
	session = open_session(f, &f->b);
	subscribe(session, "payments.default", 2, 1, false);
	assert_saw(&f->b, " config:payments.default:2:1 endpoints:payments.default:delta:3+1-0");
}

static void a_replacing_list_ends_the_others(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;

	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	subscribe(session, "other.default", 0, 0, true);
	assert_int_equal(session->n_subscriptions, 1);
	f->a.seen[0] = '\0';
	join(f, "a");
	turn(f);
	assert_saw(&f->a, "");
	apply(f, other_2s);
	turn(f);
	assert_saw(&f->a, " config:other.default:1:1");
}

static void threat_24_one_that_does_not_read_is_dropped_alone(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *slow, *quick;
	char id[MESHD_SESSION_ID + 1];

	slow = open_session(f, &f->a);
	quick = open_session(f, &f->b);
	subscribe(slow, "payments.default", 0, 0, false);
	subscribe(quick, "payments.default", 0, 0, false);
	f->b.seen[0] = '\0';
	f->a.stuck = true;
	(void)snprintf(id, sizeof(id), "%s", slow->id);
	join(f, "a");
	turn(f);
	assert_saw(&f->b, " endpoints:payments.default:full:1+1-0");
	assert_null(meshd_watch_find(f->watch, id));
	turn(f);
	assert_true(f->a.closed);
	assert_false(f->b.closed);
	assert_int_equal(meshd_watch_n_sessions(f->watch), 1);
}

static void what_is_said_of_all_reaches_those_that_it_is_said_of(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *a, *b;

	a = open_session(f, &f->a);
	b = open_session(f, &f->b);
	subscribe(a, "payments.default", 0, 0, false);
	subscribe(b, "payments.shop", 0, 0, false);
	f->a.seen[0] = f->b.seen[0] = '\0';
	apply(f, "{apiVersion: mesh/v1, kind: Mesh, name: mesh, timeout: 9s, connectTimeout: 2s}");
	turn(f);
	assert_saw(&f->a, " config:payments.default:1:1");
	assert_saw(&f->b, " config:payments.shop:1:1");
	assert_string_equal(f->b.text, "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Service\",\"name\":\"payments\",\"namespace\":\"shop\",\"timeout\":\"9s\",\"connectTimeout\":\"2s\"}");
	apply(f, "{apiVersion: mesh/v1, kind: Namespace, name: shop, timeout: 8s}");
	turn(f);
	assert_saw(&f->a, "");
	assert_saw(&f->b, " config:payments.shop:2:1");
	assert_non_null(strstr(f->b.text, "\"timeout\":\"8s\",\"connectTimeout\":\"2s\""));
	apply(f, "{apiVersion: mesh/v1, kind: Service, name: payments, namespace: shop, connectTimeout: 3s}");
	turn(f);
	assert_saw(&f->a, "");
	assert_saw(&f->b, " config:payments.shop:3:1");
	assert_non_null(strstr(f->b.text, "\"timeout\":\"8s\",\"connectTimeout\":\"3s\""));
}

static void who_comes_back_is_told_what_was_said_of_all_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;

	apply(f, payments_2s);
	apply(f, "{apiVersion: mesh/v1, kind: Namespace, name: other, timeout: 8s}"); /* 2: of another namespace */
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 1, false);
	assert_saw(&f->a, " endpoints:payments.default:full:0+0-0");
	apply(f, "{apiVersion: mesh/v1, kind: Mesh, name: mesh, timeout: 9s}");       /* 3 */
	session = open_session(f, &f->b);
	subscribe(session, "payments.default", 0, 2, false);
	assert_saw(&f->b, " config:payments.default:3:1 endpoints:payments.default:full:0+0-0");
}

static struct mesh__msg_ack ack_of(uint64_t sequence, uint64_t generation, const char *refused)
{
	return (struct mesh__msg_ack){.sequence = sequence, .generation = generation, .refused = (char *)(uintptr_t)refused, .service = (char *)(uintptr_t)"payments.default"};
}

/* THREATS 24. However much changes meanwhile, no more waits for it than the sink holds. */
static void threat_24_one_that_reads_slowly_is_told_the_latest_once_it_has_read(void **state)
{
	struct fixture *f = *state;
	const struct meshd_sync *sync = meshd_watch_sync(f->watch);
	struct meshd_session *slow, *quick;
	struct mesh__trust *trust;
	struct mesh__msg_ack ack;
	struct test_ca ca;

	test_ca_init(&ca, &f->fake.env, "mesh.local");
	assert_int_equal(mesh__trust_new(&f->fake.env, "mesh.local", ca.root, NULL, 0, &trust, NULL), MESH_OK);
	apply(f, payments_2s);
	slow = open_session(f, &f->a);
	quick = open_session(f, &f->b);
	f->a.slow = true;
	subscribe(slow, "payments.default", 0, 0, false);
	subscribe(quick, "payments.default", 0, 0, false);
	assert_saw(&f->a, " config:payments.default:1:1");
	assert_saw(&f->b, " config:payments.default:1:1 endpoints:payments.default:full:0+0-0");
	ack = ack_of(f->a.last_sequence, 1, NULL);
	meshd_watch_ack(slow, &ack);
	apply(f, payments_3s);
	turn(f);
	apply(f, payments_2s);
	turn(f);
	join(f, "a");
	turn(f);
	meshd_watch_ping(f->watch);
	meshd_watch_trust_changed(f->watch, trust);
	turn(f);
	assert_saw(&f->b, " config:payments.default:2:1 config:payments.default:3:1 endpoints:payments.default:full:1+1-0 ping trust");
	assert_saw(&f->a, "");
	assert_int_equal(meshd_watch_generation(slow), 1);
	assert_int_equal(meshd_watch_owed(slow->subscriptions), 3);
	f->a.slow = false;
	meshd_watch_drained(slow);
	assert_saw(&f->a, " trust config:payments.default:3:1 endpoints:payments.default:full:1+1-0");
	assert_int_equal(meshd_watch_generation(slow), 1);
	ack = ack_of(f->a.last_sequence - 1, 3, NULL);
	meshd_watch_ack(slow, &ack);
	assert_int_equal(meshd_watch_generation(slow), 3);
	assert_int_equal(meshd_sync_find(sync, 2)->told, 1);
	assert_int_equal(meshd_sync_find(sync, 3)->told, 2);
	assert_int_equal(meshd_sync_find(sync, 3)->acknowledged, 1);
	meshd_watch_drained(slow);
	assert_saw(&f->a, "");
	mesh__trust_unref(trust);
	test_ca_fini(&ca);
}

static void a_session_runs_the_generation_that_it_took_and_says_why_it_refused_one(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	assert_int_equal(meshd_watch_generation(session), 0);
	ack = ack_of(f->a.last_sequence, 1, NULL);
	meshd_watch_ack(session, &ack);
	assert_int_equal(meshd_watch_generation(session), 1);
	apply(f, other_2s);
	turn(f);
	assert_int_equal(meshd_watch_generation(session), 2); /* nothing in it concerned this session */
	apply(f, payments_3s);
	turn(f);
	assert_int_equal(meshd_watch_generation(session), 2);
	assert_int_equal(session->n_awaited, 1);
	ack = ack_of(f->a.last_sequence, 3, "timeout: too long for me");
	meshd_watch_ack(session, &ack);
	assert_int_equal(meshd_watch_generation(session), 2);
	assert_int_equal(session->n_awaited, 0);
	assert_int_equal(session->n_refused, 1);
	assert_string_equal(meshd_watch_refusal(session), "timeout: too long for me");
	assert_int_equal(session->subscriptions->refused_generation, 3);
	apply(f, payments_2s);
	turn(f);
	ack = ack_of(f->a.last_sequence, 4, NULL);
	meshd_watch_ack(session, &ack);
	assert_int_equal(meshd_watch_generation(session), 4);
	assert_null(meshd_watch_refusal(session));
}

static void endpoints_that_are_still_to_be_told_do_not_change_which_generation_a_session_ran(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	ack = ack_of(f->a.last_sequence, 1, NULL);
	meshd_watch_ack(session, &ack);
	apply(f, other_2s); /* 2: concerns nobody */
	join(f, "a");
	apply(f, payments_3s);
	apply(f, payments_2s);
	turn(f);
	assert_int_equal(meshd_watch_generation(session), 2);
}

static void a_session_whose_configuration_cannot_be_made_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	ack = ack_of(f->a.last_sequence, 1, NULL);
	meshd_watch_ack(session, &ack);
	f->a.seen[0] = '\0';
	apply(f, "{apiVersion: mesh/v1, kind: Mesh, name: mesh, connectTimeout: 2s}");
	fail_mem_next(&f->failing, 1);
	turn(f);
	assert_saw(&f->a, "");
	assert_int_equal(meshd_watch_owed(session->subscriptions), 2);
	assert_int_equal(session->n_lacks, 1);
	assert_int_equal(meshd_watch_generation(session), 1);
	assert_int_equal(meshd_sync_find(meshd_watch_sync(f->watch), 2)->told, 0);
	apply(f, payments_3s);
	turn(f);
	assert_saw(&f->a, " config:payments.default:3:1");
	assert_int_equal(session->n_lacks, 0);
	assert_int_equal(meshd_watch_generation(session), 1);
	ack = ack_of(f->a.last_sequence, 3, NULL);
	meshd_watch_ack(session, &ack);
	assert_int_equal(meshd_watch_generation(session), 3);
}

static void endpoints_that_were_refused_are_shown_until_newer_ones_are_taken_and_say_nothing_of_the_configuration(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;
	uint64_t refused;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	ack = ack_of(f->a.last_sequence - 1, 1, NULL);
	meshd_watch_ack(session, &ack);
	refused = f->a.last_sequence;
	ack = ack_of(refused, 0, "an empty set");
	meshd_watch_ack(session, &ack);
	assert_int_equal(session->n_refused, 0);
	assert_null(session->subscriptions->refused);
	assert_int_equal(meshd_watch_generation(session), 1);
	assert_string_equal(meshd_watch_refusal(session), "an empty set");
	meshd_watch_ping(f->watch);
	ack = (struct mesh__msg_ack){.sequence = f->a.last_sequence};
	meshd_watch_ack(session, &ack);
	assert_string_equal(meshd_watch_refusal(session), "an empty set"); /* taken was another record */
	join(f, "a");
	turn(f);
	ack.sequence = f->a.last_sequence;
	meshd_watch_ack(session, &ack);
	assert_null(meshd_watch_refusal(session));
	ack = ack_of(refused, 0, "an empty set");
	meshd_watch_ack(session, &ack); /* late */
	assert_null(meshd_watch_refusal(session));
}

static void a_configuration_that_was_refused_is_told_before_endpoints_that_were(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	ack = ack_of(f->a.last_sequence - 1, 1, "timeout: too long for me");
	meshd_watch_ack(session, &ack);
	ack = ack_of(f->a.last_sequence, 0, "an empty set");
	meshd_watch_ack(session, &ack);
	assert_int_equal(session->n_refused, 1);
	assert_string_equal(meshd_watch_refusal(session), "timeout: too long for me");
	assert_int_equal(session->subscriptions->refused_generation, 1);
}

static struct mesh__msg_ack ack_about(const char *service, uint64_t sequence, uint64_t generation)
{
	return (struct mesh__msg_ack){.sequence = sequence, .generation = generation, .service = (char *)(uintptr_t)service};
}

static void a_generation_is_taken_when_all_its_records_are_and_its_spread_is_timed_from_the_commit(void **state)
{
	struct fixture *f = *state;
	const struct meshd_spread *spread;
	struct meshd_session *a, *b;
	struct mesh__msg_ack ack;

	a = open_session(f, &f->a);
	b = open_session(f, &f->b);
	subscribe(a, "payments.default", 0, 0, false);
	subscribe(a, "other.default", 0, 0, false);
	subscribe(b, "other.default", 0, 0, false);
	apply(f, "{apiVersion: mesh/v1, kind: Service, name: payments, timeout: 2s}\n---\n{apiVersion: mesh/v1, kind: Service, name: other, timeout: 2s}");
	fake_env_advance_ms(&f->fake, 5);
	turn(f);
	assert_non_null(strstr(f->a.seen, " config:payments.default:1:1 config:other.default:1:1"));
	spread = meshd_sync_find(meshd_watch_sync(f->watch), 1);
	assert_int_equal(spread->told, 2);
	ack = ack_about("payments.default", f->a.last_sequence - 1, 1);
	meshd_watch_ack(a, &ack);
	assert_int_equal(meshd_watch_generation(a), 0);
	assert_int_equal(spread->acknowledged, 0);
	fake_env_advance_ms(&f->fake, 15);
	ack = ack_about("other.default", f->a.last_sequence, 1);
	meshd_watch_ack(a, &ack);
	assert_int_equal(meshd_watch_generation(a), 1);
	assert_int_equal(spread->acknowledged, 1);
	assert_int_equal(spread->longest_us, 20000);
	meshd_watch_gone(b);
	assert_int_equal(spread->gone, 1);
	assert_int_equal(meshd_spread_waiting(spread), 0);
}

static void an_ack_of_what_was_never_sent_counts_for_nothing(void **state)
{
	struct fixture *f = *state;
	struct meshd_session *session;
	struct mesh__msg_ack ack;

	apply(f, payments_2s);
	session = open_session(f, &f->a);
	subscribe(session, "payments.default", 0, 0, false);
	ack = ack_of(f->a.last_sequence + 1, 1, NULL);
	meshd_watch_ack(session, &ack);
	assert_int_equal(meshd_watch_generation(session), 0);
}

static void a_ping_goes_to_every_session_in_its_own_count(void **state)
{
	struct fixture *f = *state;

	(void)open_session(f, &f->a);
	(void)open_session(f, &f->b);
	meshd_watch_ping(f->watch);
	assert_saw(&f->a, " ping");
	assert_saw(&f->b, " ping");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_subscriber_is_told_what_is_there_and_then_only_changes),
		T(who_asks_for_the_configuration_alone_is_told_no_endpoints),
		T(several_changes_before_the_loop_turns_make_one_record),
		T(a_resumed_session_is_told_only_what_it_missed),
		T(a_replacing_list_ends_the_others),
		T(threat_24_one_that_does_not_read_is_dropped_alone),
		T(what_is_said_of_all_reaches_those_that_it_is_said_of),
		T(who_comes_back_is_told_what_was_said_of_all_meanwhile),
		T(threat_24_one_that_reads_slowly_is_told_the_latest_once_it_has_read),
		T(a_session_runs_the_generation_that_it_took_and_says_why_it_refused_one),
		T(endpoints_that_are_still_to_be_told_do_not_change_which_generation_a_session_ran),
		T(a_session_whose_configuration_cannot_be_made_waits_for_it),
		T(endpoints_that_were_refused_are_shown_until_newer_ones_are_taken_and_say_nothing_of_the_configuration),
		T(a_configuration_that_was_refused_is_told_before_endpoints_that_were),
		T(a_generation_is_taken_when_all_its_records_are_and_its_spread_is_timed_from_the_commit),
		T(an_ack_of_what_was_never_sent_counts_for_nothing),
		T(a_ping_goes_to_every_session_in_its_own_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
