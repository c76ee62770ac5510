#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "fake_env.h"
#include "meshca/make.h"
#include "meshca/request.h"
#include "meshca/sign.h"

#define HOUR_MS (INT64_C(3600) * 1000)

struct ca {
	struct fake_env fake;
	char path[64];
	struct meshca_dir dir;
	struct meshca_keystore store;
	struct meshca_issuelog log;
	struct meshca_signer signer;
	char *csr;
};

static int setup(void **state)
{
	struct ca *ca = test_calloc(1, sizeof(*ca));
	char *key = NULL;

	fake_env_init(&ca->fake);
	(void)snprintf(ca->path, sizeof(ca->path), "/tmp/meshca-test-XXXXXX");
	if (mkdtemp(ca->path) == NULL || mesh__pki_init(NULL) != MESH_OK || meshca_dir_open(ca->path, MESHCA_DIR_PRIVATE, &ca->dir, NULL) != MESH_OK ||
	    meshca_keystore_open(&ca->fake.env, &ca->dir, NULL, true, &ca->store, NULL) != MESH_OK || meshca_issuelog_open(&ca->dir, &ca->log, NULL) != MESH_OK ||
	    mesh__pki_key_new(&ca->fake.env, &key, NULL) != MESH_OK || mesh__pki_csr_new(&ca->fake.env, key, NULL, &ca->csr, NULL) != MESH_OK) {
		return -1;
	}
	mesh__free_secret(key);
	ca->signer = (struct meshca_signer){.env = &ca->fake.env, .store = &ca->store, .log = &ca->log, .ttl_max_ms = 48 * HOUR_MS, .how = "serve"};
	meshca_limit_init(&ca->signer.limit, 1000, mesh__mono_us(&ca->fake.env));
	*state = ca;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {MESHCA_ROOT_CERT, MESHCA_ROOT_KEY, MESHCA_ROOTS, MESHCA_ISSUER_CERT, MESHCA_ISSUER_KEY, MESHCA_ISSUELOG_NAME};
	struct ca *ca = *state;

	mesh__free(ca->csr);
	meshca_keystore_fini(&ca->store);
	meshca_issuelog_close(&ca->log);
	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		(void)unlinkat(ca->dir.fd, names[i], 0);
	}
	meshca_dir_close(&ca->dir);
	(void)rmdir(ca->path);
	test_free(ca);
	return 0;
}

static off_t log_size(const struct ca *ca)
{
	struct stat st;

	assert_int_equal(fstat(ca->log.fd, &st), 0);
	return st.st_size;
}

static enum meshca_error sign(struct ca *ca, int64_t ttl_ms, struct meshca_issued *issued, struct mesh__err *err)
{
	struct meshca_ask ask = {ca->csr, "payments", NULL, ttl_ms};

	return meshca_sign(&ca->signer, &ask, issued, err);
}

static void a_life_is_backdated_and_cut_to_the_issuers(void **state)
{
	struct ca *ca = *state;
	struct meshca_issued issued;
	int64_t now_ms = mesh__wall_ms(&ca->fake.env);

	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_NONE);
	assert_int_equal(issued.leaf.not_before_ms, now_ms - MESHCA_BACKDATE_MS);
	assert_int_equal(issued.leaf.not_after_ms, now_ms + HOUR_MS);
	meshca_issued_fini(&issued);

	fake_env_advance_ms(&ca->fake, ca->store.issuer.not_after_ms - now_ms - 10000);
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_NONE);
	assert_int_equal(issued.leaf.not_after_ms, ca->store.issuer.not_after_ms);
	meshca_issued_fini(&issued);
}

static void an_issuer_that_has_ended_issues_nothing(void **state)
{
	struct ca *ca = *state;
	struct meshca_issued issued;
	struct mesh__err err = MESH__NO_ERR;

	fake_env_advance_ms(&ca->fake, ca->store.issuer.not_after_ms - mesh__wall_ms(&ca->fake.env));
	assert_int_equal(sign(ca, HOUR_MS, &issued, &err), MESHCA_ERROR_UNAVAILABLE);
	assert_null(issued.chain_pem);
	assert_non_null(strstr(err.message, "life ended"));
	assert_int_equal(log_size(ca), 0);
}

