#include "telemetry/metrics.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { MAX_SERIES = 256 };

static const char overflow_value[] = "other";

struct series {
	struct mesh__counter counter;
	struct series *next;
	char value[]; /* of the label, UTF-8; "" when there is none */
};

struct family {
	const char *name, *help, *key, *type;
	struct family *next;   /* sorted by name */
	struct series *series; /* sorted by value */
	size_t n_series;
};

struct mesh__metrics {
	const struct mesh__env *env;
	pthread_mutex_t mu; /* guards families and all lists below them; the values are atomic */
	struct family *families;
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
	struct series *s = family->series;

	while (s != NULL) {
		struct series *next = s->next;
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
	f = metrics->families;
	while (f != NULL) {
		struct family *next = f->next;
		family_free(f);
		f = next;
	}
	pthread_mutex_destroy(&metrics->mu);
	mesh__free(metrics);
}

static struct family *family_locked(struct mesh__metrics *metrics, const struct family *wanted)
{
	struct family **at = &metrics->families, *f;

	while (*at != NULL && strcmp((*at)->name, wanted->name) < 0) {
		at = &(*at)->next;
	}
	if (*at != NULL && strcmp((*at)->name, wanted->name) == 0) {
		return *at;
	}
	f = mesh__alloc(&metrics->env->mem, sizeof(*f));
	if (f != NULL) {
		*f = *wanted;
		f->next = *at;
		*at = f;
	}
	return f;
}

static struct series **find_series(struct family *family, const char *value)
{
	struct series **at = &family->series;

	while (*at != NULL && strcmp((*at)->value, value) < 0) {
		at = &(*at)->next;
	}
	return at;
}

static struct series *series_locked(struct mesh__metrics *metrics, struct family *family, const char *value)
{
	struct series **at = find_series(family, value), *s;
	size_t len = strlen(value);

	if (*at != NULL && strcmp((*at)->value, value) == 0) {
		return *at;
	}
	if (family->n_series >= MAX_SERIES && strcmp(value, overflow_value) != 0) {
		return series_locked(metrics, family, overflow_value); /* a label that strangers fill must not fill the memory */
	}
	s = mesh__alloc(&metrics->env->mem, sizeof(*s) + len + 1);
	if (s != NULL) {
		memcpy(s->value, value, len);
		s->next = *at;
		*at = s;
		family->n_series++;
	}
	return s;
}

static struct mesh__counter *find(struct mesh__metrics *metrics, const struct family *wanted, const char *value)
{
	struct family *family;
	struct series *series = NULL;

	if (wanted->key == NULL || value == NULL) {
		value = "";
	} else if (!mesh__str_utf8(value, strlen(value))) {
		value = "invalid"; /* the format is UTF-8: one bad byte would spoil the whole page */
	}
	pthread_mutex_lock(&metrics->mu);
	family = family_locked(metrics, wanted);
	if (family != NULL) {
		series = series_locked(metrics, family, value);
	}
	pthread_mutex_unlock(&metrics->mu);
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
	for (struct series *s = f->series; s != NULL; s = s->next) {
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
	pthread_mutex_lock(&metrics->mu);
	for (struct family *f = metrics->families; f != NULL; f = f->next) {
		put_family(out, f);
	}
	pthread_mutex_unlock(&metrics->mu);
}
