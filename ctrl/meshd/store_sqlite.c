#include "meshd/store_sqlite.h"

#include <stdio.h>
#include <string.h>

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
	/* What is in force at the upgrade is the oldest that can be gone back to. */
	"CREATE TABLE generation (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, operator TEXT NOT NULL, restored INTEGER);"
	"CREATE TABLE revision (generation INTEGER NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, text TEXT, change TEXT NOT NULL,"
	" PRIMARY KEY (generation, ns, name, kind)) WITHOUT ROWID;"
	"INSERT INTO revision SELECT generation, ns, name, kind, text, 'created' FROM config WHERE text IS NOT NULL;"
	"INSERT INTO counter SELECT 'history', value FROM counter WHERE key = 'generation';",
};

#define X(name, sql) sql,
static const char *const statement_sql[] = {STATEMENTS(X)};
#undef X

static int fail_sql(struct meshd_store *store, const char *what, struct mesh__err *err)
{
	int code = sqlite3_extended_errcode(store->db);

	if (code == SQLITE_NOMEM) {
		return mesh__fail_memory(err);
	}
	return mesh__fail(err, MESH_E_IO, "the store cannot %s: %s", what, sqlite3_errmsg(store->db));
}

/* ---- One statement: take it, bind in order, step, let go. ---- */

struct meshd_query meshd_query(struct meshd_store *store, enum meshd_statement which)
{
	return (struct meshd_query){.store = store, .stmt = store->stmt[which], .rc = SQLITE_OK};
}

void meshd_query_text(struct meshd_query *q, const char *text)
{
	int rc = text == NULL ? sqlite3_bind_null(q->stmt, ++q->bound) : sqlite3_bind_text(q->stmt, ++q->bound, text, -1, SQLITE_TRANSIENT);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

void meshd_query_int(struct meshd_query *q, int64_t value)
{
	int rc = sqlite3_bind_int64(q->stmt, ++q->bound, value);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

static void bind_blob(struct meshd_query *q, const void *bytes, size_t len)
{
	int rc = sqlite3_bind_blob(q->stmt, ++q->bound, bytes, (int)len, SQLITE_TRANSIENT);

	q->rc = q->rc == SQLITE_OK ? rc : q->rc;
}

bool meshd_query_step(struct meshd_query *q)
{
	if (q->rc == SQLITE_OK || q->rc == SQLITE_ROW) {
		q->rc = sqlite3_step(q->stmt);
	}
	return q->rc == SQLITE_ROW;
}

int meshd_query_done(struct meshd_query *q, const char *what, struct mesh__err *err)
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

int meshd_query_run(struct meshd_query *q, const char *what, struct mesh__err *err)
{
	(void)meshd_query_step(q);
	return meshd_query_done(q, what, err);
}

void meshd_query_column(struct meshd_query *q, int column, char *out, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(q->stmt, column);

	(void)snprintf(out, cap, "%s", text == NULL ? "" : (const char *)text);
}

int meshd_store_begin(struct meshd_store *store, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_BEGIN);

	return meshd_query_run(&q, "begin a write", err);
}

int meshd_store_end(struct meshd_store *store, int code, struct mesh__err *err)
{
	struct meshd_query commit = meshd_query(store, STMT_COMMIT);
	struct meshd_query rollback = meshd_query(store, STMT_ROLLBACK);

	if (code == MESH_OK) {
		code = meshd_query_run(&commit, "commit", err);
	}
	/* A full disk makes SQLite roll back by itself; a second one would only blur the message. */
	if (code != MESH_OK && sqlite3_get_autocommit(store->db) == 0) {
		(void)meshd_query_run(&rollback, "roll back", NULL);
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
	struct meshd_query q = meshd_query(store, STMT_SETTING);
	bool found;
	int code;

	meshd_query_text(&q, key);
	found = meshd_query_step(&q);
	if (found) {
		meshd_query_column(&q, 0, value, MESHD_TEXT_MAX);
	}
	code = meshd_query_done(&q, "read a setting", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no setting \"%s\"", key) : code;
}

int meshd_store_set(struct meshd_store *store, const char *key, const char *value, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_SET);

	meshd_query_text(&q, key);
	meshd_query_text(&q, value);
	return meshd_query_run(&q, "write a setting", err);
}

int meshd_store_counter(struct meshd_store *store, const char *key, uint64_t *value, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_COUNTER);

	meshd_query_text(&q, key);
	if (meshd_query_step(&q)) {
		*value = (uint64_t)sqlite3_column_int64(q.stmt, 0);
	}
	return meshd_query_done(&q, "read a counter", err);
}

