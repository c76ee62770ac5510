/* apply, get, delete, validate: configuration documents. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/files.h"
#include "meshctl/print.h"
#include "policy/document.h"
#include "policy/schema_json.h"

enum { BODY_MAX_BYTES = 8 * 1024 * 1024, TARGET_MAX = 4096, NOTES_MAX_BYTES = 4 * 1024 * 1024, KINDS_MAX = 16 };

/* The name that faults are told under. */
static const char *shown_name(const char *path)
{
	return strcmp(path, "-") == 0 ? "stdin" : path;
}

/* True when there is a line that is not empty, a comment, or the border of a document. */
static bool says_something(const struct mesh__buf *text)
{
	const char *at = text->data, *end = at + text->len;

	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = nl == NULL ? (size_t)(end - at) : (size_t)(nl - at), blank = strspn(at, " \t\r");

		if (blank < len && at[blank] != '#' && strncmp(at, "---", 3) != 0 && strncmp(at, "...", 3) != 0) {
			return true;
		}
		at += len + 1;
	}
	return false;
}

/* What is sent ends at a NUL, and half a file must not pass for the whole; an empty one is mostly the output of a command that failed. */
static int check_text(struct ctl *ctl, const char *path, const struct mesh__buf *text)
{
	if (text->len > 0 && memchr(text->data, '\0', text->len) != NULL) {
		return ctl_fail(ctl, CTL_INVALID, "%s: it has a NUL byte; documents are UTF-8 text", shown_name(path));
	}
	return text->len > 0 && says_something(text) ? CTL_OK : ctl_fail(ctl, CTL_INVALID, "%s: there is no document in it", shown_name(path));
}

int ctl_config_read(struct ctl *ctl, struct mesh__buf *text)
{
	const char *path = ctl_text(&ctl->args, "file");
	struct mesh__err err = MESH__NO_ERR;

	mesh__buf_init(text, &ctl->env.mem, MESH__DOCUMENT_MAX_BYTES);
	if (path == NULL) {
		return ctl_fail(ctl, CTL_USAGE, "which file? meshctl %s -f FILE (- reads the standard input)", ctl->command->name);
	}
	return ctl_file_read(path, text, &err) == MESH_OK ? check_text(ctl, path, text)
		: ctl_fail_err(ctl, err.code == MESH_E_TOO_LARGE ? CTL_INVALID : CTL_USAGE, &err);
}

void ctl_config_put_terms(struct ctl *ctl, struct mesh__json_out *json)
{
	int64_t seen = ctl_number(&ctl->args, "if-generation", -1);

	mesh__json_put_bool(json, "dryRun", ctl_flag(&ctl->args, "dry-run"));
	if (seen >= 0) {
		mesh__json_put_u64(json, "ifGeneration", (uint64_t)seen);
	}
}

void ctl_config_query_terms(struct ctl *ctl, struct mesh__buf *target)
{
	int64_t seen = ctl_number(&ctl->args, "if-generation", -1);
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)seen);
	ctl_target_query(target, "dryRun", ctl_flag(&ctl->args, "dry-run") ? "true" : NULL);
	ctl_target_query(target, "ifGeneration", seen >= 0 ? text : NULL);
}

int ctl_config_post(struct ctl *ctl, const char *file, const char *ns, const struct mesh__buf *text, struct mesh__json **answer)
{
	struct mesh__buf body;
	struct mesh__json_out json = {&body, false};
	int code;

	mesh__buf_init(&body, &ctl->env.mem, BODY_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "file", file);
	mesh__json_put_text(&json, "text", text->data != NULL ? text->data : "");
	mesh__json_put_text(&json, "namespace", ns);
	ctl_config_put_terms(ctl, &json);
	mesh__json_close(&json, '}');
	code = ctl_admin_once(ctl, "POST", "/v1/config", &body, answer);
	mesh__buf_fini(&body);
	return code;
}

