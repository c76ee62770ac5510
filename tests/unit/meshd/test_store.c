#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/str.h"
#include "meshd/store.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct meshd_store *store;
};

static void open_store(struct fixture *f)
{
	struct mesh__err err = MESH__NO_ERR;

	if (meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "meshd.db"), &f->store, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
}

static void reopen(struct fixture *f)
{
	meshd_store_close(f->store);
	open_store(f);
}

static int setup(void **state)
{
	static struct fixture f;

	fake_env_init(&f.fake);
	*state = &f;
	if (scratch_init(&f.scratch) != 0) {
		return -1;
	}
	open_store(&f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_store_close(f->store);
	f->store = NULL;
	scratch_fini(&f->scratch);
	return 0;
}

/* ---- Tokens (THREATS 19). ---- */

static struct meshd_token token_of(const char *id, uint64_t uses, int64_t expires_ms)
{
	struct meshd_token token = {.uses = uses, .created_ms = 1, .expires_ms = expires_ms, .name = {.ns = "default", .service = "payments"}};

	(void)snprintf(token.id, sizeof(token.id), "%s", id);
	memset(token.hash, 0xa5, sizeof(token.hash));
	return token;
}

/* A join at that time with that token: a certificate of its own, on record. */
static int join_at(struct fixture *f, const char *token, int number, int64_t now_ms)
{
	struct meshd_cert cert = {.name = {.ns = "default", .service = "payments"}, .issued_ms = now_ms, .not_after_ms = 100000};

	(void)snprintf(cert.serial, sizeof(cert.serial), "%s%d", token, number);
	return meshd_store_cert_add(f->store, &cert, token, NULL);
}

static bool count_cert(void *user, const struct meshd_cert *cert)
{
	(void)cert;
	*(int *)user += 1;
	return true;
}

static void assert_counts(struct fixture *f, const char *token, uint64_t used, int certs)
{
	struct meshd_token record;
	int n = 0;

	assert_int_equal(meshd_store_token_find(f->store, token, &record, NULL), MESH_OK);
	assert_int_equal(record.used, used);
	assert_int_equal(meshd_store_certs(f->store, NULL, 100, count_cert, &n, NULL), MESH_OK);
	assert_int_equal(n, certs);
}

static void threat_19_a_token_gives_exactly_its_uses_also_across_a_restart(void **state)
{
	struct fixture *f = *state;
	struct meshd_token token = token_of("00000000000000aa", 3, 1000);

	assert_int_equal(meshd_store_token_add(f->store, &token, NULL), MESH_OK);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(join_at(f, token.id, i, 500), i < 3 ? MESH_OK : MESH_E_DENIED);
		reopen(f);
	}
	assert_counts(f, token.id, 3, 3);
}

static void threat_19_a_use_is_counted_with_its_certificate_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct meshd_token token = token_of("00000000000000ab", 2, 1000);

	assert_int_equal(meshd_store_token_add(f->store, &token, NULL), MESH_OK);
	assert_int_equal(join_at(f, token.id, 1, 5), MESH_OK);
	assert_int_equal(join_at(f, token.id, 1, 5), MESH_E_IO); /* the same serial once more */
	assert_counts(f, token.id, 1, 1);
	assert_int_equal(join_at(f, token.id, 2, 5), MESH_OK);
	assert_int_equal(join_at(f, token.id, 3, 5), MESH_E_DENIED);
	reopen(f);
	assert_counts(f, token.id, 2, 2);
}

static void an_expired_deleted_or_unknown_token_gives_no_use(void **state)
{
	struct fixture *f = *state;
	struct meshd_token token = token_of("00000000000000ac", 0, 1000);

	assert_int_equal(join_at(f, token.id, 1, 1), MESH_E_DENIED);
	assert_int_equal(meshd_store_token_add(f->store, &token, NULL), MESH_OK);
	assert_int_equal(meshd_store_token_add(f->store, &token, NULL), MESH_E_EXISTS);
	assert_int_equal(join_at(f, token.id, 1, 1000), MESH_E_DENIED);
	assert_int_equal(join_at(f, token.id, 1, 999), MESH_OK);
	assert_int_equal(meshd_store_token_delete(f->store, token.id, NULL), MESH_OK);
	assert_int_equal(join_at(f, token.id, 2, 999), MESH_E_DENIED);
	assert_int_equal(meshd_store_token_delete(f->store, token.id, NULL), MESH_E_NOT_FOUND);
}

/* ---- Certificates (THREATS 20). ---- */

static void add_cert_at(struct fixture *f, const char *serial, const char *parent, int64_t issued_ms)
{
	struct meshd_cert cert = {.name = {.ns = "default", .service = "payments"}, .issued_ms = issued_ms, .not_after_ms = 1000};

	(void)snprintf(cert.serial, sizeof(cert.serial), "%s", serial);
	(void)snprintf(cert.parent, sizeof(cert.parent), "%s", parent);
	assert_int_equal(meshd_store_cert_add(f->store, &cert, NULL, NULL), MESH_OK);
}

