#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshd/registry.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

#define KEY "payments.default"

enum { TOMBSTONES = 20 };

static const struct mesh__name payments = {.ns = "default", .service = "payments"};

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct meshd_store *store;
	struct meshd_registry *registry;
	int changes, ended;
};

static void changed(void *user, const char *key)
{
	struct fixture *f = user;

	assert_non_null(key);
	f->changes++;
}

static void open_registry(struct fixture *f)
{
	struct meshd_registry_options options = {.tombstones_max = TOMBSTONES, .changed = changed, .user = f};
	struct mesh__err err = MESH__NO_ERR;

	meshd_lease_rules_default(&options.rules);
	if (meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "meshd.db"), &f->store, &err) != MESH_OK
		|| meshd_registry_new(&f->fake.env, f->store, &options, &f->registry, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
}

static void close_registry(struct fixture *f)
{
	meshd_registry_free(f->registry);
	meshd_store_close(f->store);
	f->registry = NULL;
	f->store = NULL;
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.changes = 0};
	fake_env_init(&f.fake);
	*state = &f;
	if (scratch_init(&f.scratch) != 0) {
		return -1;
	}
	open_registry(&f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_registry(f);
	scratch_fini(&f->scratch);
	return 0;
}

static int try_register(struct fixture *f, const char *instance, const char *address, const char *session, struct mesh__err *err)
{
	struct mesh__msg_instance msg = {.instance = (char *)(uintptr_t)instance, .n_addresses = address == NULL ? 0 : 1};
	bool taken;

	msg.addresses[0] = (char *)(uintptr_t)address;
	return meshd_registry_register(f->registry, &payments, &msg, session, &taken, err);
}

static void join(struct fixture *f, const char *instance, const char *address, const char *session)
{
	assert_int_equal(try_register(f, instance, address, session, NULL), MESH_OK);
}

/* "full|delta known|unknown VERSION +instance@address… -instance(reason)…" of what changed since `since`. */
static const char *delta(struct fixture *f, uint64_t since)
{
	static char text[2048];
	struct mesh__record record;
	size_t n;

	assert_true(meshd_registry_delta(f->registry, KEY, since, &record));
	n = (size_t)snprintf(text, sizeof(text), "%s %s %d", record.full ? "full" : "delta", record.known ? "known" : "unknown", (int)record.version);
	for (size_t i = 0; i < record.n_instances; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, " +%s@%s", record.instances[i].instance, record.instances[i].addresses[0]);
	}
	for (size_t i = 0; i < record.n_removed; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, " -%s(%s)", record.removed[i].instance, record.removed[i].reason);
	}
	meshd_registry_delta_fini(&record);
	return text;
}

/* ---- Deltas. ---- */

static void tells_only_what_changed_since_a_version(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(delta(f, 0), "full unknown 0");
	join(f, "a", "127.0.0.1:1", "s1");
	join(f, "b", "127.0.0.1:2", "s2");
	assert_string_equal(delta(f, 0), "full known 2 +b@127.0.0.1:2 +a@127.0.0.1:1");
	assert_string_equal(delta(f, 1), "delta known 2 +b@127.0.0.1:2");
	assert_string_equal(delta(f, 2), "delta known 2");
	join(f, "a", "127.0.0.1:3", "s1");
	assert_string_equal(delta(f, 2), "delta known 3 +a@127.0.0.1:3");
	assert_int_equal(meshd_registry_remove(f->registry, KEY, "b", "deregistered", NULL), MESH_OK);
	assert_string_equal(delta(f, 2), "delta known 4 +a@127.0.0.1:3 -b(deregistered)");
	assert_string_equal(delta(f, 3), "delta known 4 -b(deregistered)");
	assert_string_equal(delta(f, 0), "full known 4 +a@127.0.0.1:3");
}

static void a_version_from_another_life_gets_everything(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	assert_string_equal(delta(f, 99), "full known 1 +a@127.0.0.1:1");
}

static void one_that_comes_back_is_no_longer_told_as_removed(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	assert_int_equal(meshd_registry_remove(f->registry, KEY, "a", "lease", NULL), MESH_OK);
	join(f, "a", "127.0.0.1:1", "s2");
	assert_string_equal(delta(f, 1), "delta known 3 +a@127.0.0.1:1");
	assert_int_equal(meshd_registry_n_live(f->registry), 1);
}

static void removals_may_reach_zero_and_the_service_stays_known(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	assert_int_equal(meshd_registry_remove(f->registry, KEY, "a", "admin", NULL), MESH_OK);
	assert_string_equal(delta(f, 0), "full known 2");
	assert_int_equal(meshd_registry_remove(f->registry, KEY, "a", "admin", NULL), MESH_E_NOT_FOUND);
}

static void resume_works_across_a_restart(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	join(f, "b", "[::1]:2", "s2");
	join(f, "c", "127.0.0.1:3", "s3");
	assert_int_equal(meshd_registry_remove(f->registry, KEY, "a", "deregistered", NULL), MESH_OK);
	close_registry(f);
	open_registry(f);
	assert_string_equal(delta(f, 2), "delta known 4 +c@127.0.0.1:3 -a(deregistered)");
	assert_string_equal(delta(f, 0), "full known 4 +c@127.0.0.1:3 +b@[::1]:2");
	assert_int_equal(meshd_registry_n_live(f->registry), 2);
}

