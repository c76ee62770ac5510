#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meshd/ca.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

/*
 * A CA in a few lines that misbehaves by the service's name: "dies" ends it with the request in its hands, "no" refuses, "rate" is over its rate, "junk" answers nonsense,
 * anything else is signed.
 */
static const char fake_meshca[] =
	"#!/usr/bin/env python3\n"
	"import json, os, sys\n"
	"fd = int(sys.argv[sys.argv.index('--fd') + 1])\n"
	"domain = os.environ.get('FAKE_DOMAIN') or sys.argv[sys.argv.index('--trust-domain') + 1]\n"
	"def take(n):\n"
	"    data = b''\n"
	"    while len(data) < n:\n"
	"        more = os.read(fd, n - len(data))\n"
	"        if not more: sys.exit(0)\n"
	"        data += more\n"
	"    return data\n"
	"while True:\n"
	"    q = json.loads(take(int.from_bytes(take(4), 'big')))\n"
	"    a = {'id': q['id'], 'ok': True}\n"
	"    s = q.get('service')\n"
	"    if q['op'] == 'info':\n"
	"        a.update(trustDomain=domain, roots='ROOT', issuer='ISSUER', rootPin='ab' * 32, rootNotAfter='2000', issuerNotAfter='1000')\n"
	"    elif s == 'dies': os._exit(1)\n"
	"    elif s == 'no': a.update(ok=False, error='wrong-name', message='not that one')\n"
	"    elif s == 'rate': a.update(ok=False, error='rate-limited', message='later')\n"
	"    elif s == 'junk': a.update(id='77777')\n"
	"    else: a.update(certificate='LEAF', serial='ab12', spiffeId='spiffe://mesh.local/ns/default/svc/' + s, notBefore='1', notAfter=str(q['ttlMs']))\n"
	"    text = json.dumps(a).encode()\n"
	"    try: os.write(fd, len(text).to_bytes(4, 'big') + text)\n"
	"    except BrokenPipeError: sys.exit(0)\n";

struct fixture {
	struct scratch scratch;
	struct mesh__env env;
	struct mesh__loop *loop;
	struct meshd_ca *ca;
	struct mesh__timer *deadline;
	int ups, answers;
	/* The last answer. */
	bool signed_leaf;
	int code;
	int64_t not_after_ms;
	bool (*enough)(const struct fixture *f);
};

static void look(struct fixture *f)
{
	if (f->enough(f)) {
		mesh__loop_stop(f->loop);
	}
}

static void too_late(void *arg)
{
	struct fixture *f = arg;

	mesh__loop_stop(f->loop);
}

static void on_up(void *user, const struct meshd_ca_info *info)
{
	struct fixture *f = user;

	assert_string_equal(info->roots_pem, "ROOT");
	assert_int_equal(info->issuer_not_after_ms, 1000);
	f->ups++;
	look(f);
}

static void on_signed(void *user, const struct meshd_signed *leaf, const struct mesh__err *err)
{
	struct fixture *f = user;

	f->answers++;
	f->signed_leaf = leaf != NULL;
	f->not_after_ms = leaf == NULL ? 0 : leaf->not_after_ms;
	f->code = err == NULL ? MESH_OK : err->code;
	look(f);
}

/* Runs the loop until `enough`, at most 20 s. */
static void run_until(struct fixture *f, bool (*enough)(const struct fixture *f))
{
	f->enough = enough;
	mesh__timer_start(f->deadline, 20000, 0);
	mesh__loop_run(f->loop);
	mesh__timer_stop(f->deadline);
	assert_true(enough(f));
}

static bool is_up(const struct fixture *f)
{
	return f->ups == 1;
}

static bool is_up_again(const struct fixture *f)
{
	return f->ups == 2;
}

static bool is_answered(const struct fixture *f)
{
	return f->answers == 1;
}

