/*
 * A write of the configuration before it is made: what it would change, whether it may. A dry run is a plan that is freed; so both say the same. Loop's thread, and no other write between
 * a plan and its commit.
 */
#ifndef MESHD_PLAN_H
#define MESHD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meshd/config.h"

struct meshd_plan {
	struct meshd_config *config;
	struct meshd_config_entry **entries; /* row.change says what happens to each */
	size_t n, cap;
	size_t n_changes;                    /* of them those that are not unchanged */
	bool rollback;
	uint64_t restored;
};

/* Who writes. */
struct meshd_writer {
	const char *who;      /* the name of the admin token */
	const char *operator; /* who uses it, as the client says; NULL: it does not */
};

/* To put a list of parsed documents (taken over, also on failure) into force. MESH_E_NO_MEMORY. Each plan is freed, also one that could not be made. */
int meshd_plan_apply(struct meshd_config *config, struct mesh__document *documents, struct meshd_plan *out, struct mesh__err *err) MESH__MUST_USE;

/* To delete a document. MESH_E_NOT_FOUND. */
int meshd_plan_delete(struct meshd_config *config, enum mesh__kind kind, const struct mesh__name *name, struct meshd_plan *out, struct mesh__err *err) MESH__MUST_USE;

/*
 * To bring everything to where it was at generation `to`. Only what differs is in the plan; a Fault of then whose time is over counts as not there. MESH_E_NOT_FOUND: there is no such generation, or it is no longer kept. MESH_E_INVALID: a document of then
 * is none to this meshd. The store's errors.
 */
int meshd_plan_rollback(struct meshd_config *config, struct meshd_store *store, uint64_t to, struct meshd_plan *out, struct mesh__err *err) MESH__MUST_USE;

void meshd_plan_free(struct meshd_plan *plan);

/* MESH_E_STATE when a document that the plan changes was changed after generation `seen`: its writer has not seen what it would overwrite. MESH_E_INVALID: there is no such generation yet. */
int meshd_plan_check(const struct meshd_plan *plan, uint64_t seen, struct mesh__err *err) MESH__MUST_USE;

/* Makes the write: one new generation, or none when nothing changes. Errors: the store's; nothing has changed then. */
int meshd_plan_commit(struct meshd_plan *plan, const struct meshd_writer *writer, struct mesh__err *err) MESH__MUST_USE;

#endif
