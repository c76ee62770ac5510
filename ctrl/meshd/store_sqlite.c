#include "meshd/store.h"

#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/str.h"
#include "wire/json.h"

/*
 * The schema, one string a version: a store is brought from its version to the newest one by running those in between, each in a transaction.
 * Released entries are never edited.
 */
static const char *const migrations[] = {
	"CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE counter (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO counter VALUES ('generation', 0), ('trust', 1);"
	"CREATE TABLE token (id TEXT PRIMARY KEY, hash BLOB NOT NULL CHECK (length(hash) = 32), service TEXT NOT NULL, ns TEXT NOT NULL,"
	" uses INTEGER NOT NULL, used INTEGER NOT NULL CHECK (used >= 0 AND (uses = 0 OR used <= uses)), created INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE cert (serial TEXT PRIMARY KEY, parent TEXT NOT NULL, service TEXT NOT NULL, ns TEXT NOT NULL, spiffe TEXT NOT NULL, instance TEXT NOT NULL,"
	" how TEXT NOT NULL, issued INTEGER NOT NULL, not_after INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '');"
	"CREATE INDEX cert_parent ON cert (parent);"
	"CREATE INDEX cert_service ON cert (ns, service);"
	"CREATE INDEX cert_revoked ON cert (revoked) WHERE revoked > 0;"
	"CREATE TABLE service (ns TEXT NOT NULL, service TEXT NOT NULL, version INTEGER NOT NULL, floor INTEGER NOT NULL, PRIMARY KEY (ns, service)) WITHOUT ROWID;"
	"CREATE TABLE instance (ns TEXT NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, addresses TEXT NOT NULL, label TEXT, zone TEXT, reason TEXT,"
	" version INTEGER NOT NULL, PRIMARY KEY (ns, service, instance), FOREIGN KEY (ns, service) REFERENCES service (ns, service)) WITHOUT ROWID;"
	"CREATE TABLE config (kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, text TEXT, generation INTEGER NOT NULL, updated INTEGER NOT NULL,"
	" PRIMARY KEY (kind, ns, name)) WITHOUT ROWID;",
};

#define FAMILY                                                                                                         \
	"WITH RECURSIVE family(serial) AS (VALUES(?1) UNION SELECT cert.serial FROM cert JOIN family ON cert.parent = family.serial) "
#define CERT_COLUMNS "SELECT serial, parent, service, ns, spiffe, instance, how, issued, not_after, revoked, reason FROM cert "
#define TOKEN_COLUMNS "SELECT id, hash, service, ns, uses, used, created, expires FROM token "

