/* An explanation in words: the verdict in the first line, then a table for each stage of the call. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/explain.h"
#include "meshctl/print.h"
#include "policy/retry.h"

enum { LABEL_TEXT = 128, GROUP_WIDTH = 72, SIDE_TEXT = 2 * MESH__SERVICE_KEY_MAX, VALUE_TEXT = CTL_WHY_TEXT + 2 * MESH__LABEL_MAX, GROUP_MAX_BYTES = 64 * 1024 };

static const struct ctl_origin built_in = {NULL, 0};

/* ---- The verdict ---- */

static void print_rule(struct mesh__buf *out, const struct mesh__authz_verdict *verdict)
{
	mesh__buf_printf(out, verdict->rule == NULL ? "by default" : "by rule %s", verdict->rule);
}

/* "subset v1 of payments.default" */
static void place_format(const struct ctl_group *place, char *out)
{
	(void)snprintf(out, SIDE_TEXT, "%s%s%s%s", place->subset == NULL ? "" : "subset ", place->subset == NULL ? "" : place->subset, place->subset == NULL ? "" : " of ", place->to->key);
}

static void print_way_outcome(struct mesh__buf *out, const struct ctl_way *way)
{
	char side[SIDE_TEXT];

	place_format(&way->place, side);
	switch (way->outcome) {
	case CTL_OUTCOME_AUDITED:
		mesh__buf_str(out, "allowed, though denied ");
		print_rule(out, &way->authz);
		mesh__buf_str(out, ": the mode is audit");
		break;
	case CTL_OUTCOME_DENIED:
		mesh__buf_str(out, "denied ");
		print_rule(out, &way->authz);
		mesh__buf_str(out, ": 403");
		break;
	case CTL_OUTCOME_BAD_PATH:
		mesh__buf_str(out, "refused by the server: 400, for the path has more than one reading");
		break;
	case CTL_OUTCOME_NO_ENDPOINT:
		mesh__buf_printf(out, "fails: MESH_E_NO_ENDPOINT, for %s has no %sendpoint", side, way->place.n > 0 ? "healthy " : "");
		break;
	case CTL_OUTCOME_NO_SERVICE:
		mesh__buf_printf(out, "fails: MESH_E_NO_SERVICE, for %s has never registered", side);
		break;
	default:
		mesh__buf_str(out, "allowed ");
		print_rule(out, &way->authz);
		break;
	}
}

static void print_verdict(struct mesh__buf *out, const struct ctl_explanation *x)
{
	const struct ctl_way *first = x->ways;

	mesh__buf_printf(out, "%s %s from %s.%s to %s: ", x->ask->method, x->ask->target, x->ask->from.service, x->ask->from.ns, x->asked->key);
	if (x->outcome == CTL_OUTCOME_REDIRECT) {
		mesh__buf_printf(out, "redirected by the route: %d, to %s", (int)x->route->redirect.status, x->location);
	} else if (x->outcome == CTL_OUTCOME_DIRECT) {
		mesh__buf_printf(out, "answered by the route: %d", (int)x->route->direct.status);
	} else if (x->outcome == CTL_OUTCOME_DEPENDS) {
		mesh__buf_str(out, "it depends on where it goes");
	} else {
		while (first->share == 0) {
			first++; /* one has a share */
		}
		print_way_outcome(out, first);
	}
	mesh__buf_str(out, "\n");
}

/* ---- Rows ---- */

/* A table of settings. What is built in is told of a field and all below it in one row. */
struct rows {
	struct ctl_table table;
	struct mesh__buf group;
	char of[LABEL_TEXT]; /* whose group it is; "": none */
};

static void rows_init(struct rows *rows, struct ctl *ctl, const char *const *heads)
{
	ctl_table_init(&rows->table, &ctl->env.mem, heads, 3);
	mesh__buf_init(&rows->group, &ctl->env.mem, GROUP_MAX_BYTES);
	rows->of[0] = '\0';
}

static void end_group(struct rows *rows)
{
	if (rows->of[0] != '\0') {
		ctl_table_cell(&rows->table, rows->of);
		ctl_table_cell(&rows->table, rows->group.data);
		ctl_table_cell(&rows->table, "built in");
	}
	rows->of[0] = '\0';
	mesh__buf_clear(&rows->group);
}