static void tell_warnings(struct ctl *ctl, const struct mesh__json *answer)
{
	for (const struct mesh__json *w = mesh__json_first(mesh__json_get(answer, "warnings")); w != NULL; w = mesh__json_next(w)) {
		ctl_say(ctl, "warning: %s", mesh__json_text(w) != NULL ? mesh__json_text(w) : "");
	}
}

void ctl_config_subject(const struct mesh__json *document, char *out)
{
	const char *kind_text = mesh__json_text(mesh__json_get(document, "kind")), *name = mesh__json_text(mesh__json_get(document, "name"));
	const char *ns = mesh__json_text(mesh__json_get(document, "namespace"));
	enum mesh__kind kind;
	bool alone = ns == NULL || strcmp(ns, "default") == 0 || (kind_text != NULL && mesh__kind_parse(kind_text, &kind) && mesh__kind_namespace(kind, "", NULL) != NULL);

	(void)snprintf(out, CTL_SUBJECT_MAX, "%s%s%s", name != NULL ? name : "?", alone ? "" : ".", alone ? "" : ns);
}

/* "Service payments updated" */
static void print_changes(struct ctl *ctl, const struct mesh__json *answer, const char *suffix)
{
	char subject[CTL_SUBJECT_MAX];

	for (const struct mesh__json *c = mesh__json_first(mesh__json_get(answer, "changed")); c != NULL; c = mesh__json_next(c)) {
		const char *kind = mesh__json_text(mesh__json_get(c, "kind")), *change = mesh__json_text(mesh__json_get(c, "change"));

		ctl_config_subject(c, subject);
		mesh__buf_printf(&ctl->out, "%s %s %s%s\n", kind != NULL ? kind : "?", subject, change != NULL ? change : "?", suffix);
	}
}

