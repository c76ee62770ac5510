/* explain: what would become of a call, and who decided it. */
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "meshctl/explain.h"
#include "meshctl/header.h"

enum { TARGET_MAX = 1024, FAULTS_MAX_BYTES = 4 * 1024 * 1024, NAMES_MAX = 1024 };

/* What is found out on the way. */
struct explaining {
	struct ctl *ctl;
	struct ctl_admin admin;
	struct mesh__arena *arena;
	const struct ctl_source *files;  /* the documents of --file */
	const struct mesh__json *status;
	const struct ctl_ask *ask;
	struct ctl_ground *grounds;      /* each service once */
	int code;                        /* why one could not be found out, told */
};

/* ---- The question ---- */

static int read_names(struct ctl *ctl, struct ctl_ask *ask)
{
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__service_parse(ctl_operand(&ctl->args, 0), ctl_namespace(ctl), &ask->from, &err) != MESH_OK || mesh__service_parse(ctl_operand(&ctl->args, 1), ask->from.ns, &ask->to, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	return CTL_OK;
}

static int read_headers(struct explaining *e, struct ctl_ask *ask)
{
	char name[CTL_HEADER_NAME_MAX];
	const char *text, *value;
	int code = ctl_headers_check(e->ctl);

	for (size_t i = 0; code == CTL_OK && (text = ctl_nth(&e->ctl->args, "header", i)) != NULL; i++) {
		struct mesh__header_value *header = &ask->headers.list[ask->headers.n++];
		if (i == CTL_ASKED_HEADERS_MAX) {
			return ctl_fail(e->ctl, CTL_USAGE, "more than %d fields of -H: the library would refuse the request", CTL_ASKED_HEADERS_MAX);
		}
		(void)ctl_header_split(text, name, &value);
		*header = (struct mesh__header_value){mesh__arena_strdup(e->arena, name), value};
		code = header->name == NULL ? ctl_fail_memory(e->ctl) : CTL_OK;
	}
	return code;
}

static int read_question(struct explaining *e, struct ctl_ask *ask)
{
	struct ctl *ctl = e->ctl;
	int code = read_names(ctl, ask);

	ask->target = ctl_operand(&ctl->args, 2);
	ask->method = ctl_text(&ctl->args, "method") != NULL ? ctl_text(&ctl->args, "method") : "GET";
	ask->instance = ctl_text(&ctl->args, "instance");
	ask->labels = (struct mesh__labels){.version = ctl_text(&ctl->args, "version"), .zone = ctl_text(&ctl->args, "zone")};
	ask->timeout_ms = ctl_number(&ctl->args, "timeout", 0);
	ask->wall_ms = mesh__wall_ms(&ctl->env);
	if (code == CTL_OK && !mesh__target_valid(ask->target, strlen(ask->target))) {
		code = ctl_fail(ctl, CTL_USAGE, "path \"%.100s\": it begins with \"/\" and is percent-encoded, without '#'", ask->target);
	}
	if (code == CTL_OK && !mesh__method_valid(ask->method)) {
		code = ctl_fail(ctl, CTL_USAGE, "-X \"%.40s\" is no method", ask->method);
	}
	return code == CTL_OK ? read_headers(e, ask) : code;
}

static int read_file(struct explaining *e)
{
	struct ctl *ctl = e->ctl;
	const char *path = ctl_text(&ctl->args, "file");
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf text, faults;
	int code;

	if (path == NULL) {
		return CTL_OK;
	}
	code = ctl_config_read(ctl, &text);
	mesh__buf_init(&faults, &ctl->env.mem, FAULTS_MAX_BYTES);
	if (code == CTL_OK && ctl_sources_of_file(e->arena, &ctl->env.mem, strcmp(path, "-") == 0 ? "stdin" : path, &text, ctl_namespace(ctl), &e->files, &faults, &err) != MESH_OK) {
		(void)fputs(faults.data != NULL ? faults.data : "", ctl->messages);
		code = faults.len == 0 ? ctl_fail_err(ctl, CTL_FAILED, &err) : CTL_INVALID;
	}
	mesh__buf_fini(&faults);
	mesh__buf_fini(&text);
	return code;
}

/* ---- What meshd knows ---- */

static void free_json(void *thing)
{
	mesh__json_free(thing);
}

/* A GET; *out lives as long as the arena, and is NULL for what meshd does not know. */
static int look(struct explaining *e, const struct mesh__buf *target, const struct mesh__json **out)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *json = NULL;
	int code = mesh__buf_error(target, "the request", &err) == MESH_OK ? ctl_admin_look(&e->admin, target->data, &json) : ctl_fail_err(e->ctl, CTL_FAILED, &err);

	if (json != NULL && !mesh__arena_take(e->arena, json, free_json)) {
		mesh__json_free(json);
		json = NULL;
		code = ctl_fail_memory(e->ctl);
	}
	*out = json;
	return code;
}