static void an_unchanged_registration_makes_no_version(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	join(f, "a", "127.0.0.1:1", "s1");
	close_registry(f);
	open_registry(f);
	join(f, "a", "127.0.0.1:1", "s9"); /* a client that came back to a restarted meshd */
	assert_string_equal(delta(f, 1), "delta known 1");
	assert_int_equal(f->changes, 1);
}

/* ---- Tombstones. ---- */

static void tombstones_are_bounded_and_what_they_forget_is_told_in_full(void **state)
{
	struct fixture *f = *state;
	const struct meshd_service *service;
	char id[16];

	join(f, "stays", "127.0.0.1:1", "s0");
	for (int i = 0; i < TOMBSTONES + 10; i++) {
		(void)snprintf(id, sizeof(id), "i%d", i);
		join(f, id, "127.0.0.1:2", "s1");
		assert_int_equal(meshd_registry_remove(f->registry, KEY, id, "deregistered", NULL), MESH_OK);
	}
	service = meshd_registry_find(f->registry, KEY);
	assert_int_equal(service->n_gone, TOMBSTONES);
	assert_int_equal(service->by_id.n, TOMBSTONES + 1);
	assert_true(service->floor > 0);
	assert_memory_equal(delta(f, service->floor - 1), "full ", 5);
	assert_memory_equal(delta(f, service->version - 2), "delta ", 6);
	close_registry(f);
	open_registry(f);
	service = meshd_registry_find(f->registry, KEY);
	assert_int_equal(service->n_gone, TOMBSTONES);
	assert_memory_equal(delta(f, service->floor - 1), "full ", 5);
	assert_memory_equal(delta(f, service->version - 2), "delta ", 6);
}

/* ---- Leases. ---- */

static void on_ended(void *user, const char *key, const char *instance)
{
	struct fixture *f = user;

	assert_string_equal(key, KEY);
	assert_non_null(instance);
	f->ended++;
}

/* Time as meshd lives it: looked at each half second. */
static void live(struct fixture *f, int64_t ms, const char *beating, const char *session)
{
	for (int64_t t = 0; t < ms; t += 500) {
		fake_env_advance_ms(&f->fake, 500);
		if (beating != NULL) {
			assert_true(meshd_registry_renew(f->registry, KEY, beating, session));
		}
		meshd_registry_expire(f->registry, on_ended, f);
	}
}

static void a_silent_instance_ends_after_its_lease_and_a_beating_one_stays(void **state)
{
	struct fixture *f = *state;

	live(f, 30000, NULL, NULL);
	join(f, "a", "127.0.0.1:1", "s1");
	join(f, "b", "127.0.0.1:2", "s2");
	live(f, 9500, "b", "s2");
	assert_int_equal(f->ended, 0);
	live(f, 500, "b", "s2");
	assert_int_equal(f->ended, 1);
	assert_string_equal(delta(f, 2), "delta known 3 -a(lease)");
	assert_false(meshd_registry_renew(f->registry, KEY, "a", "s1"));
}

static void nothing_ends_for_thirty_seconds_after_a_start(void **state)
{
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	close_registry(f);
	open_registry(f);
	live(f, 29500, NULL, NULL);
	assert_int_equal(f->ended, 0);
	live(f, 500, NULL, NULL);
	assert_int_equal(f->ended, 1);
}

static void threat_26_a_step_of_the_wall_clock_ends_no_lease(void **state)
{
	struct fixture *f = *state;

	live(f, 31000, NULL, NULL);
	join(f, "a", "127.0.0.1:1", "s1");
	f->fake.wall_ms += 10LL * 365 * 24 * 3600 * 1000;
	live(f, 5000, NULL, NULL);
	f->fake.wall_ms -= 20LL * 365 * 24 * 3600 * 1000;
	live(f, 4500, NULL, NULL);
	assert_int_equal(f->ended, 0);
}

static void a_pause_of_meshd_itself_ends_no_lease(void **state)
{
	struct fixture *f = *state;

	live(f, 31000, NULL, NULL);
	join(f, "a", "127.0.0.1:1", "s1");
	fake_env_advance_ms(&f->fake, 60000); /* stopped, or a disk that hung */
	meshd_registry_expire(f->registry, on_ended, f);
	assert_int_equal(f->ended, 0);
	live(f, 9500, NULL, NULL);
	assert_int_equal(f->ended, 0);
	live(f, 500, NULL, NULL);
	assert_int_equal(f->ended, 1);
}

static void stalls_shorter_than_half_a_lease_put_no_end_off(void **state)
{
	struct fixture *f = *state;

	live(f, 31000, NULL, NULL);
	join(f, "a", "127.0.0.1:1", "s1");
	for (int i = 0; i < 3; i++) { /* one after the other, as on a busy machine */
		assert_int_equal(f->ended, 0);
		fake_env_advance_ms(&f->fake, 4000);
		meshd_registry_expire(f->registry, on_ended, f);
	}
	assert_int_equal(f->ended, 1);
}

