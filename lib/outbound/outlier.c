#include "outbound/outlier.h"

#include <stdio.h>

#include "outbound/endpoint.h"
#include "policy/service.h"

enum { NUMBER_TEXT = 24, REASON_TEXT = 64, US_OF_MS = 1000, HALF = 32, PERCENT = 100 };

void mesh__outlier_init(struct mesh__outlier_watch *w, struct mesh__metrics *metrics, const char *key)
{
	(void)pthread_mutex_init(&w->mu, NULL);
	atomic_init(&w->due_us, INT64_MAX);
	atomic_init(&w->epoch, 1);
	atomic_init(&w->interval_ends_us, INT64_MAX);
	mesh__outlier_default(&w->settings);
	atomic_init(&w->failures_allowed, w->settings.consecutive_failures);
	if (metrics != NULL) {
		w->ejections = mesh__metrics_counter(metrics, "mesh_outlier_ejections_total", "Ejections of endpoints by outlier detection, those that a failed probe prolongs among them, by service.", "service", key);
		w->withheld = mesh__metrics_counter(metrics, "mesh_outlier_withheld_total", "Ejections that outlier detection did not make, as no more endpoints may be ejected at once, by service.", "service", key);
	}
}

void mesh__outlier_fini(struct mesh__outlier_watch *w)
{
	(void)pthread_mutex_destroy(&w->mu);
}

/* ---- Under the destination's lock ---- */

/* After any change of an ejection. */
static void settle_locked(struct mesh__outlier_watch *w)
{
	int64_t due_us = INT64_MAX;

	for (const struct mesh__endpoint *e = w->first; e != NULL; e = e->outlier.next) {
		const struct mesh__ejection *out = &e->outlier.ejection;
		if (out->state == MESH__EJECTION_OUT && out->until_us < due_us) {
			due_us = out->until_us;
		}
	}
	atomic_store_explicit(&w->epoch, (atomic_load_explicit(&w->epoch, memory_order_relaxed) + 1) | 1, memory_order_release);
	atomic_store_explicit(&w->due_us, due_us, memory_order_release);
}

static void enlist_locked(struct mesh__outlier_watch *w, struct mesh__endpoint *e)
{
	e->outlier.next = w->first;
	e->outlier.link = &w->first;
	if (e->outlier.next != NULL) {
		e->outlier.next->outlier.link = &e->outlier.next;
	}
	w->first = e;
	atomic_fetch_add_explicit(&w->n_ejected, 1, memory_order_relaxed);
	(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_EJECTED, true);
}

static void delist_locked(struct mesh__outlier_watch *w, struct mesh__endpoint *e)
{
	*e->outlier.link = e->outlier.next;
	if (e->outlier.next != NULL) {
		e->outlier.next->outlier.link = e->outlier.link;
	}
	atomic_fetch_sub_explicit(&w->n_ejected, 1, memory_order_relaxed);
	atomic_store_explicit(&e->failures_in_row, 0, memory_order_relaxed);
	(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_EJECTED, false);
}

/* True when the event changed the ejection: the lists, the marks and what is due follow. */
static bool step_locked(struct mesh__outlier_watch *w, struct mesh__endpoint *e, enum mesh__ejection_event event, int64_t now_us)
{
	struct mesh__ejection *out = &e->outlier.ejection;
	bool was_in = out->state == MESH__EJECTION_IN;

	if (!mesh__ejection_step(out, event, &w->settings, now_us, event == MESH__EJECTION_PROBE_FAILED ? mesh__dice(e->env) : 0)) {
		return false;
	}
	if (was_in) {
		enlist_locked(w, e);
	} else if (out->state == MESH__EJECTION_IN) {
		delist_locked(w, e);
	}
	settle_locked(w);
	return true;
}

/* Whether the rules that are in force now would never have ejected it, nor hold anything against it. */
static bool is_pardoned(const struct mesh__outlier *settings, const struct mesh__outlier_mark *mark)
{
	return mark->ejection.state == MESH__EJECTION_IN || mark->ejection.by_rate ? !settings->rates[mark->rate].on : settings->consecutive_failures == 0;
}