/* X(NAME, "sql"): every statement there is, prepared once. */
#define STATEMENTS(X)                                                                                                  \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                                    \
	X(COMMIT, "COMMIT")                                                                                            \
	X(ROLLBACK, "ROLLBACK")                                                                                        \
	X(SETTING, "SELECT value FROM setting WHERE key = ?1")                                                         \
	X(SET, "INSERT INTO setting VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")           \
	X(COUNTER, "SELECT value FROM counter WHERE key = ?1")                                                         \
	X(COUNTER_SET, "UPDATE counter SET value = ?2 WHERE key = ?1")                                                 \
	X(COUNTER_UP, "UPDATE counter SET value = value + 1 WHERE key = ?1")                                           \
	X(TOKEN_ADD, "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                      \
	X(TOKEN_FIND, TOKEN_COLUMNS "WHERE id = ?1")                                                                   \
	X(TOKEN_USE, "UPDATE token SET used = used + 1 WHERE id = ?1 AND (uses = 0 OR used < uses) AND expires > ?2")  \
	X(TOKEN_DELETE, "DELETE FROM token WHERE id = ?1")                                                             \
	X(TOKENS, TOKEN_COLUMNS "ORDER BY created, id")                                                                \
	X(CERT_ADD, "INSERT INTO cert VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, '')")                             \
	X(CERT_REFUSED, "WITH RECURSIVE line(serial, parent, revoked) AS (SELECT serial, parent, revoked FROM cert WHERE serial = ?1"                    \
		" UNION SELECT c.serial, c.parent, c.revoked FROM cert c JOIN line ON c.serial = line.parent)"         \
		" SELECT count(*) FROM line WHERE revoked > 0")                                                        \
	X(CERT_REVOKE, FAMILY "UPDATE cert SET revoked = ?2, reason = ?3 WHERE revoked = 0 AND serial IN (SELECT serial FROM family)")                   \
	X(CERT_FIND, CERT_COLUMNS "WHERE serial = ?1")                                                                 \
	X(CERT_FAMILY, FAMILY CERT_COLUMNS "WHERE serial IN (SELECT serial FROM family) ORDER BY issued, serial")      \
	X(CERTS, CERT_COLUMNS "ORDER BY issued DESC, serial LIMIT ?1")                                                 \
	X(CERTS_OF, CERT_COLUMNS "WHERE ns = ?2 AND service = ?3 ORDER BY issued DESC, serial LIMIT ?1")               \
	X(CERT_NEWEST, "SELECT coalesce(max(issued), 0) FROM cert")                                                    \
	X(CERTS_REVOKED, CERT_COLUMNS "WHERE revoked > 0 AND not_after > min(?1, (SELECT issued FROM cert ORDER BY rowid DESC LIMIT 1)) ORDER BY serial") \
	X(SERVICE_PUT, "INSERT INTO service VALUES (?1, ?2, ?3, ?4) ON CONFLICT (ns, service) DO UPDATE SET version = excluded.version, floor = excluded.floor") \
	X(SERVICES, "SELECT ns, service, version, floor FROM service")                                                 \
	X(INSTANCE_PUT, "INSERT OR REPLACE INTO instance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                     \
	X(INSTANCE_PRUNE, "DELETE FROM instance WHERE ns = ?1 AND service = ?2 AND reason IS NOT NULL AND version <= ?3")                                 \
	X(INSTANCES, "SELECT ns, service, instance, addresses, label, zone, reason, version FROM instance ORDER BY version")                             \
	X(CONFIG_PUT, "INSERT OR REPLACE INTO config VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                 \
	X(CONFIG, "SELECT kind, ns, name, text, generation, updated FROM config ORDER BY ns, name, kind")

#define X(name, sql) STMT_##name,
enum statement { STATEMENTS(X) N_STATEMENTS };
#undef X

#define X(name, sql) sql,
static const char *const statement_sql[] = {STATEMENTS(X)};
#undef X

struct meshd_store {
	const struct mesh__env *env;
	sqlite3 *db;
	sqlite3_stmt *stmt[N_STATEMENTS];
};

static int fail_sql(struct meshd_store *store, const char *what, struct mesh__err *err)
{
	int code = sqlite3_extended_errcode(store->db);

	if (code == SQLITE_NOMEM) {
		return mesh__fail_memory(err);
	}
	return mesh__fail(err, MESH_E_IO, "the store cannot %s: %s", what, sqlite3_errmsg(store->db));
}

/* ---- One statement: take it, bind in order, step, let go. ---- */

struct query {
	struct meshd_store *store;
	sqlite3_stmt *stmt;
	int bound;
	int rc;
};

static struct query query(struct meshd_store *store, enum statement which)
{
	return (struct query){.store = store, .stmt = store->stmt[which], .rc = SQLITE_OK};
}

static void bind_text(struct query *q, const char *text)
{
	int rc = text == NULL ? sqlite3_bind_null(q->stmt, ++q->bound) : sqlite3_bind_text(q->stmt, ++q->bound, text, -1, SQLITE_TRANSIENT);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

static void bind_int(struct query *q, int64_t value)
{
	int rc = sqlite3_bind_int64(q->stmt, ++q->bound, value);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

static void bind_blob(struct query *q, const void *bytes, size_t len)
{
	int rc = sqlite3_bind_blob(q->stmt, ++q->bound, bytes, (int)len, SQLITE_TRANSIENT);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

/* The next row; false at the end and on a failure, which q->rc tells apart. */
static bool step(struct query *q)
{
	if (q->rc == SQLITE_OK || q->rc == SQLITE_ROW) {
		q->rc = sqlite3_step(q->stmt);
	}
	return q->rc == SQLITE_ROW;
}

static int done(struct query *q, const char *what, struct mesh__err *err)
{
	int code = MESH_OK;

	if (q->rc == SQLITE_NOMEM) {
		code = mesh__fail_memory(err);
	} else if (q->rc != SQLITE_ROW && q->rc != SQLITE_DONE) {
		code = fail_sql(q->store, what, err);
	}
	(void)sqlite3_reset(q->stmt);
	(void)sqlite3_clear_bindings(q->stmt);
	return code;
}

static int run(struct query *q, const char *what, struct mesh__err *err)
{
	(void)step(q);
	return done(q, what, err);
}

static void column_text(struct query *q, int column, char *out, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(q->stmt, column);

	(void)snprintf(out, cap, "%s", text == NULL ? "" : (const char *)text);
}

static int begin(struct meshd_store *store, struct mesh__err *err)
{
	struct query q = query(store, STMT_BEGIN);

	return run(&q, "begin a write", err);
}

/* Ends the transaction: commits when `code` is MESH_OK, else (or when that fails) takes everything back. */
static int end(struct meshd_store *store, int code, struct mesh__err *err)
{
	struct query commit = query(store, STMT_COMMIT);
	struct query rollback = query(store, STMT_ROLLBACK);

	if (code == MESH_OK) {
		code = run(&commit, "commit", err);
	}
	/* A full disk makes SQLite roll back by itself; a second one would only blur the message. */
	if (code != MESH_OK && sqlite3_get_autocommit(store->db) == 0) {
		(void)run(&rollback, "roll back", NULL);
	}
	return code;
}

/* ---- Opening. ---- */

static int exec(struct meshd_store *store, const char *sql, const char *what, struct mesh__err *err)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MESH_OK : fail_sql(store, what, err);
}

/* The first column of the first row, as text; for pragmas. */
static int ask(struct meshd_store *store, const char *sql, char *out, size_t cap, struct mesh__err *err)
{
	sqlite3_stmt *stmt = NULL;
	int code = MESH_OK;

	out[0] = '\0';
	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW) {
		code = fail_sql(store, "be read", err);
	} else {
		const unsigned char *text = sqlite3_column_text(stmt, 0);

		(void)snprintf(out, cap, "%s", text == NULL ? "" : (const char *)text);
	}
	(void)sqlite3_finalize(stmt);
	return code;
}

static int check_sound(struct meshd_store *store, const char *path, struct mesh__err *err)
{
	struct mesh__err why = MESH__NO_ERR;
	char answer[200];

	if (ask(store, "PRAGMA quick_check(1)", answer, sizeof(answer), &why) != MESH_OK) {
		return mesh__fail(err, MESH_E_IO, "the store %s is damaged or no store: %s; restore it from a backup, or move it away to begin anew", path, why.message);
	}
	if (strcmp(answer, "ok") != 0) {
		return mesh__fail(err, MESH_E_IO, "the store %s is damaged: %s; restore it from a backup, or move it away to begin anew", path, answer);
	}
	return MESH_OK;
}

static int migrate(struct meshd_store *store, const char *path, struct mesh__err *err)
{
	char answer[32];
	char sql[96];
	uint64_t version = 0;
	int code;

	code = exec(store, "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL)", "make its first table", err);
	if (code == MESH_OK) {
		code = ask(store, "SELECT coalesce(max(version), 0) FROM migration", answer, sizeof(answer), err);
	}
	if (code != MESH_OK || !mesh__str_u64(answer, strlen(answer), INT32_MAX, &version)) {
		return code;
	}
	if (version > MESH__COUNT(migrations)) {
		return mesh__fail(err, MESH_E_UNSUPPORTED, "the store %s has schema version %s, but this meshd knows %zu at most; run the newer meshd",
			path, answer, MESH__COUNT(migrations));
	}
	for (uint64_t v = version; v < MESH__COUNT(migrations) && code == MESH_OK; v++) {
		code = exec(store, "BEGIN IMMEDIATE", "begin a migration", err);
		if (code == MESH_OK) {
			(void)snprintf(sql, sizeof(sql), "INSERT INTO migration VALUES (%d, %lld)", (int)v + 1, (long long)mesh__wall_ms(store->env));
			code = exec(store, migrations[v], "migrate", err);
			code = code == MESH_OK ? exec(store, sql, "migrate", err) : code;
			code = code == MESH_OK ? exec(store, "COMMIT", "commit a migration", err) : code;
		}
		if (code != MESH_OK && sqlite3_get_autocommit(store->db) == 0) {
			(void)exec(store, "ROLLBACK", "roll back", NULL);
		}
	}
	return code;
}

static int prepare_all(struct meshd_store *store, struct mesh__err *err)
{
	for (int i = 0; i < N_STATEMENTS; i++) {
		if (sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &store->stmt[i], NULL) != SQLITE_OK) {
			return fail_sql(store, "prepare a statement", err);
		}
	}
	return MESH_OK;
}

int meshd_store_open(const struct mesh__env *env, const char *path, struct meshd_store **out, struct mesh__err *err)
{
	struct meshd_store *store = mesh__alloc(&env->mem, sizeof(*store));
	int code;

	*out = NULL;
	if (store == NULL) {
		return mesh__fail_memory(err);
	}
	store->env = env;
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		code = mesh__fail(err, MESH_E_IO, "the store %s cannot be opened: %s", path, store->db == NULL ? "out of memory" : sqlite3_errmsg(store->db));
		goto out;
	}
	(void)sqlite3_busy_timeout(store->db, 2000);
	code = check_sound(store, path, err);
	if (code == MESH_OK) {
		/* WAL with FULL: what is acknowledged survives power loss, and a torn tail costs only what was not acknowledged. */
		code = exec(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF", "set itself up", err);
	}
	code = code == MESH_OK ? migrate(store, path, err) : code;
	code = code == MESH_OK ? prepare_all(store, err) : code;
out:
	if (code != MESH_OK) {
		meshd_store_close(store);
		store = NULL;
	}
	*out = store;
	return code;
}

void meshd_store_close(struct meshd_store *store)
{
	if (store == NULL) {
		return;
	}
	for (int i = 0; i < N_STATEMENTS; i++) {
		(void)sqlite3_finalize(store->stmt[i]);
	}
	(void)sqlite3_close(store->db);
	mesh__free(store);
}

/* ---- Settings and counters. ---- */

int meshd_store_setting(struct meshd_store *store, const char *key, char *value, struct mesh__err *err)
{
	struct query q = query(store, STMT_SETTING);
	bool found;
	int code;

	bind_text(&q, key);
	found = step(&q);
	if (found) {
		column_text(&q, 0, value, MESHD_TEXT_MAX);
	}
	code = done(&q, "read a setting", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no setting \"%s\"", key) : code;
}

int meshd_store_set(struct meshd_store *store, const char *key, const char *value, struct mesh__err *err)
{
	struct query q = query(store, STMT_SET);

	bind_text(&q, key);
	bind_text(&q, value);
	return run(&q, "write a setting", err);
}

static int read_counter(struct meshd_store *store, const char *key, uint64_t *value, struct mesh__err *err)
{
	struct query q = query(store, STMT_COUNTER);

	bind_text(&q, key);
	if (step(&q)) {
		*value = (uint64_t)sqlite3_column_int64(q.stmt, 0);
	}
	return done(&q, "read a counter", err);
}

int meshd_store_trust_version(struct meshd_store *store, uint64_t *version, struct mesh__err *err)
{
	return read_counter(store, "trust", version, err);
}

int meshd_store_generation(struct meshd_store *store, uint64_t *generation, struct mesh__err *err)
{
	return read_counter(store, "generation", generation, err);
}

/* ---- Tokens. ---- */

int meshd_store_token_add(struct meshd_store *store, const struct meshd_token *token, struct mesh__err *err)
{
	struct query q = query(store, STMT_TOKEN_ADD);

	bind_text(&q, token->id);
	bind_blob(&q, token->hash, sizeof(token->hash));
	bind_text(&q, token->name.service);
	bind_text(&q, token->name.ns);
	bind_int(&q, (int64_t)token->uses);
	bind_int(&q, (int64_t)token->used);
	bind_int(&q, token->created_ms);
	bind_int(&q, token->expires_ms);
	(void)step(&q);
	if (q.rc == SQLITE_CONSTRAINT) {
		(void)done(&q, "add a token", NULL);
		return mesh__fail(err, MESH_E_EXISTS, "there is a token %s already", token->id);
	}
	return done(&q, "add a token", err);
}

static void read_token(struct query *q, struct meshd_token *token)
{
	const void *hash = sqlite3_column_blob(q->stmt, 1);

	*token = (struct meshd_token){.uses = (uint64_t)sqlite3_column_int64(q->stmt, 4), .used = (uint64_t)sqlite3_column_int64(q->stmt, 5),
		.created_ms = sqlite3_column_int64(q->stmt, 6), .expires_ms = sqlite3_column_int64(q->stmt, 7)};
	column_text(q, 0, token->id, sizeof(token->id));
	if (hash != NULL && sqlite3_column_bytes(q->stmt, 1) == (int)sizeof(token->hash)) {
		memcpy(token->hash, hash, sizeof(token->hash));
	}
	column_text(q, 2, token->name.service, sizeof(token->name.service));
	column_text(q, 3, token->name.ns, sizeof(token->name.ns));
}

int meshd_store_token_find(struct meshd_store *store, const char *id, struct meshd_token *out, struct mesh__err *err)
{
	struct query q = query(store, STMT_TOKEN_FIND);
	bool found;
	int code;

	bind_text(&q, id);
	found = step(&q);
	if (found) {
		read_token(&q, out);
	}
	code = done(&q, "find a token", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no token %s", id) : code;
}

int meshd_store_token_delete(struct meshd_store *store, const char *id, struct mesh__err *err)
{
	struct query q = query(store, STMT_TOKEN_DELETE);
	int code;

	bind_text(&q, id);
	code = run(&q, "delete a token", err);
	return code == MESH_OK && sqlite3_changes(store->db) == 0 ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no token %s", id) : code;
}

int meshd_store_tokens(struct meshd_store *store, meshd_token_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_TOKENS);
	struct meshd_token token;

	while (step(&q)) {
		read_token(&q, &token);
		if (!fn(user, &token)) {
			q.rc = SQLITE_NOMEM;
		}
	}
	return done(&q, "list tokens", err);
}

/* ---- Certificates. ---- */

static int use_token(struct meshd_store *store, const char *id, int64_t now_ms, struct mesh__err *err)
{
	struct query q = query(store, STMT_TOKEN_USE);
	int code;

	bind_text(&q, id);
	bind_int(&q, now_ms);
	code = run(&q, "count a token's use", err);
	return code == MESH_OK && sqlite3_changes(store->db) == 0 ? mesh__fail(err, MESH_E_DENIED, "token %s has no use left", id) : code;
}

static int insert_cert(struct meshd_store *store, const struct meshd_cert *cert, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_ADD);

	bind_text(&q, cert->serial);
	bind_text(&q, cert->parent);
	bind_text(&q, cert->name.service);
	bind_text(&q, cert->name.ns);
	bind_text(&q, cert->spiffe);
	bind_text(&q, cert->instance);
	bind_text(&q, cert->how);
	bind_int(&q, cert->issued_ms);
	bind_int(&q, cert->not_after_ms);
	return run(&q, "record a certificate", err);
}

