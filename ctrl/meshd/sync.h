/*
 * How the generations of the configuration spread: for each of the last ones, how many processes were told, what they answered, and how long that took from the commit. Bounded, whoever
 * answers and whoever does not. No clock of its own. Loop's thread.
 */
#ifndef MESHD_SYNC_H
#define MESHD_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"

enum {
	MESHD_SYNC_GENERATIONS = 256, /* that are followed */
	MESHD_SYNC_DUE = 8,           /* generations that one process may owe an answer for; of more, the oldest are given up */
	MESHD_SYNC_BUCKETS = 352      /* 64 us to 4 min, each a sixteenth of its power of two wide */
};

/* One generation. told = acknowledged + refused + gone + superseded + those that have not answered. */
struct meshd_spread {
	uint64_t generation;  /* 0: none */
	int64_t at_ms;        /* of the commit, wall clock */
	int64_t committed_us; /* monotonic clock */
	int64_t longest_us;   /* of the acknowledgements */
	uint32_t told;        /* processes that it concerns, and that were there when it was made */
	uint32_t acknowledged, refused;
	uint32_t gone;        /* their session ended first */
	uint32_t superseded;  /* they were sent MESHD_SYNC_DUE newer ones first */
	uint16_t buckets[MESHD_SYNC_BUCKETS];
};

struct meshd_sync;

/* What one process owes; zeroed at first. */
struct meshd_sync_client {
	struct meshd_sync_due {
		uint64_t generation;
		uint64_t first, last; /* the sequences of its records */
		uint32_t left;        /* of them not answered yet */
		bool refused;
	} due[MESHD_SYNC_DUE];
	size_t n_due;
};

int meshd_sync_new(const struct mesh__env *env, struct meshd_sync **out, struct mesh__err *err) MESH__MUST_USE;
void meshd_sync_free(struct meshd_sync *sync);

/* A generation was committed. One that is not newer than the newest changes nothing. */
void meshd_sync_begin(struct meshd_sync *sync, uint64_t generation, int64_t at_ms, int64_t now_us);

/* The client was sent a record because of it: the newest generation's, under the stream's number. */
void meshd_sync_told(struct meshd_sync *sync, struct meshd_sync_client *client, uint64_t generation, uint64_t sequence);

/* The client answered a record of a generation; when it was the last one, that is counted. Of a record that nothing is owed for: no effect. */
void meshd_sync_answered(struct meshd_sync *sync, struct meshd_sync_client *client, uint64_t generation, uint64_t sequence, bool refused, int64_t now_us);

/* The client has gone with what it owed. */
void meshd_sync_gone(struct meshd_sync *sync, struct meshd_sync_client *client);

/* The generation's row, or NULL when it is not followed (any more). Of the followed ones the `i`-th newest, from 0; NULL behind the last. */
const struct meshd_spread *meshd_sync_find(const struct meshd_sync *sync, uint64_t generation);
const struct meshd_spread *meshd_sync_nth(const struct meshd_sync *sync, size_t i);

/* Those that have not answered. */
uint32_t meshd_spread_waiting(const struct meshd_spread *spread);

/* The time within which `percent` of the acknowledgements came (nearest rank), at most a sixteenth too long; 0: there is none. */
int64_t meshd_spread_percentile_us(const struct meshd_spread *spread, uint32_t percent);

#endif
