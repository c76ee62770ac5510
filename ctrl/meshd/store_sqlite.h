/*
 * The store's one statement at a time, for the files of the SQLite adapter: store_sqlite.c (opening, tokens, certificates, the registry) and store_sqlite_config.c (the configuration and its history). Private to them.
 */
#ifndef MESHD_STORE_SQLITE_H
#define MESHD_STORE_SQLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "meshd/store.h"

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
	X(CONFIG, "SELECT kind, ns, name, text, generation, updated FROM config ORDER BY ns, name, kind")                  \
	X(GENERATION_ADD, "INSERT INTO generation VALUES (?1, ?2, ?3, ?4, ?5)")                                        \
	X(REVISION_ADD, "INSERT INTO revision VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                        \
	X(GENERATION_FORGET, "DELETE FROM generation WHERE number < ?1")                                               \
	X(REVISION_FORGET, "DELETE FROM revision WHERE generation < ?1 AND (text IS NULL OR (ns, name, kind) IN (SELECT ns, name, kind FROM revision WHERE generation = ?1))") \
	X(REVISIONS_AT, "SELECT kind, ns, name, text, max(generation), 0 FROM revision WHERE generation <= ?1 GROUP BY ns, name, kind") \
	X(HISTORY, "WITH wanted AS (SELECT generation, kind, ns, name, change FROM revision WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR ns = ?2) AND (?3 IS NULL OR name = ?3))"   \
		" SELECT number, at, who, operator, restored, kind, ns, name, change FROM generation JOIN wanted ON generation = number"                 \
		" WHERE number IN (SELECT DISTINCT generation FROM wanted ORDER BY generation DESC LIMIT ?4) ORDER BY number DESC, ns, name, kind")

#define X(name, sql) STMT_##name,
enum meshd_statement { STATEMENTS(X) N_STATEMENTS };
#undef X

struct meshd_store {
	const struct mesh__env *env;
	sqlite3 *db;
	sqlite3_stmt *stmt[N_STATEMENTS];
};

/* A statement at work. Take it, bind in order, step, and be done with it. */
struct meshd_query {
	struct meshd_store *store;
	sqlite3_stmt *stmt;
	int bound;
	int rc;
};

struct meshd_query meshd_query(struct meshd_store *store, enum meshd_statement which);

/* The next parameter. NULL binds NULL. */
void meshd_query_text(struct meshd_query *q, const char *text);
void meshd_query_int(struct meshd_query *q, int64_t value);

/* The next row; false at the end and on a failure, which q->rc tells apart. */
bool meshd_query_step(struct meshd_query *q);

/* Lets the statement go: MESH_OK, or why the store cannot do `what`. */
int meshd_query_done(struct meshd_query *q, const char *what, struct mesh__err *err);

/* A step and done, for a statement without rows. */
int meshd_query_run(struct meshd_query *q, const char *what, struct mesh__err *err);

/* A column of the row at hand, cut to `cap`, or on the heap (NULL also for SQL's NULL). */
void meshd_query_column(struct meshd_query *q, int column, char *out, size_t cap);
char *meshd_query_copy(struct meshd_query *q, int column);

/* A transaction: ends with a commit when `code` is MESH_OK, else (or when that fails) takes everything back. Returns the code that holds. */
int meshd_store_begin(struct meshd_store *store, struct mesh__err *err);
int meshd_store_end(struct meshd_store *store, int code, struct mesh__err *err);

int meshd_store_counter(struct meshd_store *store, const char *key, uint64_t *value, struct mesh__err *err);
int meshd_store_counter_set(struct meshd_store *store, const char *key, uint64_t value, struct mesh__err *err);

#endif
