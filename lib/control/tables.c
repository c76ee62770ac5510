#include "control/tables.h"

#include <stdlib.h>
#include <string.h>

#include "policy/maglev.h"

/* What outlives the service that it was made for. */
struct shared {
	enum mesh__balancer balancer;
	size_t n;
	struct mesh__hash_host *hosts; /* by id */
	struct mesh__hash_table table;
};

struct mesh__tables {
	struct mesh__arena *arena; /* of `shared` and all in it; one reference */
	const struct shared *shared;
	uint32_t order[];          /* of the group's endpoints, by id */
};

struct place {
	struct mesh__hash_host host;
	uint32_t i; /* in the group */
};

static int by_id(const void *one, const void *other)
{
	const struct place *a = one, *b = other;
	int order = strcmp(a->host.key, b->host.key);

	return order != 0 ? order : a->i < b->i ? -1 : 1;
}

static bool is_same(const struct shared *shared, enum mesh__balancer balancer, const struct place *places, size_t n)
{
	bool same = shared->balancer == balancer && shared->n == n;

	for (size_t i = 0; same && i < n; i++) {
		same = shared->hosts[i].weight == places[i].host.weight && strcmp(shared->hosts[i].key, places[i].host.key) == 0;
	}
	return same;
}

static bool copy_hosts(struct shared *to, const struct place *places, size_t n, struct mesh__arena *arena)
{
	to->hosts = mesh__arena_alloc(arena, n, sizeof(*to->hosts));
	for (; to->hosts != NULL && to->n < n; to->n++) {
		to->hosts[to->n] = (struct mesh__hash_host){.key = mesh__arena_strdup(arena, places[to->n].host.key), .weight = places[to->n].host.weight};
		if (to->hosts[to->n].key == NULL) {
			return false;
		}
	}
	return to->hosts != NULL;
}

static bool make_ring(struct shared *s, struct mesh__arena *arena)
{
	size_t size = mesh__ring_size(s->hosts, s->n, MESH__RING_LEAST);
	struct mesh__ring_point *ring = mesh__arena_alloc(arena, size, sizeof(*ring));

	if (ring == NULL) {
		return false;
	}
	mesh__ring_fill(s->hosts, s->n, MESH__RING_LEAST, ring);
	s->table = (struct mesh__hash_table){.ring = ring, .size = size};
	return true;
}

static bool make_maglev(struct shared *s, struct mesh__arena *arena, const struct mesh__mem *mem)
{
	uint32_t *table = mesh__arena_alloc(arena, MESH__MAGLEV_SIZE, sizeof(*table));
	struct mesh__maglev_turn *turns = mesh__alloc_array(mem, s->n, sizeof(*turns));

	if (table != NULL && turns != NULL) {
		mesh__maglev_fill(s->hosts, s->n, turns, table, MESH__MAGLEV_SIZE);
		s->table = (struct mesh__hash_table){.maglev = table, .size = MESH__MAGLEV_SIZE};
	}
	mesh__free(turns);
	return s->table.size > 0;
}

/* The arena has them then; NULL when out of memory. */
static const struct shared *make_shared(struct mesh__arena *arena, enum mesh__balancer balancer, const struct place *places, size_t n, const struct mesh__mem *mem)
{
	struct shared *s = mesh__arena_alloc(arena, 1, sizeof(*s));

	if (s == NULL || !copy_hosts(s, places, n, arena)) {
		return NULL;
	}
	s->balancer = balancer;
	return (balancer == MESH__BALANCER_RING_HASH ? make_ring(s, arena) : make_maglev(s, arena, mem)) ? s : NULL;
}

static struct mesh__tables *make(const struct mesh__tables *before, enum mesh__balancer balancer, const struct place *places, size_t n, const struct mesh__mem *mem)
{
	struct mesh__tables *t = mesh__alloc(mem, sizeof(*t) + n * sizeof(t->order[0]));

	if (t == NULL) {
		return NULL;
	}
	if (before != NULL && is_same(before->shared, balancer, places, n)) {
		t->arena = mesh__arena_ref(before->arena);
		t->shared = before->shared;
	} else if ((t->arena = mesh__arena_new(mem)) != NULL) {
		t->shared = make_shared(t->arena, balancer, places, n, mem);
	}
	for (size_t i = 0; i < n; i++) {
		t->order[i] = places[i].i;
	}
	if (t->shared == NULL) {
		mesh__tables_free(t);
		return NULL;
	}
	return t;
}

bool mesh__tables_prepare(struct mesh__group *group, const struct mesh__group *before, const struct mesh__endpoint_source *source, enum mesh__balancer balancer, const struct mesh__mem *mem)
{
	struct place *places;

	if ((balancer != MESH__BALANCER_RING_HASH && balancer != MESH__BALANCER_MAGLEV) || group->n == 0) {
		return true;
	}
	places = mesh__alloc_array(mem, group->n, sizeof(*places));
	if (places == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < group->n; i++) {
		places[i].i = i;
		source->host(group->endpoints[i], &places[i].host);
	}
	qsort(places, group->n, sizeof(*places), by_id);
	group->tables = make(before == NULL ? NULL : before->tables, balancer, places, group->n, mem);
	mesh__free(places);
	return group->tables != NULL;
}

void mesh__tables_free(struct mesh__tables *tables)
{
	if (tables != NULL) {
		mesh__arena_unref(tables->arena);
		mesh__free(tables);
	}
}

int64_t mesh__tables_pick(const struct mesh__tables *tables, const struct mesh__balance_view *view, uint64_t hash)
{
	return tables == NULL ? MESH__BALANCE_NONE : mesh__hashed_pick(&tables->shared->table, tables->order, view, hash);
}
