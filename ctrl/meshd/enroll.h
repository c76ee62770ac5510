/* Joining and renewing: POST /v1/enroll with a token, POST /v1/renew with a certificate. Each takes the caller's reference of the exchange. */
#ifndef MESHD_ENROLL_H
#define MESHD_ENROLL_H

#include "meshd/meshd.h"

enum { MESHD_ENROLL_MAX_BYTES = 32 * 1024 /* of a request's body */ };

void meshd_enroll(struct meshd *meshd, struct mesh__exchange *x);

/* The caller has seen to it that there is a peer. */
void meshd_renew(struct meshd *meshd, struct mesh__exchange *x);

#endif
