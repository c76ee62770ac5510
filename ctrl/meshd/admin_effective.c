#include "meshd/admin.h"

#include <string.h>

#include "meshd/effective.h"
#include "meshd/reply.h"

enum { VALUE_MAX_BYTES = 2 * MESH__DOCUMENT_MAX_BYTES };

struct telling {
	struct meshd *meshd;
	struct mesh__json_out *json;
	const struct meshd_sources *sources;
};

/* A text that is JSON already, as a member. */
static void put_json(struct meshd *meshd, struct mesh__json_out *json, const char *key, const char *text)
{
	struct mesh__json *value = NULL;

	if (mesh__json_parse(&meshd->env->mem, text, strlen(text), VALUE_MAX_BYTES, &value, NULL) == MESH_OK) {
		mesh__json_put_value(json, key, value);
	} else {
		json->buf->error = MESH_E_NO_MEMORY; /* what was written as JSON always parses */
	}
	mesh__json_free(value);
}

static void put_field(void *ctx, const char *path, const char *value, enum mesh__layer layer)
{
	struct telling *telling = ctx;
	struct mesh__json_out *json = telling->json;
	const struct meshd_config_row *row = layer == MESH__LAYER_BUILT_IN ? NULL : &telling->sources->entries[layer]->row;
	char subject[MESH__SUBJECT_MAX] = "built in";

	if (row != NULL) {
		mesh__document_subject(row->kind, row->name.service, row->name.ns, subject);
	}
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "path", path);
	put_json(telling->meshd, json, "value", value);
	mesh__json_put_text(json, "from", subject);
	if (row != NULL) {
		mesh__json_put_u64(json, "generation", row->generation);
	}
	mesh__json_close(json, '}');
}

void meshd_admin_effective(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct meshd_effective effective = {.text = NULL};
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_sources sources;
	char key[MESH__SERVICE_KEY_MAX];
	const char *text = NULL;
	struct mesh__json_out json;
	struct telling telling;
	struct mesh__name name;
	struct mesh__buf out;
	int code = meshd_admin_service_of(x, &name, &err);

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	if (code == MESH_OK) {
		mesh__service_key(&name, key);
		meshd_effective_sources(meshd->config, key, &sources);
		code = meshd_effective_text(meshd->config, key, &effective, &text, &err);
	}
	if (code == MESH_OK) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "namespace", name.ns);
		mesh__json_put_text(&json, "name", name.service);
		mesh__json_put_u64(&json, "generation", sources.generation);
		if (text != NULL) {
			put_json(meshd, &json, "document", text);
		}
		mesh__json_open(&json, "fields", '[');
		telling = (struct telling){.meshd = meshd, .json = &json, .sources = &sources};
		code = mesh__effective_fields(&meshd->env->mem, sources.texts, put_field, &telling, &err);
		mesh__json_close(&json, ']');
		mesh__json_close(&json, '}');
	}
	if (code == MESH_OK) {
		meshd_reply_json(x, 200, &out);
	} else {
		meshd_admin_refuse(x, &err);
	}
	mesh__buf_fini(&out);
	meshd_effective_fini(&effective);
}