int meshd_store_cert_add(struct meshd_store *store, const struct meshd_cert *cert, const char *token, struct mesh__err *err)
{
	int code = begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	code = token == NULL ? MESH_OK : use_token(store, token, cert->issued_ms, err);
	code = code == MESH_OK ? insert_cert(store, cert, err) : code;
	return end(store, code, err);
}

static void read_cert(struct query *q, struct meshd_cert *cert)
{
	*cert = (struct meshd_cert){.issued_ms = sqlite3_column_int64(q->stmt, 7), .not_after_ms = sqlite3_column_int64(q->stmt, 8),
		.revoked_ms = sqlite3_column_int64(q->stmt, 9)};
	column_text(q, 0, cert->serial, sizeof(cert->serial));
	column_text(q, 1, cert->parent, sizeof(cert->parent));
	column_text(q, 2, cert->name.service, sizeof(cert->name.service));
	column_text(q, 3, cert->name.ns, sizeof(cert->name.ns));
	column_text(q, 4, cert->spiffe, sizeof(cert->spiffe));
	column_text(q, 5, cert->instance, sizeof(cert->instance));
	column_text(q, 6, cert->how, sizeof(cert->how));
	column_text(q, 10, cert->reason, sizeof(cert->reason));
}

static int list_certs(struct query *q, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_cert cert;

	while (step(q)) {
		read_cert(q, &cert);
		if (!fn(user, &cert)) {
			q->rc = SQLITE_NOMEM;
		}
	}
	return done(q, "list certificates", err);
}

