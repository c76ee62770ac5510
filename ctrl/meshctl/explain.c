#include "meshctl/explain.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/deadline.h"
#include "policy/edit.h"
#include "policy/fault.h"
#include "policy/route.h"
#include "policy/split.h"
#include "wire/path.h"

enum { AUTHZ_PATH = 48 };

const char *ctl_outcome_name(enum ctl_outcome outcome)
{
	static const char *const names[] = {
#define X(name, text, fine) text,
		CTL_OUTCOMES(X)
#undef X
	};

	return names[outcome];
}

bool ctl_outcome_fine(enum ctl_outcome outcome)
{
	static const bool fines[] = {
#define X(name, text, fine) fine,
		CTL_OUTCOMES(X)
#undef X
	};

	return fines[outcome];
}

/* ---- The request as decisions see it ---- */

static const char *value_in(const void *ctx, const char *name, size_t *at)
{
	const struct ctl_headers *headers = ctx;

	while (*at < headers->n) {
		const struct mesh__header_value *header = &headers->list[(*at)++];
		if (mesh__str_eq_nocase(header->name, strlen(header->name), name)) {
			return header->value;
		}
	}
	return NULL;
}

/* The path of a target in its one spelling, into out[MESH__TARGET_MAX + 1]; false, leaving it as it is, when it has none. */
static bool read_path(const char *target, char *out)
{
	size_t len = strcspn(target, "?"); /* of a target that was found valid, and so fits */

	memcpy(out, target, len);
	out[len] = '\0';
	if (mesh__path_normalise(out)) {
		return true;
	}
	memcpy(out, target, len);
	return false;
}

static const char *query_of(const char *target)
{
	const char *query = strchr(target, '?');

	return query == NULL ? NULL : query + 1;
}

/* `room` has the path. */
static struct mesh__request_view view_of(const struct ctl_ask *ask, char room[MESH__TARGET_MAX + 1])
{
	const char *query = query_of(ask->target);

	return (struct mesh__request_view){.method = ask->method, .path = read_path(ask->target, room) ? room : NULL, .query = query == NULL ? "" : query, .header = value_in, .ctx = &ask->headers, .service = ask->from.service,
		.ns = ask->from.ns, .instance = ask->instance, .labels = ask->labels};
}

/* ---- What is sent ---- */

static void put_header(struct ctl_headers *to, const struct mesh__header_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to->list[to->n++] = values[i];
	}
}

/* The fields as the server gets them: what the route takes away is not there, what it sets and adds follows. */
static void edit_headers(struct ctl_explanation *x, const struct mesh__header_edits *edits)
{
	const struct ctl_headers *asked = &x->ask->headers;

	x->headers.n = 0;
	for (size_t i = 0; i < asked->n; i++) {
		if (edits == NULL || !mesh__edit_drops(edits, asked->list[i].name)) {
			put_header(&x->headers, &asked->list[i], 1);
		}
	}
	if (edits != NULL) {
		put_header(&x->headers, edits->set, edits->n_set);
		put_header(&x->headers, edits->add, edits->n_add);
	}
}

/* False when it does not fit. */
static bool edit(struct ctl_explanation *x, const char *trust_domain)
{
	const struct mesh__route *route = x->route;
	char path[MESH__TARGET_MAX + 1], host[MESH__DNS_MAX];
	struct mesh__edit_view view = {.host = host, .path = path, .query = query_of(x->ask->target), .match = x->match};
	struct mesh__name to = x->asked->name;

	edit_headers(x, route == NULL ? NULL : &route->headers.request);
	memcpy(x->sent, x->ask->target, strlen(x->ask->target) + 1);
	(void)read_path(x->ask->target, path);
	if (route != NULL && route->redirect.status != 0) {
		(void)snprintf(to.trust_domain, sizeof(to.trust_domain), "%s", trust_domain);
		mesh__dns_format(&to, host);
		return mesh__edit_location(&route->redirect, &view, x->location, sizeof(x->location)) > 0;
	}
	return route == NULL || (route->rewrite.path == NULL && route->rewrite.prefix == NULL) || mesh__edit_target(&route->rewrite, &view, x->sent, sizeof(x->sent)) > 0;
}

/* ---- The server ---- */

