/*
 * What meshd keeps on disk: one interface, so that another store is one other file. Everything here runs on the loop's thread. Each writing function is one transaction:
 * MESH_OK means committed and synced; anything else means that nothing was written. Errors are MESH_E_IO (disk full, busy, damaged: the caller answers 503, reads go on),
 * MESH_E_NO_MEMORY, and those named below.
 */
#ifndef MESHD_STORE_H
#define MESHD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"
#include "policy/document.h"
#include "wire/message.h"
#include "wire/name.h"
#include "wire/token.h"

enum { MESHD_TEXT_MAX = 256 };

struct meshd_store;

/* Opens (and on first use makes) the store at `path`, checks its soundness and brings its schema up to date. A damaged file, or one of a newer meshd, is refused by name. */
int meshd_store_open(const struct mesh__env *env, const char *path, struct meshd_store **out, struct mesh__err *err) MESH__MUST_USE;
void meshd_store_close(struct meshd_store *store);

/* A setting into value[MESHD_TEXT_MAX]. MESH_E_NOT_FOUND. */
int meshd_store_setting(struct meshd_store *store, const char *key, char *value, struct mesh__err *err) MESH__MUST_USE;
int meshd_store_set(struct meshd_store *store, const char *key, const char *value, struct mesh__err *err) MESH__MUST_USE;

/* ---- Join tokens. ---- */

struct meshd_token {
	char id[MESH__TOKEN_ID + 1];
	unsigned char hash[32]; /* SHA-256 of the secret's text */
	struct mesh__name name; /* service and namespace */
	uint64_t uses;          /* 0: any number */
	uint64_t used;
	int64_t created_ms, expires_ms;
};

/* MESH_E_EXISTS for an id that there is. */
int meshd_store_token_add(struct meshd_store *store, const struct meshd_token *token, struct mesh__err *err) MESH__MUST_USE;
int meshd_store_token_find(struct meshd_store *store, const char *id, struct meshd_token *out, struct mesh__err *err) MESH__MUST_USE;

int meshd_store_token_delete(struct meshd_store *store, const char *id, struct mesh__err *err) MESH__MUST_USE;