static void add_cert(struct fixture *f, const char *serial, const char *parent)
{
	add_cert_at(f, serial, parent, 1);
}

static bool refused(struct fixture *f, const char *serial)
{
	bool is_refused = false;

	assert_int_equal(meshd_store_cert_refused(f->store, serial, &is_refused, NULL), MESH_OK);
	return is_refused;
}

static void threat_20_a_revocation_reaches_every_descendant_and_nobody_else(void **state)
{
	struct fixture *f = *state;
	uint64_t before = 0, after = 0;
	int n = 0;

	add_cert(f, "a1", "");
	add_cert(f, "a2", "a1");
	add_cert(f, "a3", "a2");
	add_cert(f, "b1", "");
	assert_int_equal(meshd_store_trust_version(f->store, &before, NULL), MESH_OK);
	assert_int_equal(meshd_store_cert_revoke(f->store, "a2", "lost", 7, NULL), MESH_OK);
	assert_int_equal(meshd_store_trust_version(f->store, &after, NULL), MESH_OK);
	assert_int_equal(after, before + 1);
	assert_false(refused(f, "a1"));
	assert_true(refused(f, "a2"));
	assert_true(refused(f, "a3"));
	assert_false(refused(f, "b1"));
	assert_false(refused(f, "c1"));
	add_cert(f, "a4", "a3"); /* recorded too late, by a renewal that was under way */
	assert_true(refused(f, "a4"));
	assert_int_equal(meshd_store_cert_family(f->store, "a2", count_cert, &n, NULL), MESH_OK);
	assert_int_equal(n, 3);
	n = 0;
	assert_int_equal(meshd_store_certs_revoked(f->store, 999, count_cert, &n, NULL), MESH_OK);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(meshd_store_certs_revoked(f->store, 1000, count_cert, &n, NULL), MESH_OK);
	assert_int_equal(n, 2); /* a clock that nothing was issued by yet proves nothing */
	add_cert_at(f, "d1", "", 1000);
	n = 0;
	assert_int_equal(meshd_store_certs_revoked(f->store, 1000, count_cert, &n, NULL), MESH_OK);
	assert_int_equal(n, 0);
}

static void a_serial_that_is_not_on_record_cannot_be_revoked(void **state)
{
	struct fixture *f = *state;
	uint64_t version = 0;

	assert_int_equal(meshd_store_cert_revoke(f->store, "ff", "", 7, NULL), MESH_E_NOT_FOUND);
	assert_int_equal(meshd_store_trust_version(f->store, &version, NULL), MESH_OK);
	assert_int_equal(version, 1);
}

/* ---- The file itself (THREATS 25). ---- */

static void a_setting_survives_a_restart(void **state)
{
	struct fixture *f = *state;
	char value[MESHD_TEXT_MAX];

	assert_int_equal(meshd_store_setting(f->store, "trust-domain", value, NULL), MESH_E_NOT_FOUND);
	assert_int_equal(meshd_store_set(f->store, "trust-domain", "mesh.local", NULL), MESH_OK);
	reopen(f);
	assert_int_equal(meshd_store_setting(f->store, "trust-domain", value, NULL), MESH_OK);
	assert_string_equal(value, "mesh.local");
}

static void threat_25_a_damaged_store_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	char junk[4096];
	int fd;

	for (int i = 0; i < 200; i++) {
		char serial[16];

		(void)snprintf(serial, sizeof(serial), "%x", 0x1000 + i);
		add_cert(f, serial, "");
	}
	meshd_store_close(f->store);
	f->store = NULL;
	memset(junk, 0x5a, sizeof(junk));
	fd = open(scratch_path(&f->scratch, "meshd.db"), O_WRONLY);
	assert_true(fd >= 0);
	for (off_t at = 4096; at < 65536; at += 8192) {
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
	}
	assert_int_equal(close(fd), 0);
	assert_int_equal(meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "meshd.db"), &f->store, &err), MESH_E_IO);
	assert_null(f->store);
	assert_non_null(strstr(err.message, "damaged"));
	assert_non_null(strstr(err.message, "meshd.db"));
}

static void threat_25_a_torn_tail_of_the_log_costs_only_what_it_held(void **state)
{
	struct fixture *f = *state;
	char copy[400], wal[400], value[MESHD_TEXT_MAX];
	struct stat st;

	assert_int_equal(meshd_store_set(f->store, "first", "1", NULL), MESH_OK);
	(void)snprintf(wal, sizeof(wal), "%s", scratch_path(&f->scratch, "meshd.db-wal"));
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(meshd_store_set(f->store, "second", "2", NULL), MESH_OK);
	/* What a power cut leaves: the files as they stand, without the close that tidies up, and the last frame torn in the middle. */
	(void)snprintf(copy, sizeof(copy), "cp %s/meshd.db %s/torn.db && cp %s/meshd.db-wal %s/torn.db-wal", f->scratch.dir, f->scratch.dir, f->scratch.dir, f->scratch.dir);
	assert_int_equal(system(copy), 0);
	meshd_store_close(f->store);
	f->store = NULL;
	(void)snprintf(wal, sizeof(wal), "%s", scratch_path(&f->scratch, "torn.db-wal"));
	assert_int_equal(truncate(wal, st.st_size + 1000), 0);
	assert_int_equal(meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "torn.db"), &f->store, NULL), MESH_OK);
	assert_int_equal(meshd_store_setting(f->store, "first", value, NULL), MESH_OK);
	assert_int_equal(meshd_store_setting(f->store, "second", value, NULL), MESH_E_NOT_FOUND);
}

