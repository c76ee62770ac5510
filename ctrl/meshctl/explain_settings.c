/* Which fields a call meets, and who says each. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/explain.h"

enum { PATH_TEXT = 256, VALUE_MAX_BYTES = 2 * MESH__DOCUMENT_MAX_BYTES };

/* What a field governs, and all below it. What stands in no row governs the way: a new field is shown before anybody has thought of it here. */
static const struct {
	const char *field;
	int what; /* 0: it is told otherwise: by the route, the ways, the verdict */
} governs[] = {
	{"timeout", CTL_OF_CALL},
	{"retries", CTL_OF_CALL},
	{"hedging", CTL_OF_CALL},
	{"failover", CTL_OF_CALL}, /* by the document of the service that was called: outbound/failover.c */
	{"retries.budget.window", CTL_OF_WAY}, /* one window a destination: outbound/retry.c */
	{"authorization", CTL_OF_SERVER},
	{"rateLimit", CTL_OF_SERVER},
	{"concurrencyLimit", CTL_OF_CALL | CTL_OF_SERVER}, /* callers and instances each find one */
	{"fault", 0},                          /* it is the call's, where it holds: below */
	{"subsets", 0},
	{"routes", 0},
	{"authorization.rules", 0},
};

/* Whether `path` is `field`, or below it. */
static bool is_of(const char *path, const char *field)
{
	size_t len = strlen(field);

	return strncmp(path, field, len) == 0 && (path[len] == '\0' || path[len] == '.');
}

static int what_of(const char *path)
{
	int what = CTL_OF_WAY;
	size_t longest = 0;

	for (size_t i = 0; i < MESH__COUNT(governs); i++) {
		if (is_of(path, governs[i].field) && strlen(governs[i].field) > longest) {
			longest = strlen(governs[i].field);
			what = governs[i].what;
		}
	}
	return what;
}

void ctl_explain_route_path(const struct ctl_explanation *x, char *out)
{
	(void)snprintf(out, CTL_ROUTE_PATH, "routes[%zu]", (size_t)(x->route - x->asked->policy->routes));
}

/* The document that has the route: routes are a service's own. */
static const struct ctl_source *routes_of(const struct ctl_explanation *x)
{
	return x->route == NULL ? NULL : x->asked->sources[MESH__LAYER_SERVICE];
}

static bool tell_value(const struct ctl_source *source, const char *said_at, const char *path, const struct mesh__json *value, const struct mesh__mem *mem, ctl_row_fn row, void *ctx)
{
	struct mesh__buf text;
	struct mesh__json_out json = {.buf = &text};
	bool told;

	mesh__buf_init(&text, mem, VALUE_MAX_BYTES);
	mesh__json_put_value(&json, NULL, value);
	told = text.error == MESH_OK;
	if (told) {
		row(ctx, &(struct ctl_setting_row){path, text.data, ctl_source_origin(source, said_at)});
	}
	mesh__buf_fini(&text);
	return told;
}

/* A field of the call: what the route says of it stands in its place. */
static bool tell_field(const struct ctl_explanation *x, const struct ctl_ground *ground, const struct ctl_field *field, const struct mesh__mem *mem, ctl_row_fn row, void *ctx)
{
	const struct ctl_source *routes = what_of(field->path) == CTL_OF_CALL ? routes_of(x) : NULL;
	const struct mesh__json *value = NULL;
	char route[CTL_ROUTE_PATH], path[PATH_TEXT];

	if (routes != NULL) {
		ctl_explain_route_path(x, route);
		(void)snprintf(path, sizeof(path), "%s.%s", route, field->path);
		value = ctl_source_value(routes, path);
	}
	if (value != NULL) {
		return tell_value(routes, path, field->path, value, mem, row, ctx);
	}
	row(ctx, &(struct ctl_setting_row){field->path, field->value, ctl_field_origin(ground, field)});
	return true;
}

/* What the route says besides: all its members but those that are told otherwise. */
static bool tell_route(const struct ctl_explanation *x, const struct mesh__mem *mem, ctl_row_fn row, void *ctx)
{
	static const char *const otherwise[] = {"name", "match", "split", "timeout", "retries", "hedging"};
	const struct ctl_source *routes = routes_of(x);
	char route[CTL_ROUTE_PATH], path[PATH_TEXT];
	bool told = true;

	if (routes == NULL) {
		return true;
	}
	ctl_explain_route_path(x, route);
	for (const struct mesh__json *m = mesh__json_first(ctl_source_value(routes, route)); m != NULL && told; m = mesh__json_next(m)) {
		const char *key = mesh__json_key(m);
		size_t i = 0;
		while (i < MESH__COUNT(otherwise) && strcmp(key, otherwise[i]) != 0) {
			i++;
		}
		if (i == MESH__COUNT(otherwise) && (strcmp(key, "fault") != 0 || x->fault == &x->route->fault)) {
			(void)snprintf(path, sizeof(path), "%s.%s", route, key);
			told = tell_value(routes, path, path, m, mem, row, ctx);
		}
	}
	return told;
}

/* What a Fault injects, where it holds for this call; else it is none of its settings. */
static void tell_injection(const struct ctl_explanation *x, ctl_row_fn row, void *ctx)
{
	const struct ctl_field *field = ctl_ground_field(x->asked, "fault");

	if (field != NULL && x->fault == &x->asked->policy->injection.fault) {
		row(ctx, &(struct ctl_setting_row){field->path, field->value, ctl_field_origin(x->asked, field)});
	}
}

bool ctl_explain_settings(const struct ctl_explanation *x, const struct ctl_ground *ground, int what, const struct mesh__mem *mem, ctl_row_fn row, void *ctx)
{
	bool goes = x->n_ways > 0; /* one that its route answers meets what the route says alone */

	for (const struct ctl_field *f = goes ? ground->fields : NULL; f != NULL; f = f->next) {
		if ((what_of(f->path) & what) != 0 && !tell_field(x, ground, f, mem, row, ctx)) {
			return false;
		}
	}
	if (what == CTL_OF_CALL && goes) {
		tell_injection(x, row, ctx);
	}
	return what != CTL_OF_CALL || tell_route(x, mem, row, ctx);
}