static struct mesh__authz_verdict authorize(const struct ctl_explanation *x, const struct ctl_ground *to, const char *path)
{
	struct mesh__request_view view = {.method = x->ask->method, .path = path, .header = value_in, .ctx = &x->headers, .service = x->ask->from.service, .ns = x->ask->from.ns};

	return mesh__authorize(&to->policy->authorization, &view);
}

bool ctl_way_is_authorized(const struct ctl_way *way)
{
	return way->outcome == CTL_OUTCOME_ALLOWED || way->outcome == CTL_OUTCOME_AUDITED || way->outcome == CTL_OUTCOME_DENIED;
}

struct ctl_origin ctl_way_authorization(const struct ctl_way *way)
{
	const struct mesh__authorization *a = &way->place.to->policy->authorization;
	const struct ctl_field *fallback = ctl_ground_field(way->place.to, "authorization.default");
	char path[AUTHZ_PATH];
	size_t i = 0;

	if (way->authz.rule == NULL) {
		return fallback == NULL ? (struct ctl_origin){NULL, 0} : ctl_field_origin(way->place.to, fallback);
	}
	while (i < a->n_rules && a->rules[i].name != way->authz.rule) {
		i++;
	}
	(void)snprintf(path, sizeof(path), "authorization.rules[%zu]", i);
	return ctl_source_origin(way->place.to->sources[MESH__LAYER_SERVICE], path);
}

bool ctl_way_is_last_of_service(const struct ctl_explanation *x, size_t i)
{
	for (size_t k = i + 1; k < x->n_ways; k++) {
		if (x->ways[k].place.to == x->ways[i].place.to) {
			return false;
		}
	}
	return true;
}

static void judge(const struct ctl_explanation *x, struct ctl_way *way)
{
	char path[MESH__TARGET_MAX + 1];

	if (!way->place.to->known) {
		way->outcome = CTL_OUTCOME_NO_SERVICE;
	} else if (way->place.n_healthy == 0 && !way->panic) {
		way->outcome = CTL_OUTCOME_NO_ENDPOINT;
	} else if (!read_path(x->sent, path)) {
		way->outcome = CTL_OUTCOME_BAD_PATH;
	} else {
		way->authz = authorize(x, way->place.to, path);
		way->outcome = !way->authz.allow ? CTL_OUTCOME_DENIED : way->authz.audit_only ? CTL_OUTCOME_AUDITED : CTL_OUTCOME_ALLOWED;
	}
}

/* ---- Places ---- */

bool ctl_group_has(const struct ctl_group *place, const struct ctl_endpoint *endpoint)
{
	return place->labels == NULL || mesh__match_labels(place->labels, &endpoint->labels);
}

static const struct mesh__labels *labels_of(const struct ctl_ground *ground, const char *subset)
{
	for (size_t i = 0; i < ground->policy->n_subsets; i++) {
		if (strcmp(ground->policy->subsets[i].name, subset) == 0) {
			return &ground->policy->subsets[i].labels;
		}
	}
	return NULL; /* a document that names a subset without having it is none */
}

/* `subset` NULL: all endpoints. */
static struct ctl_group place_of(const struct ctl_explanation *x, const struct ctl_ground *to, const char *subset)
{
	struct ctl_group place = {.to = to, .subset = subset, .labels = subset == NULL ? NULL : labels_of(to, subset)};
	const char *zone = to->policy->load_balancer.zone_aware ? x->ask->labels.zone : NULL;

	for (size_t i = 0; i < to->n_endpoints; i++) {
		const struct ctl_endpoint *e = &to->endpoints[i];
		struct mesh__level *level = &place.levels[zone == NULL || !mesh__str_eq(zone, e->labels.zone)];
		bool healthy = e->callers == 0 || e->unhealthy_of < e->callers;
		if (ctl_group_has(&place, e)) {
			level->n++;
			level->healthy += healthy;
			place.n++;
			place.n_healthy += healthy;
		}
	}
	return place;
}

/* What a walk through the places has found: outbound/failover.c. */
struct found {
	struct ctl_group best;        /* the first with a healthy endpoint; to NULL: there is none */
	struct ctl_group last_resort; /* the first that would be called whatever its health; to NULL: none would */
	int n_healthy;                /* places with a healthy endpoint */
};

static bool panics(const struct ctl_group *place)
{
	return mesh__panic_is_due(place->levels, 2, place->to->policy->load_balancer.panic_threshold);
}

