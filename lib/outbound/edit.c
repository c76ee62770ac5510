#include "outbound/edit.h"

#include <string.h>

#include "outbound/answer.h"
#include "outbound/steps.h"
#include "wire/path.h"

enum { EDITS_BYTES_MAX = 2 * MESH__HEADER_EDITS_MAX * 2 * (MESH__TEXT_MAX + 1) };

void mesh__edited_free(struct mesh__edited *e)
{
	if (e != NULL) {
		mesh__client_response_fini(&e->head);
		mesh__free(e);
	}
}

/* Kept for the calls that follow: a request that is called again allocates nothing. */
static struct mesh__edited *get(struct mesh_request *r)
{
	if (r->edited == NULL) {
		r->edited = mesh__resize(&r->outbound->env->mem, NULL, sizeof(*r->edited));
		if (r->edited == NULL) {
			(void)mesh__fail_memory(&r->err);
			return NULL;
		}
		mesh__client_response_init(&r->edited->head, r->outbound->env, 0);
		mesh__buf_init(&r->edited->head.fields, &r->outbound->env->mem, r->response.fields.max_bytes + EDITS_BYTES_MAX);
	}
	return r->edited;
}

/* ---- The request ---- */

struct mesh__edit_view mesh__edit_view_of(const struct mesh_request *r, char room[MESH__TARGET_MAX + 1])
{
	size_t len = strcspn(r->path, "?");
	struct mesh__edit_view view = {.path = room, .query = r->path[len] == '?' ? r->path + len + 1 : NULL, .match = r->match};

	memcpy(room, r->path, len);
	room[len] = '\0';
	if (!mesh__path_normalise(room)) {
		memcpy(room, r->path, len); /* it has met no route that asks for a path: nothing of it is replaced */
	}
	return view;
}

static int edit_target(struct mesh_request *r, struct mesh__edited *e)
{
	const struct mesh__rewrite *rewrite = &r->route->rewrite;
	char room[MESH__TARGET_MAX + 1];
	struct mesh__edit_view view;

	e->target = r->path;
	if (rewrite->path == NULL && rewrite->prefix == NULL) {
		return MESH_OK;
	}
	view = mesh__edit_view_of(r, room);
	if (mesh__edit_target(rewrite, &view, e->text, sizeof(e->text)) == 0) {
		return mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, MESH_E_TOO_LARGE, "%s: route %s: `rewrite` makes the path longer than %d bytes", r->key, r->route->name, MESH__TARGET_MAX);
	}
	e->target = e->text;
	return MESH_OK;
}

static void put_values(struct mesh__edited *e, const struct mesh__header_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		e->fields[e->n_fields++] = (struct mesh__client_field){values[i].name, values[i].value};
	}
}

static void edit_fields(struct mesh_request *r, struct mesh__edited *e)
{
	const struct mesh__header_edits *edits = &r->route->headers.request;

	e->n_fields = 0;
	for (size_t i = 0; i < r->n_fields; i++) {
		if (!mesh__edit_drops(edits, r->fields[i].name)) {
			e->fields[e->n_fields++] = r->fields[i];
		}
	}
	put_values(e, edits->set, edits->n_set);
	put_values(e, edits->add, edits->n_add);
}

int mesh__step_edit(struct mesh_request *r)
{
	const struct mesh__route *route = r->route;
	struct mesh__edited *e;
	int code;

	r->sends_edited = false; /* by a route that it took before it had to wait */
	if (mesh__answer_is_due(route)) {
		return mesh__answer_here(r);
	}
	if (route->rewrite.path == NULL && route->rewrite.prefix == NULL && mesh__edit_is_none(&route->headers.request)) {
		return MESH_OK;
	}
	e = get(r);
	if (e == NULL) {
		return MESH_E_NO_MEMORY;
	}
	code = edit_target(r, e);
	if (code == MESH_OK) {
		edit_fields(r, e);
		r->sends_edited = true;
	}
	return code;
}

/* ---- The response ---- */

static void add_values(struct mesh__client_response *head, const struct mesh__header_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		mesh__client_response_add(head, values[i].name, values[i].value);
	}
}

int mesh__edit_response(struct mesh_request *r)
{
	const struct mesh__header_edits *edits = &r->route->headers.response;
	const char *name, *value;
	struct mesh__edited *e;

	if (mesh__edit_is_none(edits)) {
		return MESH_OK;
	}
	e = get(r);
	if (e == NULL) {
		return MESH_E_NO_MEMORY;
	}
	mesh__client_response_clear(&e->head);
	for (size_t i = 0; mesh__client_response_field(&r->response, i, &name, &value); i++) {
		if (!mesh__edit_drops(edits, name)) {
			mesh__client_response_add(&e->head, name, value);
		}
	}
	add_values(&e->head, edits->set, edits->n_set);
	add_values(&e->head, edits->add, edits->n_add);
	r->shows_edited = e->head.fields.error == MESH_OK;
	return mesh__buf_error(&e->head.fields, "the edited header of the response", &r->err);
}
