/*
 * The configuration document (POLICY.md): parsed, validated and written again by one table of fields (fields.h), which also makes the suggestions. Every field that POLICY.md names is read and checked; those that
 * nothing obeys yet are then refused as "not in force yet". Anything else is unknown.
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

/* Of the canonical text of a Service, and of a Namespace, a Mesh or a Fault: a service's effective document, made of the four, stays under MESH__DOCUMENT_MAX_BYTES. */
enum { MESH__SERVICE_TEXT_MAX_BYTES = MESH__DOCUMENT_MAX_BYTES - 64 * 1024, MESH__COMMON_TEXT_MAX_BYTES = 16 * 1024 };

/* X(NAME, "text", "of several") */
#define MESH__KINDS(X)                                                                                                 \
	X(SERVICE, "Service", "services")                                                                               \
	X(ENDPOINTS, "Endpoints", "endpoint")                                                                           \
	X(NAMESPACE, "Namespace", "namespaces") /* what the services of a namespace have in common; named as it is */   \
	X(MESH, "Mesh", "meshes")               /* what all have in common; its name is `mesh` */                       \
	X(FAULT, "Fault", "faults")             /* what is injected into calls of a service for a while; named as the service is */

#define X(name, text, several) MESH__KIND_##name,
enum mesh__kind { MESH__KINDS(X) };
#undef X

struct mesh__static_endpoint {
	struct mesh__addr addr;
	const char *version; /* from labels.version; NULL: none */
	const char *zone;    /* NULL: none */
	uint32_t weight;     /* at most MESH__ENDPOINT_WEIGHT_MAX; 0: not said, which is 1 */
};

enum { MESH__ENDPOINT_WEIGHT_MAX = 1000 };

/* Another service that a document names, and where. */
struct mesh__reference {
	struct mesh__reference *next;
	const char *service; /* its key, "service.namespace" */
	const char *path;    /* "routes[0].split[1].service" */
	int line, column;
};

struct mesh__document {
	enum mesh__kind kind;
	char name[MESH__LABEL_MAX + 1];
	char ns[MESH__LABEL_MAX + 1]; /* of a Namespace: its name; of a Mesh: mesh-system */
	int line;    /* where it begins */
	char *text;  /* its canonical JSON */
	struct mesh__arena *arena;           /* what the rest leads to */
	struct mesh__service_policy service; /* KIND_SERVICE; of a Fault the injection alone; of a Namespace or a Mesh what it says, over what is built in; its arena is the document's, without a reference of its own */
	/* KIND_ENDPOINTS: `endpoints: [{address: 10.0.0.1:443, zone: a, labels: {version: v1}}]` */
	struct mesh__static_endpoint *endpoints;
	size_t n_endpoints;
	bool insecure_plaintext; /* `insecurePlaintext: true`: no mesh identity, plain HTTP; logged by whoever uses it */
	struct mesh__reference *references; /* in their order; NULL also where nobody asked for warnings */
	struct mesh__document *next;
};

/*
 * Parses `text` (YAML or JSON, any number of documents) named `file` in messages. `default_ns` fills in what a document leaves out. All faults are told, one a line, into `faults`
 * ("file:line:column: path: what is wrong; did you mean …"); any fault fails the whole: MESH_E_INVALID, *out NULL, err has the first one and the count. Warnings go to `warnings`,
 * in the same form; both buffers may be NULL. Two documents of one kind, namespace and name are a fault.
 */
int mesh__documents_parse(const struct mesh__mem *mem, const char *file, const char *text, size_t len, const char *default_ns,
	struct mesh__document **out, struct mesh__buf *faults, struct mesh__buf *warnings, struct mesh__err *err) MESH__MUST_USE;

/* The same for one text that documents have made together (policy/effective.h), which may hold what no document of one's own may: what a Fault says. */
int mesh__effective_parse(const struct mesh__mem *mem, const char *file, const char *text, const char *default_ns, struct mesh__document **out, struct mesh__err *err) MESH__MUST_USE;

/* Frees a list; accepts NULL. */
void mesh__documents_free(struct mesh__document *documents);

/* "Service", "Endpoints", ...; and the reverse, in any case ("service", "services"); false when it is none. */
const char *mesh__kind_name(enum mesh__kind kind);
bool mesh__kind_parse(const char *text, enum mesh__kind *kind);

/* Whether a document of that kind is of one service, whose name and namespace are its own. */
bool mesh__kind_is_of_a_service(enum mesh__kind kind);

/* The namespace of a document of that kind and name: of a Namespace its name, of a Mesh mesh-system, else `said`. */
const char *mesh__kind_namespace(enum mesh__kind kind, const char *name, const char *said);

/* "Service payments.default", "Namespace shop", "Mesh mesh", into out[MESH__SUBJECT_MAX]: how messages name a document. */
enum { MESH__SUBJECT_MAX = 160 };
void mesh__document_subject(enum mesh__kind kind, const char *name, const char *ns, char *out);

#endif
