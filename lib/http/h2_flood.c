#include "http/h2_flood.h"

#include <string.h>

enum { SECOND_US = 1000 * 1000, FIELD_OVERHEAD_BYTES = 32 };

const struct mesh__h2_flood_text *mesh__h2_flood_text(enum mesh__h2_flood flood)
{
#define X(name, word, sentence) {word, sentence},
#define Y(name, budget, word, sentence) {word, sentence},
	static const struct mesh__h2_flood_text texts[] = {MESH__H2_FLOOD_REASONS(X) MESH__H2_BUDGETS(Y)};
#undef Y
#undef X

	return &texts[flood];
}

void mesh__h2_meter_init(struct mesh__h2_meter *m, int64_t now_us)
{
	*m = (struct mesh__h2_meter){.resets_since_us = now_us, .second_since_us = now_us};
}

static void roll_second(struct mesh__h2_meter *m, int64_t now_us)
{
	int64_t age_us = now_us - m->second_since_us;

	if (age_us < SECOND_US) {
		return;
	}
	m->n_data_before = age_us < 2 * SECOND_US ? m->n_data : 0;
	m->n_data = 0;
	memset(m->n, 0, sizeof(m->n));
	m->second_since_us = now_us;
}

enum mesh__h2_flood mesh__h2_meter_count(struct mesh__h2_meter *m, enum mesh__h2_counted kind, int64_t now_us)
{
#define X(name, budget, word, sentence) {budget, MESH__H2_FLOOD_##name},
	static const struct {
		int64_t budget;
		enum mesh__h2_flood flood;
	} budgets[] = {MESH__H2_BUDGETS(X)};
#undef X
	int64_t budget = budgets[kind].budget;

	roll_second(m, now_us);
	if (kind == MESH__H2_COUNTED_WINDOW_UPDATE) {
		budget += MESH__H2_UPDATES_PER_DATA * (m->n_data + m->n_data_before);
	}
	return ++m->n[kind] > budget ? budgets[kind].flood : MESH__H2_FLOOD_NONE;
}

void mesh__h2_meter_sent_data(struct mesh__h2_meter *m, int64_t now_us)
{
	roll_second(m, now_us);
	m->n_data++;
}

static void roll_resets(struct mesh__h2_meter *m, int64_t now_us)
{
	if (now_us - m->resets_since_us >= (int64_t)MESH__H2_RESETS_WINDOW_MS * 1000) {
		m->n_resets = 0;
		m->n_ended = 0;
		m->resets_since_us = now_us;
	}
}

enum mesh__h2_flood mesh__h2_meter_reset(struct mesh__h2_meter *m, int64_t now_us)
{
	roll_resets(m, now_us);
	return ++m->n_resets - m->n_ended > MESH__H2_RESETS_MAX ? MESH__H2_FLOOD_RESETS : MESH__H2_FLOOD_NONE;
}

void mesh__h2_meter_ended(struct mesh__h2_meter *m, int64_t now_us)
{
	roll_resets(m, now_us);
	m->n_ended++;
}

void mesh__h2_meter_block(struct mesh__h2_meter *m)
{
	m->n_continuations = 0;
	m->block_bytes = 0;
}

enum mesh__h2_flood mesh__h2_meter_continuation(struct mesh__h2_meter *m)
{
	return ++m->n_continuations > MESH__H2_CONTINUATIONS_MAX ? MESH__H2_FLOOD_CONTINUATION : MESH__H2_FLOOD_NONE;
}

enum mesh__h2_flood mesh__h2_meter_field(struct mesh__h2_meter *m, uint64_t bytes)
{
	m->block_bytes += bytes + FIELD_OVERHEAD_BYTES;
	return m->block_bytes > MESH__H2_BLOCK_MAX_BYTES ? MESH__H2_FLOOD_HEADER : MESH__H2_FLOOD_NONE;
}
