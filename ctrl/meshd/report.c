#include "meshd/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- How often ---- */

bool meshd_report_admits(int64_t *due_us, int64_t now_us)
{
	static const int64_t every_us = (int64_t)MESHD_REPORT_EVERY_MS * 1000;
	int64_t from_us = *due_us > now_us ? *due_us : now_us;

	if (from_us - now_us > (MESHD_REPORT_BURST - 1) * every_us) {
		return false;
	}
	*due_us = from_us + every_us;
	return true;
}

/* ---- A session's ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct meshd_reported *)a)->instance, ((const struct meshd_reported *)b)->instance);
}

/* Each instance once: a caller counts once, however often it says the same. */
static void join(struct meshd_report *report)
{
	size_t n = 0;

	qsort(report->endpoints, report->n, sizeof(report->endpoints[0]), by_name);
	for (size_t i = 0; i < report->n; i++) {
		struct meshd_reported *e = &report->endpoints[i];
		if (n == 0 || by_name(&report->endpoints[n - 1], e) != 0) {
			report->endpoints[n++] = *e;
		} else {
			report->endpoints[n - 1].ejected |= e->ejected;
			report->endpoints[n - 1].failed_check |= e->failed_check;
		}
	}
	report->n = n;
}

static struct meshd_report *copy_of(const struct mesh__mem *mem, const struct mesh__msg_reported *msg)
{
	struct meshd_report *report = mesh__alloc(mem, sizeof(*report) + msg->n_endpoints * sizeof(report->endpoints[0]));

	if (report == NULL) {
		return NULL;
	}
	report->n = msg->n_endpoints;
	for (size_t i = 0; i < report->n; i++) {
		const struct mesh__msg_endpoint *e = &msg->endpoints[i];
		report->endpoints[i] = (struct meshd_reported){.ejected = e->ejected, .failed_check = e->failed_check, .cost_us = e->cost_us};
		(void)snprintf(report->endpoints[i].instance, sizeof(report->endpoints[i].instance), "%s", e->instance);
	}
	join(report);
	return report;
}

/* Into sub->fresh, of each: nothing is lost when a later one is wrong. */
static int copy_all(struct meshd_session *session, const struct mesh__msg_report *msg, struct mesh__err *err)
{
	for (size_t i = 0; i < msg->n_services; i++) {
		struct meshd_subscription *sub = meshd_watch_asked(session, msg->services[i].service);

		if (sub == NULL || sub->config_only) {
			return mesh__fail(err, MESH_E_DENIED, "this session does not watch the endpoints of %s, and reports nothing of them", msg->services[i].service);
		}
		if (sub->fresh != NULL) {
			return mesh__fail(err, MESH_E_INVALID, "the report tells of %s twice", msg->services[i].service);
		}
		sub->fresh = copy_of(meshd_watch_mem(session), &msg->services[i]);
		if (sub->fresh == NULL) {
			return mesh__fail_memory(err);
		}
	}
	return MESH_OK;
}

int meshd_report_take(struct meshd_session *session, const struct mesh__msg_report *msg, struct mesh__err *err)
{
	int code;

	meshd_watch_ask(session, true);
	code = copy_all(session, msg, err);
	meshd_watch_ask(session, false);
	for (struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		mesh__free(code == MESH_OK ? sub->report : sub->fresh);
		sub->report = code == MESH_OK ? sub->fresh : sub->report;
		sub->fresh = NULL;
	}
	return code;
}

/* ---- What all say ---- */

static int by_instance(const void *a, const void *b)
{
	return strcmp((*(const struct meshd_reported *const *)a)->instance, (*(const struct meshd_reported *const *)b)->instance);
}

static bool is_unhealthy(const struct meshd_reported *e)
{
	return e->ejected || e->failed_check;
}

/* With `list` they are put there; without, counted. */
static void collect(struct meshd_opinions *o, const struct meshd_subscription *first, const struct meshd_reported **list)
{
	o->callers = o->n = 0;
	for (const struct meshd_subscription *sub = first; sub != NULL; sub = sub->next_of_topic) {
		if (sub->report == NULL || sub->session->over) {
			continue;
		}
		o->callers++;
		for (size_t i = 0; i < sub->report->n; i++) {
			if (is_unhealthy(&sub->report->endpoints[i])) {
				if (list != NULL) {
					list[o->n] = &sub->report->endpoints[i];
				}
				o->n++;
			}
		}
	}
}

int meshd_opinions_init(struct meshd_opinions *o, const struct meshd_watch *watch, const struct mesh__mem *mem, const char *key, struct mesh__err *err)
{
	const struct meshd_subscription *first = meshd_watch_subscribers(watch, key);

	*o = (struct meshd_opinions){.n = 0};
	collect(o, first, NULL);
	if (o->n == 0) {
		return MESH_OK;
	}
	o->unhealthy = mesh__alloc_array(mem, o->n, sizeof(*o->unhealthy));
	if (o->unhealthy == NULL) {
		return mesh__fail_memory(err);
	}
	collect(o, first, o->unhealthy);
	qsort(o->unhealthy, o->n, sizeof(*o->unhealthy), by_instance);
	return MESH_OK;
}

void meshd_opinions_fini(struct meshd_opinions *o)
{
	mesh__free(o->unhealthy);
	*o = (struct meshd_opinions){.n = 0};
}

struct meshd_opinion meshd_opinions_of(const struct meshd_opinions *o, const char *instance)
{
	struct meshd_opinion opinion = {.ejected = 0};
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(o->unhealthy[middle]->instance, instance) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	for (; low < o->n && strcmp(o->unhealthy[low]->instance, instance) == 0; low++) {
		opinion.ejected += o->unhealthy[low]->ejected;
		opinion.failed_check += o->unhealthy[low]->failed_check;
	}
	return opinion;
}