static void begin_interval_locked(struct mesh__outlier_watch *w, enum mesh__outlier_rate rate, int64_t now_us)
{
	w->ends_us[rate] = now_us + w->settings.rates[rate].interval_ms * US_OF_MS;
	w->intervals[rate]++;
	for (struct mesh__endpoint *e = w->members; e != NULL; e = e->outlier.member_next) {
		e->outlier.counted[rate] = atomic_load_explicit(&e->outcomes, memory_order_relaxed);
		e->outlier.windows[rate] = (struct mesh__outlier_window){0, 0};
	}
}

static void settle_intervals_locked(struct mesh__outlier_watch *w)
{
	int64_t ends_us = INT64_MAX;

	for (int rate = 0; rate < MESH__OUTLIER_RATES; rate++) {
		if (w->settings.rates[rate].on && w->ends_us[rate] < ends_us) {
			ends_us = w->ends_us[rate];
		}
	}
	atomic_store_explicit(&w->interval_ends_us, ends_us, memory_order_relaxed);
}

/* ---- What is told, under no lock ---- */

static const char *ms_text(int64_t us, char text[NUMBER_TEXT])
{
	(void)snprintf(text, NUMBER_TEXT, "%lldms", (long long)(us / 1000));
	return text;
}

static void tell_ejected(const struct mesh__endpoint *e, const char *reason, const char *last, int64_t length_us)
{
	const struct mesh__outlier_watch *w = &e->destination->outlier;
	char length[NUMBER_TEXT], ejected[NUMBER_TEXT];

	if (w->ejections != NULL) {
		mesh__count(w->ejections, 1);
	}
	(void)snprintf(ejected, sizeof(ejected), "%d of %d", atomic_load_explicit(&w->n_ejected, memory_order_relaxed), atomic_load_explicit(&w->n_endpoints, memory_order_relaxed));
	mesh__log(e->env, MESH__LOG_WARN, "endpoint ejected", "service", e->destination->key, "instance", e->instance, "endpoint", e->address, "reason", reason, "last", last, "for", ms_text(length_us, length),
		"ejected", ejected, (char *)NULL);
}

static void tell_readmitted(const struct mesh__endpoint *e, const char *reason)
{
	mesh__log(e->env, MESH__LOG_INFO, "endpoint readmitted", "service", e->destination->key, "instance", e->instance, "endpoint", e->address, "reason", reason, (char *)NULL);
}

/* ---- The document, and who is there ---- */

void mesh__outlier_tune(struct mesh__destination *d, const struct mesh__outlier *settings)
{
	struct mesh__outlier_watch *w = &d->outlier;
	int64_t now_us = mesh__mono_us(d->list->env);
	struct mesh__outlier before;
	int n = 0;

	(void)pthread_mutex_lock(&w->mu);
	before = w->settings;
	w->settings = *settings;
	atomic_store_explicit(&w->failures_allowed, settings->consecutive_failures, memory_order_relaxed);
	for (struct mesh__endpoint *e = w->members; e != NULL; e = e->outlier.member_next) {
		n += is_pardoned(settings, &e->outlier) && step_locked(w, e, MESH__EJECTION_ENDED, 0);
	}
	for (int rate = 0; rate < MESH__OUTLIER_RATES; rate++) {
		if (settings->rates[rate].on && (!before.rates[rate].on || before.rates[rate].interval_ms != settings->rates[rate].interval_ms)) {
			begin_interval_locked(w, (enum mesh__outlier_rate)rate, now_us);
		}
	}
	settle_intervals_locked(w);
	(void)pthread_mutex_unlock(&w->mu);
	if (n > 0) {
		char text[NUMBER_TEXT];
		(void)snprintf(text, sizeof(text), "%d", n);
		mesh__log(d->list->env, MESH__LOG_INFO, "endpoints readmitted", "service", d->key, "endpoints", text, "reason", "what ejected them is off", (char *)NULL);
	}
}

void mesh__outlier_join(struct mesh__endpoint *e)
{
	struct mesh__outlier_watch *w = &e->destination->outlier;

	(void)pthread_mutex_lock(&w->mu);
	e->outlier.member_next = w->members;
	e->outlier.member_link = &w->members;
	if (e->outlier.member_next != NULL) {
		e->outlier.member_next->outlier.member_link = &e->outlier.member_next;
	}
	w->members = e;
	atomic_fetch_add_explicit(&w->n_endpoints, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&w->mu);
}

