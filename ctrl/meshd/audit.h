/*
 * The audit log, DIR/audit.log: one JSON object a line, on the disk before the answer that it is about goes out. Loop's thread.
 */
#ifndef MESHD_AUDIT_H
#define MESHD_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"

struct meshd_audit;

int meshd_audit_open(const struct mesh__env *env, const char *path, struct meshd_audit **out, struct mesh__err *err) MESH__MUST_USE;
void meshd_audit_close(struct meshd_audit *audit);

/*
 * Appends and syncs {"time", "event", "result", "reason", pairs…}: pairs of strings up to NULL, at most 12; a NULL value is left out, also a NULL `reason`;
 * one longer than 1 KiB is cut, and ends in "...".
 * MESH_E_IO: what it is about must not be answered with success.
 */
int meshd_audit_allowed(struct meshd_audit *audit, struct mesh__err *err, const char *event, const char *reason, ...) MESH__MUST_USE MESH__NULL_TERMINATED;

/* The same, but not synced, for what is one event with the line that follows at once: that one's sync is also this one's, and where either fails the caller does not answer with success. */
int meshd_audit_first(struct meshd_audit *audit, struct mesh__err *err, const char *event, const char *reason, ...) MESH__MUST_USE MESH__NULL_TERMINATED;

/*
 * The same for what was refused. Strangers can cause refusals, and a sync each would let them stop meshd: over 20 a second they are only counted, and the next line says how many ("suppressed").
 * A failure is logged.
 */
void meshd_audit_refused(struct meshd_audit *audit, const char *event, const char *reason, ...) MESH__NULL_TERMINATED;

/* The last `limit` lines as a JSON array, the newest last. */
int meshd_audit_tail(struct meshd_audit *audit, int64_t limit, struct mesh__buf *out, struct mesh__err *err) MESH__MUST_USE;

#endif