/* The rows of a query, one a call; the argument is borrowed. False from `fn` ends it with MESH_E_NO_MEMORY. */
typedef bool (*meshd_token_fn)(void *user, const struct meshd_token *token);
int meshd_store_tokens(struct meshd_store *store, meshd_token_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* ---- Certificates that were issued. ---- */

struct meshd_cert {
	char serial[MESH__SERIAL_MAX];
	char parent[MESH__SERIAL_MAX]; /* the serial that it renewed, "" without */
	struct mesh__name name;        /* service and namespace */
	char spiffe[MESH__SPIFFE_MAX];
	char instance[MESH__LABEL_MAX + 1]; /* "" when not told */
	char how[16];                  /* "token", "renewal", "admin", "meshd" */
	int64_t issued_ms, not_after_ms;
	int64_t revoked_ms;            /* 0: it is not */
	char reason[MESHD_TEXT_MAX];   /* of the revocation */
};

/*
 * Records the certificate and, with `token` (its id; NULL: none), counts one use of that: both or neither. MESH_E_DENIED when the token has no use left at cert->issued_ms, or was deleted: of two at once only one gets
 * the last use.
 */
int meshd_store_cert_add(struct meshd_store *store, const struct meshd_cert *cert, const char *token, struct mesh__err *err) MESH__MUST_USE;

/* Whether this serial or one that it descends from is revoked. A serial that is not on record has no ancestors and is not. */
int meshd_store_cert_refused(struct meshd_store *store, const char *serial, bool *refused, struct mesh__err *err) MESH__MUST_USE;

/* Revokes the serial and all its descendants, and counts the trust's version up, in one transaction. MESH_E_NOT_FOUND. */
int meshd_store_cert_revoke(struct meshd_store *store, const char *serial, const char *reason, int64_t now_ms, struct mesh__err *err) MESH__MUST_USE;

typedef bool (*meshd_cert_fn)(void *user, const struct meshd_cert *cert);

/* Those of one service (NULL: all), the newest first, at most `limit`. */
int meshd_store_certs(struct meshd_store *store, const struct mesh__name *name, int64_t limit, meshd_cert_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* The serial and all its descendants. */
int meshd_store_cert_family(struct meshd_store *store, const char *serial, meshd_cert_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* When the newest one was issued, by the wall clock of then; 0: there is none. */
int meshd_store_cert_newest(struct meshd_store *store, int64_t *issued_ms, struct mesh__err *err) MESH__MUST_USE;

/* Those that are revoked and would still be valid at `now_ms`, or were when the last certificate was issued: a clock that is ahead for a while must not make one forgotten. */
int meshd_store_certs_revoked(struct meshd_store *store, int64_t now_ms, meshd_cert_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

int meshd_store_trust_version(struct meshd_store *store, uint64_t *version, struct mesh__err *err) MESH__MUST_USE;

/* ---- The registry. ---- */

/* One row: an instance that lives, or the tombstone of one that was removed (msg.reason set). */
struct meshd_instance_row {
	struct mesh__name name;
	struct mesh__msg_instance msg;
	uint64_t version; /* of the service's set when this row last changed */
};

/* Writes the row and makes its version the service's; tombstones of the service up to version `floor` go. */
int meshd_store_instance_put(struct meshd_store *store, const struct meshd_instance_row *row, uint64_t floor, struct mesh__err *err) MESH__MUST_USE;

typedef bool (*meshd_service_fn)(void *user, const struct mesh__name *name, uint64_t version, uint64_t floor);
typedef bool (*meshd_instance_fn)(void *user, const struct meshd_instance_row *row);
int meshd_store_services(struct meshd_store *store, meshd_service_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* In the order of their versions. */
int meshd_store_instances(struct meshd_store *store, meshd_instance_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* ---- The configuration and its history. ---- */

enum { MESHD_HISTORY_MAX = 1000, MESHD_WHO_MAX = 65 };

/* X(NAME, "text"): what a write did to a document. */
#define MESHD_CHANGES(X) X(UNCHANGED, "unchanged") X(CREATED, "created") X(UPDATED, "updated") X(DELETED, "deleted")

#define X(name, text) MESHD_CHANGE_##name,
enum meshd_change { MESHD_CHANGES(X) };
#undef X

const char *meshd_change_name(enum meshd_change change);

struct meshd_config_row {
	enum mesh__kind kind;
	struct mesh__name name; /* name and namespace of the document */
	char *text;             /* canonical JSON; NULL: deleted at `generation` */
	uint64_t generation;    /* of its last change */
	int64_t updated_ms;
	enum meshd_change change; /* what that was; UNCHANGED where nobody asked */
};

/* One generation: who made it, and when. */
struct meshd_generation {
	uint64_t number;
	int64_t at_ms;
	char who[MESHD_WHO_MAX];      /* the name of the admin token that it was made with */
	char operator[MESHD_WHO_MAX]; /* who used it, as the client says: not verified; "" when it does not say */
	bool rollback;                /* it took back the contents of `restored` */
	uint64_t restored;
};

/*
 * Writes all rows (of the new generation, each with what changed), the generation, and what is kept of the ones before, in one transaction: the last MESHD_HISTORY_MAX can be gone back to.
 */
int meshd_store_config_put(struct meshd_store *store, const struct meshd_generation *generation, const struct meshd_config_row *rows, size_t n, struct mesh__err *err) MESH__MUST_USE;

typedef bool (*meshd_config_fn)(void *user, const struct meshd_config_row *row);
int meshd_store_config(struct meshd_store *store, meshd_config_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;
int meshd_store_generation(struct meshd_store *store, uint64_t *generation, struct mesh__err *err) MESH__MUST_USE;

/* The oldest generation whose contents are known, 0 (nothing at all) in a young store. */
int meshd_store_history_from(struct meshd_store *store, uint64_t *generation, struct mesh__err *err) MESH__MUST_USE;

/* The contents as they were at a generation that is known: each document that was there (`updated_ms` 0), and some that had been deleted (text NULL). */
int meshd_store_config_at(struct meshd_store *store, uint64_t generation, meshd_config_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

/* Which changes; NULL: any. */
struct meshd_history_query {
	const char *kind, *ns, *name;
	int64_t limit; /* generations, at most */
};

/* Each such change (without its text) of the generations that are kept, the newest generation first. */
typedef bool (*meshd_history_fn)(void *user, const struct meshd_generation *generation, const struct meshd_config_row *change);
int meshd_store_history(struct meshd_store *store, const struct meshd_history_query *wanted, meshd_history_fn fn, void *user, struct mesh__err *err) MESH__MUST_USE;

#endif
