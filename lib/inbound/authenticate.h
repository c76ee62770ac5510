/*
 * With what the serving side proves who it is, and whom it lets in: a TLS configuration, made of one generation of credentials. A process that does not serve makes none: it is milliseconds of arithmetic.
 */
#ifndef MESH__INBOUND_AUTHENTICATE_H
#define MESH__INBOUND_AUTHENTICATE_H

#include "http/client.h"
#include "io/tls.h"

/* `old` is the configuration whose place it takes, NULL when of none: under the same trust its sessions go on. `tls12`: TLS 1.2 is the most. Errors as mesh__tls_conf_new(). Any thread. */
int mesh__authenticate_conf(const struct mesh__env *env, struct mesh__creds *creds, bool tls12, const struct mesh__tls_conf *old, struct mesh__tls_conf **out, struct mesh__err *err) MESH__MUST_USE;

#endif