static void weigh(struct found *f, const struct ctl_group *place)
{
	if (place->n_healthy > 0) {
		f->best = f->n_healthy++ == 0 ? *place : f->best;
	} else if (f->last_resort.to == NULL && panics(place)) {
		f->last_resort = *place;
	}
}

/* Where there is one, and so few of its endpoints are healthy that it matters whether anybody else has one, it does. */
static bool matters(const struct found *f)
{
	return f->n_healthy == 0 || (f->n_healthy == 1 && panics(&f->best));
}

/* Home, and as far as it matters who may take over, in the library's order. False when `ground` has failed. */
static bool look_around(const struct ctl_explanation *x, const struct ctl_group *home, ctl_ground_fn ground, void *ctx, struct found *f)
{
	const struct mesh__service_policy *policy = x->asked->policy;
	size_t n_subsets = x->route != NULL && x->route->other_subsets ? policy->n_subsets : 0;
	struct ctl_group place;

	weigh(f, home);
	for (size_t i = 0; i < n_subsets && matters(f); i++) {
		place = place_of(x, x->asked, policy->subsets[i].name);
		if (home->to != x->asked || !mesh__str_eq(home->subset, place.subset)) {
			weigh(f, &place);
		}
	}
	for (size_t i = 0; i < policy->n_failover && matters(f); i++) {
		const struct ctl_ground *to = ground(ctx, policy->failover[i].service);
		if (to == NULL) {
			return false;
		}
		place = place_of(x, to, NULL);
		if (to != home->to) {
			weigh(f, &place);
		}
	}
	return true;
}

/* Home, or what takes over; and whether it is called whatever its health. */
static bool settle(const struct ctl_explanation *x, struct ctl_way *way, ctl_ground_fn ground, void *ctx)
{
	struct found f = {.n_healthy = 0};
	uint32_t load[2];

	if (!look_around(x, &way->home, ground, ctx, &f)) {
		return false;
	}
	way->panic = f.n_healthy == 0 ? f.last_resort.to != NULL : f.n_healthy == 1 && panics(&f.best);
	way->place = f.n_healthy > 0 ? f.best : way->panic ? f.last_resort : way->home;
	way->failover = way->place.to != way->home.to || !mesh__str_eq(way->place.subset, way->home.subset);
	mesh__levels_load(way->place.levels, 2, load);
	way->near_share = load[0];
	return true;
}

/* ---- Where it goes ---- */

static bool lead(struct ctl_explanation *x, const struct mesh__side *side, double share, ctl_ground_fn ground, void *ctx)
{
	const struct ctl_ground *to = side != NULL && side->service != NULL ? ground(ctx, side->service) : x->asked;
	struct ctl_way *way = &x->ways[x->n_ways];

	if (to == NULL) {
		return false;
	}
	*way = (struct ctl_way){.home = place_of(x, to, side == NULL ? NULL : side->subset), .share = share};
	if (!settle(x, way, ground, ctx)) {
		return false;
	}
	x->n_ways++;
	judge(x, way);
	return true;
}

/* The side that a sticky key chooses, or n_sides: a turn does. */
static size_t side_of_key(struct ctl_explanation *x, struct mesh__request_view *view)
{
	const struct mesh__route *route = x->route;
	char room[MESH__TARGET_MAX + 1];
	const char *key = NULL;
	size_t len = 0;

	if (route->n_sides > 1 && route->sticky.on != MESH__STICKY_NONE) {
		key = mesh__sticky_key(&route->sticky, view, room, sizeof(room), &len);
	}
	x->by_key = key != NULL;
	return key == NULL ? route->n_sides : mesh__split_sticky(route->sides, route->n_sides, key, len);
}

static bool split(struct ctl_explanation *x, struct mesh__request_view *view, ctl_ground_fn ground, void *ctx)
{
	size_t n = x->route == NULL ? 0 : x->route->n_sides, chosen;
	double whole = 0;

	if (n == 0) {
		return lead(x, NULL, 100, ground, ctx);
	}
	chosen = side_of_key(x, view);
	for (size_t i = 0; i < n; i++) {
		whole += x->route->sides[i].weight;
	}
	for (size_t i = 0; i < n; i++) {
		double share = n == 1 ? 100 : chosen < n ? (i == chosen ? 100 : 0) : 100 * x->route->sides[i].weight / whole;
		if (!lead(x, &x->route->sides[i], share, ground, ctx)) {
			return false;
		}
	}
	return true;
}

