#include "control/cache.h"

#include <string.h>

enum { CACHE_MAX_BYTES = 60 * 1024 * 1024 };

int mesh__cache_save(struct mesh__state_dir *state, const struct mesh__env *env, const struct mesh__credentials *credentials, const struct mesh__model *model, struct mesh__err *err)
{
	struct mesh__record trust;
	struct mesh__buf text;
	int code;

	mesh__buf_init(&text, &env->mem, CACHE_MAX_BYTES);
	if (mesh__credentials_record(credentials, &trust)) {
		mesh__record_encode(&trust, &text);
	}
	mesh__model_dump(model, &text);
	code = mesh__buf_error(&text, "the snapshot", err);
	if (code == MESH_OK && text.len > 0) {
		code = mesh__state_dir_save_snapshot(state, text.data, text.len, err);
	}
	mesh__buf_fini(&text);
	return code;
}

static bool take(const struct mesh__env *env, const char *line, size_t len, struct mesh__credentials *credentials, struct mesh__model *model)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__record record;
	bool changed;
	int code = mesh__record_decode(&env->mem, line, len, &record, &err);

	if (code == MESH_OK && record.type == MESH__RECORD_TRUST) {
		code = mesh__credentials_trust(credentials, &record, &changed, &err);
	} else if (code == MESH_OK) {
		if (record.type == MESH__RECORD_ENDPOINTS || record.service == NULL || !mesh__model_is_own(model, record.service)) {
			(void)mesh__model_want(model, record.service == NULL ? "" : record.service);
		}
		code = mesh__model_apply(model, &record, &changed, &err);
	}
	if (code != MESH_OK) {
		mesh__log(env, MESH__LOG_WARN, "cached record not used", "reason", err.message, (char *)NULL);
	}
	mesh__record_fini(&record); /* one that was not decoded is empty */
	return code == MESH_OK;
}

bool mesh__cache_load(struct mesh__state_dir *state, const struct mesh__env *env, struct mesh__credentials *credentials, struct mesh__model *model)
{
	struct mesh__err err = MESH__NO_ERR;
	char *text = NULL, *end;
	size_t len = 0;
	bool taken = false;
	int code = mesh__state_dir_load_snapshot(state, &text, &len, &err);

	if (code != MESH_OK) {
		if (code != MESH_E_NOT_FOUND) {
			mesh__log(env, MESH__LOG_WARN, "cached snapshot not used", "reason", err.message, (char *)NULL);
		}
		return false;
	}
	for (char *line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		taken = take(env, line, (size_t)(end - line), credentials, model) || taken;
	}
	mesh__free(text);
	return taken;
}
