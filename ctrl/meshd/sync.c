#include "meshd/sync.h"

#include "base/mem.h"

enum { SHIFT_MIN = 6, STEPS = 16, STEP_BITS = 4 };

struct meshd_sync {
	struct meshd_spread rows[MESHD_SYNC_GENERATIONS]; /* generation g at g modulo the number */
	uint64_t newest;
};

int meshd_sync_new(const struct mesh__env *env, struct meshd_sync **out, struct mesh__err *err)
{
	*out = mesh__alloc(&env->mem, sizeof(**out));
	return *out == NULL ? mesh__fail_memory(err) : MESH_OK;
}

void meshd_sync_free(struct meshd_sync *sync)
{
	mesh__free(sync);
}

/* ---- The rows. ---- */

static struct meshd_spread *row_of(struct meshd_sync *sync, uint64_t generation)
{
	struct meshd_spread *row = &sync->rows[generation % MESHD_SYNC_GENERATIONS];

	return generation != 0 && row->generation == generation ? row : NULL;
}

void meshd_sync_begin(struct meshd_sync *sync, uint64_t generation, int64_t at_ms, int64_t now_us)
{
	if (generation > sync->newest) {
		sync->newest = generation;
		sync->rows[generation % MESHD_SYNC_GENERATIONS] = (struct meshd_spread){.generation = generation, .at_ms = at_ms, .committed_us = now_us};
	}
}

const struct meshd_spread *meshd_sync_find(const struct meshd_sync *sync, uint64_t generation)
{
	return row_of((struct meshd_sync *)(uintptr_t)sync, generation);
}

const struct meshd_spread *meshd_sync_nth(const struct meshd_sync *sync, size_t i)
{
	return i < MESHD_SYNC_GENERATIONS && i < sync->newest ? meshd_sync_find(sync, sync->newest - i) : NULL;
}

uint32_t meshd_spread_waiting(const struct meshd_spread *spread)
{
	return spread->told - spread->acknowledged - spread->refused - spread->gone - spread->superseded;
}

/* ---- How long it took: buckets of a sixteenth of a power of two. ---- */

static size_t bucket_of(int64_t us)
{
	uint64_t value = us < 1 << SHIFT_MIN ? (uint64_t)1 << SHIFT_MIN : (uint64_t)us;
	unsigned power = 63U - (unsigned)__builtin_clzll(value);
	size_t bucket = (power - SHIFT_MIN) * STEPS + ((value >> (power - STEP_BITS)) & (STEPS - 1));

	return bucket < MESHD_SYNC_BUCKETS ? bucket : MESHD_SYNC_BUCKETS - 1;
}

/* The first time that is no longer in it. */
static int64_t bucket_end_us(size_t bucket)
{
	unsigned power = SHIFT_MIN + (unsigned)(bucket / STEPS);

	return (int64_t)((STEPS + bucket % STEPS + 1) << (power - STEP_BITS));
}

int64_t meshd_spread_percentile_us(const struct meshd_spread *spread, uint32_t percent)
{
	uint64_t rank = ((uint64_t)spread->acknowledged * percent + 99) / 100, seen = 0;

	for (size_t i = 0; i < MESHD_SYNC_BUCKETS && spread->acknowledged > 0; i++) {
		seen += spread->buckets[i];
		if (seen >= rank) {
			return i < MESHD_SYNC_BUCKETS - 1 && bucket_end_us(i) < spread->longest_us ? bucket_end_us(i) : spread->longest_us;
		}
	}
	return 0;
}

/* ---- The clients. ---- */

static void remove_due(struct meshd_sync_client *client, size_t i)
{
	for (client->n_due--; i < client->n_due; i++) {
		client->due[i] = client->due[i + 1];
	}
}

void meshd_sync_told(struct meshd_sync *sync, struct meshd_sync_client *client, uint64_t generation, uint64_t sequence)
{
	struct meshd_spread *row = row_of(sync, generation), *oldest;

	if (row == NULL) {
		return;
	}
	if (client->n_due == 0 || client->due[client->n_due - 1].generation != generation) {
		if (client->n_due == MESHD_SYNC_DUE) {
			oldest = row_of(sync, client->due[0].generation);
			if (oldest != NULL) {
				oldest->superseded++;
			}
			remove_due(client, 0);
		}
		client->due[client->n_due++] = (struct meshd_sync_due){.generation = generation, .first = sequence};
		row->told++;
	}
	client->due[client->n_due - 1].last = sequence;
	client->due[client->n_due - 1].left++;
}

static void settle(struct meshd_sync *sync, const struct meshd_sync_due *due, int64_t now_us)
{
	struct meshd_spread *row = row_of(sync, due->generation);
	int64_t took_us;

	if (row == NULL) {
		return;
	}
	if (due->refused) {
		row->refused++;
		return;
	}
	took_us = now_us - row->committed_us;
	row->acknowledged++;
	row->buckets[bucket_of(took_us)]++;
	row->longest_us = took_us > row->longest_us ? took_us : row->longest_us;
}

void meshd_sync_answered(struct meshd_sync *sync, struct meshd_sync_client *client, uint64_t generation, uint64_t sequence, bool refused, int64_t now_us)
{
	for (size_t i = 0; i < client->n_due; i++) {
		struct meshd_sync_due *due = &client->due[i];

		if (generation == due->generation && sequence >= due->first && sequence <= due->last) {
			due->refused |= refused;
			if (--due->left == 0) {
				settle(sync, due, now_us);
				remove_due(client, i);
			}
			return;
		}
	}
}

void meshd_sync_gone(struct meshd_sync *sync, struct meshd_sync_client *client)
{
	for (size_t i = 0; i < client->n_due; i++) {
		struct meshd_spread *row = row_of(sync, client->due[i].generation);

		if (row != NULL) {
			row->gone++;
		}
	}
	client->n_due = 0;
}
