/* get: the documents in force, and what they make together. */
#include <string.h>

#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/print.h"
#include "wire/name.h"

enum { TARGET_MAX = 1024, VALUE_MAX_BYTES = 2 * MESH__DOCUMENT_MAX_BYTES };

static void print_list(struct ctl *ctl, const struct mesh__json *list)
{
	static const char *const heads[] = {"KIND", "NAMESPACE", "NAME", "GENERATION", "UPDATED"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *d = mesh__json_first(list); d != NULL; d = mesh__json_next(d)) {
		ctl_table_json(&table, d, "kind");
		ctl_table_json(&table, d, "namespace");
		ctl_table_json(&table, d, "name");
		ctl_table_json(&table, d, "generation");
		ctl_table_time(&table, d, "updated");
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int print_one(struct ctl *ctl, const struct mesh__json *list)
{
	const struct mesh__json *one = mesh__json_first(list);

	if (one == NULL) {
		return ctl_fail(ctl, CTL_FAILED, "no %s document \"%s\" is in force; `meshctl get %s` lists those that are",
			ctl_operand(&ctl->args, 0), ctl_operand(&ctl->args, 1), ctl_operand(&ctl->args, 0));
	}
	if (ctl->json) {
		ctl_print_json(&ctl->out, one);
	} else {
		ctl_print_pretty(&ctl->out, mesh__json_get(one, "document"), 0);
		mesh__buf_chr(&ctl->out, '\n');
	}
	return CTL_OK;
}

static int get_documents(struct ctl *ctl)
{
	const char *name = ctl_operand(&ctl->args, 1);
	struct mesh__json *list = NULL;
	struct mesh__buf target;
	int code = ctl_config_target(ctl, ctl_operand(&ctl->args, 0), name, &target);

	if (code == CTL_OK) {
		code = ctl_admin_once(ctl, "GET", target.data, NULL, &list);
	}
	if (code == CTL_OK && name != NULL) {
		code = print_one(ctl, list);
	} else if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, list);
	} else if (code == CTL_OK) {
		print_list(ctl, list);
	}
	mesh__json_free(list);
	mesh__buf_fini(&target);
	return code;
}

/* ---- get --effective ---- */

static void print_fields(struct ctl *ctl, const struct mesh__json *answer)
{
	static const char *const heads[] = {"FIELD", "VALUE", "FROM", "GENERATION"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *f = mesh__json_first(mesh__json_get(answer, "fields")); f != NULL; f = mesh__json_next(f)) {
		const struct mesh__json *value = mesh__json_get(f, "value");
		struct mesh__json_out json;
		struct mesh__buf text;

		mesh__buf_init(&text, &ctl->env.mem, VALUE_MAX_BYTES);
		json = (struct mesh__json_out){&text, false};
		mesh__json_put_value(&json, NULL, value);
		ctl_table_json(&table, f, "path");
		ctl_table_cell(&table, mesh__json_text(value) != NULL ? mesh__json_text(value) : text.data);
		ctl_table_json(&table, f, "from");
		ctl_table_json(&table, f, "generation");
		mesh__buf_fini(&text);
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static int get_effective(struct ctl *ctl)
{
	bool with_kind = ctl_operand(&ctl->args, 1) != NULL;
	struct mesh__json *answer = NULL;
	struct mesh__err err = MESH__NO_ERR;
	enum mesh__kind kind = MESH__KIND_SERVICE;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;
	struct mesh__buf target;
	int code = with_kind ? ctl_config_kind(ctl, ctl_operand(&ctl->args, 0), &kind) : CTL_OK;

	if (code != CTL_OK) {
		return code;
	}
	if (kind != MESH__KIND_SERVICE) {
		return ctl_fail(ctl, CTL_USAGE, "--effective shows what a service goes by: meshctl get --effective SERVICE");
	}
	if (mesh__service_parse(ctl_operand(&ctl->args, with_kind ? 1 : 0), ctl_namespace(ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	mesh__service_key(&name, key);
	mesh__buf_init(&target, &ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&target, "/v1/effective");
	ctl_target_query(&target, "service", key);
	code = target.error != MESH_OK ? ctl_fail_memory(ctl) : ctl_admin_once(ctl, "GET", target.data, NULL, &answer);
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		print_fields(ctl, answer);
	}
	mesh__json_free(answer);
	mesh__buf_fini(&target);
	return code;
}

static int get_run(struct ctl *ctl)
{
	return ctl_flag(&ctl->args, "effective") ? get_effective(ctl) : get_documents(ctl);
}

static const struct ctl_option get_options[] = {
	{"namespace", 0, CTL_TEXT, "NAME", "of the document (a list: all; a name: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"effective", 0, CTL_FLAG, NULL, "what a service goes by, and who says each field of it", 0, 0},
	{0},
};

const struct ctl_command ctl_get = {
	"get", "KIND [NAME] | --effective SERVICE", 1, 2, "show configuration",
	"Lists the documents of a kind, or prints the one named NAME (or NAME.NAMESPACE), in a form that `meshctl apply -f -`\n"
	"takes back. KIND is Service, Endpoints, Namespace, Mesh or Fault, in any case, singular or plural. With --effective it\n"
	"shows what a service goes by, field by field: its own document over its namespace's over the mesh's over what is built in, and\n"
	"which of them says it, since which generation. -o json gives the merged document as well.",
	"  $ meshctl get services\n  $ meshctl get service payments > payments.json\n  $ meshctl get --effective payments\n"
	"  FIELD           VALUE  FROM              GENERATION\n  timeout         8s     Namespace default  2\n",
	get_options, get_run,
};
