/* history, rollback: the generations of the configuration. */
#include <stdio.h>
#include <string.h>

#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/print.h"
#include "wire/name.h"

enum { TARGET_MAX = 1024, BODY_MAX_BYTES = 1024, NUMBER_TEXT = 24, LIMIT_DEFAULT = 20, LIMIT_MAX = 1000 };

/* ---- history ---- */

static int history_target(struct ctl *ctl, struct mesh__buf *target)
{
	const char *name_text = ctl_operand(&ctl->args, 0);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;
	char limit[NUMBER_TEXT];

	(void)snprintf(limit, sizeof(limit), "%lld", (long long)ctl_number(&ctl->args, "limit", LIMIT_DEFAULT));
	mesh__buf_init(target, &ctl->env.mem, TARGET_MAX);
	mesh__buf_str(target, "/v1/history");
	ctl_target_query(target, "limit", limit);
	if (name_text == NULL) {
		ctl_target_query(target, "namespace", ctl_text(&ctl->args, "namespace"));
	} else if (mesh__service_parse(name_text, ctl_namespace(ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	} else {
		ctl_target_query(target, "namespace", name.ns);
		ctl_target_query(target, "name", name.service);
	}
	return mesh__buf_error(target, "the request", &err) == MESH_OK ? CTL_OK : ctl_fail_err(ctl, CTL_USAGE, &err);
}

static void history_row(struct ctl_table *table, const struct mesh__json *generation, const struct mesh__json *change)
{
	const char *operator = mesh__json_text(mesh__json_get(generation, "operator"));
	char subject[CTL_SUBJECT_MAX];

	ctl_config_subject(change, subject);
	ctl_table_json(table, generation, "generation");
	ctl_table_time(table, generation, "at");
	ctl_table_json(table, generation, operator != NULL && operator[0] != '\0' ? "operator" : "who");
	ctl_table_json(table, change, "change");
	ctl_table_json(table, change, "kind");
	ctl_table_cell(table, subject);
	ctl_table_json(table, generation, "restored");
}

static void print_history(struct ctl *ctl, const struct mesh__json *list)
{
	static const char *const heads[] = {"GENERATION", "AT", "BY", "CHANGE", "KIND", "NAME", "ROLLBACK TO"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *g = mesh__json_first(list); g != NULL; g = mesh__json_next(g)) {
		for (const struct mesh__json *c = mesh__json_first(mesh__json_get(g, "changes")); c != NULL; c = mesh__json_next(c)) {
			history_row(&table, g, c);
		}
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int history_run(struct ctl *ctl)
{
	struct mesh__json *list = NULL;
	struct mesh__buf target;
	int code = history_target(ctl, &target);

	if (code == CTL_OK) {
		code = ctl_admin_once(ctl, "GET", target.data, NULL, &list);
	}
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, list);
	} else if (code == CTL_OK) {
		print_history(ctl, list);
	}
	mesh__json_free(list);
	mesh__buf_fini(&target);
	return code;
}

static const struct ctl_option history_options[] = {
	{"limit", 'n', CTL_INTEGER, "N", "generations, at most (default 20)", 1, LIMIT_MAX},
	{"namespace", 0, CTL_TEXT, "NAME", "of the documents (a list: all; a name: MESH_NAMESPACE, else \"default\")", 0, 0},
	{0},
};

const struct ctl_command ctl_history = {
	"history", "[NAME]", 0, 1, "list who changed which configuration, and when",
	"Lists the generations of the configuration, the newest first: when each was made, by whom, and which documents it\n"
	"created, updated or deleted; with NAME (or NAME.NAMESPACE) those that concern this name. meshd keeps the last 1000, on\n"
	"disk. BY is what MESH_OPERATOR (else SUDO_USER, LOGNAME or USER) said where the change was made: meshd knows only that\n"
	"it was somebody with the admin token.",
	"  $ meshctl history payments\n  GENERATION  AT                    BY     CHANGE   KIND     NAME      ROLLBACK TO\n"
	"  2           2026-01-31T12:00:00Z  alice  updated  Service  payments  -\n"
	"  1           2026-01-30T09:30:00Z  bob    created  Service  payments  -\n",
	history_options, history_run,
};

/* ---- rollback ---- */

static int rollback_run(struct ctl *ctl)
{
	int64_t to = ctl_number(&ctl->args, "to", -1);
	struct mesh__json *answer = NULL;
	struct mesh__buf body;
	struct mesh__json_out json = {&body, false};
	int code;

	if (to < 0) {
		return ctl_fail(ctl, CTL_USAGE, "back to which generation? meshctl rollback --to GENERATION; `meshctl history` lists them");
	}
	mesh__buf_init(&body, &ctl->env.mem, BODY_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_u64(&json, "to", (uint64_t)to);
	ctl_config_put_terms(ctl, &json);
	mesh__json_close(&json, '}');
	code = ctl_admin_once(ctl, "POST", "/v1/rollback", &body, &answer);
	if (code == CTL_OK) {
		ctl_config_show(ctl, answer);
	}
	if (code == CTL_OK && mesh__json_count(mesh__json_get(answer, "changed")) == 0) {
		ctl_say(ctl, "nothing to change: the configuration is the same as in generation %lld", (long long)to);
	}
	mesh__json_free(answer);
	mesh__buf_fini(&body);
	return code;
}

static const struct ctl_option rollback_options[] = {
	{"to", 0, CTL_INTEGER, "GENERATION", "whose contents are to be in force again; 0: none at all", 0, INT64_MAX},
	CTL_CONFIG_TERMS,
	{0},
};

const struct ctl_command ctl_rollback = {
	"rollback", "--to GENERATION", 0, 0, "bring the configuration back to an earlier generation",
	"Makes a new generation with the contents of an earlier one: what was changed since is changed back, what was created\n"
	"since is deleted, and what was deleted since is there again, all at once. Nothing is lost by it: a rollback can be\n"
	"rolled back. --dry-run shows what it would change.",
	"  $ meshctl rollback --to 1 --dry-run\n  Service payments updated (not applied: --dry-run)\n  $ meshctl rollback --to 1\n  Service payments updated\n",
	rollback_options, rollback_run,
};