void mesh__outlier_leave(struct mesh__endpoint *e)
{
	struct mesh__outlier_watch *w = &e->destination->outlier;

	(void)pthread_mutex_lock(&w->mu);
	e->outlier.left = true;
	(void)step_locked(w, e, MESH__EJECTION_ENDED, 0);
	*e->outlier.member_link = e->outlier.member_next;
	if (e->outlier.member_next != NULL) {
		e->outlier.member_next->outlier.member_link = e->outlier.member_link;
	}
	atomic_fetch_sub_explicit(&w->n_endpoints, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&w->mu);
}

/* ---- The probe ---- */

/* The group remembers when the first of its own is due: one whose calls find another's due does not look through its endpoints each time. Written under the lock alone, and so of one epoch. */
static bool has_none_due(const struct mesh__outlier_watch *w, const struct mesh__group *g, int64_t now_us)
{
	return atomic_load_explicit(&g->probe_epoch, memory_order_acquire) == atomic_load_explicit(&w->epoch, memory_order_acquire) && atomic_load_explicit(&g->probe_due_us, memory_order_relaxed) > now_us;
}

/* Or *served: one that is in again. */
static struct mesh__endpoint *claim_locked(struct mesh__outlier_watch *w, struct mesh__group *g, int64_t now_us, struct mesh__endpoint **served)
{
	int64_t due_us = INT64_MAX;

	for (size_t i = 0; i < g->n; i++) {
		struct mesh__endpoint *e = g->endpoints[i];
		if (step_locked(w, e, MESH__EJECTION_PROBE, now_us)) {
			return e;
		}
		if (step_locked(w, e, MESH__EJECTION_SERVED, now_us)) {
			*served = e;
			return NULL;
		}
		if (e->outlier.ejection.state == MESH__EJECTION_OUT && e->outlier.ejection.until_us < due_us) {
			due_us = e->outlier.ejection.until_us;
		}
	}
	atomic_store_explicit(&g->probe_due_us, due_us, memory_order_relaxed);
	atomic_store_explicit(&g->probe_epoch, atomic_load_explicit(&w->epoch, memory_order_relaxed), memory_order_release);
	return NULL;
}

struct mesh__endpoint *mesh__outlier_claim(struct mesh__destination *d, struct mesh__group *g, int64_t now_us)
{
	struct mesh__outlier_watch *w = &d->outlier;
	struct mesh__endpoint *e = NULL, *served = NULL;

	if (!has_none_due(w, g, now_us) && pthread_mutex_trylock(&w->mu) == 0) {
		e = claim_locked(w, g, now_us, &served);
		(void)pthread_mutex_unlock(&w->mu);
	}
	if (served != NULL) {
		tell_readmitted(served, "its time has passed");
	}
	return e;
}

void mesh__outlier_probed(struct mesh__endpoint *e, enum mesh__blame blame, int64_t now_us)
{
	static const enum mesh__ejection_event events[] = {
		[MESH__BLAME_NOBODY] = MESH__EJECTION_PROBE_PASSED, [MESH__BLAME_ENDPOINT] = MESH__EJECTION_PROBE_FAILED, [MESH__BLAME_UNKNOWN] = MESH__EJECTION_PROBE_UNTOLD,
	};
	struct mesh__outlier_watch *w = &e->destination->outlier;
	int64_t length_us;
	bool changed;

	(void)pthread_mutex_lock(&w->mu);
	changed = step_locked(w, e, events[blame], now_us);
	length_us = e->outlier.ejection.length_us;
	(void)pthread_mutex_unlock(&w->mu);
	if (changed && blame == MESH__BLAME_NOBODY) {
		tell_readmitted(e, "its probe went well");
	} else if (changed && blame == MESH__BLAME_ENDPOINT) {
		tell_ejected(e, "its probe failed", NULL, length_us);
	}
}

/* ---- Who is ejected ---- */

/* True when it is out by that; where no more may be out that is counted. */
static bool eject_locked(struct mesh__outlier_watch *w, struct mesh__endpoint *e, enum mesh__ejection_event event, int64_t now_us)
{
	int32_t most = mesh__outlier_most(&w->settings, atomic_load_explicit(&w->n_endpoints, memory_order_relaxed));

	if (e->outlier.left || e->outlier.ejection.state != MESH__EJECTION_IN) {
		return false;
	}
	if (atomic_load_explicit(&w->n_ejected, memory_order_relaxed) >= most) {
		if (w->withheld != NULL) {
			mesh__count(w->withheld, 1);
		}
		return false;
	}
	return step_locked(w, e, event, now_us);
}

