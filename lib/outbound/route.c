#include "policy/route.h"

#include <string.h>

#include "base/str.h"
#include "outbound/answer.h"
#include "outbound/steps.h"
#include "policy/split.h"
#include "wire/path.h"

enum { TARGET_MAX = 8192 };

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
static struct mesh__request_view view_of(const struct mesh_request *r, char room[TARGET_MAX + 1])
{
	const struct mesh__name *self = &r->snapshot->self;
	size_t len = strcspn(r->path, "?"); /* of a target that was found valid, and so fits */

	memcpy(room, r->path, len);
	room[len] = '\0';
	return (struct mesh__request_view){.method = r->method, .path = mesh__path_normalise(room) ? room : NULL, .query = r->path[len] == '?' ? r->path + len + 1 : "", .header = next_value, .ctx = r,
		.service = self->service, .ns = self->ns, .instance = r->outbound->instance, .labels = r->outbound->labels};
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
	char room[TARGET_MAX + 1];
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
static void lead_to_service(struct mesh_request *r, const char *key)
{
	struct mesh__service *other = mesh__snapshot_find(r->snapshot, key);

	if (other != NULL) {
		r->service = other;
		r->group = &other->all;
		return;
	}
	memcpy(r->side_key, key, strlen(key) + 1); /* bounded by the document that it stands in, which goes with the snapshot: */
	r->awaited = r->side_key;
	mesh__request_let_go(r);
}

void mesh__step_route(struct mesh_request *r)
{
	const struct mesh__service *s = r->service;
	char path[TARGET_MAX + 1];
	struct mesh__request_view view = view_of(r, path);
	struct mesh__routed_side *side;
	struct mesh__routed *routed;

	r->route = mesh__route_find(s->policy.routes, s->policy.n_routes, &view, &r->match);
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
		r->group = side->group;
	} else {
		lead_to_service(r, side->service);
	}
	if (r->service != NULL && !mesh__answer_is_due(r->route)) {
		mesh__count(side->calls, 1);
	}
}
