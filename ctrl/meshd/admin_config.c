#include "meshd/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

int meshd_admin_filter(struct mesh__exchange *x, struct meshd_admin_filter *filter, struct mesh__err *err)
{
	const char *query = mesh__exchange_query(x);
	char kind[64];

	*filter = (struct meshd_admin_filter){.any_kind = true};
	if (mesh__query_get(query, "kind", kind, sizeof(kind)) == MESH__QUERY_BAD || mesh__query_get(query, "namespace", filter->ns, sizeof(filter->ns)) == MESH__QUERY_BAD ||
	    mesh__query_get(query, "name", filter->name, sizeof(filter->name)) == MESH__QUERY_BAD) {
		/* Passed over it would mean more than was said. */
		return mesh__fail(err, MESH_E_INVALID, "the query's kind, namespace or name is too long or its percent-encoding is not valid");
	}
	if (kind[0] != '\0') {
		filter->any_kind = false;
		if (!mesh__kind_parse(kind, &filter->kind)) {
			return mesh__fail(err, MESH_E_INVALID, "kind \"%s\" is none; there are Service, Endpoints, Namespace, Mesh and Fault", kind);
		}
	}
	return MESH_OK;
}

static bool passes(const struct meshd_admin_filter *filter, const struct meshd_config_entry *entry)
{
	return entry->row.text != NULL && (filter->any_kind || filter->kind == entry->row.kind) && (filter->ns[0] == '\0' || strcmp(filter->ns, entry->row.name.ns) == 0)
		&& (filter->name[0] == '\0' || strcmp(filter->name, entry->row.name.service) == 0);
}

static void put_entry(struct meshd *meshd, struct mesh__json_out *json, const struct meshd_config_row *row)
{
	struct mesh__json *document = NULL;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "kind", mesh__kind_name(row->kind));
	mesh__json_put_text(json, "namespace", row->name.ns);
	mesh__json_put_text(json, "name", row->name.service);
	mesh__json_put_u64(json, "generation", row->generation);
	mesh__json_put_u64(json, "updated", (uint64_t)row->updated_ms);
	if (mesh__json_parse(&meshd->env->mem, row->text, strlen(row->text), MESH__DOCUMENT_MAX_BYTES * 2, &document, NULL) == MESH_OK) {
		mesh__json_put_value(json, "document", document);
	} else {
		json->buf->error = MESH_E_NO_MEMORY; /* canonical text always parses */
	}
	mesh__json_free(document);
	mesh__json_close(json, '}');
}

static int by_name(const void *a, const void *b)
{
	const struct meshd_config_row *left = *(const struct meshd_config_row *const *)a, *right = *(const struct meshd_config_row *const *)b;
	int order = strcmp(left->name.ns, right->name.ns);

	order = order == 0 ? strcmp(left->name.service, right->name.service) : order;
	return order == 0 ? (int)left->kind - (int)right->kind : order;
}

void meshd_admin_config_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	const struct mesh__map *entries = meshd_config_entries(meshd->config);
	struct mesh__err err = MESH__NO_ERR;
	const struct meshd_config_row **rows;
	struct mesh__json_out json;
	struct meshd_admin_filter filter;
	struct mesh__buf out;
	size_t n = 0;

	(void)body;
	(void)rest;
	rows = mesh__alloc_array(&meshd->env->mem, entries->n + 1, sizeof(*rows));
	if (rows == NULL) {
		(void)mesh__fail_memory(&err);
	}
	if (rows == NULL || meshd_admin_filter(x, &filter, &err) != MESH_OK) {
		mesh__free(rows);
		meshd_admin_refuse(x, &err);
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(entries, NULL); e != NULL; e = mesh__map_next(entries, e)) {
		const struct meshd_config_entry *entry = e->value;

		if (passes(&filter, entry)) {
			rows[n++] = &entry->row;
		}
	}
	qsort(rows, n, sizeof(*rows), by_name);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	for (size_t i = 0; i < n; i++) {
		put_entry(meshd, &json, rows[i]);
	}
	mesh__json_close(&json, ']');
	mesh__free(rows);
	meshd_reply_json(x, 200, &out);
}
