#include "support/serving.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/patience.h"

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "serving: %s\n", what);
		abort();
	}
}

/* ---- Memory ---- */

static bool fails(struct serving *s)
{
	return atomic_fetch_add(&s->n_asked, 1) + 1 == atomic_load(&s->fail_at);
}

static void count(struct serving *s, long bytes, long blocks)
{
	long now = atomic_fetch_add(&s->n_bytes, bytes) + bytes, most = atomic_load(&s->most_bytes);

	(void)atomic_fetch_add(&s->n_blocks, blocks);
	while (now > most && !atomic_compare_exchange_weak(&s->most_bytes, &most, now)) {
	}
}

static void *count_alloc(void *user, size_t size)
{
	void *block = fails(user) ? NULL : malloc(size);

	if (block != NULL) {
		count(user, (long)malloc_usable_size(block), 1);
	}
	return block;
}

static void *count_resize(void *user, void *block, size_t size)
{
	long before = block == NULL ? 0 : (long)malloc_usable_size(block);
	void *resized = fails(user) ? NULL : realloc(block, size);

	if (resized != NULL) {
		count(user, (long)malloc_usable_size(resized) - before, block == NULL);
	}
	return resized;
}

static void count_release(void *user, void *block)
{
	if (block != NULL) {
		count(user, -(long)malloc_usable_size(block), -1);
		free(block);
	}
}

void serving_forget_most(struct serving *s)
{
	atomic_store(&s->most_bytes, atomic_load(&s->n_bytes));
}

void serving_fail(struct serving *s, long n)
{
	atomic_store(&s->n_asked, 0);
	atomic_store(&s->fail_at, n);
}

/* ---- Serving ---- */

static int64_t clock_ahead(void *user)
{
	struct serving *s = user;

	return mesh__mono_us(&s->t.env) + atomic_load(&s->ahead_us);
}

static int64_t wall(void *user)
{
	struct serving *s = user;

	return mesh__wall_ms(&s->t.env);
}

static void *pull(void *arg)
{
	struct serving *s = arg;
	mesh_inbound *in;

	while (mesh_server_next(s->t.server, &in, INT64_MAX) == MESH_OK) {
		s->handler(s->user, in);
	}
	return NULL;
}

void serving_open(struct serving *s, const char *mode, const char *bodies, mesh_handler_fn handler, void *user, const char *const *more)
{
	bool pulls = strcmp(mode, "pull") == 0;
	mesh_options *o;

	memset(s, 0, sizeof(*s));
	s->mode = mode;
	s->handler = handler;
	s->user = user;
	two_meshes_init(&s->t, NULL, NULL, NULL);
	o = two_meshes_payments(&s->t);
	must(mesh_options_set(o, "request_bodies", bodies) == MESH_OK, mesh_options_message(o));
	for (; more != NULL && *more != NULL; more += 2) {
		must(mesh_options_set(o, more[0], more[1]) == MESH_OK, mesh_options_message(o));
	}
	mesh_options_allocator(o, count_alloc, count_resize, count_release, s);
	mesh_options_clock(o, clock_ahead, wall, s);
	s->t.payments = two_meshes_open(o);
	must(mesh_serve(s->t.payments, mode, pulls ? NULL : handler, user, &s->t.server, NULL) == MESH_OK, "payments does not serve");
	for (int i = 0; pulls && i < SERVING_PULLERS; i++) {
		must(pthread_create(&s->pullers[s->n_pullers++], NULL, pull, s) == 0, "no thread");
	}
}

int32_t serving_close(struct serving *s, int64_t drain_ms)
{
	int32_t code = mesh_close(s->t.payments, drain_ms);

	s->t.payments = NULL;
	for (; s->n_pullers > 0; s->n_pullers--) {
		(void)pthread_join(s->pullers[s->n_pullers - 1], NULL);
	}
	return code;
}

void serving_fini(struct serving *s)
{
	if (s->t.payments != NULL) {
		(void)serving_close(s, patience(2000));
	}
	two_meshes_fini(&s->t);
	must(s->n_blocks == 0, "memory of payments is left");
}

/* ---- Fixtures ---- */

static struct {
	struct serving *s;
	mesh_handler_fn handler;
} fixture;

void serving_fixture(struct serving *s, mesh_handler_fn handler)
{
	fixture.s = s;
	fixture.handler = handler;
}

int serving_set_up(void **state)
{
	(void)state;
	serving_open(fixture.s, "pool", "streamed", fixture.handler, NULL, NULL);
	return 0;
}

int serving_tear_down(void **state)
{
	(void)state;
	serving_fini(fixture.s);
	return 0;
}

/* ---- Long bodies ---- */

static char byte_at(size_t at)
{
	return (char)((at * 2654435761u) >> 13);
}

void serving_fill(char *bytes, size_t len, size_t at)
{
	for (size_t i = 0; i < len; i++) {
		bytes[i] = byte_at(at + i);
	}
}

bool serving_is_filled(const char *bytes, size_t len, size_t at)
{
	bool same = true;

	for (size_t i = 0; i < len; i++) {
		same = same && bytes[i] == byte_at(at + i);
	}
	return same;
}