static void rows_print(struct rows *rows, struct ctl *ctl)
{
	end_group(rows);
	mesh__buf_chr(&ctl->out, '\n');
	ctl_table_print(&rows->table, &ctl->out);
	ctl_table_fini(&rows->table);
	mesh__buf_fini(&rows->group);
}

static void add(struct rows *rows, const char *label, const char *value, const struct ctl_origin *origin)
{
	char where[CTL_ORIGIN_TEXT];

	end_group(rows);
	ctl_origin_format(origin, where);
	ctl_table_cell(&rows->table, label);
	ctl_table_cell(&rows->table, value);
	ctl_table_cell(&rows->table, where);
}

/* A string of JSON without its quotes, where it has no escapes; anything else as it is. */
static void plain(struct mesh__buf *out, const char *json)
{
	size_t len = strlen(json);

	if (json[0] == '"' && strchr(json, '\\') == NULL) {
		mesh__buf_add(out, json + 1, len - 2);
	} else {
		mesh__buf_add(out, json, len);
	}
}

static void add_built_in(struct rows *rows, const struct ctl_setting_row *row)
{
	size_t len = strcspn(row->path, ".");

	if (strncmp(rows->of, row->path, len) != 0 || rows->of[len] != '\0' || rows->group.len + strlen(row->path) + strlen(row->value) > GROUP_WIDTH) {
		end_group(rows);
		(void)snprintf(rows->of, sizeof(rows->of), "%.*s", (int)len, row->path);
	}
	mesh__buf_str(&rows->group, rows->group.len > 0 ? ", " : "");
	if (row->path[len] == '.') {
		mesh__buf_printf(&rows->group, "%s ", row->path + len + 1);
	}
	plain(&rows->group, row->value);
}

static void add_setting(void *ctx, const struct ctl_setting_row *row)
{
	struct rows *rows = ctx;
	struct mesh__buf value;

	if (row->origin.source == NULL) {
		add_built_in(rows, row);
		return;
	}
	mesh__buf_init(&value, rows->group.mem, rows->group.max_bytes);
	plain(&value, row->value);
	add(rows, row->path, value.error == MESH_OK ? value.data : row->value, &row->origin);
	mesh__buf_fini(&value);
}

static void add_settings(struct rows *rows, struct ctl *ctl, const struct ctl_explanation *x, const struct ctl_ground *ground, int what)
{
	if (!ctl_explain_settings(x, ground, what, &ctl->env.mem, add_setting, rows)) {
		ctl->out.error = MESH_E_NO_MEMORY;
	}
}

/* ---- The call ---- */

static void add_passed(struct rows *rows, const struct ctl_explanation *x)
{
	const struct mesh__service_policy *policy = x->asked->policy;
	size_t n = x->route == NULL ? policy->n_routes : (size_t)(x->route - policy->routes);
	char why[CTL_WHY_TEXT], value[VALUE_TEXT], path[CTL_ROUTE_PATH];

	for (size_t i = 0; i < n; i++) {
		struct ctl_origin origin;
		(void)snprintf(path, sizeof(path), "routes[%zu]", i);
		origin = ctl_source_origin(x->asked->sources[MESH__LAYER_SERVICE], path);
		ctl_explain_why_not(x->ask, &policy->routes[i], why);
		(void)snprintf(value, sizeof(value), "%s: %s", policy->routes[i].name, why);
		add(rows, "passed over", value, &origin);
	}
}

static void add_route(struct rows *rows, const struct ctl_explanation *x)
{
	char path[CTL_ROUTE_PATH], place[2 * CTL_ROUTE_PATH];
	struct ctl_origin origin;
	size_t i;

	if (x->route == NULL) {
		add(rows, "route", x->asked->policy->n_routes == 0 ? "none: there are no routes" : "none: no route takes it", &built_in);
		return;
	}
	ctl_explain_route_path(x, path);
	origin = ctl_source_origin(x->asked->sources[MESH__LAYER_SERVICE], path);
	add(rows, "route", x->route->name, &origin);
	if (x->match != NULL) {
		i = (size_t)(x->match - x->route->matches);
		(void)snprintf(place, sizeof(place), "%s.match[%zu]", path, i);
		origin = ctl_source_origin(x->asked->sources[MESH__LAYER_SERVICE], place);
		(void)snprintf(place, sizeof(place), "match[%zu]", i);
		add(rows, "by", place, &origin);
	}
}