static void the_rate_runs_on_the_monotonic_clock(void **state)
{
	struct ca *ca = *state;
	struct meshca_issued issued;

	meshca_limit_init(&ca->signer.limit, 1, mesh__mono_us(&ca->fake.env));
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_NONE);
	meshca_issued_fini(&issued);
	atomic_fetch_add(&ca->fake.wall_ms, 10 * HOUR_MS);
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_RATE);
	fake_env_advance_ms(&ca->fake, 1000);
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_NONE);
	meshca_issued_fini(&issued);
}

static void without_a_log_there_is_no_certificate(void **state)
{
	struct ca *ca = *state;
	struct meshca_issued issued;
	int fd = ca->log.fd;

	ca->log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(ca->log.fd >= 0);
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_UNAVAILABLE);
	assert_null(issued.chain_pem);
	(void)close(ca->log.fd);
	ca->log.fd = fd;
	assert_int_equal(sign(ca, HOUR_MS, &issued, NULL), MESHCA_ERROR_NONE);
	meshca_issued_fini(&issued);
}

/* With each allocation failing once: a certificate and its line, or neither (the line may stand alone, never the certificate). */
static void survives_every_failing_allocation(void **state)
{
	struct ca *ca = *state;
	struct fail_mem f;
	bool done = false;

	for (long n = 1; !done; n++) {
		struct meshca_issued issued;
		off_t before = log_size(ca);
		enum meshca_error refused;

		fail_mem_init(&f);
		ca->fake.env.mem = f.mem;
		f.fail_at = n;
		refused = sign(ca, HOUR_MS, &issued, NULL);
		done = f.count < n;
		assert_true(refused == MESHCA_ERROR_NONE ? log_size(ca) > before : issued.chain_pem == NULL);
		assert_true(refused == MESHCA_ERROR_NONE || (!done && (refused == MESHCA_ERROR_INTERNAL || refused == MESHCA_ERROR_UNAVAILABLE)));
		meshca_issued_fini(&issued);
		assert_int_equal(f.live, 0);
	}
	ca->fake.env.mem = *mesh__mem_libc();
}

static void requests_survive_every_failing_allocation(void **state)
{
	static const char text[] = "{\"id\":\"9\",\"op\":\"sign\",\"csr\":\"c\",\"service\":\"payments\",\"namespace\":\"shop\",\"ttlMs\":\"7\",\"later\":[1,{}]}";
	struct fail_mem f;
	bool done = false;

	(void)state;
	for (long n = 1; !done; n++) {
		struct meshca_request request;
		enum meshca_error refused;

		fail_mem_init(&f);
		f.fail_at = n;
		refused = meshca_request_decode(&f.mem, text, strlen(text), &request, NULL);
		done = f.count < n;
		assert_int_equal(refused, done ? MESHCA_ERROR_NONE : refused == MESHCA_ERROR_NONE ? MESHCA_ERROR_NONE : MESHCA_ERROR_INTERNAL);
		if (done) {
			assert_string_equal(request.id, "9");
			assert_int_equal(request.op, MESHCA_OP_SIGN);
			assert_string_equal(request.ask.service, "payments");
			assert_string_equal(request.ask.ns, "shop");
			assert_int_equal(request.ask.ttl_ms, 7);
		}
		meshca_request_fini(&request);
		assert_int_equal(f.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_life_is_backdated_and_cut_to_the_issuers, setup, teardown),
		cmocka_unit_test_setup_teardown(an_issuer_that_has_ended_issues_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_rate_runs_on_the_monotonic_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_log_there_is_no_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_every_failing_allocation, setup, teardown),
		cmocka_unit_test(requests_survive_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