int meshd_store_cert_refused(struct meshd_store *store, const char *serial, bool *refused, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_REFUSED);

	*refused = true;
	bind_text(&q, serial);
	if (step(&q)) {
		*refused = sqlite3_column_int64(q.stmt, 0) > 0;
	}
	return done(&q, "look a certificate's line up", err);
}

static int cert_exists(struct meshd_store *store, const char *serial, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_FIND);
	bool found;
	int code;

	bind_text(&q, serial);
	found = step(&q);
	code = done(&q, "find a certificate", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no certificate with serial %s on record", serial) : code;
}

int meshd_store_cert_revoke(struct meshd_store *store, const char *serial, const char *reason, int64_t now_ms, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_REVOKE);
	struct query up = query(store, STMT_COUNTER_UP);
	int code = begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	code = cert_exists(store, serial, err);
	if (code == MESH_OK) {
		bind_text(&q, serial);
		bind_int(&q, now_ms);
		bind_text(&q, reason);
		code = run(&q, "revoke", err);
	}
	if (code == MESH_OK) {
		bind_text(&up, "trust");
		code = run(&up, "revoke", err);
	}
	return end(store, code, err);
}

int meshd_store_certs(struct meshd_store *store, const struct mesh__name *name, int64_t limit, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, name == NULL ? STMT_CERTS : STMT_CERTS_OF);

	bind_int(&q, limit);
	if (name != NULL) {
		bind_text(&q, name->ns);
		bind_text(&q, name->service);
	}
	return list_certs(&q, fn, user, err);
}

