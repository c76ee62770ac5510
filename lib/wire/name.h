/* Names: labels, trust domains, SPIFFE IDs and DNS names of the mesh (DESIGN section 5; SPIFFE-ID specification, section 2). */
#ifndef MESH__WIRE_NAME_H
#define MESH__WIRE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum {
	MESH__LABEL_MAX = 63,         /* a service, a namespace, an instance id */
	MESH__TRUST_DOMAIN_MAX = 120, /* such that the DNS name stays under 253 */
	MESH__SPIFFE_MAX = 12 + MESH__TRUST_DOMAIN_MAX + 4 + MESH__LABEL_MAX + 5 + MESH__LABEL_MAX + 1,
	MESH__DNS_MAX = MESH__LABEL_MAX + 1 + MESH__LABEL_MAX + 1 + MESH__TRUST_DOMAIN_MAX + 1,
	MESH__SERVICE_KEY_MAX = MESH__LABEL_MAX + 1 + MESH__LABEL_MAX + 1 /* "service.namespace" with its NUL */
};

/* A name in parts, each NUL-terminated and valid. */
struct mesh__name {
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1];
	char ns[MESH__LABEL_MAX + 1];
	char service[MESH__LABEL_MAX + 1];
};

/* [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63. */
bool mesh__label_valid(const char *text, size_t len);

/* `what` names the thing in the message: "service \"Pay_ments\": …; use lower-case letters, digits and inner hyphens, at most 63". */
int mesh__label_check(const char *what, const char *text, struct mesh__err *err) MESH__MUST_USE;

/* Labels joined by dots, at most MESH__TRUST_DOMAIN_MAX. */
bool mesh__trust_domain_valid(const char *text, size_t len);

/* Parses exactly spiffe://<trust-domain>/ns/<namespace>/svc/<service>, `len` bytes compared by length; nothing else is taken (no port, query, case, '%', trailing slash, NUL). */
bool mesh__spiffe_parse(const char *text, size_t len, struct mesh__name *name);

/* Writes the SPIFFE ID into out[MESH__SPIFFE_MAX]; the DNS name <service>.<namespace>.<trust-domain> into out[MESH__DNS_MAX]; "service.namespace" into out[MESH__SERVICE_KEY_MAX]. */
void mesh__spiffe_format(const struct mesh__name *name, char *out);
void mesh__dns_format(const struct mesh__name *name, char *out);
void mesh__service_key(const struct mesh__name *name, char *out);

/* "service" (in namespace `own_ns`) or "service.namespace" into name->service and name->ns; the trust domain is left alone. */
int mesh__service_parse(const char *text, const char *own_ns, struct mesh__name *name, struct mesh__err *err) MESH__MUST_USE;

#endif
