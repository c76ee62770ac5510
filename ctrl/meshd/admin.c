#include "meshd/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

/* ---- Who may. ---- */

bool meshd_admin_host_valid(const char *host, uint16_t port)
{
	struct mesh__addr addr;
	char localhost[32];

	if (host == NULL) {
		return false;
	}
	(void)snprintf(localhost, sizeof(localhost), "localhost:%u", (unsigned)port);
	if (strcmp(host, localhost) == 0) {
		return true;
	}
	return mesh__addr_parse("Host", host, false, &addr, NULL) == MESH_OK && mesh__addr_is_loopback(&addr) && addr.port == port;
}

bool meshd_admin_origin_valid(const char *origin, const char *host)
{
	static const char scheme[] = "http://";

	return origin == NULL || (mesh__str_starts(origin, scheme) && strcmp(origin + strlen(scheme), host) == 0);
}

static bool authorized(const struct meshd *meshd, const struct mesh__exchange *x)
{
	static const char scheme[] = "Bearer ";
	const char *field = mesh__exchange_header(x, "authorization");

	return field != NULL && mesh__str_starts(field, scheme) && strlen(field) == strlen(scheme) + MESHD_ADMIN_TOKEN
		&& mesh__str_eq_secret(field + strlen(scheme), meshd->dir.admin_token, MESHD_ADMIN_TOKEN);
}

/* A page of another site, or another name that leads here (DNS rebinding), gets nothing: not even what needs no token. */
static bool from_this_machine(struct meshd *meshd, struct mesh__exchange *x)
{
	const char *host = mesh__exchange_header(x, "host");
	const char *origin = mesh__exchange_header(x, "origin");
	const char *why = NULL;
	char address[MESH__ADDR_TEXT];
	struct mesh__addr addr;

	mesh__http_server_address(meshd->admin, &addr);
	if (!meshd_admin_host_valid(host, addr.port)) {
		why = "the Host field does not name this machine by a loopback address or localhost, with the listener's port";
	} else if (!meshd_admin_origin_valid(origin, host)) {
		why = "the request comes from a page of another site";
	}
	if (why != NULL) {
		meshd_peer_address(x, address);
		meshd_audit_refused(meshd->audit, "admin-refused", why, "method", mesh__exchange_method(x), "path", mesh__exchange_path(x), "address", address,
			"host", host, "origin", origin, (char *)NULL);
		mesh__exchange_refuse(x, 403, "denied", why);
	}
	return why == NULL;
}

/* ---- Routes. ---- */

struct route {
	const char *method;
	const char *path; /* one that ends in '/' but is not "/" has something behind it */
	meshd_admin_fn run;
	bool open;        /* needs no token */
};

static const struct route routes[] = {
	{"GET", "/livez", meshd_admin_livez, true},
	{"GET", "/readyz", meshd_admin_readyz, true},
	{"GET", "/metrics", meshd_admin_metrics, true},
	{"GET", "/", meshd_admin_dashboard, true},
	{"GET", "/dashboard.js", meshd_admin_dashboard_script, true},
	{"GET", "/dashboard.css", meshd_admin_dashboard_style, true},
	{"GET", "/v1/status", meshd_admin_status, false},
	{"POST", "/v1/tokens", meshd_admin_token_create, false},
	{"GET", "/v1/tokens", meshd_admin_token_list, false},
	{"DELETE", "/v1/tokens/", meshd_admin_token_delete, false},
	{"GET", "/v1/services", meshd_admin_services, false},
	{"GET", "/v1/endpoints", meshd_admin_endpoints, false},
	{"DELETE", "/v1/endpoints", meshd_admin_endpoint_delete, false},
	{"GET", "/v1/reports", meshd_admin_reports, false},
	{"GET", "/v1/members", meshd_admin_members, false},
	{"GET", "/v1/config", meshd_admin_config_list, false},
	{"POST", "/v1/config", meshd_admin_config_apply, false},
	{"GET", "/v1/effective", meshd_admin_effective, false},
	{"DELETE", "/v1/config", meshd_admin_config_delete, false},
	{"POST", "/v1/rollback", meshd_admin_rollback, false},
	{"GET", "/v1/history", meshd_admin_history, false},
	{"GET", "/v1/sync", meshd_admin_sync, false},
	{"POST", "/v1/certificates", meshd_admin_cert_issue, false},
	{"GET", "/v1/certificates", meshd_admin_cert_list, false},
	{"POST", "/v1/certificates/revoke", meshd_admin_cert_revoke, false},
	{"GET", "/v1/audit", meshd_admin_audit, false},
};

/* What follows the route's path, "" mostly; NULL when the path is another one. */
static const char *match_path(const struct route *route, const char *path)
{
	size_t len = strlen(route->path);

	if (len > 1 && route->path[len - 1] == '/') {
		return mesh__str_starts(path, route->path) && path[len] != '\0' ? path + len : NULL;
	}
	return strcmp(path, route->path) == 0 ? "" : NULL;
}

