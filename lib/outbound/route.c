#include "policy/route.h"

#include <string.h>

#include "base/str.h"
#include "outbound/answer.h"
#include "outbound/steps.h"
#include "policy/fault.h"
#include "policy/split.h"
#include "wire/path.h"

/* The caller's fields; ours are not there yet. */
static const char *next_value(const void *ctx, const char *name, size_t *at)
{
	const struct mesh_request *r = ctx;

	while (*at < r->n_fields) {
		const struct mesh__client_field *field = &r->fields[(*at)++];
		if (mesh__str_eq_nocase(field->name, strlen(field->name), name)) {
			return field->value;
		}
	}
	return NULL;
}

/* Routes see the path that the server will see; `room` has it. */
static struct mesh__request_view view_of(const struct mesh_request *r, char room[MESH__TARGET_MAX + 1])
{
	const struct mesh__name *self = &r->snapshot->self;
	size_t len = strcspn(r->path, "?"); /* of a target that was found valid, and so fits */

	memcpy(room, r->path, len);
	room[len] = '\0';
	return (struct mesh__request_view){.method = r->method, .path = mesh__path_normalise(room) ? room : NULL, .query = r->path[len] == '?' ? r->path + len + 1 : "", .header = next_value, .ctx = r,
		.service = self->service, .ns = self->ns, .instance = r->outbound->instance, .labels = r->outbound->labels};
}

const char *mesh__request_key(const struct mesh_request *r, const struct mesh__sticky *on, char *room, size_t cap, size_t *len)
{
	const char *query = strchr(r->path, '?');
	struct mesh__request_view view = {.query = query == NULL ? "" : query + 1, .header = next_value, .ctx = r, .instance = r->outbound->instance};

	return mesh__sticky_key(on, &view, room, cap, len);
}

/* One turn a call: one that waits for the service that it was sent to, and looks again, is not sent elsewhere then. */
static uint64_t turn_of(struct mesh_request *r, struct mesh__routed *routed)
{
	if (!r->drawn) {
		r->turn = atomic_fetch_add_explicit(&routed->turn, 1, memory_order_relaxed);
		r->drawn = true;
	}
	return r->turn;
}

static size_t choose_side(struct mesh_request *r, struct mesh__routed *routed, const struct mesh__request_view *view)
{
	const struct mesh__route *route = r->route;
	char room[MESH__TARGET_MAX + 1];
	const char *key = NULL;
	size_t len;

	if (route->n_sides < 2) {
		return 0;
	}
	if (route->sticky.on != MESH__STICKY_NONE) {
		key = mesh__sticky_key(&route->sticky, view, room, sizeof(room), &len);
	}
	return key != NULL ? mesh__split_sticky(route->sides, route->n_sides, key, len) : mesh__split_draw(route->sides, route->n_sides, turn_of(r, routed));
}

/* The other service's routes do not count: a call is routed once. */
static void lead_to_service(struct mesh_request *r, struct mesh__routed_side *side)
{
	struct mesh__service *other = mesh__snapshot_find(r->snapshot, side->service);

	if (other != NULL) {
		mesh__request_lead(r, other, &other->all, &side->told);
	} else {
		mesh__request_await(r, side->service);
	}
}

static void choose_fault(struct mesh_request *r, const struct mesh__service *s, struct mesh__request_view *view)
{
	r->fault = mesh__fault_find(&s->policy, r->route, view, mesh__wall_ms(r->outbound->env));
	r->faulted = &s->faulted;
}

void mesh__step_route(struct mesh_request *r)
{
	const struct mesh__service *s = r->called;
	char path[MESH__TARGET_MAX + 1];
	struct mesh__request_view view = view_of(r, path);
	struct mesh__routed_side *side;
	struct mesh__routed *routed;

	r->route = mesh__route_find(s->policy.routes, s->policy.n_routes, &view, &r->match);
	if (s->faulted.on) {
		choose_fault(r, s, &view);
	}
	if (view.gave_up > 0) {
		mesh__count(r->outbound->regex_given_up, view.gave_up);
	}
	if (r->route == NULL) {
		return;
	}
	routed = &s->routes[r->route - s->policy.routes];
	side = &routed->sides[choose_side(r, routed, &view)];
	mesh__resolve_deadline(r, &s->policy, r->route);
	if (side->group != NULL) {
		mesh__request_lead(r, r->called, side->group, &side->told);
	} else {
		lead_to_service(r, side);
	}
	if (r->service != NULL && !r->routed && !mesh__answer_is_due(r->route)) {
		r->routed = true;
		mesh__count(side->calls, 1);
	}
}