static int look_at(struct explaining *e, const char *path, const char *key, const char *value, const struct mesh__json **out)
{
	struct mesh__buf target;
	int code;

	mesh__buf_init(&target, &e->ctl->env.mem, TARGET_MAX);
	mesh__buf_str(&target, path);
	ctl_target_query(&target, key, value);
	code = look(e, &target, out);
	mesh__buf_fini(&target);
	return code;
}

/* The document of --file, else the one in force; NULL: there is none. */
static int find_source(struct explaining *e, enum mesh__kind kind, const struct mesh__name *name, const struct ctl_source **out)
{
	const char *of = kind == MESH__KIND_MESH ? "mesh" : kind == MESH__KIND_NAMESPACE ? name->ns : name->service;
	const struct mesh__json *list = NULL;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf target;
	int code;

	*out = ctl_source_find(e->files, kind, name);
	if (*out != NULL) {
		return CTL_OK;
	}
	mesh__buf_init(&target, &e->ctl->env.mem, TARGET_MAX);
	mesh__buf_printf(&target, "/v1/config?kind=%s", mesh__kind_name(kind));
	ctl_target_query(&target, "namespace", mesh__kind_namespace(kind, of, name->ns));
	ctl_target_query(&target, "name", of);
	code = look(e, &target, &list);
	if (code == CTL_OK && mesh__json_first(list) != NULL && ctl_source_in_force(e->arena, &e->ctl->env.mem, mesh__json_first(list), out, &err) != MESH_OK) {
		code = ctl_fail_err(e->ctl, CTL_FAILED, &err);
	}
	mesh__buf_fini(&target);
	return code;
}

static int fill(struct explaining *e, struct ctl_ground *ground)
{
	const struct mesh__json *list = NULL, *reports = NULL;
	struct mesh__err err = MESH__NO_ERR;
	int code = CTL_OK;

	for (enum mesh__layer layer = MESH__LAYER_SERVICE; layer < MESH__LAYERS && code == CTL_OK; layer++) {
		code = find_source(e, ctl_layer_kind(layer), &ground->name, &ground->sources[layer]);
	}
	if (code == CTL_OK) {
		code = look_at(e, "/v1/endpoints", "service", ground->key, &list);
	}
	if (code == CTL_OK && (ctl_ground_merge(e->arena, &e->ctl->env.mem, ground, &err) != MESH_OK ||
			ctl_ground_endpoints(e->arena, ground, list, ctl_source_find(e->files, MESH__KIND_ENDPOINTS, &ground->name), &err) != MESH_OK)) {
		code = ctl_fail_err(e->ctl, CTL_FAILED, &err);
	}
	if (code == CTL_OK) {
		code = look_at(e, "/v1/reports", "service", ground->key, &reports);
	}
	ctl_ground_reports(ground, reports, &e->ask->from);
	return code;
}