static const struct route *find_route(const struct mesh__exchange *x, const char **rest, bool *path_known)
{
	const char *method = mesh__exchange_method(x);

	*path_known = false;
	for (size_t i = 0; i < MESH__COUNT(routes); i++) {
		const char *behind = match_path(&routes[i], mesh__exchange_path(x));

		if (behind != NULL) {
			*path_known = true;
			*rest = behind;
			if (strcmp(method, routes[i].method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(routes[i].method, "GET") == 0)) {
				return &routes[i];
			}
		}
	}
	return NULL;
}

/* A form of a web page cannot send this type without asking first, which is never granted. */
static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t len = type == NULL ? 0 : strcspn(type, "; \t");

	return type != NULL && mesh__str_eq_nocase(type, len, json);
}

static void run_route(struct meshd *meshd, struct mesh__exchange *x, const struct route *route, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *json = NULL;
	const char *body;
	size_t len;

	if (strcmp(route->method, "POST") != 0) {
		route->run(meshd, x, NULL, rest);
		return;
	}
	if (!is_json(mesh__exchange_header(x, "content-type"))) {
		mesh__exchange_refuse(x, 400, "invalid", "the Content-Type must be application/json");
		return;
	}
	body = mesh__exchange_body(x, &len);
	if (mesh__json_parse(&meshd->env->mem, body, len, MESHD_ADMIN_BODY_MAX, &json, &err) != MESH_OK) {
		meshd_admin_refuse(x, &err);
	} else if (!mesh__json_is_object(json)) {
		mesh__exchange_refuse(x, 400, "invalid", "the body is no JSON object");
	} else {
		route->run(meshd, x, json, rest);
	}
	mesh__json_free(json);
}

void meshd_admin_handle(void *user, struct mesh__exchange *x)
{
	struct meshd *meshd = user;
	const struct route *route;
	char address[MESH__ADDR_TEXT];
	const char *rest = "";
	bool path_known;

	if (!from_this_machine(meshd, x)) {
		return;
	}
	route = find_route(x, &rest, &path_known);
	if ((route == NULL || !route->open) && !authorized(meshd, x)) {
		meshd_peer_address(x, address);
		meshd_audit_refused(meshd->audit, "admin-unauthorized", "the bearer token is missing or wrong", "method", mesh__exchange_method(x),
			"path", mesh__exchange_path(x), "address", address, (char *)NULL);
		mesh__exchange_refuse(x, 401, "unauthorized", "this call needs Authorization: Bearer with the contents of DIR/admin.token");
	} else if (route == NULL) {
		mesh__exchange_refuse(x, path_known ? 405 : 404, path_known ? "invalid" : "not-found", path_known ? "there is no such method here" : "there is no such call");
	} else {
		run_route(meshd, x, route, rest);
	}
}

/* ---- For the handlers. ---- */

void meshd_admin_refuse(struct mesh__exchange *x, const struct mesh__err *err)
{
	mesh__exchange_refuse(x, meshd_status_of(err->code), meshd_word_of(err->code), err->message);
}

int meshd_admin_name_of(const struct mesh__json *body, struct mesh__name *name, struct mesh__err *err)
{
	const char *service = mesh__json_text(mesh__json_get(body, "service"));
	const char *ns = mesh__json_get(body, "namespace") == NULL ? "default" : mesh__json_text(mesh__json_get(body, "namespace"));

	*name = (struct mesh__name){.trust_domain = ""};
	if (mesh__label_check("service", service, err) != MESH_OK || mesh__label_check("namespace", ns, err) != MESH_OK) {
		return MESH_E_INVALID;
	}
	(void)snprintf(name->service, sizeof(name->service), "%s", service);
	(void)snprintf(name->ns, sizeof(name->ns), "%s", ns);
	return MESH_OK;
}

int meshd_admin_service_of(struct mesh__exchange *x, struct mesh__name *name, struct mesh__err *err)
{
	char text[MESH__SERVICE_KEY_MAX + 16];

	*name = (struct mesh__name){.trust_domain = ""};
	if (mesh__query_get(mesh__exchange_query(x), "service", text, sizeof(text)) != MESH__QUERY_GIVEN) {
		return mesh__fail(err, MESH_E_INVALID, "the query lacks service=SERVICE.NAMESPACE, or it is no valid one");
	}
	return mesh__service_parse(text, "default", name, err);
}

int meshd_admin_number(const struct mesh__json *body, const char *key, int64_t min, int64_t max, int64_t otherwise, int64_t *out, struct mesh__err *err)
{
	const struct mesh__json *value = mesh__json_get(body, key);

	*out = otherwise;
	if (value != NULL && !mesh__json_i64(value, min, max, out)) {
		return mesh__fail(err, MESH_E_INVALID, "%s must be a whole number between %lld and %lld", key, (long long)min, (long long)max);
	}
	return MESH_OK;
}

int meshd_admin_not_reserved(const struct mesh__name *name, struct mesh__err *err)
{
	if (strcmp(name->ns, "mesh-system") == 0) {
		return mesh__fail(err, MESH_E_DENIED, "namespace mesh-system is reserved for the mesh itself");
	}
	return MESH_OK;
}