int meshd_store_cert_family(struct meshd_store *store, const char *serial, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_FAMILY);

	bind_text(&q, serial);
	return list_certs(&q, fn, user, err);
}

int meshd_store_cert_newest(struct meshd_store *store, int64_t *issued_ms, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERT_NEWEST);

	*issued_ms = 0;
	if (step(&q)) {
		*issued_ms = sqlite3_column_int64(q.stmt, 0);
	}
	return done(&q, "find the newest certificate", err);
}

int meshd_store_certs_revoked(struct meshd_store *store, int64_t now_ms, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_CERTS_REVOKED);

	bind_int(&q, now_ms);
	return list_certs(&q, fn, user, err);
}

/* ---- The registry. ---- */

static int put_instance(struct meshd_store *store, const struct meshd_instance_row *row, struct mesh__err *err)
{
	struct query q = query(store, STMT_INSTANCE_PUT);
	struct mesh__buf addresses;
	int code;

	/* Addresses are literals that were checked: a space cannot stand in one. */
	mesh__buf_init(&addresses, &store->env->mem, 4096);
	mesh__buf_str(&addresses, "");
	for (size_t i = 0; i < row->msg.n_addresses; i++) {
		mesh__buf_printf(&addresses, "%s%s", i > 0 ? " " : "", row->msg.addresses[i]);
	}
	code = mesh__buf_error(&addresses, "an instance's addresses", err);
	if (code == MESH_OK) {
		bind_text(&q, row->name.ns);
		bind_text(&q, row->name.service);
		bind_text(&q, row->msg.instance);
		bind_text(&q, addresses.data);
		bind_text(&q, row->msg.version);
		bind_text(&q, row->msg.zone);
		bind_text(&q, row->msg.reason);
		bind_int(&q, (int64_t)row->version);
		code = run(&q, "write an instance", err);
	}
	mesh__buf_fini(&addresses);
	return code;
}