int meshd_store_counter_set(struct meshd_store *store, const char *key, uint64_t value, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_COUNTER_SET);

	meshd_query_text(&q, key);
	meshd_query_int(&q, (int64_t)value);
	return meshd_query_run(&q, "write a counter", err);
}

int meshd_store_trust_version(struct meshd_store *store, uint64_t *version, struct mesh__err *err)
{
	return meshd_store_counter(store, "trust", version, err);
}

/* ---- Tokens. ---- */

int meshd_store_token_add(struct meshd_store *store, const struct meshd_token *token, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_TOKEN_ADD);

	meshd_query_text(&q, token->id);
	bind_blob(&q, token->hash, sizeof(token->hash));
	meshd_query_text(&q, token->name.service);
	meshd_query_text(&q, token->name.ns);
	meshd_query_int(&q, (int64_t)token->uses);
	meshd_query_int(&q, (int64_t)token->used);
	meshd_query_int(&q, token->created_ms);
	meshd_query_int(&q, token->expires_ms);
	(void)meshd_query_step(&q);
	if (q.rc == SQLITE_CONSTRAINT) {
		(void)meshd_query_done(&q, "add a token", NULL);
		return mesh__fail(err, MESH_E_EXISTS, "there is a token %s already", token->id);
	}
	return meshd_query_done(&q, "add a token", err);
}

static void read_token(struct meshd_query *q, struct meshd_token *token)
{
	const void *hash = sqlite3_column_blob(q->stmt, 1);

	*token = (struct meshd_token){.uses = (uint64_t)sqlite3_column_int64(q->stmt, 4), .used = (uint64_t)sqlite3_column_int64(q->stmt, 5),
		.created_ms = sqlite3_column_int64(q->stmt, 6), .expires_ms = sqlite3_column_int64(q->stmt, 7)};
	meshd_query_column(q, 0, token->id, sizeof(token->id));
	if (hash != NULL && sqlite3_column_bytes(q->stmt, 1) == (int)sizeof(token->hash)) {
		memcpy(token->hash, hash, sizeof(token->hash));
	}
	meshd_query_column(q, 2, token->name.service, sizeof(token->name.service));
	meshd_query_column(q, 3, token->name.ns, sizeof(token->name.ns));
}

int meshd_store_token_find(struct meshd_store *store, const char *id, struct meshd_token *out, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_TOKEN_FIND);
	bool found;
	int code;

	meshd_query_text(&q, id);
	found = meshd_query_step(&q);
	if (found) {
		read_token(&q, out);
	}
	code = meshd_query_done(&q, "find a token", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no token %s", id) : code;
}

int meshd_store_token_delete(struct meshd_store *store, const char *id, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_TOKEN_DELETE);
	int code;

	meshd_query_text(&q, id);
	code = meshd_query_run(&q, "delete a token", err);
	return code == MESH_OK && sqlite3_changes(store->db) == 0 ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no token %s", id) : code;
}

int meshd_store_tokens(struct meshd_store *store, meshd_token_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_TOKENS);
	struct meshd_token token;

	while (meshd_query_step(&q)) {
		read_token(&q, &token);
		if (!fn(user, &token)) {
			q.rc = SQLITE_NOMEM;
		}
	}
	return meshd_query_done(&q, "list tokens", err);
}

/* ---- Certificates. ---- */

static int use_token(struct meshd_store *store, const char *id, int64_t now_ms, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_TOKEN_USE);
	int code;

	meshd_query_text(&q, id);
	meshd_query_int(&q, now_ms);
	code = meshd_query_run(&q, "count a token's use", err);
	return code == MESH_OK && sqlite3_changes(store->db) == 0 ? mesh__fail(err, MESH_E_DENIED, "token %s has no use left", id) : code;
}

