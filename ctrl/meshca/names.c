#include "meshca/names.h"

#include <stdio.h>
#include <string.h>

static const char reserved_ns[] = "mesh-system";
static const char reserved_service[] = "meshd";

enum meshca_error meshca_name_grant(const char *trust_domain, const char *service, const char *ns, const struct mesh__csr *csr, struct mesh__name *out, struct mesh__err *err)
{
	char spiffe[MESH__SPIFFE_MAX];

	if (ns == NULL || ns[0] == '\0') {
		ns = "default";
	}
	if (mesh__label_check("service", service, err) != MESH_OK || mesh__label_check("namespace", ns, err) != MESH_OK) {
		return MESHCA_ERROR_NAME;
	}
	if (strcmp(ns, reserved_ns) == 0 && strcmp(service, reserved_service) != 0) {
		(void)mesh__fail(err, MESH_E_DENIED, "namespace %s is reserved: in it only %s gets a certificate, not \"%s\"", ns, reserved_service, service);
		return MESHCA_ERROR_NAME;
	}
	(void)snprintf(out->trust_domain, sizeof(out->trust_domain), "%s", trust_domain);
	(void)snprintf(out->ns, sizeof(out->ns), "%s", ns);
	(void)snprintf(out->service, sizeof(out->service), "%s", service);
	mesh__spiffe_format(out, spiffe);
	if (csr->has_uri && strcmp(csr->spiffe, spiffe) != 0) {
		(void)mesh__fail(err, MESH_E_DENIED, "the certificate request asks for %s, but the name granted is %s", csr->spiffe, spiffe);
		return MESHCA_ERROR_NAME;
	}
	return MESHCA_ERROR_NONE;
}
