/* What the two proxies, `serve --upstream` and `connect`, have in common: which header fields end at a hop, what a server behind is told of its caller, and what a failure looks like. Pure. */
#ifndef MESHCTL_GATEWAY_H
#define MESHCTL_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/client.h"

/* Field `index` of a message, in its order; false past the last. */
typedef bool (*ctl_field_fn)(const void *source, size_t index, const char **name, const char **value);

/* The values of all Connection fields, joined, into `out`. */
void ctl_connection_of(ctl_field_fn field, const void *source, struct mesh__buf *out);

/*
 * True for a field that ends at this hop: one of RFC 9110 section 7.6.1, Proxy and Proxy-*, one that `connection` (ctl_connection_of(); NULL or "": none) names, one of the mesh's own, and
 * X-Forwarded-Client-Cert, by which a caller could claim to be another. All but those that are named also with '_' for '-', because a CGI program cannot tell them apart.
 */
bool ctl_field_stays(const char *name, const char *connection);

/* Who calls, as the server behind is told. */
struct ctl_caller {
	const char *own;     /* SPIFFE ID of this service */
	const char *peer;    /* the caller's, verified */
	const char *address; /* the caller's IP */
	bool mirrored;       /* the request is a mirror's copy */
};

enum { CTL_FIELDS_MAX = 128 + 8 };

/* The fields of a request, or a response, on the next hop. Names and values are the source's, or in `text`. */
struct ctl_fields {
	struct mesh__client_field list[CTL_FIELDS_MAX];
	size_t n;
	struct mesh__buf text;
};

void ctl_fields_init(struct ctl_fields *fields, const struct mesh__mem *mem);
void ctl_fields_fini(struct ctl_fields *fields);

/*
 * A request's, for the server behind: those that do not stay; "te: trailers" where the request has it and `http2`; X-Forwarded-Client-Cert of the caller (Envoy's form: By, URI), X-Forwarded-For with the caller's address at its
 * end; "mesh-mirror: 1" of a mirror's copy; and, unless the request has them, X-Forwarded-Proto "https" and X-Forwarded-Host. MESH_E_TOO_LARGE, MESH_E_NO_MEMORY.
 */
int ctl_fields_behind(struct ctl_fields *fields, ctl_field_fn field, const void *source, const struct ctl_caller *caller, bool http2, struct mesh__err *err) MESH__MUST_USE;

/* The status for an exchange that failed with `code`: 502, 503 or 504. */
int32_t ctl_gateway_status(int32_t code);

/* The length of a body whose message has this Content-Length (NULL: none); -1: it does not say. */
int64_t ctl_body_length(const char *content_length);

/* Of an answer to `method` with this Content-Length (NULL: none): the length to pass on where there is no body to count, which is to HEAD; else `body_len`. */
size_t ctl_gateway_length(const char *method, const char *content_length, size_t body_len);

/* {"error": …, "message": …} for a gateway's failure, into `out`. */
void ctl_gateway_body(int32_t status, const char *message, struct mesh__buf *out);

#endif