static int insert_cert(struct meshd_store *store, const struct meshd_cert *cert, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_ADD);

	meshd_query_text(&q, cert->serial);
	meshd_query_text(&q, cert->parent);
	meshd_query_text(&q, cert->name.service);
	meshd_query_text(&q, cert->name.ns);
	meshd_query_text(&q, cert->spiffe);
	meshd_query_text(&q, cert->instance);
	meshd_query_text(&q, cert->how);
	meshd_query_int(&q, cert->issued_ms);
	meshd_query_int(&q, cert->not_after_ms);
	return meshd_query_run(&q, "record a certificate", err);
}

int meshd_store_cert_add(struct meshd_store *store, const struct meshd_cert *cert, const char *token, struct mesh__err *err)
{
	int code = meshd_store_begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	code = token == NULL ? MESH_OK : use_token(store, token, cert->issued_ms, err);
	code = code == MESH_OK ? insert_cert(store, cert, err) : code;
	return meshd_store_end(store, code, err);
}

static void read_cert(struct meshd_query *q, struct meshd_cert *cert)
{
	*cert = (struct meshd_cert){.issued_ms = sqlite3_column_int64(q->stmt, 7), .not_after_ms = sqlite3_column_int64(q->stmt, 8),
		.revoked_ms = sqlite3_column_int64(q->stmt, 9)};
	meshd_query_column(q, 0, cert->serial, sizeof(cert->serial));
	meshd_query_column(q, 1, cert->parent, sizeof(cert->parent));
	meshd_query_column(q, 2, cert->name.service, sizeof(cert->name.service));
	meshd_query_column(q, 3, cert->name.ns, sizeof(cert->name.ns));
	meshd_query_column(q, 4, cert->spiffe, sizeof(cert->spiffe));
	meshd_query_column(q, 5, cert->instance, sizeof(cert->instance));
	meshd_query_column(q, 6, cert->how, sizeof(cert->how));
	meshd_query_column(q, 10, cert->reason, sizeof(cert->reason));
}

static int list_certs(struct meshd_query *q, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_cert cert;

	while (meshd_query_step(q)) {
		read_cert(q, &cert);
		if (!fn(user, &cert)) {
			q->rc = SQLITE_NOMEM;
		}
	}
	return meshd_query_done(q, "list certificates", err);
}

int meshd_store_cert_refused(struct meshd_store *store, const char *serial, bool *refused, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_REFUSED);

	*refused = true;
	meshd_query_text(&q, serial);
	if (meshd_query_step(&q)) {
		*refused = sqlite3_column_int64(q.stmt, 0) > 0;
	}
	return meshd_query_done(&q, "look a certificate's line up", err);
}

static int cert_exists(struct meshd_store *store, const char *serial, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_FIND);
	bool found;
	int code;

	meshd_query_text(&q, serial);
	found = meshd_query_step(&q);
	code = meshd_query_done(&q, "find a certificate", err);
	return code == MESH_OK && !found ? mesh__fail(err, MESH_E_NOT_FOUND, "there is no certificate with serial %s on record", serial) : code;
}

int meshd_store_cert_revoke(struct meshd_store *store, const char *serial, const char *reason, int64_t now_ms, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_REVOKE);
	struct meshd_query up = meshd_query(store, STMT_COUNTER_UP);
	int code = meshd_store_begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	code = cert_exists(store, serial, err);
	if (code == MESH_OK) {
		meshd_query_text(&q, serial);
		meshd_query_int(&q, now_ms);
		meshd_query_text(&q, reason);
		code = meshd_query_run(&q, "revoke", err);
	}
	if (code == MESH_OK) {
		meshd_query_text(&up, "trust");
		code = meshd_query_run(&up, "revoke", err);
	}
	return meshd_store_end(store, code, err);
}

int meshd_store_certs(struct meshd_store *store, const struct mesh__name *name, int64_t limit, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, name == NULL ? STMT_CERTS : STMT_CERTS_OF);

	meshd_query_int(&q, limit);
	if (name != NULL) {
		meshd_query_text(&q, name->ns);
		meshd_query_text(&q, name->service);
	}
	return list_certs(&q, fn, user, err);
}

int meshd_store_cert_family(struct meshd_store *store, const char *serial, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_FAMILY);

	meshd_query_text(&q, serial);
	return list_certs(&q, fn, user, err);
}

