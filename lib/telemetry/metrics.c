#include "telemetry/metrics.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { MAX_SERIES = 256 };

static const char overflow_value[] = "other";

/* Both lists only grow, each by one store of what is whole already: whoever looks for what is there takes no lock. */
struct series {
	struct mesh__counter counter;
	struct series *_Atomic next;
	char value[]; /* of the label, UTF-8; "" when there is none */
};

struct family {
	const char *name, *help, *key, *type;
	struct family *_Atomic next;   /* sorted by name */
	struct series *_Atomic series; /* sorted by value */
	size_t n_series;               /* guarded by the registry's mu */
};

struct mesh__metrics {
	const struct mesh__env *env;
	pthread_mutex_t mu; /* guards that one at a time adds to the lists */
	struct family *_Atomic families;
	void (*refresh)(void *arg); /* NULL: nothing needs it */
	void *refresh_arg;
	struct mesh__counter unshown; /* what is counted when there is no memory to count it properly */
};

struct mesh__metrics *mesh__metrics_new(const struct mesh__env *env)
{
	struct mesh__metrics *metrics = mesh__alloc(&env->mem, sizeof(*metrics));

	if (metrics == NULL) {
		return NULL;
	}
	metrics->env = env;
	if (pthread_mutex_init(&metrics->mu, NULL) != 0) {
		mesh__free(metrics);
		return NULL;
	}
	return metrics;
}

static void family_free(struct family *family)
{
	struct series *s = atomic_load(&family->series);

	while (s != NULL) {
		struct series *next = atomic_load(&s->next);
		mesh__free(s);
		s = next;
	}
	mesh__free(family);
}

void mesh__metrics_free(struct mesh__metrics *metrics)
{
	struct family *f;

	if (metrics == NULL) {
		return;
	}
	f = atomic_load(&metrics->families);
	while (f != NULL) {
		struct family *next = atomic_load(&f->next);
		family_free(f);
		f = next;
	}
	pthread_mutex_destroy(&metrics->mu);
	mesh__free(metrics);
}

/* The family of that name; NULL, and *at its place in the list, when there is none. */
static struct family *find_family(struct mesh__metrics *metrics, const char *name, struct family *_Atomic **at)
{
	struct family *f;

	*at = &metrics->families;
	while ((f = atomic_load_explicit(*at, memory_order_acquire)) != NULL && f->name != name) {
		int order = strcmp(f->name, name);
		if (order >= 0) {
			return order == 0 ? f : NULL;
		}
		*at = &f->next;
	}
	return f;
}

/* Likewise, the family's series of that value. */
static struct series *find_series(struct family *family, const char *value, struct series *_Atomic **at)
{
	struct series *s;

	*at = &family->series;
	while ((s = atomic_load_explicit(*at, memory_order_acquire)) != NULL) {
		int order = strcmp(s->value, value);
		if (order >= 0) {
			return order == 0 ? s : NULL;
		}
		*at = &s->next;
	}
	return NULL;
}

static struct family *family_locked(struct mesh__metrics *metrics, const struct family *wanted)
{
	struct family *_Atomic *at, *f = find_family(metrics, wanted->name, &at);

	if (f != NULL) {
		return f;
	}
	f = mesh__alloc(&metrics->env->mem, sizeof(*f));
	if (f != NULL) {
		f->name = wanted->name;
		f->help = wanted->help;
		f->key = wanted->key;
		f->type = wanted->type;
		atomic_init(&f->next, atomic_load_explicit(at, memory_order_relaxed));
		atomic_store_explicit(at, f, memory_order_release);
	}
	return f;
}

static struct series *series_locked(struct mesh__metrics *metrics, struct family *family, const char *value)
{
	struct series *_Atomic *at, *s = find_series(family, value, &at);
	size_t len = strlen(value);

