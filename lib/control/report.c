#include "control/report.h"

#include <string.h>

void mesh__report_init(struct mesh__report *report, const struct mesh__env *env)
{
	*report = (struct mesh__report){.env = env};
	mesh__buf_init(&report->text, &env->mem, MESH__REPORT_MAX_BYTES);
}

void mesh__report_fini(struct mesh__report *report)
{
	mesh__buf_fini(&report->text);
}

void mesh__report_forget(struct mesh__report *report)
{
	report->told = false;
}

/* ---- What there is ---- */

static bool is_unhealthy(const struct mesh__endpoint_view *view)
{
	return view->ejected || view->failed_check;
}

static bool is_known(const struct mesh__endpoint_view *view)
{
	return is_unhealthy(view) || view->cost_us > 0;
}

struct tally {
	uint64_t seen;    /* another with every change of health, and with every first call to an endpoint */
	size_t unhealthy;
};

static void count(const struct mesh__service *s, struct tally *tally)
{
	tally->seen += s->source->health_epoch(s->destination);
	for (size_t i = 0; i < s->n; i++) {
		struct mesh__endpoint_view view;
		s->source->view(s->endpoints[i], &view);
		tally->seen += (uint64_t)is_known(&view) << 32;
		tally->unhealthy += is_unhealthy(&view);
	}
}

static struct tally take_stock(const struct mesh__map *services)
{
	struct tally tally = {.seen = 0};

	for (struct mesh__map_entry *e = mesh__map_next(services, NULL); e != NULL; e = mesh__map_next(services, e)) {
		count(e->value, &tally);
	}
	return tally;
}

/* ---- The message ---- */

/* How many of each may still be told. */
struct room {
	size_t unhealthy, others;
};

static size_t fill(const struct mesh__service *s, struct room *room, struct mesh__msg_endpoint *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct mesh__endpoint_view view;
		size_t *left;
		s->source->view(s->endpoints[i], &view);
		left = is_unhealthy(&view) ? &room->unhealthy : &room->others;
		if (is_known(&view) && *left > 0) {
			(*left)--;
			/* Borrowed: an encoder only reads. */
			out[n++] = (struct mesh__msg_endpoint){.instance = (char *)(uintptr_t)view.instance, .ejected = view.ejected, .failed_check = view.failed_check, .cost_us = view.cost_us};
		}
	}
	return n;
}

/* How many services are in it, in *n. */
static void write_report(const struct mesh__report *report, const struct mesh__map *services, size_t unhealthy, struct mesh__buf *out, size_t *n)
{
	size_t reserved = unhealthy < MESH__REPORT_MAX_ENDPOINTS ? unhealthy : MESH__REPORT_MAX_ENDPOINTS, used = 0;
	struct room room = {.unhealthy = reserved, .others = MESH__REPORT_MAX_ENDPOINTS - reserved};
	struct mesh__msg_reported *list = mesh__alloc_array(&report->env->mem, MESH__REPORT_MAX_ENDPOINTS, sizeof(*list));
	struct mesh__msg_endpoint *endpoints = mesh__alloc_array(&report->env->mem, MESH__REPORT_MAX_ENDPOINTS, sizeof(*endpoints));
	struct mesh__msg_report msg = {.services = list};

	for (struct mesh__map_entry *e = mesh__map_next(services, NULL); list != NULL && endpoints != NULL && e != NULL; e = mesh__map_next(services, e)) {
		size_t more = fill(e->value, &room, endpoints + used);
		if (more > 0) {
			list[msg.n_services++] = (struct mesh__msg_reported){.service = ((struct mesh__service *)e->value)->key, .endpoints = endpoints + used, .n_endpoints = more};
			used += more;
		}
	}
	if (list == NULL || endpoints == NULL) {
		out->error = MESH_E_NO_MEMORY;
	} else {
		mesh__msg_report_encode(&msg, out);
	}
	mesh__free(list);
	mesh__free(endpoints);
	*n = msg.n_services;
}

static bool same(const struct mesh__buf *a, const struct mesh__buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

bool mesh__report_look(struct mesh__report *report, const struct mesh__map *services)
{
	struct tally tally = take_stock(services);
	struct mesh__buf text;
	bool news;
	size_t n;

	report->looks++;
	if (report->told && tally.seen == report->seen && report->looks < MESH__REPORT_COSTS_EVERY) {
		return false;
	}
	mesh__buf_init(&text, &report->env->mem, MESH__REPORT_MAX_BYTES);
	write_report(report, services, tally.unhealthy, &text, &n);
	if (text.error != MESH_OK) {
		mesh__buf_fini(&text);
		return false; /* the next look tries again */
	}
	news = report->told ? !same(&text, &report->text) : n > 0; /* of nothing meshd has nothing already */
	mesh__buf_fini(&report->text);
	report->text = text;
	report->seen = tally.seen;
	report->looks = 0;
	report->told = true;
	return news;
}
