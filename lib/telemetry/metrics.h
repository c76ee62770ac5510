/*
 * Counters and gauges with at most one label, and their Prometheus text (exposition format 0.0.4). A counter's address is stable for the registry's life: look it up once, then add
 * without a lock. Looking up what has been looked up before takes none either, but walks the lists. A family holds at most 256 label values; further ones are counted under "other".
 */
#ifndef MESH__TELEMETRY_METRICS_H
#define MESH__TELEMETRY_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"

struct mesh__metrics; /* any thread */

struct mesh__counter {
	_Atomic int64_t value;
};

/* NULL when out of memory. */
struct mesh__metrics *mesh__metrics_new(const struct mesh__env *env) MESH__MUST_USE;
void mesh__metrics_free(struct mesh__metrics *metrics);

/*
 * The counter `name` ("mesh_handshakes_refused_total") with label `key`="`value`" (both NULL: no label), made on first use with `help`. `name`, `help` and `key` must be
 * static strings. Never NULL: out of memory gives a counter that is not shown.
 */
struct mesh__counter *mesh__metrics_counter(struct mesh__metrics *metrics, const char *name, const char *help, const char *key, const char *value);

/* The same for a gauge, which may fall. */
struct mesh__counter *mesh__metrics_gauge(struct mesh__metrics *metrics, const char *name, const char *help, const char *key, const char *value);

void mesh__count(struct mesh__counter *counter, int64_t by);
void mesh__gauge_set(struct mesh__counter *gauge, int64_t value);

/* Has `refresh(arg)` called before each text, on the thread that asks for it, without a lock: for gauges that are cheaper to look up than to keep. One; before other threads are there. */
void mesh__metrics_on_text(struct mesh__metrics *metrics, void (*refresh)(void *arg), void *arg);

/* Appends the text of all families, sorted by name. */
void mesh__metrics_text(struct mesh__metrics *metrics, struct mesh__buf *out);

#endif