void ctl_config_show(struct ctl *ctl, const struct mesh__json *answer)
{
	tell_warnings(ctl, answer);
	if (ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else {
		print_changes(ctl, answer, ctl_flag(&ctl->args, "dry-run") ? " (not applied: --dry-run)" : "");
	}
}

static int apply_run(struct ctl *ctl)
{
	struct mesh__json *answer = NULL;
	struct mesh__buf text;
	int code = ctl_config_read(ctl, &text);

	if (code == CTL_OK) {
		code = ctl_config_post(ctl, shown_name(ctl_text(&ctl->args, "file")), ctl_namespace(ctl), &text, &answer);
	}
	if (code == CTL_OK) {
		ctl_config_show(ctl, answer);
	}
	mesh__json_free(answer);
	mesh__buf_fini(&text);
	return code;
}

static const struct ctl_option apply_options[] = {
	{"file", 'f', CTL_TEXT, "FILE", "YAML or JSON documents; - reads the standard input", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "for documents that name none (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	CTL_CONFIG_TERMS,
	{0},
};

const struct ctl_command ctl_apply = {
	"apply", "-f FILE", 0, 0, "put configuration into force",
	"Sends the documents of a file to meshd, which takes all of them or none. Faults are told all at once, as\n"
	"file:line:column: path: what is wrong, with exit code 5. What is taken is in force within a second, without a restart.\n"
	"Each apply that changes anything makes a new generation, which `meshctl history` lists and `meshctl rollback` takes back.\n"
	"Where several people write, --if-generation N (as `meshctl get -o json` or `meshctl history` told it) keeps you\n"
	"from overwriting what somebody else has changed since.",
	"  $ cat payments.yaml\n  apiVersion: mesh/v1\n  kind: Service\n  name: payments\n  timeout: 2s\n  loadBalancer: {policy: roundRobin}\n"
	"  $ meshctl apply -f payments.yaml\n  Service payments created\n",
	apply_options, apply_run,
};

/* ---- delete ---- */

int ctl_config_kind(struct ctl *ctl, const char *text, enum mesh__kind *kind)
{
	static const char *const names[] = {
#define X(name, text, several) text,
		MESH__KINDS(X)
#undef X
	};
	const char *near;

	if (mesh__kind_parse(text, kind)) {
		return CTL_OK;
	}
	near = mesh__str_nearest(text, names, MESH__COUNT(names));
	if (near != NULL) {
		return ctl_fail(ctl, CTL_USAGE, "unknown kind \"%s\"; did you mean %s?", text, near);
	}
	return ctl_fail(ctl, CTL_USAGE, "unknown kind \"%s\"; the kinds are Service, Endpoints, Namespace, Mesh and Fault", text);
}

int ctl_config_target(struct ctl *ctl, const char *kind_text, const char *name_text, struct mesh__buf *target)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;
	enum mesh__kind kind;
	int code = ctl_config_kind(ctl, kind_text, &kind);

	mesh__buf_init(target, &ctl->env.mem, TARGET_MAX);
	if (code != CTL_OK) {
		return code;
	}
	mesh__buf_str(target, "/v1/config");
	ctl_target_query(target, "kind", mesh__kind_name(kind));
	if (name_text == NULL) {
		ctl_target_query(target, "namespace", ctl_text(&ctl->args, "namespace"));
	} else if (mesh__service_parse(name_text, ctl_namespace(ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	} else {
		ctl_target_query(target, "namespace", mesh__kind_namespace(kind, name.service, name.ns));
		ctl_target_query(target, "name", name.service);
	}
	return mesh__buf_error(target, "the request", &err) == MESH_OK ? CTL_OK : ctl_fail_err(ctl, CTL_USAGE, &err);
}

static const struct ctl_option delete_options[] = {
	{"namespace", 0, CTL_TEXT, "NAME", "of the document (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	CTL_CONFIG_TERMS,
	{0},
};

static int delete_run(struct ctl *ctl)
{
	struct mesh__json *answer = NULL;
	struct mesh__buf target;
	int code = ctl_config_target(ctl, ctl_operand(&ctl->args, 0), ctl_operand(&ctl->args, 1), &target);

	if (code == CTL_OK) {
		ctl_config_query_terms(ctl, &target);
		code = ctl_admin_once(ctl, "DELETE", target.data, NULL, &answer);
	}
	if (code == CTL_OK) {
		ctl_config_show(ctl, answer);
	}
	mesh__json_free(answer);
	mesh__buf_fini(&target);
	return code;
}

const struct ctl_command ctl_delete = {
	"delete", "KIND NAME", 2, 2, "take a configuration document back",
	"Deletes the document. What it set goes back to its default within a second; a service's instances stay as they are.",
	"  $ meshctl delete service payments\n  Service payments deleted\n",
	delete_options, delete_run,
};

/* ---- validate ---- */

static void put_lines(struct mesh__json_out *json, const char *key, const struct mesh__buf *lines)
{
	char line[1024];

	mesh__json_open(json, key, '[');
	for (const char *at = lines->data; at != NULL && *at != '\0';) {
		size_t len = strcspn(at, "\n");
		(void)snprintf(line, sizeof(line), "%.*s", (int)len, at);
		mesh__json_put_text(json, NULL, line);
		at += len + (at[len] == '\n');
	}
	mesh__json_close(json, ']');
}

static void put_documents(struct mesh__json_out *json, const struct mesh__document *documents)
{
	mesh__json_open(json, "documents", '[');
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "kind", mesh__kind_name(d->kind));
		mesh__json_put_text(json, "namespace", d->ns);
		mesh__json_put_text(json, "name", d->name);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, ']');
}

/* As apply tells them. */
static void say_warnings(struct ctl *ctl, const struct mesh__buf *lines)
{
	for (const char *at = lines->data; at != NULL && *at != '\0';) {
		size_t len = strcspn(at, "\n");
		ctl_say(ctl, "warning: %.*s", (int)len, at);
		at += len + (at[len] == '\n');
	}
}

static int validate_text(struct ctl *ctl, const char *file, const struct mesh__buf *text)
{
	struct mesh__buf faults, warnings;
	struct mesh__document *documents = NULL;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json_out json = {&ctl->out, false};
	int code;

	mesh__buf_init(&faults, &ctl->env.mem, NOTES_MAX_BYTES);
	mesh__buf_init(&warnings, &ctl->env.mem, NOTES_MAX_BYTES);
	code = mesh__documents_parse(&ctl->env.mem, file, text->data != NULL ? text->data : "", text->len,
		ctl_namespace(ctl), &documents, &faults, &warnings, &err);
	if (code != MESH_OK && faults.len == 0) {
		mesh__buf_printf(&faults, "%s\n", err.message);
	}
	if (ctl->json) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_bool(&json, "valid", code == MESH_OK);
		put_documents(&json, documents);
		put_lines(&json, "faults", &faults);
		put_lines(&json, "warnings", &warnings);
		mesh__json_close(&json, '}');
		mesh__buf_chr(&ctl->out, '\n');
	} else {
		for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
			char subject[MESH__SUBJECT_MAX];

			mesh__document_subject(d->kind, d->name, d->ns, subject);
			mesh__buf_printf(&ctl->out, "%s is valid\n", subject);
		}
		(void)fputs(faults.data != NULL ? faults.data : "", ctl->messages);
	}
	say_warnings(ctl, &warnings);
	mesh__documents_free(documents);
	mesh__buf_fini(&faults);
	mesh__buf_fini(&warnings);
	return code == MESH_OK ? CTL_OK : code == MESH_E_NO_MEMORY ? CTL_FAILED : CTL_INVALID;
}

