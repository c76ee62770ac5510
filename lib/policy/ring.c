#include "policy/ring.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/hash.h"

/* Points of one that weighs 1. Powers of two alone, so that they are the same for nine hosts as for ten. */
static double points_of_one(const struct mesh__hash_host *hosts, size_t n, size_t least)
{
	double weight = 0, of_one;
	int k;

	for (size_t i = 0; i < n; i++) {
		weight += (double)hosts[i].weight;
	}
	if (n == 0) {
		return 0;
	}
	(void)frexp((double)least / weight, &k); /* least / weight <= 2^k */
	of_one = ldexp(1, k);
	return of_one / 2 * weight >= (double)least ? of_one / 2 : of_one;
}

static size_t points_of(const struct mesh__hash_host *host, double of_one)
{
	double points = floor((double)host->weight * of_one);

	return points < 1 ? 1 : (size_t)points;
}

size_t mesh__ring_size(const struct mesh__hash_host *hosts, size_t n, size_t least)
{
	double of_one = points_of_one(hosts, n, least);
	size_t size = 0;

	for (size_t i = 0; i < n; i++) {
		size += points_of(&hosts[i], of_one);
	}
	return size;
}

/* Two at one place: the host that comes first in the list has it, in every process. */
static int compare(const void *one, const void *other)
{
	const struct mesh__ring_point *a = one, *b = other;

	if (a->hash != b->hash) {
		return a->hash < b->hash ? -1 : 1;
	}
	return a->host < b->host ? -1 : a->host > b->host;
}

void mesh__ring_fill(const struct mesh__hash_host *hosts, size_t n, size_t least, struct mesh__ring_point *points)
{
	double of_one = points_of_one(hosts, n, least);
	char text[MESH__HASH_KEY_MAX + 24];
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		size_t own = points_of(&hosts[i], of_one);
		for (size_t k = 0; k < own; k++) {
			int len = snprintf(text, sizeof(text), "%.*s_%zu", MESH__HASH_KEY_MAX, hosts[i].key, k);
			points[at++] = (struct mesh__ring_point){.hash = mesh__hash(text, (size_t)len, 0), .host = (uint32_t)i};
		}
	}
	qsort(points, at, sizeof(*points), compare);
}

size_t mesh__ring_find(const struct mesh__ring_point *points, size_t n, uint64_t hash)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (points[middle].hash < hash) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low == n ? 0 : low;
}
