/*
 * The admin listener (docs/ADMIN-API.md): loopback HTTP with a bearer token, and guards against a web page in the operator's browser. admin.c judges and routes; each admin_*.c
 * answers one kind of call. Each handler takes the caller's reference of the exchange.
 */
#ifndef MESHD_ADMIN_H
#define MESHD_ADMIN_H

#include "meshd/meshd.h"
#include "wire/json.h"

enum { MESHD_ADMIN_BODY_MAX = 1024 * 1024 };

/* The handler of mesh__http_options; `user` is the struct meshd. */
void meshd_admin_handle(void *user, struct mesh__exchange *x);

/* True when a Host field names this machine itself (127.0.0.0/8, [::1] or localhost) with that port. */
bool meshd_admin_host_valid(const char *host, uint16_t port);

/* True when an Origin field (NULL: none was sent) is that of the page that `host` serves. */
bool meshd_admin_origin_valid(const char *origin, const char *host);

/* One call. `body` is the parsed object of a POST, else NULL; `rest` is what follows the route's path. */
typedef void (*meshd_admin_fn)(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_livez(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_readyz(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_metrics(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_status(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_dashboard(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_dashboard_script(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_dashboard_style(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_token_create(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_token_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_token_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_services(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_endpoints(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_endpoint_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_reports(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_members(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_config_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_effective(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_config_apply(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_config_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_rollback(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_sync(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_history(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_cert_issue(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_cert_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);
void meshd_admin_cert_revoke(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

void meshd_admin_audit(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest);

/* ---- For the handlers. ---- */

enum { MESHD_ANSWER_MAX_BYTES = 64 * 1024 * 1024 };

/* Why meshd is not ready, as a JSON array's members or, with `json` NULL, a line each; true when it is ready. */
bool meshd_admin_ready(struct meshd *meshd, struct mesh__json_out *json, struct mesh__buf *lines);

/* Sets the gauges that say how far the configuration has come. */
void meshd_admin_sync_metrics(struct meshd *meshd);

/* A refusal in the admin API's form. */
void meshd_admin_refuse(struct mesh__exchange *x, const struct mesh__err *err);

/* Service and namespace (absent: "default") of a body; those of "service.namespace" in the query's `service`. MESH_E_INVALID. */
int meshd_admin_name_of(const struct mesh__json *body, struct mesh__name *name, struct mesh__err *err) MESH__MUST_USE;
int meshd_admin_service_of(struct mesh__exchange *x, struct mesh__name *name, struct mesh__err *err) MESH__MUST_USE;

/* Which documents a query asks for; an empty text: any. */
struct meshd_admin_filter {
	bool any_kind;
	enum mesh__kind kind;
	char ns[MESH__LABEL_MAX + 1], name[MESH__LABEL_MAX + 1];
};

/* Its kind, namespace and name. MESH_E_INVALID: there is no such kind. */
int meshd_admin_filter(struct mesh__exchange *x, struct meshd_admin_filter *filter, struct mesh__err *err) MESH__MUST_USE;

/* {"kind", "namespace", "name", "change"} */
void meshd_admin_put_change(struct mesh__json_out *json, const struct meshd_config_row *row);

/* A number of the body within [min, max]; absent: `otherwise`. MESH_E_INVALID names the key. */
int meshd_admin_number(const struct mesh__json *body, const char *key, int64_t min, int64_t max, int64_t otherwise, int64_t *out, struct mesh__err *err) MESH__MUST_USE;

/* The namespace that no token and no certificate is made for by an operator: meshd itself is in it. */
int meshd_admin_not_reserved(const struct mesh__name *name, struct mesh__err *err) MESH__MUST_USE;

#endif
