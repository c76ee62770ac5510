#include "inbound/authorize.h"

#include <stdio.h>
#include <string.h>

#include "inbound/server.h"
#include "policy/authorize.h"

enum { LINES_A_SECOND = 100, REASON_MAX = 160 };

void mesh__authz_record_init(struct mesh__authz_record *r, struct mesh__metrics *metrics)
{
	*r = (struct mesh__authz_record){.metrics = metrics};
	(void)pthread_mutex_init(&r->mu, NULL);
}

void mesh__authz_record_fini(struct mesh__authz_record *r)
{
	(void)pthread_mutex_destroy(&r->mu);
}

/* ---- What is told of it ---- */

/* Whether one more line may be written now; *left_out: how many were not before it. */
static bool may_log(struct mesh__authz_record *r, const struct mesh__env *env, int64_t *left_out)
{
	int64_t now_us = mesh__mono_us(env);
	bool may;

	*left_out = 0;
	(void)pthread_mutex_lock(&r->mu);
	if (now_us - r->second_us >= 1000000) {
		r->second_us = now_us;
		r->n_lines = 0;
	}
	may = r->n_lines < LINES_A_SECOND;
	if (may) {
		r->n_lines++;
		*left_out = r->n_left_out;
		r->n_left_out = 0;
	} else {
		r->n_left_out++;
	}
	(void)pthread_mutex_unlock(&r->mu);
	return may;
}

static void tell(struct mesh_server *server, const struct mesh_inbound *in, const struct mesh__authz_verdict *verdict)
{
	const char *rule = verdict->rule == NULL ? "default" : verdict->rule;
	char address[MESH__ADDR_TEXT], missing[24];
	struct mesh__addr from;
	int64_t left_out;

	mesh__count(verdict->audit_only
			? mesh__metrics_counter(server->authz.metrics, "mesh_authorization_audited_total", "Requests let in that would be denied were the mode not audit, by the rule.", "rule", rule)
			: mesh__metrics_counter(server->authz.metrics, "mesh_authorization_denied_total", "Requests that the caller may not make, by the rule that denied them.", "rule", rule),
		1);
	if (!may_log(&server->authz, server->env, &left_out)) {
		return;
	}
	mesh__exchange_address(in->x, &from);
	mesh__addr_format(&from, address);
	(void)snprintf(missing, sizeof(missing), "%lld", (long long)left_out);
	mesh__log(server->env, MESH__LOG_WARN, verdict->audit_only ? "authorization would deny" : "authorization denied", "peer", in->peer->spiffe, "address", address, "method", mesh__exchange_method(in->x), "path",
		mesh__exchange_path(in->x), "rule", rule, "not_logged_before", left_out > 0 ? missing : NULL, (char *)NULL);
}

/* ---- The decision ---- */

static const char *next_value(const void *ctx, const char *name, size_t *at)
{
	const struct mesh__exchange *x = ctx;
	size_t n = mesh__exchange_n_fields(x);

	while (*at < n) {
		struct mesh__field_text field = mesh__exchange_field(x, (*at)++);
		if (strcmp(field.name, name) == 0) {
			return field.value;
		}
	}
	return NULL;
}

bool mesh__inbound_authorize(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__authorization *authorization)
{
	struct mesh__request_view view = {.method = mesh__exchange_method(in->x), .path = mesh__exchange_path(in->x), .header = next_value, .ctx = in->x, .service = in->peer->name.service, .ns = in->peer->name.ns};
	struct mesh__authz_verdict verdict = mesh__authorize(authorization, &view);
	char reason[REASON_MAX];

	if (!verdict.allow || verdict.audit_only) {
		tell(server, in, &verdict);
	}
	if (!verdict.allow) {
		(void)snprintf(reason, sizeof(reason), verdict.rule == NULL ? "denied by default: no rule lets this caller do this" : "denied by rule %s", verdict.rule);
		(void)mesh__inbound_refuse(in, 403, "denied", reason);
	}
	return verdict.allow;
}
