/* Issuing one leaf: every rule that the CA holds to by itself, in one place, whoever asks. One thread. */
#ifndef MESHCA_SIGN_H
#define MESHCA_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"
#include "meshca/issuelog.h"
#include "meshca/keystore.h"
#include "meshca/limit.h"
#include "meshca/protocol.h"

enum { MESHCA_BACKDATE_MS = 60 * 1000 };

struct meshca_signer {
	const struct mesh__env *env;
	struct meshca_keystore *store;
	struct meshca_issuelog *log;
	struct meshca_limit limit;
	int64_t ttl_max_ms;
	const char *how; /* for the log: "serve" or "hand" */
};

struct meshca_ask {
	const char *csr_pem;
	const char *service;
	const char *ns;   /* NULL: "default" */
	int64_t ttl_ms;
};

struct meshca_issued {
	char *chain_pem; /* the leaf, then the intermediate; heap */
	struct mesh__leaf leaf;
};

/*
 * Judges, signs, logs, and only then gives the certificate out. MESHCA_ERROR_NONE, or why not, with the reason in *err: the request must be sound (P-256, its own signature, no CA, no CA's key), the name
 * grantable (names.h), the life in (0, ttl_max_ms], the rate kept, the issuer alive and the log on the disk. A life longer than the issuer's is cut to it.
 */
enum meshca_error meshca_sign(struct meshca_signer *signer, const struct meshca_ask *ask, struct meshca_issued *out, struct mesh__err *err);

void meshca_issued_fini(struct meshca_issued *issued);

#endif
