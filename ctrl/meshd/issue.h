/* Issuing: the CA signs, the store records, the audit log tells; only then is a certificate handed out. */
#ifndef MESHD_ISSUE_H
#define MESHD_ISSUE_H

#include "meshd/meshd.h"

struct meshd_issue {
	struct mesh__name name;  /* who gets it */
	const char *csr_pem;
	const char *instance;    /* NULL: not told */
	const char *parent;      /* the serial that it renews; NULL: none */
	const char *how;         /* "token", "renewal", "admin", "meshd" */
	const char *token;       /* the id of the token, a use of which is counted as the certificate is recorded; NULL: none */
	int64_t ttl_ms;          /* 0: --leaf-ttl; more than that is cut to it */
};

/*
 * Runs `fn` once, now or later, with the leaf, or NULL and the reason. A parent that was revoked meanwhile, or a token that has no use left, makes it MESH_E_DENIED. Both outcomes are audited here.
 */
void meshd_issue(struct meshd *meshd, const struct meshd_issue *issue, meshd_signed_fn fn, void *user);

/*
 * Looks at the request before the CA is troubled with it, and holds it to the name that will be granted: a SPIFFE ID in it must be that one. MESH_E_DENIED for another name, else what mesh__pki_csr_preview() says. The
 * signature is the CA's to verify.
 */
int meshd_issue_check_csr(const char *csr_pem, const struct mesh__name *name, struct mesh__err *err) MESH__MUST_USE;

#endif