static const struct ctl_ground *ground_of(void *ctx, const char *key)
{
	struct explaining *e = ctx;
	struct ctl_ground *ground = e->grounds;

	while (ground != NULL && strcmp(ground->key, key) != 0) {
		ground = ground->next;
	}
	if (ground != NULL) {
		return ground;
	}
	ground = mesh__arena_alloc(e->arena, 1, sizeof(*ground));
	if (ground == NULL || mesh__service_parse(key, "default", &ground->name, NULL) != MESH_OK) {
		e->code = ctl_fail_memory(e->ctl); /* the key is a name */
		return NULL;
	}
	memcpy(ground->key, key, strlen(key) + 1);
	ground->next = e->grounds;
	e->grounds = ground;
	e->code = fill(e, ground);
	return e->code == CTL_OK ? ground : NULL;
}

/* ---- Names that nobody has ---- */

/* The one of meshd's services whose name is nearest, whatever its namespace, into out[MESH__SERVICE_KEY_MAX]; false when none is. */
static bool find_nearest(const struct mesh__json *services, const struct mesh__name *name, char *out)
{
	const char *names[NAMES_MAX], *namespaces[NAMES_MAX], *near;
	size_t n = 0, i = 0;

	for (const struct mesh__json *s = mesh__json_first(services); s != NULL && n < NAMES_MAX; s = mesh__json_next(s)) {
		names[n] = mesh__json_text(mesh__json_get(s, "service"));
		namespaces[n] = mesh__json_text(mesh__json_get(s, "namespace"));
		n += names[n] != NULL && namespaces[n] != NULL && (strcmp(names[n], name->service) != 0 || strcmp(namespaces[n], name->ns) != 0);
	}
	near = mesh__str_nearest(name->service, names, n);
	while (near != NULL && names[i] != near) {
		i++;
	}
	if (near != NULL) {
		(void)snprintf(out, MESH__SERVICE_KEY_MAX, "%s.%s", near, namespaces[i]);
	}
	return near != NULL;
}

static int advise(struct explaining *e, const struct ctl_explanation *x)
{
	const struct mesh__json *services = NULL;
	int code = CTL_OK;

	for (size_t i = 0; i < x->n_ways && code == CTL_OK; i++) {
		const char *key = x->ways[i].place.to->key;
		char near[MESH__SERVICE_KEY_MAX];
		if (x->ways[i].outcome != CTL_OUTCOME_NO_SERVICE || !ctl_way_is_last_of_service(x, i)) {
			continue;
		}
		code = services == NULL ? look_at(e, "/v1/services", NULL, NULL, &services) : CTL_OK;
		if (code == CTL_OK && find_nearest(services, &x->ways[i].place.to->name, near)) {
			ctl_say(e->ctl, "no service %s has registered; did you mean %s?", key, near);
		} else if (code == CTL_OK) {
			ctl_say(e->ctl, "no service %s has registered; `meshctl services` lists those that have", key);
		}
	}
	return code;
}

/* A caller whom nobody has ever been is most often a slip of the pen, and rules that name callers are decided by it. */
static int advise_on_caller(struct explaining *e)
{
	const struct mesh__json *certificates = NULL, *services = NULL;
	const struct mesh__name *from = &e->ask->from;
	char key[MESH__SERVICE_KEY_MAX], near[MESH__SERVICE_KEY_MAX];
	int code;

	mesh__service_key(from, key);
	code = look_at(e, "/v1/certificates", "service", key, &certificates);
	if (code != CTL_OK || mesh__json_first(certificates) != NULL) {
		return code;
	}
	code = look_at(e, "/v1/services", NULL, NULL, &services);
	if (code == CTL_OK && find_nearest(services, from, near)) {
		ctl_say(e->ctl, "note: nobody has ever joined as %s; did you mean %s?", key, near);
	} else if (code == CTL_OK) {
		ctl_say(e->ctl, "note: nobody has ever joined as %s", key);
	}
	return code;
}

/* ---- The command ---- */

