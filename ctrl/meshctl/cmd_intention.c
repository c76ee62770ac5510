/* intention allow, deny, check: who may call whom, a sentence at a time. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/intention.h"
#include "meshctl/print.h"
#include "wire/path.h"
#include "wire/url.h"

enum { TEXT_MAX_BYTES = 2 * MESH__DOCUMENT_MAX_BYTES, TARGET_MAX = 4096, PATH_MAX_BYTES = 8192 };

/* ---- What meshd has ---- */

/* TO's own document, and what it goes by with its namespace's and the mesh's; and the newest generation as it was before those were looked up: what is written by it replaces nothing that has not been seen. */
struct ctl_there {
	uint64_t generation;
	struct mesh__json *status, *list, *whole;
	const struct mesh__json *document;          /* its own; NULL: none */
	struct mesh__document *parsed, *effective;  /* NULL: none */
};

static void forget(struct ctl_there *there)
{
	mesh__json_free(there->status);
	mesh__json_free(there->list);
	mesh__json_free(there->whole);
	mesh__documents_free(there->parsed);
	mesh__documents_free(there->effective);
}

static const struct mesh__authorization *authorization_of(const struct mesh__document *document)
{
	static const struct mesh__authorization nothing;

	return document != NULL ? &document->service.authorization : &nothing;
}

static int parse(struct ctl *ctl, const char *what, const char *ns, const struct mesh__buf *text, struct mesh__document **out)
{
	struct mesh__err err = MESH__NO_ERR;

	*out = NULL;
	if (mesh__buf_error(text, what, &err) != MESH_OK || mesh__documents_parse(&ctl->env.mem, what, text->data, text->len, ns, out, NULL, NULL, &err) != MESH_OK) {
		return ctl_fail_err(ctl, err.code == MESH_E_NO_MEMORY ? CTL_FAILED : CTL_INVALID, &err);
	}
	return CTL_OK;
}

/* `document` as meshd gave it, NULL: none; also one that it has made of several. */
static int read_document(struct ctl *ctl, const char *what, const struct mesh__name *to, const struct mesh__json *document, struct mesh__document **out)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf text;
	int code = CTL_OK;

	mesh__buf_init(&text, &ctl->env.mem, TEXT_MAX_BYTES);
	if (document != NULL) {
		ctl_print_json(&text, document);
		if (mesh__buf_error(&text, what, &err) != MESH_OK || mesh__effective_parse(&ctl->env.mem, what, text.data, to->ns, out, &err) != MESH_OK) {
			code = ctl_fail_err(ctl, err.code == MESH_E_NO_MEMORY ? CTL_FAILED : CTL_INVALID, &err);
		}
	}
	mesh__buf_fini(&text);
	return code;
}

/* The generation first. */
static int fetch(struct ctl *ctl, const struct mesh__name *to, struct ctl_there *there)
{
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__buf own, whole;
	int code = ctl_admin_once(ctl, "GET", "/v1/status", NULL, &there->status);

	mesh__service_key(to, key);
	mesh__buf_init(&own, &ctl->env.mem, TARGET_MAX);
	mesh__buf_init(&whole, &ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&own, "/v1/config?kind=Service");
	ctl_target_query(&own, "namespace", to->ns);
	ctl_target_query(&own, "name", to->service);
	mesh__buf_str(&whole, "/v1/effective");
	ctl_target_query(&whole, "service", key);
	if (code == CTL_OK && !mesh__json_u64(mesh__json_get(there->status, "generation"), &there->generation)) {
		code = ctl_fail(ctl, CTL_FAILED, "meshd does not say its generation");
	}
	if (code == CTL_OK) {
		code = ctl_admin_once(ctl, "GET", own.data, NULL, &there->list);
	}
	if (code == CTL_OK) {
		code = ctl_admin_once(ctl, "GET", whole.data, NULL, &there->whole);
	}
	mesh__buf_fini(&whole);
	mesh__buf_fini(&own);
	return code;
}

static int look_up(struct ctl *ctl, const struct mesh__name *to, struct ctl_there *there)
{
	int code = fetch(ctl, to, there);

	if (code == CTL_OK) {
		there->document = mesh__json_get(mesh__json_first(there->list), "document");
		code = read_document(ctl, "the document in force", to, there->document, &there->parsed);
	}
	return code == CTL_OK ? read_document(ctl, "what the service goes by", to, mesh__json_get(there->whole, "document"), &there->effective) : code;
}

/* ---- The command line ---- */