static void add_ways(struct rows *rows, const struct ctl_explanation *x)
{
	char value[SIDE_TEXT + LABEL_TEXT], side[SIDE_TEXT], place[2 * CTL_ROUTE_PATH], path[CTL_ROUTE_PATH];

	for (size_t i = 0; i < x->n_ways; i++) {
		struct ctl_origin origin = {NULL, 0};
		if (x->route != NULL && x->route->n_sides > 0) {
			ctl_explain_route_path(x, path);
			(void)snprintf(place, sizeof(place), "%s.split[%zu]", path, i);
			origin = ctl_source_origin(x->asked->sources[MESH__LAYER_SERVICE], place);
		}
		place_format(&x->ways[i].home, side);
		(void)snprintf(value, sizeof(value), "%s: %.4g %%%s", side, x->ways[i].share, x->by_key ? ", by its key" : "");
		add(rows, "goes to", value, &origin);
	}
}

static void add_deadline(struct rows *rows, const struct ctl_explanation *x)
{
	char value[LABEL_TEXT], duration[24];
	const char *whose;

	mesh__duration_format(ctl_explain_deadline(x, &whose), duration);
	if (x->ask->timeout_ms > 0) {
		end_group(rows);
		(void)snprintf(value, sizeof(value), "%s%s", duration, whose != NULL ? ", for the timeout below bounds the caller's" : "");
		ctl_table_cell(&rows->table, "deadline");
		ctl_table_cell(&rows->table, value);
		ctl_table_cell(&rows->table, whose != NULL ? "timeout" : "the caller");
	}
}

static void add_sent(struct rows *rows, const struct ctl_explanation *x)
{
	char path[CTL_ROUTE_PATH], place[2 * CTL_ROUTE_PATH];
	struct ctl_origin origin;

	if (strcmp(x->sent, x->ask->target) != 0) {
		ctl_explain_route_path(x, path);
		(void)snprintf(place, sizeof(place), "%s.rewrite", path);
		origin = ctl_source_origin(x->asked->sources[MESH__LAYER_SERVICE], place);
		add(rows, "sent as", x->sent, &origin);
	}
}

static void add_repeats(struct rows *rows, const struct ctl_explanation *x)
{
	char value[LABEL_TEXT];

	(void)snprintf(value, sizeof(value), mesh__retry_method_is_idempotent(x->ask->method) ? "whatever retryOn names: %s is idempotent" : "only what surely reached no handler: %s is not idempotent", x->ask->method);
	add(rows, "repeated", value, &built_in);
}

static void print_call(struct ctl *ctl, const struct ctl_explanation *x)
{
	static const char *const heads[] = {"CALL", "", "DECIDED BY"};
	struct rows rows;

	rows_init(&rows, ctl, heads);
	add_passed(&rows, x);
	add_route(&rows, x);
	if (x->n_ways > 0) {
		add_sent(&rows, x);
		add_ways(&rows, x);
		add_deadline(&rows, x);
		add_repeats(&rows, x);
	}
	add_settings(&rows, ctl, x, x->asked, CTL_OF_CALL);
	rows_print(&rows, ctl);
}

/* ---- The ways ---- */

/* What meshd knows, and what the caller's processes say. */
static void state_cell(struct ctl_table *table, const struct ctl_endpoint *e)
{
	char text[LABEL_TEXT];

	if (e->unhealthy_of == 0) {
		ctl_table_cell(table, e->state);
		return;
	}
	(void)snprintf(text, sizeof(text), "%.20s, %s%s%s by %d of %d callers", e->state == NULL ? "-" : e->state, e->ejected_by > 0 ? "ejected" : "", e->ejected_by > 0 && e->failed_check_of > 0 ? " or " : "",
		e->failed_check_of > 0 ? "found failing" : "", (int)e->unhealthy_of, (int)e->callers);
	ctl_table_cell(table, text);
}