/* One outcome where all sides that get calls have the same. */
static enum ctl_outcome together(const struct ctl_explanation *x)
{
	enum ctl_outcome outcome = CTL_OUTCOME_DEPENDS;
	bool any = false;

	for (size_t i = 0; i < x->n_ways; i++) {
		if (x->ways[i].share > 0 && any && x->ways[i].outcome != outcome) {
			return CTL_OUTCOME_DEPENDS;
		}
		if (x->ways[i].share > 0) {
			outcome = x->ways[i].outcome;
			any = true;
		}
	}
	return outcome;
}

bool ctl_explain(const struct ctl_ask *ask, const struct ctl_ground *asked, const char *trust_domain, ctl_ground_fn ground, void *ctx, struct ctl_explanation *x)
{
	char path[MESH__TARGET_MAX + 1];
	struct mesh__request_view view = view_of(ask, path);

	memset(x, 0, sizeof(*x));
	x->ask = ask;
	x->asked = asked;
	x->route = mesh__route_find(asked->policy->routes, asked->policy->n_routes, &view, &x->match);
	x->fault = mesh__fault_find(asked->policy, x->route, &view, ask->wall_ms);
	x->gave_up = view.gave_up;
	if (!edit(x, trust_domain)) {
		return false;
	}
	if (x->route != NULL && (x->route->redirect.status != 0 || x->route->direct.status != 0)) {
		x->outcome = x->route->redirect.status != 0 ? CTL_OUTCOME_REDIRECT : CTL_OUTCOME_DIRECT;
		return true;
	}
	if (!split(x, &view, ground, ctx)) {
		return false;
	}
	x->outcome = together(x);
	return true;
}

/* ---- Why not ---- */

/* The first condition that does not hold, and how many hold before it. */
static size_t first_failing(const struct mesh__route_match *m, struct mesh__request_view *view, char *out, size_t cap)
{
	size_t n = 0;

	if (!mesh__match_method(&m->methods, view)) {
		(void)snprintf(out, cap, "method");
		return n;
	}
	n++;
	if (!mesh__match_source(&m->source, view)) {
		(void)snprintf(out, cap, "source");
		return n;
	}
	n++;
	if (!mesh__match_path(&m->path, view)) {
		(void)snprintf(out, cap, "path");
		return n;
	}
	n++;
	for (size_t i = 0; i < m->n_headers; i++, n++) {
		if (!mesh__match_headers(&m->headers[i], 1, MESH__ANY_VALUE, view)) {
			(void)snprintf(out, cap, "header %s", m->headers[i].name);
			return n;
		}
	}
	for (size_t i = 0; i < m->n_query; i++, n++) {
		if (!mesh__match_query(&m->query[i], 1, view)) {
			(void)snprintf(out, cap, "query parameter %s", m->query[i].name);
			return n;
		}
	}
	(void)snprintf(out, cap, "a regular expression that was given up");
	return n;
}

void ctl_explain_why_not(const struct ctl_ask *ask, const struct mesh__route *route, char *out)
{
	char path[MESH__TARGET_MAX + 1], why[CTL_WHY_TEXT];
	struct mesh__request_view view = view_of(ask, path);
	size_t best = 0;

	for (size_t i = 0; i < route->n_matches; i++) {
		size_t held = first_failing(&route->matches[i], &view, why, sizeof(why));
		if (i == 0 || held > best) {
			memcpy(out, why, sizeof(why));
			best = held;
		}
	}
}

/* ---- The deadline ---- */

int64_t ctl_explain_deadline(const struct ctl_explanation *x, const char **whose)
{
	const struct mesh__service_policy *policy = x->asked->policy;
	bool routed = x->route != NULL && x->route->timeout_ms != 0;
	struct mesh__deadline_inputs in = {.caller_ms = x->ask->timeout_ms, .policy_ms = routed ? x->route->timeout_ms : policy->timeout_ms, .policy_set = routed || policy->timeout_set, .parent_left_ms = -1};
	int64_t ms = mesh__deadline_decide(&in, 0) / 1000;

	*whose = ms == in.policy_ms && (in.policy_set || in.caller_ms == 0) ? "timeout" : NULL;
	return ms;
}