int meshd_store_instance_put(struct meshd_store *store, const struct meshd_instance_row *row, uint64_t floor, struct mesh__err *err)
{
	struct query service = query(store, STMT_SERVICE_PUT);
	struct query prune = query(store, STMT_INSTANCE_PRUNE);
	int code = begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	bind_text(&service, row->name.ns);
	bind_text(&service, row->name.service);
	bind_int(&service, (int64_t)row->version);
	bind_int(&service, (int64_t)floor);
	code = run(&service, "write a service", err);
	code = code == MESH_OK ? put_instance(store, row, err) : code;
	if (code == MESH_OK) {
		bind_text(&prune, row->name.ns);
		bind_text(&prune, row->name.service);
		bind_int(&prune, (int64_t)floor);
		code = run(&prune, "forget old removals", err);
	}
	return end(store, code, err);
}

int meshd_store_services(struct meshd_store *store, meshd_service_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_SERVICES);
	struct mesh__name name = {.trust_domain = ""};

	while (step(&q)) {
		column_text(&q, 0, name.ns, sizeof(name.ns));
		column_text(&q, 1, name.service, sizeof(name.service));
		if (!fn(user, &name, (uint64_t)sqlite3_column_int64(q.stmt, 2), (uint64_t)sqlite3_column_int64(q.stmt, 3))) {
			q.rc = SQLITE_NOMEM;
		}
	}
	return done(&q, "list services", err);
}

