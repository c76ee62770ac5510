#include "meshctl/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/json.h"

void ctl_stats_init(struct ctl_stats *stats, const struct mesh__env *env)
{
	memset(stats, 0, sizeof(*stats));
	stats->env = env;
	mesh__map_init(&stats->instances, env);
	mesh__map_init(&stats->versions, env);
}

static void free_counts(struct mesh__map *map)
{
	for (struct mesh__map_entry *e = mesh__map_next(map, NULL); e != NULL; e = mesh__map_next(map, e)) {
		mesh__free(e->value);
	}
	mesh__map_fini(map);
}

void ctl_stats_fini(struct ctl_stats *stats)
{
	free_counts(&stats->instances);
	free_counts(&stats->versions);
}

static bool count(struct mesh__map *map, const char *key, int64_t by)
{
	int64_t *n = mesh__map_get(map, key);

	if (n == NULL) {
		n = mesh__alloc(&map->env->mem, sizeof(*n));
		if (n == NULL || !mesh__map_put(map, key, n, NULL)) {
			mesh__free(n);
			return false;
		}
	}
	*n += by;
	return true;
}

bool ctl_outcome_ok(const struct ctl_outcome *outcome)
{
	return outcome->code == MESH_OK && outcome->status >= 200 && outcome->status <= 399;
}

bool ctl_stats_add(struct ctl_stats *stats, const struct ctl_outcome *outcome)
{
	bool counted = true;

	stats->calls++;
	stats->tries += outcome->tries;
	if (ctl_outcome_ok(outcome)) {
		stats->ok++;
	} else {
		stats->failed++;
	}
	if (outcome->code != MESH_OK) {
		stats->errors[outcome->code > 0 && outcome->code < CTL_CODE_MAX - 1 ? outcome->code : CTL_CODE_MAX - 1]++;
		return true;
	}
	stats->status[outcome->status > 0 && outcome->status < CTL_STATUS_MAX ? outcome->status : 0]++;
	if (outcome->instance != NULL && outcome->instance[0] != '\0') {
		counted = count(&stats->instances, outcome->instance, 1);
	}
	if (outcome->version != NULL && outcome->version[0] != '\0') {
		counted = count(&stats->versions, outcome->version, 1) && counted;
	}
	return counted;
}

static bool merge_counts(struct mesh__map *into, const struct mesh__map *from)
{
	bool counted = true;

	for (struct mesh__map_entry *e = mesh__map_next(from, NULL); e != NULL; e = mesh__map_next(from, e)) {
		counted = count(into, e->key, *(int64_t *)e->value) && counted;
	}
	return counted;
}

bool ctl_stats_merge(struct ctl_stats *into, const struct ctl_stats *from)
{
	bool counted;

	into->calls += from->calls;
	into->ok += from->ok;
	into->failed += from->failed;
	into->tries += from->tries;
	for (size_t i = 0; i < CTL_STATUS_MAX; i++) {
		into->status[i] += from->status[i];
	}
	for (size_t i = 0; i < CTL_CODE_MAX; i++) {
		into->errors[i] += from->errors[i];
	}
	counted = merge_counts(&into->instances, &from->instances);
	return merge_counts(&into->versions, &from->versions) && counted;
}

/* ---- Percentiles ---- */

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least `percent` of all do not exceed. */
static double rank(const int64_t *sorted, size_t n, unsigned percent)
{
	size_t at = (n * percent + 99) / 100;

	return (double)sorted[at > 0 ? at - 1 : 0] / 1000.0;
}

void ctl_latency_of(int64_t *times_us, size_t n, struct ctl_latency *out)
{
	memset(out, 0, sizeof(*out));
	if (n == 0) {
		return;
	}
	qsort(times_us, n, sizeof(*times_us), by_value);
	out->p50 = rank(times_us, n, 50);
	out->p90 = rank(times_us, n, 90);
	out->p99 = rank(times_us, n, 99);
	out->max = rank(times_us, n, 100);
}

/* ---- Output ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const struct mesh__map_entry *const *)a)->key, (*(const struct mesh__map_entry *const *)b)->key);
}

/* The entries in the order of their keys, as a heap array; NULL when there are none or no memory. */
static const struct mesh__map_entry **sorted(const struct mesh__map *map)
{
	const struct mesh__map_entry **list = mesh__alloc_array(&map->env->mem, map->n, sizeof(struct mesh__map_entry *));
	size_t n = 0;

	for (struct mesh__map_entry *e = mesh__map_next(map, NULL); e != NULL && list != NULL; e = mesh__map_next(map, e)) {
		list[n++] = e;
	}
	if (list != NULL && n > 0) {
		qsort(list, n, sizeof(struct mesh__map_entry *), by_key);
	}
	return list;
}

