#include "meshd/admin.h"

#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

enum { LIMIT_DEFAULT = 100 };

/* The changes of a generation come one by one; its object is open until the first of the next. */
struct listing {
	struct mesh__json_out json;
	uint64_t open; /* the generation; 0: none */
};

static void close_generation(struct listing *listing)
{
	if (listing->open != 0) {
		mesh__json_close(&listing->json, ']');
		mesh__json_close(&listing->json, '}');
	}
	listing->open = 0;
}

static void open_generation(struct listing *listing, const struct meshd_generation *generation)
{
	struct mesh__json_out *json = &listing->json;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_u64(json, "generation", generation->number);
	mesh__json_put_u64(json, "at", (uint64_t)generation->at_ms);
	mesh__json_put_text(json, "who", generation->who);
	mesh__json_put_text(json, "operator", generation->operator);
	if (generation->rollback) {
		mesh__json_put_u64(json, "restored", generation->restored);
	}
	mesh__json_open(json, "changes", '[');
	listing->open = generation->number;
}

static bool put(void *user, const struct meshd_generation *generation, const struct meshd_config_row *change)
{
	struct listing *listing = user;

	if (listing->open != generation->number) {
		close_generation(listing);
		open_generation(listing, generation);
	}
	meshd_admin_put_change(&listing->json, change);
	return listing->json.buf->error == MESH_OK;
}

void meshd_admin_history(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct meshd_history_query wanted = {.limit = LIMIT_DEFAULT};
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_admin_filter filter;
	uint64_t limit = LIMIT_DEFAULT;
	struct listing listing;
	struct mesh__buf out;
	char text[24];
	int code = meshd_admin_filter(x, &filter, &err);

	(void)body;
	(void)rest;
	if (code == MESH_OK && mesh__query_get(mesh__exchange_query(x), "limit", text, sizeof(text)) != MESH__QUERY_ABSENT
		&& (!mesh__str_u64(text, strlen(text), MESHD_HISTORY_MAX, &limit) || limit == 0)) {
		code = mesh__fail(&err, MESH_E_INVALID, "limit must be a whole number between 1 and %d", MESHD_HISTORY_MAX);
	}
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	listing = (struct listing){.json = {.buf = &out}};
	mesh__json_open(&listing.json, NULL, '[');
	if (code == MESH_OK) {
		wanted = (struct meshd_history_query){.kind = filter.any_kind ? NULL : mesh__kind_name(filter.kind), .ns = filter.ns[0] == '\0' ? NULL : filter.ns,
			.name = filter.name[0] == '\0' ? NULL : filter.name, .limit = (int64_t)limit};
		code = meshd_store_history(meshd->store, &wanted, put, &listing, &err);
	}
	close_generation(&listing);
	mesh__json_close(&listing.json, ']');
	if (code != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	meshd_reply_json(x, 200, &out);
}