static void a_heartbeat_of_another_session_renews_nothing(void **state)
{
	struct fixture *f = *state;
	struct mesh__msg_instance msg = {.instance = (char *)(uintptr_t)"a", .addresses = {(char *)(uintptr_t)"127.0.0.1:9"}, .n_addresses = 1};
	bool taken = false;

	join(f, "a", "127.0.0.1:1", "s1");
	assert_false(meshd_registry_renew(f->registry, KEY, "a", "s2"));
	assert_int_equal(meshd_registry_register(f->registry, &payments, &msg, "s2", &taken, NULL), MESH_OK);
	assert_true(taken);
	assert_true(meshd_registry_renew(f->registry, KEY, "a", "s2"));
	assert_false(meshd_registry_renew(f->registry, KEY, "a", "s1"));
}

/* ---- What is refused. ---- */

static void refuses_what_nobody_could_call_and_writes_nothing(void **state)
{
	static const struct {
		const char *instance, *address, *says;
	} cases[] = {
		{"a", NULL, "no address"},
		{"a", "127.0.0.1", "address"},
		{"a", "127.0.0.1:0", "address"},
		{"a", "localhost:80", "address"},
		{"a", "0.0.0.0:80", "MESH_ADVERTISE"},
		{"a", "[::]:80", "MESH_ADVERTISE"},
		{"", "127.0.0.1:80", "instance"},
		{"../etc", "127.0.0.1:80", "instance"},
		{"a'; drop table instance; --", "127.0.0.1:80", "instance"},
		{"a\nb", "127.0.0.1:80", "instance"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		struct mesh__err err = MESH__NO_ERR;

		assert_int_equal(try_register(f, cases[i].instance, cases[i].address, "s1", &err), MESH_E_INVALID);
		assert_non_null(strstr(err.message, cases[i].says));
	}
	assert_null(meshd_registry_find(f->registry, KEY));
	assert_int_equal(f->changes, 0);
}

static void threat_26_after_the_wall_clock_was_set_nothing_ends_before_somebody_is_heard(void **state)
{
	static const int64_t steps[] = {3600000, -3600000, 315360000000, -315360000000};
	struct fixture *f = *state;

	live(f, 31000, NULL, NULL);
	for (size_t i = 0; i < MESH__COUNT(steps); i++) {
		f->ended = 0;
		join(f, "a", "127.0.0.1:1", "s1");
		join(f, "b", "127.0.0.1:2", "s2");
		f->fake.wall_ms += steps[i];
		live(f, 600000, NULL, NULL); /* nobody gets in */
		assert_int_equal(f->ended, 0);
		live(f, 29500, "b", "s2"); /* one does: a start's grace for the others */
		assert_int_equal(f->ended, 0);
		live(f, 1000, "b", "s2");
		assert_int_equal(f->ended, 1);
		live(f, 10000, NULL, NULL);
		assert_int_equal(f->ended, 2);
	}
}

static void threat_26_a_start_with_a_clock_behind_the_newest_certificate_hears_first(void **state)
{
	struct meshd_cert cert = {.serial = "a1", .name = {.ns = "default", .service = "payments"}, .not_after_ms = INT64_MAX};
	struct fixture *f = *state;

	join(f, "a", "127.0.0.1:1", "s1");
	cert.issued_ms = f->fake.wall_ms;
	assert_int_equal(meshd_store_cert_add(f->store, &cert, NULL, NULL), MESH_OK);
	close_registry(f);
	f->fake.wall_ms -= 1800000;
	open_registry(f);
	live(f, 600000, NULL, NULL);
	assert_int_equal(f->ended, 0);
	close_registry(f);
	f->fake.wall_ms += 1800000;
	open_registry(f);
	live(f, 30000, NULL, NULL);
	assert_int_equal(f->ended, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(threat_26_after_the_wall_clock_was_set_nothing_ends_before_somebody_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(threat_26_a_start_with_a_clock_behind_the_newest_certificate_hears_first, setup, teardown),
		T(tells_only_what_changed_since_a_version),
		T(a_version_from_another_life_gets_everything),
		T(one_that_comes_back_is_no_longer_told_as_removed),
		T(removals_may_reach_zero_and_the_service_stays_known),
		T(resume_works_across_a_restart),
		T(an_unchanged_registration_makes_no_version),
		T(tombstones_are_bounded_and_what_they_forget_is_told_in_full),
		T(a_silent_instance_ends_after_its_lease_and_a_beating_one_stays),
		T(nothing_ends_for_thirty_seconds_after_a_start),
		T(threat_26_a_step_of_the_wall_clock_ends_no_lease),
		T(a_pause_of_meshd_itself_ends_no_lease),
		T(stalls_shorter_than_half_a_lease_put_no_end_off),
		T(a_heartbeat_of_another_session_renews_nothing),
		T(refuses_what_nobody_could_call_and_writes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
