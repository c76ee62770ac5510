/*
 * What an explanation stands on: the documents that a service goes by, each with where in it what stands; what they make together, by the merge that meshd does; and the service's endpoints. Everything of one explanation stands in one
 * arena and lives as long. Pure: whoever calls has the texts.
 */
#ifndef MESHCTL_GROUND_H
#define MESHCTL_GROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "policy/document.h"
#include "policy/effective.h"
#include "wire/json.h"
#include "wire/yaml.h"

/* One document. */
struct ctl_source {
	const struct ctl_source *next;
	enum mesh__kind kind;
	const char *name, *ns;
	const char *file;              /* where it was read; NULL: it is in force at meshd */
	uint64_t generation;           /* that last changed it; of a file 0 */
	const char *text;              /* canonical */
	const struct mesh__json *json; /* the same, parsed */
	const struct mesh__node *node; /* with the lines of the file; of one in force with those that `meshctl get` prints */
};

/* Where something is said. */
struct ctl_origin {
	const struct ctl_source *source; /* NULL: it is built in */
	int line;
};

/* A field in force: "retries.attempts", its value in JSON, and who says it. */
struct ctl_field {
	const struct ctl_field *next;
	const char *path, *value;
	enum mesh__layer layer;
};

struct ctl_endpoint {
	const char *instance, *address, *state; /* the words of meshd; "static": of a document */
	struct mesh__labels labels;
	/* What the caller's processes have reported of it (/v1/reports). */
	int32_t callers;                        /* that report of the service; 0: nobody knows anything */
	int32_t ejected_by, failed_check_of, unhealthy_of; /* of the last either */
	int32_t costed;                         /* so many of them know its cost: */
	double cost_least_ms, cost_most_ms;
};

/* One service. */
struct ctl_ground {
	struct ctl_ground *next;
	struct mesh__name name;
	char key[MESH__SERVICE_KEY_MAX];
	bool known;                            /* it has registered once, or a document names its endpoints */
	const struct ctl_source *sources[MESH__LAYERS];
	const struct mesh__service_policy *policy;
	const struct ctl_field *fields;        /* all that are in force */
	struct ctl_endpoint *endpoints;
	size_t n_endpoints;
};

/* A document in force, as meshd tells it (an item of /v1/config). MESH_E_INVALID, MESH_E_NO_MEMORY. */
int ctl_source_in_force(struct mesh__arena *arena, const struct mesh__mem *mem, const struct mesh__json *item, const struct ctl_source **out, struct mesh__err *err) MESH__MUST_USE;

/* All documents of `text`, as mesh__documents_parse() reads them, which see. */
int ctl_sources_of_file(struct mesh__arena *arena, const struct mesh__mem *mem, const char *file, const struct mesh__buf *text, const char *default_ns, const struct ctl_source **out, struct mesh__buf *faults, struct mesh__err *err) MESH__MUST_USE;

/* The document of the kind for the service: its own, its namespace's, the mesh's; its Endpoints, its Fault. NULL: none of the list. */
const struct ctl_source *ctl_source_find(const struct ctl_source *list, enum mesh__kind kind, const struct mesh__name *name);

/* The kind of document that a layer is. */
enum mesh__kind ctl_layer_kind(enum mesh__layer layer);

/* Fills in policy and fields by name and sources. */
int ctl_ground_merge(struct mesh__arena *arena, const struct mesh__mem *mem, struct ctl_ground *ground, struct mesh__err *err) MESH__MUST_USE;

/* Fills in the endpoints: those that meshd tells of (/v1/endpoints; NULL: the service is unknown to it), the static ones of `statics` (NULL: those that meshd tells of) in the place of its own. */
int ctl_ground_endpoints(struct mesh__arena *arena, struct ctl_ground *ground, const struct mesh__json *list, const struct ctl_source *statics, struct mesh__err *err) MESH__MUST_USE;

/* Adds to the endpoints what the processes of `from` have reported of them: `reports` is what /v1/reports says of the service; NULL: nothing. */
void ctl_ground_reports(struct ctl_ground *ground, const struct mesh__json *reports, const struct mesh__name *from);

/* What a document says at a path ("routes[1].retries.attempts"), or NULL; the line where that stands, or else the nearest above it. */
const struct mesh__json *ctl_source_value(const struct ctl_source *source, const char *path);
struct ctl_origin ctl_source_origin(const struct ctl_source *source, const char *path);
struct ctl_origin ctl_field_origin(const struct ctl_ground *ground, const struct ctl_field *field);

/* The field of the path, or NULL. */
const struct ctl_field *ctl_ground_field(const struct ctl_ground *ground, const char *path);

/* "Service payments.default, generation 2, line 14", "payments.yaml:14", "built in", into out[CTL_ORIGIN_TEXT]. */
enum { CTL_ORIGIN_TEXT = 512 };
void ctl_origin_format(const struct ctl_origin *origin, char *out);

#endif
