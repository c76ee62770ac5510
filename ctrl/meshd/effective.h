/*
 * What a service's calls go by: its own document over its namespace's over the mesh's, and its Fault, as one text. Made when somebody asks, and again only when one of them has changed. Loop's thread.
 */
#ifndef MESHD_EFFECTIVE_H
#define MESHD_EFFECTIVE_H

#include <stdint.h>

#include "meshd/config.h"
#include "policy/effective.h"

/* Where a text is kept; zeroed at first. */
struct meshd_effective {
	char *text;          /* NULL: none was merged */
	uint64_t generation; /* that it was made of */
};

void meshd_effective_fini(struct meshd_effective *effective);

/*
 * The text for the service `key`: its own document's where nothing else applies, else one that is kept in `effective`. *text is borrowed until the configuration changes; NULL: no document says
 * anything. MESH_E_NO_MEMORY.
 */
int meshd_effective_text(const struct meshd_config *config, const char *key, struct meshd_effective *effective, const char **text, struct mesh__err *err) MESH__MUST_USE;

/* The documents that it is made of, by layer; NULL: none is in force. */
struct meshd_sources {
	const struct meshd_config_entry *entries[MESH__LAYERS];
	const char *texts[MESH__LAYERS];
	uint64_t generation; /* of the last change of any of them, its deletion too */
};
void meshd_effective_sources(const struct meshd_config *config, const char *key, struct meshd_sources *out);

/* The kind of document that a layer is. */
enum mesh__kind meshd_effective_kind(enum mesh__layer layer);

#endif
