#include "meshd/effective.h"

#include <string.h>

#include "base/buf.h"

void meshd_effective_fini(struct meshd_effective *effective)
{
	mesh__free(effective->text);
	*effective = (struct meshd_effective){.text = NULL};
}

enum mesh__kind meshd_effective_kind(enum mesh__layer layer)
{
	static const enum mesh__kind kinds[MESH__LAYERS] = {[MESH__LAYER_SERVICE] = MESH__KIND_SERVICE, [MESH__LAYER_NAMESPACE] = MESH__KIND_NAMESPACE, [MESH__LAYER_MESH] = MESH__KIND_MESH, [MESH__LAYER_FAULT] = MESH__KIND_FAULT};

	return kinds[layer];
}

void meshd_effective_sources(const struct meshd_config *config, const char *key, struct meshd_sources *out)
{
	*out = (struct meshd_sources){.generation = 0};
	for (enum mesh__layer layer = MESH__LAYER_SERVICE; layer < MESH__LAYERS; layer++) {
		const struct meshd_config_entry *entry = meshd_config_applying(config, meshd_effective_kind(layer), key);

		if (entry != NULL && entry->row.generation > out->generation) {
			out->generation = entry->row.generation;
		}
		if (entry != NULL && entry->row.text != NULL) {
			out->entries[layer] = entry;
			out->texts[layer] = entry->row.text;
		}
	}
}

static int merge(const struct meshd_config *config, const char *key, const struct meshd_sources *sources, struct meshd_effective *effective, struct mesh__err *err)
{
	const struct mesh__mem *mem = &meshd_config_env(config)->mem;
	struct mesh__name name;
	struct mesh__buf text;
	char *merged = NULL;
	int code = mesh__service_parse(key, "default", &name, err);

	mesh__buf_init(&text, mem, MESH__DOCUMENT_MAX_BYTES);
	code = code == MESH_OK ? mesh__effective(mem, &name, sources->texts, &text, err) : code;
	if (code == MESH_OK) {
		merged = mesh__buf_take(&text);
		code = merged == NULL ? mesh__buf_error(&text, "an effective document", err) : MESH_OK;
	}
	if (code == MESH_OK) {
		mesh__free(effective->text);
		*effective = (struct meshd_effective){.text = merged, .generation = sources->generation};
	}
	mesh__buf_fini(&text);
	return code;
}

int meshd_effective_text(const struct meshd_config *config, const char *key, struct meshd_effective *effective, const char **text, struct mesh__err *err)
{
	struct meshd_sources sources;
	int code = MESH_OK;

	meshd_effective_sources(config, key, &sources);
	if (sources.texts[MESH__LAYER_NAMESPACE] == NULL && sources.texts[MESH__LAYER_MESH] == NULL && sources.texts[MESH__LAYER_FAULT] == NULL) {
		meshd_effective_fini(effective);
		*text = sources.texts[MESH__LAYER_SERVICE];
		return MESH_OK;
	}
	if (effective->text == NULL || effective->generation != sources.generation) {
		code = merge(config, key, &sources, effective, err);
	}
	*text = code == MESH_OK ? effective->text : NULL;
	return code;
}