static int setup(void **state)
{
	static struct fixture f;
	struct meshd_ca_options options = {.dir = "/nowhere", .trust_domain = "mesh.local", .max_ttl_ms = 60000, .user = "", .log_level = "info"};
	char program[400];
	int fd;

	f = (struct fixture){.ups = 0, .enough = is_up};
	*state = &f;
	mesh__env_init(&f.env);
	f.env.log_level = MESH__LOG_OFF;
	if (scratch_init(&f.scratch) != 0) {
		return -1;
	}
	(void)snprintf(program, sizeof(program), "%s", scratch_path(&f.scratch, "meshca"));
	options.program = program;
	fd = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (fd < 0 || write(fd, fake_meshca, sizeof(fake_meshca) - 1) != sizeof(fake_meshca) - 1 || close(fd) != 0) {
		return -1;
	}
	return mesh__loop_new(&f.env, &f.loop, NULL) == MESH_OK && mesh__timer_new(f.loop, too_late, &f, &f.deadline) == MESH_OK
		&& meshd_ca_new(f.loop, &options, on_up, &f, &f.ca, NULL) == MESH_OK ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_ca_free(f->ca);
	mesh__timer_free(f->deadline);
	mesh__loop_free(f->loop);
	scratch_fini(&f->scratch);
	return 0;
}

static void ask(struct fixture *f, const char *service)
{
	struct mesh__name name = {.ns = "default"};

	(void)snprintf(name.service, sizeof(name.service), "%s", service);
	f->answers = 0;
	meshd_ca_sign(f->ca, &name, "CSR", 1LL << 40, on_signed, f);
}

static void a_leaf_comes_back_with_its_life_cut_to_the_maximum(void **state)
{
	struct fixture *f = *state;

	run_until(f, is_up);
	ask(f, "payments");
	run_until(f, is_answered);
	assert_true(f->signed_leaf);
	assert_int_equal(f->not_after_ms, 60000);
}

static void before_the_ca_is_up_nothing_is_issued(void **state)
{
	struct fixture *f = *state;

	ask(f, "payments");
	assert_int_equal(f->answers, 1);
	assert_false(f->signed_leaf);
	assert_int_equal(f->code, MESH_E_CONTROL);
}

static void a_refusal_keeps_its_kind(void **state)
{
	struct fixture *f = *state;

	run_until(f, is_up);
	ask(f, "no");
	run_until(f, is_answered);
	assert_int_equal(f->code, MESH_E_DENIED);
	ask(f, "rate");
	run_until(f, is_answered);
	assert_int_equal(f->code, MESH_E_OVERLOADED);
}

static void a_ca_that_dies_fails_the_request_and_is_started_again(void **state)
{
	struct fixture *f = *state;

	run_until(f, is_up);
	ask(f, "dies");
	run_until(f, is_answered);
	assert_false(f->signed_leaf);
	assert_int_equal(f->code, MESH_E_CONTROL);
	run_until(f, is_up_again);
	ask(f, "payments");
	run_until(f, is_answered);
	assert_true(f->signed_leaf);
}

static void an_answer_that_was_not_asked_for_ends_the_ca(void **state)
{
	struct fixture *f = *state;

	run_until(f, is_up);
	ask(f, "junk");
	run_until(f, is_answered);
	run_until(f, is_up_again);
}

static bool has_failed_to_start(const struct fixture *f)
{
	return meshd_ca_failed_starts(f->ca) >= 1;
}

static void look_at_starts(void *arg)
{
	look(arg);
}

static void a_ca_of_another_trust_domain_never_comes_up(void **state)
{
	struct fixture *f = *state;
	struct mesh__timer *often;

	assert_int_equal(mesh__timer_new(f->loop, look_at_starts, f, &often), MESH_OK);
	mesh__timer_start(often, 1, 5);
	run_until(f, has_failed_to_start);
	assert_false(meshd_ca_is_up(f->ca));
	assert_null(meshd_ca_told(f->ca));
	mesh__timer_free(often);
}

static int setup_other_domain(void **state)
{
	(void)setenv("FAKE_DOMAIN", "other.example", 1);
	return setup(state);
}

static int teardown_other_domain(void **state)
{
	(void)unsetenv("FAKE_DOMAIN");
	return teardown(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_leaf_comes_back_with_its_life_cut_to_the_maximum),
		T(before_the_ca_is_up_nothing_is_issued),
		T(a_refusal_keeps_its_kind),
		T(a_ca_that_dies_fails_the_request_and_is_started_again),
		T(an_answer_that_was_not_asked_for_ends_the_ca),
		cmocka_unit_test_setup_teardown(a_ca_of_another_trust_domain_never_comes_up, setup_other_domain, teardown_other_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