static void put_counts(struct mesh__json_out *json, const char *key, const struct mesh__map *map)
{
	const struct mesh__map_entry **list = sorted(map);

	mesh__json_open(json, key, '{');
	for (size_t i = 0; list != NULL && i < map->n; i++) {
		mesh__json_put_int(json, list[i]->key, *(int64_t *)list[i]->value);
	}
	mesh__json_close(json, '}');
	mesh__free(list);
}

void ctl_stats_json(const struct ctl_stats *stats, const struct ctl_latency *latency, double seconds, struct mesh__buf *out)
{
	struct mesh__json_out json = {out, false};
	char key[8];

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_int(&json, "calls", stats->calls);
	mesh__json_put_int(&json, "ok", stats->ok);
	mesh__json_put_int(&json, "failed", stats->failed);
	mesh__json_open(&json, "status", '{');
	for (unsigned i = 0; i < CTL_STATUS_MAX; i++) {
		if (stats->status[i] > 0) {
			(void)snprintf(key, sizeof(key), "%u", i);
			mesh__json_put_int(&json, key, stats->status[i]);
		}
	}
	mesh__json_close(&json, '}');
	mesh__json_open(&json, "errors", '{');
	for (int i = 0; i < CTL_CODE_MAX; i++) {
		if (stats->errors[i] > 0) {
			mesh__json_put_int(&json, mesh__code_name(i), stats->errors[i]);
		}
	}
	mesh__json_close(&json, '}');
	put_counts(&json, "instances", &stats->instances);
	put_counts(&json, "versions", &stats->versions);
	mesh__json_put_int(&json, "tries", stats->tries);
	mesh__json_open(&json, "latencyMs", '{');
	mesh__json_put_double(&json, "p50", latency->p50, 3);
	mesh__json_put_double(&json, "p90", latency->p90, 3);
	mesh__json_put_double(&json, "p99", latency->p99, 3);
	mesh__json_put_double(&json, "max", latency->max, 3);
	mesh__json_close(&json, '}');
	mesh__json_put_double(&json, "seconds", seconds, 3);
	mesh__json_close(&json, '}');
	mesh__buf_chr(out, '\n');
}

static void text_counts(struct mesh__buf *out, const char *head, const struct mesh__map *map, int64_t of)
{
	const struct mesh__map_entry **list = sorted(map);

	for (size_t i = 0; list != NULL && i < map->n; i++) {
		int64_t n = *(int64_t *)list[i]->value;
		mesh__buf_printf(out, "%-10s  %-20s  %lld (%.1f %%)\n", i == 0 ? head : "", list[i]->key, (long long)n,
			of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	}
	mesh__free(list);
}

void ctl_stats_text(const struct ctl_stats *stats, const struct ctl_latency *latency, double seconds, struct mesh__buf *out)
{
	mesh__buf_printf(out, "%lld calls in %.2f s (%.0f a second): %lld ok, %lld failed, %lld tries\n", (long long)stats->calls, seconds,
		seconds > 0 ? (double)stats->calls / seconds : 0.0, (long long)stats->ok, (long long)stats->failed,
			(long long)stats->tries);
	mesh__buf_printf(out, "latency     p50 %.3f ms  p90 %.3f ms  p99 %.3f ms  max %.3f ms\n", latency->p50, latency->p90, latency->p99, latency->max);
	for (unsigned i = 0; i < CTL_STATUS_MAX; i++) {
		if (stats->status[i] > 0) {
			mesh__buf_printf(out, "%-10s  %-20u  %lld\n", "status", i, (long long)stats->status[i]);
		}
	}
	for (int i = 0; i < CTL_CODE_MAX; i++) {
		if (stats->errors[i] > 0) {
			mesh__buf_printf(out, "%-10s  %-20s  %lld\n", "error", mesh__code_name(i), (long long)stats->errors[i]);
		}
	}
	text_counts(out, "instances", &stats->instances, stats->calls);
	text_counts(out, "versions", &stats->versions, stats->calls);
}
