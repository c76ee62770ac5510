/* token create, list, delete: join tokens. */
#include <stdio.h>
#include <string.h>

#include "meshctl/admin.h"
#include "meshctl/print.h"
#include "meshctl/token.h"
#include "wire/name.h"

enum { BODY_MAX_BYTES = 4096, TOKEN_TTL_MS = 3600 * 1000 };

int ctl_token_mint(struct ctl_admin *admin, const struct ctl_token_order *order, struct mesh__json **out)
{
	struct mesh__buf body;
	struct mesh__json_out json = {&body, false};
	int code;

	mesh__buf_init(&body, &admin->ctl->env.mem, BODY_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "service", order->service);
	mesh__json_put_text(&json, "namespace", order->ns);
	mesh__json_put_int(&json, "ttlMs", order->ttl_ms);
	mesh__json_put_int(&json, "uses", order->uses);
	mesh__json_close(&json, '}');
	code = ctl_admin_call(admin, "POST", "/v1/tokens", &body, out);
	mesh__buf_fini(&body);
	if (code == CTL_OK && mesh__json_text(mesh__json_get(*out, "token")) == NULL) {
		mesh__json_free(*out);
		*out = NULL;
		code = ctl_fail(admin->ctl, CTL_FAILED, "meshd's answer has no token in it");
	}
	return code;
}

static int create_run(struct ctl *ctl)
{
	struct mesh__err err = MESH__NO_ERR;
	struct ctl_token_order order = {ctl_text(&ctl->args, "service"), ctl_namespace(ctl),
		ctl_number(&ctl->args, "ttl", TOKEN_TTL_MS), ctl_number(&ctl->args, "uses", 1)};
	struct ctl_admin admin;
	struct mesh__json *answer = NULL;
	struct mesh__name name;
	int code;

	if (order.service == NULL) {
		return ctl_fail(ctl, CTL_USAGE, "which service is the token for? meshctl token create --service NAME");
	}
	if (mesh__service_parse(order.service, order.ns, &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	order.service = name.service;
	order.ns = name.ns;
	code = ctl_admin_open(ctl, &admin);
	if (code == CTL_OK) {
		code = ctl_token_mint(&admin, &order, &answer);
	}
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		mesh__buf_printf(&ctl->out, "%s\n", mesh__json_text(mesh__json_get(answer, "token")));
	}
	mesh__json_free(answer);
	ctl_admin_close(&admin);
	return code;
}

static const struct ctl_option create_options[] = {
	{"service", 0, CTL_TEXT, "NAME", "the service that joins with it", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"ttl", 0, CTL_DURATION, "TIME", "how long it can be used (default: 1h)", 1000, INT64_C(365) * 86400000},
	{"uses", 0, CTL_INTEGER, "N", "how often it can be used; 0: any number (default: 1)", 0, 1000000},
	{0},
};

const struct ctl_command ctl_token_create = {
	"token create", "", 0, 0, "make a token with which a service joins",
	"Prints one line: the token alone. It carries an id, a secret and the pin of the root's key, so a process that has\n"
	"it needs nothing else to know whom to trust. meshd keeps no copy of the secret: it is shown this once.\n"
	"A replicated service takes a token with --uses 0, or one token a replica.",
	"  $ MESH_TOKEN=$(meshctl token create --service payments) ./payments\n"
	"  $ meshctl token create --service payments --uses 0 --ttl 24h > payments.token\n",
	create_options, create_run,
};

static int list_run(struct ctl *ctl)
{
	static const char *const heads[] = {"ID", "SERVICE", "USED", "USES", "CREATED", "EXPIRES"};
	struct ctl_table table;
	struct mesh__json *answer = NULL;
	int code = ctl_admin_once(ctl, "GET", "/v1/tokens", NULL, &answer);

	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
		for (const struct mesh__json *t = mesh__json_first(answer); t != NULL; t = mesh__json_next(t)) {
			int64_t uses = -1;
			bool endless = mesh__json_i64(mesh__json_get(t, "uses"), 0, INT64_MAX, &uses) && uses == 0;
			ctl_table_json(&table, t, "id");
			ctl_table_service(&table, t);
			ctl_table_json(&table, t, "used");
			if (endless) {
				ctl_table_cell(&table, "any");
			} else {
				ctl_table_json(&table, t, "uses");
			}
			ctl_table_time(&table, t, "created");
			ctl_table_time(&table, t, "expires");
		}
		ctl_table_print(&table, &ctl->out);
		ctl_table_fini(&table);
	}
	mesh__json_free(answer);
	return code;
}

const struct ctl_command ctl_token_list = {
	"token list", "", 0, 0, "list the join tokens, without their secrets",
	"Lists the tokens that meshd knows: how often each was used, how often it may be, and until when.",
	"  $ meshctl token list\n",
	NULL, list_run,
};

static int delete_run(struct ctl *ctl)
{
	const char *id = ctl_operand(&ctl->args, 0);
	struct mesh__json *answer = NULL;
	char target[64];
	int code;

	if (strlen(id) > 32 || strspn(id, "0123456789abcdef") != strlen(id)) {
		return ctl_fail(ctl, CTL_USAGE, "\"%.40s\" is no token id; `meshctl token list` shows them", id);
	}
	(void)snprintf(target, sizeof(target), "/v1/tokens/%s", id);
	code = ctl_admin_once(ctl, "DELETE", target, NULL, &answer);
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		ctl_say(ctl, "token %s is deleted; processes that joined with it keep their certificates", id);
	}
	mesh__json_free(answer);
	return code;
}

const struct ctl_command ctl_token_delete = {
	"token delete", "ID", 1, 1, "delete a join token",
	"Nobody joins with it any more. Processes that joined before keep their certificates: `meshctl cert revoke` ends those.",
	"  $ meshctl token delete 9f86d081884c7d65\n",
	NULL, delete_run,
};
