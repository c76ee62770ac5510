/* Who may get which name. Pure; any thread. */
#ifndef MESHCA_NAMES_H
#define MESHCA_NAMES_H

#include "base/error.h"
#include "io/pki.h"
#include "meshca/protocol.h"
#include "wire/name.h"

/*
 * The name for a certificate of `service` in `ns` (NULL or "": "default"), always in the own trust domain. Refused with MESHCA_ERROR_NAME: labels that are none; the reserved
 * namespace mesh-system for anything but meshd; a certificate request whose URI SAN, if it has one, is not that very SPIFFE ID.
 */
enum meshca_error meshca_name_grant(const char *trust_domain, const char *service, const char *ns, const struct mesh__csr *csr, struct mesh__name *out, struct mesh__err *err);

#endif
