/*
 * The configuration document (POLICY.md): parsed and validated from one table of fields that also makes the suggestions. Today in force: kind Service with `protocol` (all but tcp), `timeout`,
 * `connectTimeout`, `loadBalancer.policy`, `circuitBreaker`; kind Endpoints. Every other field that POLICY.md names is refused as "not in force yet", and anything else as unknown, with a suggestion.
 */
#ifndef MESH__POLICY_DOCUMENT_H
#define MESH__POLICY_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "policy/service.h"
#include "wire/addr.h"
#include "wire/name.h"

enum { MESH__DOCUMENT_MAX_BYTES = 1024 * 1024, MESH__DOCUMENTS_MAX = 1000 };

enum mesh__kind { MESH__KIND_SERVICE, MESH__KIND_ENDPOINTS };

struct mesh__static_endpoint {
	struct mesh__addr addr;
	const char *version; /* from labels.version; NULL: none */
	const char *zone;    /* NULL: none */
};

struct mesh__document {
	enum mesh__kind kind;
	char name[MESH__LABEL_MAX + 1];
	char ns[MESH__LABEL_MAX + 1];
	int line;    /* where it begins */
	char *text;  /* its canonical JSON */
	struct mesh__arena *arena;           /* what the rest leads to */
	struct mesh__service_policy service; /* KIND_SERVICE; its arena is the document's, without a reference of its own */
	/* KIND_ENDPOINTS: `endpoints: [{address: 10.0.0.1:443, zone: a, labels: {version: v1}}]` */
	struct mesh__static_endpoint *endpoints;
	size_t n_endpoints;
	bool insecure_plaintext; /* `insecurePlaintext: true`: no mesh identity, plain HTTP; logged by whoever uses it */
	struct mesh__document *next;
};

/*
 * Parses `text` (YAML or JSON, any number of documents) named `file` in messages. `default_ns` fills in what a document leaves out. All faults are told, one a line, into `faults`
 * ("file:line:column: path: what is wrong; did you mean …"); any fault fails the whole: MESH_E_INVALID, *out NULL, err has the first one and the count. Warnings go to `warnings`,
 * in the same form; both buffers may be NULL. Two documents of one kind, namespace and name are a fault.
 */
int mesh__documents_parse(const struct mesh__mem *mem, const char *file, const char *text, size_t len, const char *default_ns,
	struct mesh__document **out, struct mesh__buf *faults, struct mesh__buf *warnings, struct mesh__err *err) MESH__MUST_USE;

/* Frees a list; accepts NULL. */
void mesh__documents_free(struct mesh__document *documents);

/* "Service", "Endpoints"; and the reverse, in any case ("service", "services"); false when it is none. */
const char *mesh__kind_name(enum mesh__kind kind);
bool mesh__kind_parse(const char *text, enum mesh__kind *kind);

#endif