static int explain(struct explaining *e, const struct ctl_ask *ask, struct ctl_explanation *x)
{
	char key[MESH__SERVICE_KEY_MAX];
	const struct ctl_ground *asked;
	const char *trust_domain;
	int code = look_at(e, "/v1/status", NULL, NULL, &e->status);

	e->ask = ask;
	if (code != CTL_OK) {
		return code;
	}
	trust_domain = mesh__json_text(mesh__json_get(e->status, "trustDomain"));
	mesh__service_key(&ask->to, key);
	asked = ground_of(e, key);
	if (asked == NULL) {
		return e->code;
	}
	if (!ctl_explain(ask, asked, trust_domain != NULL ? trust_domain : "", ground_of, e, x)) {
		return e->code != CTL_OK ? e->code : ctl_fail(e->ctl, CTL_FAILED, "route %s makes the path longer than it may be: the call fails with MESH_E_TOO_LARGE", x->route->name);
	}
	if (e->ctl->json) {
		ctl_explain_print_json(e->ctl, x);
	} else {
		ctl_explain_print(e->ctl, x);
	}
	if (x->gave_up > 0) {
		ctl_say(e->ctl, "note: %u regular expressions were given up, and taken for no match, as the library does", (unsigned)x->gave_up);
	}
	code = advise(e, x);
	code = code == CTL_OK ? advise_on_caller(e) : code;
	return code == CTL_OK && !ctl_outcome_fine(x->outcome) ? CTL_FAILED : code;
}

static int explain_run(struct ctl *ctl)
{
	struct explaining e = {.ctl = ctl, .arena = mesh__arena_new(&ctl->env.mem)};
	struct ctl_explanation *x = e.arena == NULL ? NULL : mesh__arena_alloc(e.arena, 1, sizeof(*x));
	struct ctl_ask *ask = e.arena == NULL ? NULL : mesh__arena_alloc(e.arena, 1, sizeof(*ask));
	int code = x == NULL || ask == NULL ? ctl_fail_memory(ctl) : read_question(&e, ask);

	if (code == CTL_OK) {
		code = read_file(&e);
	}
	if (code == CTL_OK) {
		code = ctl_admin_open(ctl, &e.admin);
		if (code == CTL_OK) {
			code = explain(&e, ask, x);
		}
		ctl_admin_close(&e.admin);
	}
	mesh__arena_unref(e.arena);
	return code;
}

static const struct ctl_option explain_options[] = {
	{"method", 'X', CTL_TEXT, "METHOD", "of the request (default: GET)", 0, 0},
	{"header", 'H', CTL_LIST, "FIELD", "\"name: value\" of the request; several", 0, 0},
	{"version", 0, CTL_TEXT, "LABEL", "of the calling instance (default: none)", 0, 0},
	{"zone", 0, CTL_TEXT, "LABEL", "of the calling instance (default: none)", 0, 0},
	{"instance", 0, CTL_TEXT, "ID", "of the caller, for routes that are sticky on the source (default: any)", 0, 0},
	{"timeout", 0, CTL_DURATION, "TIME", "that the caller gives the call (default: none)", 1, 86400000},
	{"file", 'f', CTL_TEXT, "FILE", "as if these documents were applied; - reads the standard input", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "of a FROM that names none (default: MESH_NAMESPACE, else \"default\"), and of documents that name none", 0, 0},
	{0},
};

const struct ctl_command ctl_explain_call = {
	"explain", "FROM TO PATH", 3, 3, "tell what becomes of a call, and what decides it",
	"Goes the way of a call from service FROM to service TO by the decisions that the library makes, over the documents that are\n"
	"in force, and calls nobody: the route, and why not those before it; the side of its split, with its share; the endpoints\n"
	"with what meshd knows of them; deadline, retries and every other setting that the call meets; and whether the server lets it\n"
	"in. Each with the document that decided it, its generation, and the line in what `meshctl get` prints of it. With -f it tells\n"
	"what would be, were the documents of a file applied, and the lines are the file's. Exit code 0: the call would be let in, or\n"
	"the route answers it; 1: it would be denied, refused or without an endpoint, also if only on one side of a split.",
	"  $ meshctl explain cart payments /make-payment -X POST -H 'x-canary: 1'\n"
	"  POST /make-payment from cart.default to payments.default: allowed by default\n"
	"  $ meshctl explain cart payments /make-payment -f changed.yaml\n",
	explain_options, explain_run,
};
