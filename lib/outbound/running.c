#include "outbound/running.h"

#include "base/wait.h"
#include "outbound/request.h"

void mesh__running_init(struct mesh__running *running)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		(void)pthread_mutex_init(&running->shards[i].mu, NULL);
	}
	(void)pthread_mutex_init(&running->mu, NULL);
	mesh__cond_init(&running->one_left);
}

void mesh__running_fini(struct mesh__running *running)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		(void)pthread_mutex_destroy(&running->shards[i].mu);
	}
	(void)pthread_cond_destroy(&running->one_left);
	(void)pthread_mutex_destroy(&running->mu);
}

bool mesh__running_enter(struct mesh__running *running, struct mesh_request *r)
{
	struct mesh__running_shard *shard;
	bool open;

	r->shard = mesh__swap_shard_of_thread();
	shard = &running->shards[r->shard];
	(void)pthread_mutex_lock(&shard->mu);
	open = !shard->closed;
	if (open) {
		r->thread = pthread_self();
		r->running_next = shard->first;
		r->running_link = &shard->first;
		if (r->running_next != NULL) {
			r->running_next->running_link = &r->running_next;
		}
		shard->first = r;
	}
	(void)pthread_mutex_unlock(&shard->mu);
	return open;
}

void mesh__running_leave(struct mesh__running *running, struct mesh_request *r)
{
	struct mesh__running_shard *shard = &running->shards[r->shard];

	(void)pthread_mutex_lock(&shard->mu);
	*r->running_link = r->running_next;
	if (r->running_next != NULL) {
		r->running_next->running_link = r->running_link;
	}
	(void)pthread_mutex_unlock(&shard->mu);
	if (atomic_load(&running->watched)) {
		(void)pthread_mutex_lock(&running->mu);
		(void)pthread_cond_broadcast(&running->one_left);
		(void)pthread_mutex_unlock(&running->mu);
	}
}

static bool is_own(const struct mesh_request *r)
{
	return r->parked ? mesh__async_is_current(&r->outbound->async) : pthread_equal(r->thread, pthread_self());
}

/* Of the calls under way those that are wanted: on this thread, on others, and copies of a mirror. */
struct wanted {
	bool own, others, copies;
};

static bool any(struct mesh__running *running, const struct wanted *wanted)
{
	bool found = false;

	for (size_t i = 0; i < MESH__SWAP_SHARDS && !found; i++) {
		struct mesh__running_shard *shard = &running->shards[i];
		(void)pthread_mutex_lock(&shard->mu);
		for (struct mesh_request *r = shard->first; r != NULL && !found; r = r->running_next) {
			found = r->copy.of != NULL && !wanted->copies ? false : is_own(r) ? wanted->own : wanted->others;
		}
		(void)pthread_mutex_unlock(&shard->mu);
	}
	return found;
}

static bool wait_for(struct mesh__running *running, const struct wanted *wanted, const struct mesh__env *env, int64_t deadline_us)
{
	bool left, time_left = true;

	atomic_store(&running->watched, true);
	(void)pthread_mutex_lock(&running->mu);
	while ((left = any(running, wanted)) && time_left) {
		time_left = mesh__cond_wait_until(&running->one_left, &running->mu, env, deadline_us);
	}
	(void)pthread_mutex_unlock(&running->mu);
	return !left;
}

bool mesh__running_wait(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us)
{
	return wait_for(running, &(struct wanted){.own = true, .others = true, .copies = true}, env, deadline_us);
}

bool mesh__running_drain(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us)
{
	return wait_for(running, &(struct wanted){.own = true, .others = true}, env, deadline_us);
}

bool mesh__running_wait_others(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us)
{
	return wait_for(running, &(struct wanted){.others = true, .copies = true}, env, deadline_us);
}

bool mesh__running_has_own(struct mesh__running *running)
{
	return any(running, &(struct wanted){.own = true});
}

void mesh__running_close(struct mesh__running *running)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		struct mesh__running_shard *shard = &running->shards[i];
		(void)pthread_mutex_lock(&shard->mu);
		shard->closed = true;
		for (struct mesh_request *r = shard->first; r != NULL; r = r->running_next) {
			mesh__cancel_fire(r->cancel);
		}
		(void)pthread_mutex_unlock(&shard->mu);
	}
}
