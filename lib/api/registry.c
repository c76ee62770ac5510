#include "api/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/wait.h"

/* The word of a place: how often it was taken, its state, and how many are inside. */
enum { GENERATION_SHIFT = 32, INDEX_BITS = 10 };

static const uint64_t taken = UINT64_C(1) << 31, enterable = UINT64_C(1) << 30, closing = UINT64_C(1) << 29, inside = (UINT64_C(1) << 29) - 1;

_Static_assert(MESH__OPEN_MAX <= 1 << INDEX_BITS, "a handle holds the index of its place");

struct place {
	_Atomic uint64_t word;
	struct mesh__opened *_Atomic opened;
	_Atomic pid_t pid; /* of the process that opened it */
	char apart[44]; /* what two meshes' callers change shares no cache line */
};

static struct place places[MESH__OPEN_MAX];
static _Atomic bool exiting;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards that no change of a word falls between a look and a wait */
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- Those who wait for a change ---- */

static void lock_all(void)
{
	(void)pthread_mutex_lock(&mu);
}

static void unlock_all(void)
{
	(void)pthread_mutex_unlock(&mu);
}

static void set_up_child(void)
{
	mesh__cond_init(&changed); /* who waited on it is not here */
	(void)pthread_mutex_unlock(&mu);
}

static void set_up(void)
{
	mesh__cond_init(&changed);
	(void)pthread_atfork(lock_all, unlock_all, set_up_child);
}

static void tell(void)
{
	lock_all();
	(void)pthread_cond_broadcast(&changed);
	unlock_all();
}

/* ---- Handles ---- */

/* Odd, so that it is the address of nothing, and never NULL. */
static mesh *handle_of(uint64_t word, int index)
{
	return (mesh *)(uintptr_t)((word >> GENERATION_SHIFT) << (INDEX_BITS + 1) | (uint64_t)index << 1 | 1);
}

static struct place *place_of(mesh *handle)
{
	return &places[(uintptr_t)handle >> 1 & (MESH__OPEN_MAX - 1)];
}

static bool is_named(uint64_t word, mesh *handle)
{
	return (word & taken) != 0 && handle_of(word, (int)(place_of(handle) - places)) == handle;
}

/* Sets and clears bits of the word where all of `wanted` and none of `unwanted` are set; false otherwise. The word after it is in *after. */
static bool change(mesh *handle, uint64_t wanted, uint64_t unwanted, uint64_t set, uint64_t clear, uint64_t *after)
{
	struct place *p = place_of(handle);
	uint64_t word = atomic_load(&p->word);

	do {
		if (!is_named(word, handle) || (word & wanted) != wanted || (word & unwanted) != 0) {
			return false;
		}
		*after = (word | set) & ~clear;
	} while (!atomic_compare_exchange_weak(&p->word, &word, *after));
	return true;
}

mesh *mesh__registry_add(struct mesh__opened *opened)
{
	(void)pthread_once(&once, set_up);
	for (int i = 0; i < MESH__OPEN_MAX; i++) {
		uint64_t word = atomic_load(&places[i].word), next = ((word >> GENERATION_SHIFT) + 1) << GENERATION_SHIFT | taken;

		if ((word & taken) != 0 || !atomic_compare_exchange_strong(&places[i].word, &word, next)) {
			continue;
		}
		atomic_store(&places[i].pid, getpid());
		atomic_store(&places[i].opened, opened);
		/* Either the exit sees it here, or it is seen to have begun. */
		if (!mesh__registry_exits()) {
			return handle_of(next, i);
		}
		mesh__registry_remove(handle_of(next, i));
		break;
	}
	return NULL;
}

void mesh__registry_open(mesh *handle)
{
	uint64_t after;

	(void)change(handle, 0, 0, enterable, 0, &after);
	tell();
}

struct mesh__opened *mesh__registry_enter(mesh *handle)
{
	struct place *p = place_of(handle);
	uint64_t word = atomic_load(&p->word);

	do {
		if (!is_named(word, handle) || (word & enterable) == 0) {
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&p->word, &word, word + 1));
	return atomic_load(&p->opened);
}

void mesh__registry_leave(mesh *handle)
{
	struct place *p = place_of(handle);
	uint64_t word = atomic_load(&p->word);

	do {
		if (!is_named(word, handle) || (word & inside) == 0) {
			return; /* a child that was forked in here, and has abandoned it */
		}
	} while (!atomic_compare_exchange_weak(&p->word, &word, word - 1));
	if ((word & enterable) == 0 && (word & inside) == 1) {
		tell();
	}
}

bool mesh__registry_close(mesh *handle)
{
	uint64_t after;

	return change(handle, enterable, closing, closing, 0, &after);
}

void mesh__registry_give_back(mesh *handle)
{
	uint64_t after;

	(void)change(handle, closing, 0, 0, closing, &after);
	tell();
}

void mesh__registry_shut(mesh *handle)
{
	uint64_t after;

	if (!change(handle, enterable, 0, 0, enterable, &after) || (after & inside) == 0) {
		return;
	}
	lock_all();
	while ((atomic_load(&place_of(handle)->word) & inside) != 0) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	unlock_all();
}

bool mesh__registry_abandon(mesh *handle)
{
	uint64_t after;

	return change(handle, enterable, 0, 0, enterable | inside, &after);
}

void mesh__registry_remove(mesh *handle)
{
	uint64_t after;

	atomic_store(&place_of(handle)->opened, NULL);
	(void)change(handle, 0, 0, 0, taken | enterable | closing, &after);
	tell();
}

/* ---- The end of the process ---- */

bool mesh__registry_exit(void)
{
	return !atomic_exchange(&exiting, true);
}

bool mesh__registry_exits(void)
{
	return atomic_load(&exiting);
}

static bool is_in_hand(const struct place *p)
{
	uint64_t word = atomic_load(&p->word);

	return (word & taken) != 0 && ((word & enterable) == 0 || (word & closing) != 0);
}

/* Until nobody opens or closes it. */
static bool await_nobody(struct place *p, const struct mesh__env *env, int64_t deadline_us)
{
	bool time_left = true;

	lock_all();
	while (is_in_hand(p) && time_left) {
		time_left = mesh__cond_wait_until(&changed, &mu, env, deadline_us);
	}
	unlock_all();
	return !is_in_hand(p);
}

struct mesh__opened *mesh__registry_take(int index, void (*hurry)(struct mesh__opened *opened, const struct mesh__env *env, int64_t deadline_us), const struct mesh__env *env,
	int64_t deadline_us)
{
	struct place *p = &places[index];
	mesh *handle = handle_of(atomic_load(&p->word), index);
	struct mesh__opened *opened;

	if (atomic_load(&p->pid) != getpid()) {
		return NULL; /* never taken, or the parent's: its threads are not here */
	}
	if (is_in_hand(p)) {
		opened = mesh__registry_enter(handle);
		if (opened != NULL) {
			hurry(opened, env, deadline_us);
			mesh__registry_leave(handle);
		}
		if (!await_nobody(p, env, deadline_us)) {
			return NULL;
		}
	}
	opened = mesh__registry_enter(handle);
	if (opened != NULL && !mesh__registry_close(handle)) {
		mesh__registry_leave(handle);
		opened = NULL;
	}
	return opened;
}