int meshd_store_cert_newest(struct meshd_store *store, int64_t *issued_ms, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERT_NEWEST);

	*issued_ms = 0;
	if (meshd_query_step(&q)) {
		*issued_ms = sqlite3_column_int64(q.stmt, 0);
	}
	return meshd_query_done(&q, "find the newest certificate", err);
}

int meshd_store_certs_revoked(struct meshd_store *store, int64_t now_ms, meshd_cert_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CERTS_REVOKED);

	meshd_query_int(&q, now_ms);
	return list_certs(&q, fn, user, err);
}

/* ---- The registry. ---- */

static int put_instance(struct meshd_store *store, const struct meshd_instance_row *row, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_INSTANCE_PUT);
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
		meshd_query_text(&q, row->name.ns);
		meshd_query_text(&q, row->name.service);
		meshd_query_text(&q, row->msg.instance);
		meshd_query_text(&q, addresses.data);
		meshd_query_text(&q, row->msg.version);
		meshd_query_text(&q, row->msg.zone);
		meshd_query_text(&q, row->msg.reason);
		meshd_query_int(&q, (int64_t)row->version);
		code = meshd_query_run(&q, "write an instance", err);
	}
	mesh__buf_fini(&addresses);
	return code;
}

int meshd_store_instance_put(struct meshd_store *store, const struct meshd_instance_row *row, uint64_t floor, struct mesh__err *err)
{
	struct meshd_query service = meshd_query(store, STMT_SERVICE_PUT);
	struct meshd_query prune = meshd_query(store, STMT_INSTANCE_PRUNE);
	int code = meshd_store_begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	meshd_query_text(&service, row->name.ns);
	meshd_query_text(&service, row->name.service);
	meshd_query_int(&service, (int64_t)row->version);
	meshd_query_int(&service, (int64_t)floor);
	code = meshd_query_run(&service, "write a service", err);
	code = code == MESH_OK ? put_instance(store, row, err) : code;
	if (code == MESH_OK) {
		meshd_query_text(&prune, row->name.ns);
		meshd_query_text(&prune, row->name.service);
		meshd_query_int(&prune, (int64_t)floor);
		code = meshd_query_run(&prune, "forget old removals", err);
	}
	return meshd_store_end(store, code, err);
}

int meshd_store_services(struct meshd_store *store, meshd_service_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_SERVICES);
	struct mesh__name name = {.trust_domain = ""};

	while (meshd_query_step(&q)) {
		meshd_query_column(&q, 0, name.ns, sizeof(name.ns));
		meshd_query_column(&q, 1, name.service, sizeof(name.service));
		if (!fn(user, &name, (uint64_t)sqlite3_column_int64(q.stmt, 2), (uint64_t)sqlite3_column_int64(q.stmt, 3))) {
			q.rc = SQLITE_NOMEM;
		}
	}
	return meshd_query_done(&q, "list services", err);
}

char *meshd_query_copy(struct meshd_query *q, int column)
{
	return mesh__strdup(&q->store->env->mem, (const char *)sqlite3_column_text(q->stmt, column));
}

/* The addresses, split where put_instance() joined them. */
static bool read_addresses(struct meshd_query *q, struct mesh__msg_instance *msg)
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

static bool read_instance(struct meshd_query *q, struct meshd_instance_row *row)
{
	meshd_query_column(q, 0, row->name.ns, sizeof(row->name.ns));
	meshd_query_column(q, 1, row->name.service, sizeof(row->name.service));
	row->msg.instance = meshd_query_copy(q, 2);
	row->msg.version = meshd_query_copy(q, 4);
	row->msg.zone = meshd_query_copy(q, 5);
	row->msg.reason = meshd_query_copy(q, 6);
	row->version = (uint64_t)sqlite3_column_int64(q->stmt, 7);
	return row->msg.instance != NULL && read_addresses(q, &row->msg);
}

int meshd_store_instances(struct meshd_store *store, meshd_instance_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_INSTANCES);

	while (meshd_query_step(&q)) {
		struct meshd_instance_row row = {.version = 0};

		if (!read_instance(&q, &row) || !fn(user, &row)) {
			q.rc = SQLITE_NOMEM;
		}
		mesh__msg_instance_fini(&row.msg);
	}
	return meshd_query_done(&q, "list instances", err);
}
