/* An explanation for programs: one object (docs/EXPLAIN.md). */
#include <stdio.h>
#include <string.h>

#include "meshctl/explain.h"
#include "policy/retry.h"

/* The members that say who decided: "from", and of a document its generation (in force) or its file, and its line. */
static void put_origin(struct mesh__json_out *json, const struct ctl_origin *origin)
{
	const struct ctl_source *source = origin->source;
	char subject[MESH__SUBJECT_MAX] = "built in";

	if (source != NULL) {
		mesh__document_subject(source->kind, source->name, source->ns, subject);
	}
	mesh__json_put_text(json, "from", subject);
	if (source != NULL) {
		mesh__json_put_text(json, "file", source->file);
		if (source->file == NULL) {
			mesh__json_put_u64(json, "generation", source->generation);
		}
		mesh__json_put_int(json, "line", origin->line);
	}
}

static void put_source_origin(struct mesh__json_out *json, const struct ctl_ground *ground, const char *path)
{
	struct ctl_origin origin = ctl_source_origin(ground->sources[MESH__LAYER_SERVICE], path);

	put_origin(json, &origin);
}

static void put_route(struct mesh__json_out *json, const struct ctl_explanation *x)
{
	const struct mesh__route *route = x->route;
	char path[CTL_ROUTE_PATH];

	if (route == NULL) {
		return;
	}
	ctl_explain_route_path(x, path);
	mesh__json_open(json, "route", '{');
	mesh__json_put_text(json, "name", route->name);
	if (x->match != NULL) {
		mesh__json_put_int(json, "match", x->match - route->matches);
	}
	put_source_origin(json, x->asked, path);
	mesh__json_close(json, '}');
}

static void put_passed(struct mesh__json_out *json, const struct ctl_explanation *x)
{
	const struct mesh__service_policy *policy = x->asked->policy;
	size_t n = x->route == NULL ? policy->n_routes : (size_t)(x->route - policy->routes);
	char why[CTL_WHY_TEXT], path[CTL_ROUTE_PATH];

	mesh__json_open(json, "passedOver", '[');
	for (size_t i = 0; i < n; i++) {
		ctl_explain_why_not(x->ask, &policy->routes[i], why);
		(void)snprintf(path, sizeof(path), "routes[%zu]", i);
		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "name", policy->routes[i].name);
		mesh__json_put_text(json, "for", why);
		put_source_origin(json, x->asked, path);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, ']');
}

static void put_endpoint(struct mesh__json_out *json, const struct ctl_endpoint *e)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "instance", e->instance);
	mesh__json_put_text(json, "address", e->address);
	mesh__json_put_text(json, "version", e->labels.version);
	mesh__json_put_text(json, "zone", e->labels.zone);
	mesh__json_put_text(json, "state", e->state);
	mesh__json_put_int(json, "callers", e->callers);
	mesh__json_put_int(json, "ejectedBy", e->ejected_by);
	mesh__json_put_int(json, "failedCheckOf", e->failed_check_of);
	if (e->costed > 0) {
		mesh__json_open(json, "costMs", '[');
		mesh__json_put_double(json, NULL, e->cost_least_ms, 3);
		mesh__json_put_double(json, NULL, e->cost_most_ms, 3);
		mesh__json_close(json, ']');
	}
	mesh__json_close(json, '}');
}

static void put_endpoints(struct mesh__json_out *json, const struct ctl_group *place)
{
	mesh__json_open(json, "endpoints", '[');
	for (size_t i = 0; i < place->to->n_endpoints; i++) {
		if (ctl_group_has(place, &place->to->endpoints[i])) {
			put_endpoint(json, &place->to->endpoints[i]);
		}
	}
	mesh__json_close(json, ']');
}

