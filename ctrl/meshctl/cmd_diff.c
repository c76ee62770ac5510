/* diff: what an apply would change, line by line. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/diff.h"
#include "meshctl/print.h"
#include "policy/document.h"

enum { TEXT_MAX_BYTES = 4 * 1024 * 1024, TARGET_MAX = 1024 };

/* Canonical JSON, indented: one field a line. */
static int pretty(struct ctl *ctl, const char *text, struct mesh__buf *out)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *json = NULL;

	if (mesh__json_parse(&ctl->env.mem, text, strlen(text), MESH__DOCUMENT_MAX_BYTES * 2, &json, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_FAILED, &err);
	}
	ctl_print_pretty(out, json, 0);
	mesh__buf_chr(out, '\n');
	mesh__json_free(json);
	return CTL_OK;
}

/* The document in force, indented; nothing when there is none. */
static int fetch(struct ctl *ctl, struct ctl_admin *admin, const struct mesh__document *d, struct mesh__buf *out)
{
	struct mesh__json *list = NULL;
	const struct mesh__json *document;
	struct mesh__buf target;
	int code;

	mesh__buf_init(&target, &ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&target, "/v1/config");
	ctl_target_query(&target, "kind", mesh__kind_name(d->kind));
	ctl_target_query(&target, "namespace", d->ns);
	ctl_target_query(&target, "name", d->name);
	code = ctl_admin_call(admin, "GET", target.data != NULL ? target.data : "", NULL, &list);
	document = mesh__json_get(mesh__json_first(list), "document");
	if (code == CTL_OK && document != NULL) {
		ctl_print_pretty(out, document, 0);
		mesh__buf_chr(out, '\n');
	}
	mesh__json_free(list);
	mesh__buf_fini(&target);
	return code;
}

/* What is found on the way through the documents. */
struct diffing {
	struct ctl *ctl;
	struct ctl_admin admin;
	struct mesh__json_out json;
	bool differs;
};

/* `text` may be empty: no such document. */
static int put_side(struct diffing *diff, const char *key, const struct mesh__buf *text)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *json = NULL;

	if (text->len == 0) {
		mesh__json_put_text(&diff->json, key, NULL);
		return CTL_OK;
	}
	if (mesh__json_parse(&diff->ctl->env.mem, text->data, text->len, TEXT_MAX_BYTES, &json, &err) != MESH_OK) {
		return ctl_fail_err(diff->ctl, CTL_FAILED, &err);
	}
	mesh__json_put_value(&diff->json, key, json);
	mesh__json_free(json);
	return CTL_OK;
}

static int put_json(struct diffing *diff, const struct mesh__document *d, const struct mesh__buf *before, const struct mesh__buf *after)
{
	int code;

	mesh__json_open(&diff->json, NULL, '{');
	mesh__json_put_text(&diff->json, "kind", mesh__kind_name(d->kind));
	mesh__json_put_text(&diff->json, "namespace", d->ns);
	mesh__json_put_text(&diff->json, "name", d->name);
	code = put_side(diff, "before", before);
	code = code == CTL_OK ? put_side(diff, "after", after) : code;
	mesh__json_close(&diff->json, '}');
	return code;
}

static int put_lines(struct diffing *diff, const struct mesh__document *d, const struct mesh__buf *before, const struct mesh__buf *after)
{
	struct ctl *ctl = diff->ctl;
	char subject[MESH__SUBJECT_MAX];

	mesh__document_subject(d->kind, d->name, d->ns, subject);
	mesh__buf_printf(&ctl->out, "%s\n", subject);
	return ctl_diff_lines(&ctl->env.mem, before->data != NULL ? before->data : "", after->data != NULL ? after->data : "", &ctl->out)
		? CTL_OK : ctl_fail_memory(ctl);
}

static int diff_one(struct diffing *diff, const struct mesh__document *d)
{
	struct ctl *ctl = diff->ctl;
	struct mesh__buf before, after;
	int code;

	mesh__buf_init(&before, &ctl->env.mem, TEXT_MAX_BYTES);
	mesh__buf_init(&after, &ctl->env.mem, TEXT_MAX_BYTES);
	code = fetch(ctl, &diff->admin, d, &before);
	if (code == CTL_OK) {
		code = pretty(ctl, d->text, &after);
	}
	if (code == CTL_OK && !mesh__str_eq(before.data, after.data)) {
		diff->differs = true;
		code = ctl->json ? put_json(diff, d, &before, &after) : put_lines(diff, d, &before, &after);
	}
	mesh__buf_fini(&before);
	mesh__buf_fini(&after);
	return code;
}

static int diff_all(struct ctl *ctl, const struct mesh__document *documents)
{
	struct diffing diff = {.ctl = ctl, .json = {&ctl->out, false}};
	int code = ctl_admin_open(ctl, &diff.admin);
	bool json = ctl->json && code == CTL_OK;

	if (json) {
		mesh__json_open(&diff.json, NULL, '[');
	}
	for (const struct mesh__document *d = documents; d != NULL && code == CTL_OK; d = d->next) {
		code = diff_one(&diff, d);
	}
	if (json) {
		mesh__json_close(&diff.json, ']');
		mesh__buf_chr(&ctl->out, '\n');
	}
	ctl_admin_close(&diff.admin);
	return code == CTL_OK && diff.differs ? CTL_FAILED : code;
}

static int parse(struct ctl *ctl, const struct mesh__buf *text, struct mesh__document **documents)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf faults;
	int code;

	mesh__buf_init(&faults, &ctl->env.mem, TEXT_MAX_BYTES);
	code = mesh__documents_parse(&ctl->env.mem, ctl_text(&ctl->args, "file"), text->data != NULL ? text->data : "",
		text->len, ctl_namespace(ctl), documents, &faults, NULL, &err);
	if (code != MESH_OK) {
		(void)fputs(faults.data != NULL ? faults.data : "", ctl->messages);
		code = faults.len == 0 ? ctl_fail_err(ctl, CTL_INVALID, &err) : CTL_INVALID;
	}
	mesh__buf_fini(&faults);
	return code;
}

static int diff_run(struct ctl *ctl)
{
	struct mesh__document *documents = NULL;
	struct mesh__buf text;
	int code = ctl_config_read(ctl, &text);

	if (code == CTL_OK) {
		code = parse(ctl, &text, &documents);
	}
	if (code == CTL_OK) {
		code = diff_all(ctl, documents);
	}
	mesh__documents_free(documents);
	mesh__buf_fini(&text);
	return code;
}

static const struct ctl_option diff_options[] = {
	{"file", 'f', CTL_TEXT, "FILE", "YAML or JSON documents; - reads the standard input", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "for documents that name none", 0, 0},
	{0},
};

const struct ctl_command ctl_diff = {
	"diff", "-f FILE", 0, 0, "show what an apply would change",
	"Compares the documents of a file with those in force, line by line: - goes, + comes. It exits with 1 when anything\n"
	"differs and with 0 when an apply would change nothing. -o json gives an array of objects with kind, namespace, name,\n"
	"before (where there is one) and after, of what differs.",
	"  $ meshctl diff -f payments.yaml\n  Service payments.default\n  -  \"timeout\": \"2s\"\n  +  \"timeout\": \"5s\"\n",
	diff_options, diff_run,
};
