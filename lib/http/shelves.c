#include "http/shelves.h"

#include <sched.h>

#include "http/curl_pool.h"

void mesh__shelves_init(struct mesh__shelves *shelves)
{
	for (int i = 0; i < MESH__SHELVES; i++) {
		shelves->all[i] = (struct mesh__shelf){.first = NULL};
		(void)pthread_mutex_init(&shelves->all[i].mu, NULL);
	}
}

void mesh__shelves_fini(struct mesh__shelves *shelves)
{
	for (int i = 0; i < MESH__SHELVES; i++) {
		(void)pthread_mutex_destroy(&shelves->all[i].mu);
	}
}

/* The thread may be moved the next moment: then it is the wrong shelf, and as good as any. */
static unsigned own_shelf(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (unsigned)cpu % MESH__SHELVES;
}

static struct mesh__slot *take_from(struct mesh__shelf *shelf)
{
	struct mesh__slot *slot;

	(void)pthread_mutex_lock(&shelf->mu);
	slot = shelf->first;
	if (slot != NULL) {
		shelf->first = slot->next_idle;
	}
	(void)pthread_mutex_unlock(&shelf->mu);
	return slot;
}

struct mesh__slot *mesh__shelves_take(struct mesh__shelves *shelves)
{
	unsigned own = own_shelf();
	struct mesh__slot *slot = take_from(&shelves->all[own]);

	for (unsigned i = 1; slot == NULL && i < MESH__SHELVES; i++) {
		slot = take_from(&shelves->all[(own + i) % MESH__SHELVES]);
	}
	return slot;
}

bool mesh__shelves_put(struct mesh__shelves *shelves, struct mesh__slot *slot)
{
	struct mesh__shelf *shelf = &shelves->all[own_shelf()];
	bool open;

	(void)pthread_mutex_lock(&shelf->mu);
	open = !shelf->closed;
	if (open) {
		slot->next_idle = shelf->first;
		shelf->first = slot;
	}
	(void)pthread_mutex_unlock(&shelf->mu);
	return open;
}

/* The list's tail, as the head served last; its last link is where the next shelf's go. */
static struct mesh__slot **cut_from(struct mesh__shelf *shelf, int64_t limit_us, bool close, struct mesh__slot **end)
{
	struct mesh__slot **at = &shelf->first;

	(void)pthread_mutex_lock(&shelf->mu);
	shelf->closed |= close;
	while (*at != NULL && (*at)->idle_since_us > limit_us) {
		at = &(*at)->next_idle;
	}
	*end = *at;
	*at = NULL;
	(void)pthread_mutex_unlock(&shelf->mu);
	while (*end != NULL) {
		end = &(*end)->next_idle;
	}
	return end;
}

struct mesh__slot *mesh__shelves_cut(struct mesh__shelves *shelves, int64_t limit_us, bool close)
{
	struct mesh__slot *cut = NULL, **end = &cut;

	for (int i = 0; i < MESH__SHELVES; i++) {
		end = cut_from(&shelves->all[i], limit_us, close, end);
	}
	return cut;
}