static void put_ways(struct mesh__json_out *json, const struct ctl_explanation *x)
{
	mesh__json_open(json, "ways", '[');
	for (size_t i = 0; i < x->n_ways; i++) {
		const struct ctl_way *way = &x->ways[i];
		struct ctl_origin origin;

		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "service", way->place.to->key);
		mesh__json_put_text(json, "subset", way->place.subset);
		if (way->failover) {
			mesh__json_open(json, "failoverFor", '{');
			mesh__json_put_text(json, "service", way->home.to->key);
			mesh__json_put_text(json, "subset", way->home.subset);
			mesh__json_close(json, '}');
		}
		mesh__json_put_bool(json, "panic", way->panic);
		mesh__json_put_int(json, "nearPercent", way->near_share);
		mesh__json_put_double(json, "percent", way->share, 4);
		mesh__json_put_text(json, "verdict", ctl_outcome_name(way->outcome));
		if (ctl_way_is_authorized(way)) {
			mesh__json_open(json, "authorization", '{');
			mesh__json_put_text(json, "rule", way->authz.rule);
			mesh__json_put_bool(json, "byDefault", way->authz.rule == NULL);
			origin = ctl_way_authorization(way);
			put_origin(json, &origin);
			mesh__json_close(json, '}');
		}
		put_endpoints(json, &way->place);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, ']');
}

/* ---- Settings ---- */

struct putting {
	struct mesh__json_out *json;
	const struct mesh__mem *mem;
	const char *service, *of;
	bool no_memory;
};

static void put_setting(void *ctx, const struct ctl_setting_row *row)
{
	struct putting *p = ctx;
	struct mesh__json *value = NULL;

	if (mesh__json_parse(p->mem, row->value, strlen(row->value), 2 * MESH__DOCUMENT_MAX_BYTES, &value, NULL) != MESH_OK) {
		p->no_memory = true; /* what was written as JSON always parses */
		return;
	}
	mesh__json_open(p->json, NULL, '{');
	mesh__json_put_text(p->json, "service", p->service);
	mesh__json_put_text(p->json, "of", p->of);
	mesh__json_put_text(p->json, "path", row->path);
	mesh__json_put_value(p->json, "value", value);
	put_origin(p->json, &row->origin);
	mesh__json_close(p->json, '}');
	mesh__json_free(value);
}

static void put_settings(struct mesh__json_out *json, struct ctl *ctl, const struct ctl_explanation *x)
{
	struct putting p = {.json = json, .mem = &ctl->env.mem, .service = x->asked->key, .of = "call"};
	bool told;

	mesh__json_open(json, "settings", '[');
	told = ctl_explain_settings(x, x->asked, CTL_OF_CALL, p.mem, put_setting, &p);
	for (size_t i = 0; i < x->n_ways; i++) {
		if (ctl_way_is_last_of_service(x, i)) {
			p.service = x->ways[i].place.to->key;
			p.of = "way";
			told = told && ctl_explain_settings(x, x->ways[i].place.to, CTL_OF_WAY, p.mem, put_setting, &p);
			p.of = "server";
			told = told && ctl_explain_settings(x, x->ways[i].place.to, CTL_OF_SERVER, p.mem, put_setting, &p);
		}
	}
	mesh__json_close(json, ']');
	if (!told || p.no_memory) {
		json->buf->error = MESH_E_NO_MEMORY;
	}
}

void ctl_explain_print_json(struct ctl *ctl, const struct ctl_explanation *x)
{
	struct mesh__json_out json = {.buf = &ctl->out};
	char from[MESH__SERVICE_KEY_MAX];
	const char *whose;

	mesh__service_key(&x->ask->from, from);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "from", from);
	mesh__json_put_text(&json, "to", x->asked->key);
	mesh__json_put_text(&json, "method", x->ask->method);
	mesh__json_put_text(&json, "target", x->ask->target);
	mesh__json_put_text(&json, "verdict", ctl_outcome_name(x->outcome));
	put_passed(&json, x);
	put_route(&json, x);
	if (x->n_ways > 0) {
		mesh__json_put_text(&json, "sent", x->sent);
		mesh__json_put_int(&json, "deadlineMs", ctl_explain_deadline(x, &whose));
		mesh__json_put_bool(&json, "idempotent", mesh__retry_method_is_idempotent(x->ask->method));
	} else {
		mesh__json_put_int(&json, "status", x->route->redirect.status != 0 ? x->route->redirect.status : x->route->direct.status);
		mesh__json_put_text(&json, "location", x->route->redirect.status != 0 ? x->location : NULL);
	}
	put_ways(&json, x);
	put_settings(&json, ctl, x);
	mesh__json_close(&json, '}');
	mesh__buf_chr(&ctl->out, '\n');
}