/* So many failed at once, of which the last comes here while the first has ejected it already, that it is looked at again under the lock. */
static void eject(struct mesh__endpoint *e, const char *last, int64_t now_us)
{
	struct mesh__outlier_watch *w = &e->destination->outlier;
	char reason[REASON_TEXT];
	int64_t length_us;
	bool ejected;

	(void)pthread_mutex_lock(&w->mu);
	ejected = eject_locked(w, e, MESH__EJECTION_FAILED, now_us);
	length_us = e->outlier.ejection.length_us;
	(void)snprintf(reason, sizeof(reason), "%d failures in a row", w->settings.consecutive_failures);
	(void)pthread_mutex_unlock(&w->mu);
	if (ejected) {
		tell_ejected(e, reason, last, length_us);
	}
}

/* ---- Rates: who is due compares the endpoints ---- */

/* One comparison: what is known of each rate whose interval has ended. */
struct comparison {
	bool due[MESH__OUTLIER_RATES];
	uint32_t interval[MESH__OUTLIER_RATES]; /* the watch's, as of then */
	struct mesh__outlier_rate_rule rules[MESH__OUTLIER_RATES];
	struct mesh__outlier_crowd crowds[MESH__OUTLIER_RATES];
};

/* What has come since the last; of an endpoint that is out, nothing. The difference of the packed words is the packed difference, also where a half has run over. */
static void take_window_locked(struct mesh__endpoint *e, enum mesh__outlier_rate rate)
{
	uint64_t now = atomic_load_explicit(&e->outcomes, memory_order_relaxed), n = now - e->outlier.counted[rate];

	e->outlier.counted[rate] = now;
	e->outlier.windows[rate] = e->outlier.ejection.state != MESH__EJECTION_IN ? (struct mesh__outlier_window){0, 0} : (struct mesh__outlier_window){(uint32_t)(n >> HALF), (uint32_t)n};
}

/* The interval ends. The window stays of those that are out by the rate. */
static void compare_locked(struct mesh__outlier_watch *w, enum mesh__outlier_rate rate, struct comparison *c, int64_t now_us)
{
	const struct mesh__outlier_rate_rule *rule = &c->rules[rate];

	for (struct mesh__endpoint *e = w->members; e != NULL; e = e->outlier.member_next) {
		take_window_locked(e, rate);
		mesh__outlier_crowd_add(&c->crowds[rate], rule, e->outlier.windows[rate]);
	}
	for (struct mesh__endpoint *e = w->members; e != NULL; e = e->outlier.member_next) {
		if (mesh__outlier_is_out(rate, rule, &c->crowds[rate], e->outlier.windows[rate])) {
			continue;
		}
		e->outlier.windows[rate] = (struct mesh__outlier_window){0, 0};
		if (e->outlier.rate == rate) {
			(void)step_locked(w, e, MESH__EJECTION_INTERVAL, now_us);
		}
	}
	w->ends_us[rate] = now_us + rule->interval_ms * US_OF_MS;
	c->interval[rate] = ++w->intervals[rate];
	c->due[rate] = true;
}

/* The next that the rate ejects, referenced, and for how long; NULL: none is left, or the next interval has ended meanwhile. */
static struct mesh__endpoint *eject_next(struct mesh__outlier_watch *w, enum mesh__outlier_rate rate, const struct comparison *c, int64_t now_us, struct mesh__outlier_window *window, int64_t *length_us)
{
	struct mesh__endpoint *e;

	(void)pthread_mutex_lock(&w->mu);
	for (e = w->intervals[rate] == c->interval[rate] ? w->members : NULL; e != NULL; e = e->outlier.member_next) {
		*window = e->outlier.windows[rate];
		e->outlier.windows[rate] = (struct mesh__outlier_window){0, 0};
		if (window->requests == 0 || !eject_locked(w, e, MESH__EJECTION_OUTLYING, now_us)) {
			continue;
		}
		e->outlier.rate = rate;
		*length_us = e->outlier.ejection.length_us;
		if (mesh__endpoint_try_ref(e)) {
			break;
		}
	}
	(void)pthread_mutex_unlock(&w->mu);
	return e;
}