/* "cart", "cart.shop"; "*": anybody; "*.shop": any service of shop. */
static int read_from(struct ctl *ctl, const char *text, struct mesh__name *name, const char **service, const char **ns)
{
	struct mesh__err err = MESH__NO_ERR;

	*service = *ns = NULL;
	if (strcmp(text, "*") == 0) {
		return CTL_OK;
	}
	if (strncmp(text, "*.", 2) == 0 && mesh__label_valid(text + 2, strlen(text + 2))) {
		*ns = text + 2;
		return CTL_OK;
	}
	if (mesh__service_parse(text, ctl_namespace(ctl), name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	*service = name->service;
	*ns = name->ns;
	return CTL_OK;
}

static int read_to(struct ctl *ctl, struct mesh__name *to)
{
	struct mesh__err err = MESH__NO_ERR;

	return mesh__service_parse(ctl_operand(&ctl->args, 1), ctl_namespace(ctl), to, &err) == MESH_OK ? CTL_OK : ctl_fail_err(ctl, CTL_USAGE, &err);
}

static size_t read_list(struct ctl *ctl, const char *option, const char **texts, size_t max)
{
	size_t n = 0;

	while (n < max && (texts[n] = ctl_nth(&ctl->args, option, n)) != NULL) {
		n++;
	}
	return n;
}

/* ---- allow, deny ---- */

static int post(struct ctl *ctl, const struct mesh__buf *text, uint64_t generation, struct mesh__json **answer)
{
	struct mesh__buf body;
	struct mesh__json_out json = {.buf = &body};
	int code;

	mesh__buf_init(&body, &ctl->env.mem, 2 * TEXT_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "file", "intention");
	mesh__json_put_text(&json, "text", text->data);
	mesh__json_put_bool(&json, "dryRun", ctl_flag(&ctl->args, "dry-run"));
	mesh__json_put_u64(&json, "ifGeneration", generation);
	mesh__json_close(&json, '}');
	code = ctl_admin_once(ctl, "POST", "/v1/config", &body, answer);
	mesh__buf_fini(&body);
	return code;
}

static void advise(struct ctl *ctl, const struct ctl_intention *in, const struct mesh__authorization *there)
{
	bool denies = in->fallback != NULL ? strcmp(in->fallback, "deny") == 0 : there->default_deny;

	if (in->allow && !denies) {
		ctl_say(ctl, "note: %s lets in everybody whom no rule denies, so this changes little; --default deny turns that round", ctl_operand(&ctl->args, 1));
	}
	if (there->audit) {
		ctl_say(ctl, "note: its mode is audit: what is denied is logged and let in");
	}
}

static int write_down(struct ctl *ctl, const struct ctl_intention *in, const struct mesh__name *to, const struct mesh__authz_rule *rule)
{
	struct ctl_there there = {.generation = 0};
	struct mesh__json *answer = NULL;
	struct mesh__buf text;
	int code = look_up(ctl, to, &there);

	mesh__buf_init(&text, &ctl->env.mem, TEXT_MAX_BYTES);
	if (code == CTL_OK) {
		ctl_intention_write(in, to, there.document, authorization_of(there.parsed), rule, &text);
		code = text.error == MESH_OK ? post(ctl, &text, there.generation, &answer) : ctl_fail_memory(ctl);
		if (code == CTL_OK) {
			advise(ctl, in, authorization_of(there.effective));
			ctl_config_show(ctl, answer);
		}
	}
	mesh__json_free(answer);
	mesh__buf_fini(&text);
	forget(&there);
	return code;
}

static int intend(struct ctl *ctl, bool allow)
{
	const char *methods[MESH__METHODS_MAX + 1], *paths[MESH__AUTHZ_PATHS_MAX + 1], *prefixes[MESH__AUTHZ_PATHS_MAX + 1];
	struct ctl_intention in = {.allow = allow, .methods = methods, .paths = paths, .prefixes = prefixes, .fallback = ctl_text(&ctl->args, "default")};
	struct mesh__document *alone = NULL;
	struct mesh__name from, to;
	struct mesh__buf text;
	int code = read_to(ctl, &to);

	in.n_methods = read_list(ctl, "method", methods, MESH__COUNT(methods));
	in.n_paths = read_list(ctl, "path", paths, MESH__COUNT(paths));
	in.n_prefixes = read_list(ctl, "path-prefix", prefixes, MESH__COUNT(prefixes));
	if (code == CTL_OK) {
		code = read_from(ctl, ctl_operand(&ctl->args, 0), &from, &in.service, &in.ns);
	}
	if (code == CTL_OK && in.fallback != NULL && strcmp(in.fallback, "allow") != 0 && strcmp(in.fallback, "deny") != 0) {
		code = ctl_fail(ctl, CTL_USAGE, "--default is allow or deny, not \"%s\"", in.fallback);
	}
	mesh__buf_init(&text, &ctl->env.mem, TEXT_MAX_BYTES);
	if (code == CTL_OK) {
		ctl_intention_alone(&in, &to, &text);
		code = parse(ctl, "intention", to.ns, &text, &alone);
	}
	if (code == CTL_OK) {
		code = write_down(ctl, &in, &to, alone->service.authorization.rules);
	}
	mesh__documents_free(alone);
	mesh__buf_fini(&text);
	return code;
}

static int allow_run(struct ctl *ctl)
{
	return intend(ctl, true);
}

static int deny_run(struct ctl *ctl)
{
	return intend(ctl, false);
}

static const struct ctl_option intend_options[] = {
	{"method", 'X', CTL_LIST, "METHOD", "only requests with this method; several: any of them (default: all)", 0, 0},
	{"path", 0, CTL_LIST, "PATH", "only this path, exactly, a slash at the end counting (default: all)", 0, 0},
	{"path-prefix", 0, CTL_LIST, "PATH", "this path and what is below it", 0, 0},
	{"default", 0, CTL_TEXT, "WORD", "deny or allow: what becomes of requests that no rule speaks of, from here on", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "of a FROM or TO that names none (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"dry-run", 0, CTL_FLAG, NULL, "let meshd say what would change, and change nothing", 0, 0},
	{0},
};

#define FROM_AND_TO                                                                                                    \
	"FROM is a service (cart, cart.shop), '*.shop' for every service of a namespace, or '*' for everybody; TO is a service.\n"

const struct ctl_command ctl_intention_allow = {
	"intention allow", "FROM TO", 2, 2, "let one service call another",
	"Writes a rule into TO's document (authorization.rules) and applies it; TO's instances enforce it from the next request on,\n"
	"also on connections that are open. " FROM_AND_TO
	"A rule of the same callers, methods and paths is replaced. The new one comes before those that are no narrower, so that it\n"
	"decides; the first rule that holds does. Without --default deny, or a rule that denies, everybody may call anyway.\n"
	"If somebody else has changed TO's document meanwhile, nothing is written.",
	"  $ meshctl intention allow cart payments --method POST --path /make-payment --default deny\n  Service payments updated\n"
	"  $ meshctl intention check web payments\n  denied by default\n",
	intend_options, allow_run,
};

const struct ctl_command ctl_intention_deny = {
	"intention deny", "FROM TO", 2, 2, "keep one service from calling another",
	"Writes a rule into TO's document that denies, as `meshctl intention allow` writes one that allows. What is denied is answered\n"
	"403 (gRPC: PERMISSION_DENIED) with the rule's name, counted in mesh_authorization_denied_total and logged by the instance.\n"
	FROM_AND_TO
	"To be sure of a path, deny by default and allow what is meant: a rule that denies some paths lets all others in.",
	"  $ meshctl intention deny '*' payments --path-prefix /admin\n  Service payments updated\n",
	intend_options, deny_run,
};

/* ---- check ---- */

static const char *const answers[] = {[CTL_ALLOWED] = "allowed", [CTL_WOULD_DENY] = "audited", [CTL_MAY_DENY] = "audited", [CTL_NOT_ALLOWED] = "denied", [CTL_DEPENDS] = "depends"};

/* "rule carts-pay allows POST, GET /make-payment" */
static void print_condition(struct ctl *ctl, const struct mesh__authz_rule *rule)
{
	mesh__buf_printf(&ctl->out, "  rule %s %s", rule->name, rule->allow ? "allows" : "denies");
	for (size_t i = 0; i < rule->methods.n; i++) {
		mesh__buf_printf(&ctl->out, "%s %s", i > 0 ? "," : "", rule->methods.names[i]);
	}
	for (size_t i = 0; i < rule->n_paths; i++) {
		mesh__buf_printf(&ctl->out, "%s %s%s", i > 0 ? "," : "", rule->paths[i].text, rule->paths[i].how == MESH__MATCH_PREFIX ? " and below" : "");
	}
	for (size_t i = 0; i < rule->n_headers; i++) {
		mesh__buf_printf(&ctl->out, "%s%s", i > 0 ? ", " : " by header ", rule->headers[i].name);
	}
	mesh__buf_chr(&ctl->out, '\n');
}

static void print_finding(struct ctl *ctl, const struct ctl_finding *f)
{
	char by[MESH__LABEL_MAX + 8];

	(void)snprintf(by, sizeof(by), f->rule != NULL ? "by rule %s" : "by default", f->rule != NULL ? f->rule->name : "");
	switch (f->answer) {
	case CTL_ALLOWED:
	case CTL_NOT_ALLOWED:
		mesh__buf_printf(&ctl->out, "%s %s\n", answers[f->answer], by);
		break;
	case CTL_WOULD_DENY:
		mesh__buf_printf(&ctl->out, "allowed, though denied %s: the mode is audit\n", by);
		break;
	case CTL_MAY_DENY:
	case CTL_DEPENDS:
		mesh__buf_str(&ctl->out, f->answer == CTL_DEPENDS ? "it depends on the request:\n" : "allowed, though it depends on the request whether it is denied: the mode is audit\n");
		for (size_t i = 0; i < f->n_may; i++) {
			print_condition(ctl, f->may[i]);
		}
		mesh__buf_printf(&ctl->out, "  otherwise %s %s\n", f->otherwise_allowed ? "allowed" : "denied", by);
		break;
	}
}

static void print_object(struct ctl *ctl, const struct ctl_finding *f, const struct ctl_question *q)
{
	struct mesh__json_out json = {.buf = &ctl->out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "from", ctl_operand(&ctl->args, 0));
	mesh__json_put_text(&json, "to", ctl_operand(&ctl->args, 1));
	mesh__json_put_text(&json, "method", q->method);
	mesh__json_put_text(&json, "path", q->path);
	mesh__json_put_text(&json, "answer", answers[f->answer]);
	mesh__json_put_text(&json, "rule", f->rule != NULL ? f->rule->name : NULL);
	mesh__json_put_bool(&json, "byDefault", f->rule == NULL);
	mesh__json_open(&json, "perhaps", '[');
	for (size_t i = 0; i < f->n_may; i++) {
		mesh__json_put_text(&json, NULL, f->may[i]->name);
	}
	mesh__json_close(&json, ']');
	mesh__json_put_text(&json, "otherwise", f->otherwise_allowed ? "allowed" : "denied");
	mesh__json_close(&json, '}');
	mesh__buf_chr(&ctl->out, '\n');
}

static int read_question(struct ctl *ctl, struct mesh__name *from, char *path, struct ctl_question *q)
{
	const char *said = ctl_text(&ctl->args, "path");
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__service_parse(ctl_operand(&ctl->args, 0), ctl_namespace(ctl), from, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	*q = (struct ctl_question){.service = from->service, .ns = from->ns, .method = ctl_text(&ctl->args, "method"), .path = said == NULL ? NULL : path};
	if (q->method != NULL && !mesh__method_valid(q->method)) {
		return ctl_fail(ctl, CTL_USAGE, "\"%.40s\" is no HTTP method that is carried", q->method);
	}
	if (said == NULL) {
		return CTL_OK;
	}
	if (!mesh__target_valid(said, strlen(said)) || strchr(said, '?') != NULL) {
		return ctl_fail(ctl, CTL_USAGE, "\"%.100s\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'", said);
	}
	memcpy(path, said, strlen(said) + 1); /* bounded by the check */
	return mesh__path_normalise(path) ? CTL_OK : ctl_fail(ctl, CTL_USAGE, "\"%.100s\" has several readings: whoever asks for it is answered 400", said);
}

static int check_run(struct ctl *ctl)
{
	struct ctl_there there = {.generation = 0};
	struct mesh__name from, to;
	char path[PATH_MAX_BYTES + 1];
	struct ctl_finding finding;
	struct ctl_question question;
	int code = read_to(ctl, &to);

	if (code == CTL_OK) {
		code = read_question(ctl, &from, path, &question);
	}
	if (code == CTL_OK) {
		code = look_up(ctl, &to, &there);
	}
	if (code == CTL_OK) {
		ctl_intention_find(authorization_of(there.effective), &question, &finding);
		if (ctl->json) {
			print_object(ctl, &finding, &question);
		} else {
			print_finding(ctl, &finding);
		}
		code = finding.answer == CTL_NOT_ALLOWED || finding.answer == CTL_DEPENDS ? CTL_FAILED : CTL_OK;
	}
	forget(&there);
	return code;
}

static const struct ctl_option check_options[] = {
	{"method", 'X', CTL_TEXT, "METHOD", "of the request (default: any)", 0, 0},
	{"path", 0, CTL_TEXT, "PATH", "of the request, in any spelling (default: any)", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "of a FROM or TO that names none (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{0},
};

const struct ctl_command ctl_intention_check = {
	"intention check", "FROM TO", 2, 2, "tell whether one service may call another, and which rule says so",
	"Asks the rules in force. Without --method or --path, and where a rule goes by a header, the answer may depend on the request:\n"
	"then it tells on what. Exit code 0: allowed; 1: denied, or it depends. With -o json `answer` is allowed, audited (denied, or\n"
	"it depends, but the mode is audit: let in, and logged if denied), denied or depends.",
	"  $ meshctl intention check cart payments\n  it depends on the request:\n    rule allow-cart allows POST /make-payment\n    otherwise denied by default\n"
	"  $ meshctl intention check cart payments --method POST --path //make-payment\n  allowed by rule allow-cart\n",
	check_options, check_run,
};
