/*
 * What the library adds to a program that calls: from the public header alone, its settings from the environment (MESH_…).
 *
 *	footprint CALLS SERVICE...
 *
 * Times the way from mesh_open() to the first answer (of the first service), then calls each service CALLS times, and prints one line of JSON: milliseconds of the first answer, the bytes that the
 * library itself has allocated when all is known and connected and at most, the instances that answered, and what is left after mesh_close().
 */
#include <meshlib/mesh.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The library's own allocations, each with its size before it. */
union prefix {
	size_t size;
	max_align_t align;
};

static atomic_size_t live, peak;

static void count(size_t more, size_t less)
{
	size_t now = atomic_fetch_add(&live, more - less) + more - less, seen = atomic_load(&peak);

	while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now)) {
	}
}

static void *counted_resize(void *user, void *block, size_t size)
{
	union prefix *old = block == NULL ? NULL : (union prefix *)block - 1;
	size_t before = old == NULL ? 0 : old->size;
	union prefix *grown = realloc(old, sizeof(*grown) + size);

	(void)user;
	if (grown == NULL) {
		return NULL;
	}
	grown->size = size;
	count(size, before);
	return grown + 1;
}

static void *counted_alloc(void *user, size_t size)
{
	return counted_resize(user, NULL, size);
}

static void counted_release(void *user, void *block)
{
	(void)user;
	if (block != NULL) {
		count(0, ((union prefix *)block - 1)->size);
		free((union prefix *)block - 1);
	}
}

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool call(mesh *m, const char *service)
{
	mesh_request *r = mesh_request_new(m, service, "GET", "/");
	bool ok = r != NULL && mesh_call(r) == MESH_OK && mesh_response_status(r) == 200;

	if (!ok) {
		fprintf(stderr, "footprint: %s: %s\n", service, r == NULL || mesh_request_error(r) == NULL ? "no 200" : mesh_error_message(mesh_request_error(r)));
	}
	mesh_request_free(r);
	return ok;
}

int main(int argc, char **argv)
{
	mesh_options *options = mesh_options_new();
	double begun_ms = now_ms(), first_ms;
	bool ok = options != NULL && argc > 2;
	mesh *m = NULL;

	if (!ok) {
		return 2;
	}
	mesh_options_allocator(options, counted_alloc, counted_resize, counted_release, NULL);
	ok = mesh_open(options, &m, NULL) == MESH_OK && call(m, argv[2]);
	first_ms = now_ms() - begun_ms;
	for (int i = 2; ok && i < argc; i++) {
		for (long n = strtol(argv[1], NULL, 10); ok && n > 0; n--) {
			ok = call(m, argv[i]);
		}
	}
	printf("{\"firstAnswerMs\":%.3f,\"liveBytes\":%zu,\"peakBytes\":%zu", first_ms, atomic_load(&live), atomic_load(&peak));
	ok = (m == NULL || mesh_close(m, 1000) == MESH_OK) && ok;
	printf(",\"leftBytes\":%zu}\n", atomic_load(&live));
	mesh_options_free(options);
	return ok ? 0 : 1;
}