	if (s != NULL) {
		return s;
	}
	if (family->n_series >= MAX_SERIES && strcmp(value, overflow_value) != 0) {
		return series_locked(metrics, family, overflow_value); /* a label that strangers fill must not fill the memory */
	}
	s = mesh__alloc(&metrics->env->mem, sizeof(*s) + len + 1);
	if (s != NULL) {
		memcpy(s->value, value, len);
		atomic_init(&s->next, atomic_load_explicit(at, memory_order_relaxed));
		atomic_store_explicit(at, s, memory_order_release);
		family->n_series++;
	}
	return s;
}

static struct mesh__counter *find(struct mesh__metrics *metrics, const struct family *wanted, const char *value)
{
	struct family *_Atomic *at_family, *family;
	struct series *_Atomic *at_series, *series = NULL;

	if (wanted->key == NULL || value == NULL) {
		value = "";
	} else if (!mesh__str_utf8(value, strlen(value))) {
		value = "invalid"; /* the format is UTF-8: one bad byte would spoil the whole page */
	}
	family = find_family(metrics, wanted->name, &at_family);
	if (family != NULL) {
		series = find_series(family, value, &at_series);
	}
	if (series == NULL) {
		pthread_mutex_lock(&metrics->mu);
		family = family_locked(metrics, wanted);
		series = family == NULL ? NULL : series_locked(metrics, family, value);
		pthread_mutex_unlock(&metrics->mu);
	}
	return series != NULL ? &series->counter : &metrics->unshown;
}

struct mesh__counter *mesh__metrics_counter(struct mesh__metrics *metrics, const char *name, const char *help, const char *key, const char *value)
{
	const struct family wanted = {.name = name, .help = help, .key = key, .type = "counter"};

	return find(metrics, &wanted, value);
}

struct mesh__counter *mesh__metrics_gauge(struct mesh__metrics *metrics, const char *name, const char *help, const char *key, const char *value)
{
	const struct family wanted = {.name = name, .help = help, .key = key, .type = "gauge"};

	return find(metrics, &wanted, value);
}

void mesh__count(struct mesh__counter *counter, int64_t by)
{
	atomic_fetch_add_explicit(&counter->value, by, memory_order_relaxed);
}

void mesh__gauge_set(struct mesh__counter *gauge, int64_t value)
{
	atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

/* Escapes as the exposition format asks: backslash and newline everywhere, the quote in label values. */
static void put_escaped(struct mesh__buf *out, const char *text, bool quote)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			mesh__buf_str(out, "\\n");
		} else if (*text == '\\' || (quote && *text == '"')) {
			mesh__buf_chr(out, '\\');
			mesh__buf_chr(out, *text);
		} else {
			mesh__buf_chr(out, *text);
		}
	}
}

static void put_family(struct mesh__buf *out, const struct family *f)
{
	mesh__buf_printf(out, "# HELP %s ", f->name);
	put_escaped(out, f->help, false);
	mesh__buf_printf(out, "\n# TYPE %s %s\n", f->name, f->type);
	for (struct series *s = atomic_load(&f->series); s != NULL; s = atomic_load(&s->next)) {
		mesh__buf_str(out, f->name);
		if (f->key != NULL) {
			mesh__buf_printf(out, "{%s=\"", f->key);
			put_escaped(out, s->value, true);
			mesh__buf_str(out, "\"}");
		}
		mesh__buf_printf(out, " %lld\n", (long long)atomic_load_explicit(&s->counter.value, memory_order_relaxed));
	}
}

void mesh__metrics_on_text(struct mesh__metrics *metrics, void (*refresh)(void *arg), void *arg)
{
	metrics->refresh = refresh;
	metrics->refresh_arg = arg;
}

void mesh__metrics_text(struct mesh__metrics *metrics, struct mesh__buf *out)
{
	if (metrics->refresh != NULL) {
		metrics->refresh(metrics->refresh_arg);
	}
	for (struct family *f = atomic_load(&metrics->families); f != NULL; f = atomic_load(&f->next)) {
		put_family(out, f);
	}
}
