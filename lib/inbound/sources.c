#include "inbound/sources.h"

#include "base/str.h"

void mesh__sources_init(struct mesh__sources *s, const struct mesh__env *env)
{
	s->seed = mesh__dice(env);
	(void)pthread_mutex_init(&s->mu, NULL);
}

void mesh__sources_fini(struct mesh__sources *s)
{
	(void)pthread_mutex_destroy(&s->mu);
}

static struct mesh__source_place *find(struct mesh__source_place *row, uint64_t key)
{
	for (size_t i = 0; i < MESH__SOURCES_A_ROW; i++) {
		if (atomic_load_explicit(&row[i].key, memory_order_acquire) == key) {
			return &row[i];
		}
	}
	return NULL;
}

/* One that is nobody's has never moved, and so is the furthest behind. */
static struct mesh__source_place *furthest_behind(struct mesh__source_place *row)
{
	struct mesh__source_place *least = row;

	for (size_t i = 1; i < MESH__SOURCES_A_ROW; i++) {
		if (atomic_load_explicit(&row[i].arrival_ns, memory_order_relaxed) < atomic_load_explicit(&least->arrival_ns, memory_order_relaxed)) {
			least = &row[i];
		}
	}
	return least;
}

static struct mesh__source_place *come_in(struct mesh__sources *s, struct mesh__source_place *row, uint64_t key)
{
	struct mesh__source_place *place;

	(void)pthread_mutex_lock(&s->mu);
	place = find(row, key); /* of two requests of one new caller, the other was quicker */
	if (place == NULL) {
		place = furthest_behind(row); /* its number stays: two that drove each other out would have a burst each time they come again */
		atomic_store_explicit(&place->key, key, memory_order_release);
	}
	(void)pthread_mutex_unlock(&s->mu);
	return place;
}

_Atomic int64_t *mesh__sources_of(struct mesh__sources *s, const char *name)
{
	uint64_t key = mesh__str_hash(name, s->seed);
	struct mesh__source_place *row = s->rows[key % MESH__SOURCE_ROWS], *place;

	key |= (uint64_t)1 << 63; /* never 0; the row is told by other bits */
	place = find(row, key);
	return &(place != NULL ? place : come_in(s, row, key))->arrival_ns;
}