static void cost_cell(struct ctl_table *table, const struct ctl_endpoint *e)
{
	char text[LABEL_TEXT];

	if (e->costed == 0) {
		ctl_table_cell(table, NULL);
		return;
	}
	(void)snprintf(text, sizeof(text), e->cost_least_ms < e->cost_most_ms ? "%.3g to %.3g ms" : "%.3g ms", e->cost_least_ms, e->cost_most_ms);
	ctl_table_cell(table, text);
}

static void print_side(struct ctl *ctl, const struct ctl_way *way)
{
	char side[SIDE_TEXT], home[SIDE_TEXT];

	place_format(&way->place, side);
	place_format(&way->home, home);
	mesh__buf_printf(&ctl->out, "\n%s, %.4g %%: ", side, way->share);
	print_way_outcome(&ctl->out, way);
	mesh__buf_chr(&ctl->out, '\n');
	if (way->failover) {
		mesh__buf_printf(&ctl->out, "failover: it takes over for %s, which has no %sendpoint\n", home, way->home.n > 0 ? "healthy " : "");
	}
	if (way->panic) {
		mesh__buf_printf(&ctl->out, "panic: %zu of %zu endpoints are healthy, and nobody else takes over: all are called\n", way->place.n_healthy, way->place.n);
	} else if (way->place.levels[0].n > 0 && way->place.n_healthy > 0) {
		mesh__buf_printf(&ctl->out, "zone: %u %% of these calls stay in the caller's\n", (unsigned)way->near_share);
	}
}

static void print_endpoints(struct ctl *ctl, const struct ctl_way *way)
{
	static const char *const heads[] = {"INSTANCE", "ADDRESS", "VERSION", "ZONE", "STATE", "COST"};
	struct ctl_table table;

	print_side(ctl, way);
	if (way->place.n == 0) {
		return;
	}
	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (size_t i = 0; i < way->place.to->n_endpoints; i++) {
		const struct ctl_endpoint *e = &way->place.to->endpoints[i];
		if (ctl_group_has(&way->place, e)) {
			ctl_table_cell(&table, e->instance);
			ctl_table_cell(&table, e->address);
			ctl_table_cell(&table, e->labels.version);
			ctl_table_cell(&table, e->labels.zone);
			state_cell(&table, e);
			cost_cell(&table, e);
		}
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static void add_authorization(struct rows *rows, const struct ctl_way *way)
{
	struct ctl_origin origin = ctl_way_authorization(way);
	char value[VALUE_TEXT];

	if (ctl_way_is_authorized(way)) {
		bool allows = way->authz.allow && !way->authz.audit_only;
		(void)snprintf(value, sizeof(value), "%s%s %s it", way->authz.rule == NULL ? "no rule holds, and the default" : "rule ", way->authz.rule == NULL ? "" : way->authz.rule, allows ? "allows" : "denies");
		add(rows, "authorization", value, &origin);
	}
}

static void print_service(struct ctl *ctl, const struct ctl_explanation *x, const struct ctl_way *way)
{
	char way_head[LABEL_TEXT + MESH__SERVICE_KEY_MAX], server_head[LABEL_TEXT + MESH__SERVICE_KEY_MAX];
	const char *const way_heads[] = {way_head, "", "DECIDED BY"}, *const server_heads[] = {server_head, "", "DECIDED BY"};
	struct rows rows;

	(void)snprintf(way_head, sizeof(way_head), "TO %s", way->place.to->key);
	(void)snprintf(server_head, sizeof(server_head), "AT %s", way->place.to->key);
	rows_init(&rows, ctl, way_heads);
	add_settings(&rows, ctl, x, way->place.to, CTL_OF_WAY);
	rows_print(&rows, ctl);
	rows_init(&rows, ctl, server_heads);
	add_authorization(&rows, way);
	add_settings(&rows, ctl, x, way->place.to, CTL_OF_SERVER);
	rows_print(&rows, ctl);
}

void ctl_explain_print(struct ctl *ctl, const struct ctl_explanation *x)
{
	print_verdict(&ctl->out, x);
	print_call(ctl, x);
	for (size_t i = 0; i < x->n_ways; i++) {
		print_endpoints(ctl, &x->ways[i]);
		if (ctl_way_is_last_of_service(x, i)) {
			print_service(ctl, x, &x->ways[i]);
		}
	}
}