static void put_percent(double rate, char text[NUMBER_TEXT])
{
	int hundredths = (int)(rate * PERCENT * PERCENT + 0.5);

	(void)snprintf(text, NUMBER_TEXT, "%d.%02d%%", hundredths / PERCENT, hundredths % PERCENT);
}

static void eject_by(struct mesh__outlier_watch *w, enum mesh__outlier_rate rate, const struct comparison *c, int64_t now_us)
{
	const struct mesh__outlier_rate_rule *rule = &c->rules[rate];
	struct mesh__outlier_window window;
	struct mesh__endpoint *e;
	int64_t length_us;

	while ((e = eject_next(w, rate, c, now_us, &window, &length_us)) != NULL) {
		double failed = (double)window.failures / (double)window.requests;
		char reason[REASON_TEXT], share[NUMBER_TEXT], least[NUMBER_TEXT];
		put_percent(rate == MESH__OUTLIER_SUCCESS_RATE ? 1 - failed : failed, share);
		put_percent(rate == MESH__OUTLIER_SUCCESS_RATE ? mesh__outlier_least_rate(&c->crowds[rate], rule) : (double)rule->limit / MESH__WHOLE, least);
		(void)snprintf(reason, sizeof(reason), rate == MESH__OUTLIER_SUCCESS_RATE ? "success rate %s under %s" : "failures %s over %s", share, least);
		tell_ejected(e, reason, NULL, length_us);
		mesh__endpoint_unref(e);
	}
}

/* Not by two at once: the second to come finds the lock taken, or nothing due. */
static void compare(struct mesh__outlier_watch *w, int64_t now_us)
{
	struct comparison c = {.due = {false}};

	if (pthread_mutex_trylock(&w->mu) != 0) {
		return;
	}
	for (int rate = 0; rate < MESH__OUTLIER_RATES; rate++) {
		c.rules[rate] = w->settings.rates[rate];
		if (c.rules[rate].on && w->ends_us[rate] <= now_us) {
			compare_locked(w, (enum mesh__outlier_rate)rate, &c, now_us);
		}
	}
	settle_intervals_locked(w);
	(void)pthread_mutex_unlock(&w->mu);
	for (int rate = 0; rate < MESH__OUTLIER_RATES; rate++) {
		if (c.due[rate]) {
			eject_by(w, (enum mesh__outlier_rate)rate, &c, now_us);
		}
	}
}

/* ---- What tries teach ---- */

static void learn_in_row(struct mesh__endpoint *e, bool failed, int32_t allowed, const char *last, int64_t now_us)
{
	if (!failed) {
		if (atomic_load_explicit(&e->failures_in_row, memory_order_relaxed) != 0) {
			atomic_store_explicit(&e->failures_in_row, 0, memory_order_relaxed);
		}
		return;
	}
	/* From 0 again also where it may not be ejected: then every so many failures ask, and not each. */
	if (atomic_fetch_add_explicit(&e->failures_in_row, 1, memory_order_relaxed) + 1 >= allowed) {
		atomic_store_explicit(&e->failures_in_row, 0, memory_order_relaxed);
		eject(e, last, now_us);
	}
}

void mesh__outlier_learn(struct mesh__endpoint *e, enum mesh__blame blame, const char *last, int64_t now_us)
{
	struct mesh__outlier_watch *w = &e->destination->outlier;
	int32_t allowed = atomic_load_explicit(&w->failures_allowed, memory_order_relaxed);
	int64_t ends_us = atomic_load_explicit(&w->interval_ends_us, memory_order_relaxed);

	if (blame == MESH__BLAME_UNKNOWN || (atomic_load_explicit(&e->unhealthy, memory_order_relaxed) & MESH__UNHEALTHY_EJECTED) != 0) {
		return;
	}
	if (ends_us != INT64_MAX) {
		atomic_fetch_add_explicit(&e->outcomes, (UINT64_C(1) << HALF) + (blame == MESH__BLAME_ENDPOINT), memory_order_relaxed);
	}
	if (allowed > 0) {
		learn_in_row(e, blame == MESH__BLAME_ENDPOINT, allowed, last, now_us);
	}
	if (ends_us <= now_us) {
		compare(w, now_us);
	}
}