/* In a process of its own, so that the limit on file sizes (a full disk, to SQLite) is not the test's. */
static void write_until_the_disk_is_full(struct fixture *f)
{
	struct rlimit limit = {.rlim_cur = 400 * 1024, .rlim_max = 400 * 1024};
	char value[MESHD_TEXT_MAX];
	int written = 0;

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
		_exit(9);
	}
	do {
		(void)snprintf(value, sizeof(value), "%d", ++written);
		if (written > 10000) {
			_exit(8); /* it never filled up */
		}
	} while (meshd_store_set(f->store, "key", value, NULL) == MESH_OK);
	_exit(meshd_store_setting(f->store, "before", value, NULL) == MESH_OK && strcmp(value, "here") == 0 ? 0 : 7);
}

static void threat_25_on_a_full_disk_writes_fail_and_reads_go_on(void **state)
{
	struct fixture *f = *state;
	char value[MESHD_TEXT_MAX];
	int status = 0;
	pid_t pid;

	assert_int_equal(meshd_store_set(f->store, "before", "here", NULL), MESH_OK);
	meshd_store_close(f->store);
	f->store = NULL;
	pid = fork();
	if (pid == 0) {
		open_store(f);
		write_until_the_disk_is_full(f);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	open_store(f);
	assert_int_equal(meshd_store_setting(f->store, "before", value, NULL), MESH_OK);
	assert_int_equal(meshd_store_set(f->store, "after", "1", NULL), MESH_OK);
}

/* Writes numbers, each told to the parent once it is acknowledged, until it is killed. */
static void write_and_tell(struct fixture *f, int fd)
{
	for (int i = 1;; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%d", i);
		if (meshd_store_set(f->store, "n", text, NULL) != MESH_OK || write(fd, &i, sizeof(i)) != sizeof(i)) {
			_exit(1);
		}
	}
}

static void threat_25_after_kill_nothing_acknowledged_is_missing(void **state)
{
	struct fixture *f = *state;

	meshd_store_close(f->store);
	f->store = NULL;
	for (int round = 0; round < 5; round++) {
		char value[MESHD_TEXT_MAX];
		int pipe_fd[2], number = 0, last = 0;
		uint64_t found = 0;
		pid_t pid;

		assert_int_equal(pipe(pipe_fd), 0);
		pid = fork();
		if (pid == 0) {
			(void)close(pipe_fd[0]);
			open_store(f);
			write_and_tell(f, pipe_fd[1]);
		}
		(void)close(pipe_fd[1]);
		while (last < 5 + round * 3 && read(pipe_fd[0], &number, sizeof(number)) == sizeof(number)) {
			last = number;
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		while (read(pipe_fd[0], &number, sizeof(number)) == sizeof(number)) {
			last = number;
		}
		(void)close(pipe_fd[0]);
		open_store(f);
		assert_int_equal(meshd_store_setting(f->store, "n", value, NULL), MESH_OK);
		assert_true(mesh__str_u64(value, strlen(value), INT32_MAX, &found));
		assert_in_range(found, last, last + 1); /* the one under way may be there too */
		meshd_store_close(f->store);
		f->store = NULL;
	}
}

static void a_store_of_a_newer_meshd_is_refused(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	char command[500];

	meshd_store_close(f->store);
	f->store = NULL;
	(void)snprintf(command, sizeof(command),
		"python3 -c \"import sqlite3; c = sqlite3.connect('%s/meshd.db'); c.execute('insert into migration values (99, 0)'); c.commit()\"", f->scratch.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "meshd.db"), &f->store, &err), MESH_E_UNSUPPORTED);
	assert_non_null(strstr(err.message, "99"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(threat_19_a_token_gives_exactly_its_uses_also_across_a_restart),
		T(threat_19_a_use_is_counted_with_its_certificate_or_not_at_all),
		T(an_expired_deleted_or_unknown_token_gives_no_use),
		T(threat_20_a_revocation_reaches_every_descendant_and_nobody_else),
		T(a_serial_that_is_not_on_record_cannot_be_revoked),
		T(a_setting_survives_a_restart),
		T(threat_25_a_damaged_store_is_refused_by_name),
		T(threat_25_a_torn_tail_of_the_log_costs_only_what_it_held),
		T(threat_25_on_a_full_disk_writes_fail_and_reads_go_on),
		T(threat_25_after_kill_nothing_acknowledged_is_missing),
		T(a_store_of_a_newer_meshd_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