static int print_schema(struct ctl *ctl)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *schema = NULL;
	struct mesh__buf text;
	int code;

	mesh__buf_init(&text, &ctl->env.mem, BODY_MAX_BYTES);
	mesh__policy_schema(&text);
	code = mesh__buf_error(&text, "the schema", &err);
	if (code == MESH_OK) {
		code = mesh__json_parse(&ctl->env.mem, text.data, text.len, BODY_MAX_BYTES, &schema, &err);
	}
	if (code == MESH_OK && ctl->json) {
		ctl_print_json(&ctl->out, schema);
	} else if (code == MESH_OK) {
		ctl_print_pretty(&ctl->out, schema, 0);
		mesh__buf_chr(&ctl->out, '\n');
	}
	mesh__json_free(schema);
	mesh__buf_fini(&text);
	return code == MESH_OK ? CTL_OK : ctl_fail_err(ctl, CTL_FAILED, &err);
}

static int validate_run(struct ctl *ctl)
{
	struct mesh__buf text;
	int code;

	if (ctl_flag(&ctl->args, "schema")) {
		return print_schema(ctl);
	}
	code = ctl_config_read(ctl, &text);
	if (code == CTL_OK) {
		code = validate_text(ctl, shown_name(ctl_text(&ctl->args, "file")), &text);
	}
	mesh__buf_fini(&text);
	return code;
}

static const struct ctl_option validate_options[] = {
	{"file", 'f', CTL_TEXT, "FILE", "YAML or JSON documents; - reads the standard input", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "for documents that name none", 0, 0},
	{"schema", 0, CTL_FLAG, NULL, "print what documents may be, as a JSON Schema (2020-12), and check nothing", 0, 0},
	{0},
};

const struct ctl_command ctl_validate = {
	"validate", "-f FILE", 0, 0, "check configuration without a meshd",
	"Parses and checks the documents on this machine, with the parser that meshd uses: for editors and for tests of a\n"
	"repository. All faults are told at once, with exit code 5; `meshctl apply --dry-run` asks meshd as well.",
	"  $ meshctl validate -f payments.yaml\n  payments.yaml:4:1: timout: unknown field; did you mean timeout?\n",
	validate_options, validate_run,
};