static char *column_copy(struct query *q, int column)
{
	return mesh__strdup(&q->store->env->mem, (const char *)sqlite3_column_text(q->stmt, column));
}

/* The addresses, split where put_instance() joined them. */
static bool read_addresses(struct query *q, struct mesh__msg_instance *msg)
{
	const char *text = (const char *)sqlite3_column_text(q->stmt, 3);

	while (text != NULL && *text != '\0' && msg->n_addresses < MESH__MSG_MAX_ADDRESSES) {
		size_t n = strcspn(text, " ");

		msg->addresses[msg->n_addresses] = mesh__strndup(&q->store->env->mem, text, n);
		if (msg->addresses[msg->n_addresses] == NULL) {
			return false;
		}
		msg->n_addresses++;
		text += n + (text[n] == ' ' ? 1 : 0);
	}
	return true;
}

static bool read_instance(struct query *q, struct meshd_instance_row *row)
{
	column_text(q, 0, row->name.ns, sizeof(row->name.ns));
	column_text(q, 1, row->name.service, sizeof(row->name.service));
	row->msg.instance = column_copy(q, 2);
	row->msg.version = column_copy(q, 4);
	row->msg.zone = column_copy(q, 5);
	row->msg.reason = column_copy(q, 6);
	row->version = (uint64_t)sqlite3_column_int64(q->stmt, 7);
	return row->msg.instance != NULL && read_addresses(q, &row->msg);
}

int meshd_store_instances(struct meshd_store *store, meshd_instance_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_INSTANCES);

	while (step(&q)) {
		struct meshd_instance_row row = {.version = 0};

		if (!read_instance(&q, &row) || !fn(user, &row)) {
			q.rc = SQLITE_NOMEM;
		}
		mesh__msg_instance_fini(&row.msg);
	}
	return done(&q, "list instances", err);
}

/* ---- The configuration. ---- */

int meshd_store_config_put(struct meshd_store *store, const struct meshd_config_row *rows, size_t n, uint64_t generation, struct mesh__err *err)
{
	struct query counter = query(store, STMT_COUNTER_SET);
	int code = begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	for (size_t i = 0; i < n && code == MESH_OK; i++) {
		struct query q = query(store, STMT_CONFIG_PUT);

		bind_text(&q, mesh__kind_name(rows[i].kind));
		bind_text(&q, rows[i].name.ns);
		bind_text(&q, rows[i].name.service);
		bind_text(&q, rows[i].text);
		bind_int(&q, (int64_t)rows[i].generation);
		bind_int(&q, rows[i].updated_ms);
		code = run(&q, "write a document", err);
	}
	if (code == MESH_OK) {
		bind_text(&counter, "generation");
		bind_int(&counter, (int64_t)generation);
		code = run(&counter, "write the generation", err);
	}
	return end(store, code, err);
}

int meshd_store_config(struct meshd_store *store, meshd_config_fn fn, void *user, struct mesh__err *err)
{
	struct query q = query(store, STMT_CONFIG);
	struct meshd_config_row row = {.text = NULL};
	char kind[32];

	while (step(&q)) {
		column_text(&q, 0, kind, sizeof(kind));
		if (!mesh__kind_parse(kind, &row.kind)) {
			continue; /* of a kind that a newer meshd wrote: kept, and not in force here */
		}
		column_text(&q, 1, row.name.ns, sizeof(row.name.ns));
		column_text(&q, 2, row.name.service, sizeof(row.name.service));
		row.generation = (uint64_t)sqlite3_column_int64(q.stmt, 4);
		row.updated_ms = sqlite3_column_int64(q.stmt, 5);
		row.text = column_copy(&q, 3);
		if ((row.text == NULL && sqlite3_column_type(q.stmt, 3) != SQLITE_NULL) || !fn(user, &row)) {
			q.rc = SQLITE_NOMEM;
		}
		mesh__free(row.text);
	}
	return done(&q, "list documents", err);
}
