/* Joining and renewing: POST /v1/enroll with a token, POST /v1/renew with a certificate. Each takes the caller's reference of the exchange. */
#ifndef MESHD_ENROLL_H
#define MESHD_ENROLL_H

#include "meshd/meshd.h"

/* Of a request's body; a stranger's is not collected beyond it. The largest honest one is a CSR of 16 KiB in JSON. */
enum { MESHD_ENROLL_MAX_BYTES = 32 * 1024 };

void meshd_enroll(struct meshd *meshd, struct mesh__exchange *x);

/* The caller has seen to it that there is a peer. */
void meshd_renew(struct meshd *meshd, struct mesh__exchange *x);

#endif
