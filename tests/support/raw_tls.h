/* TLS for raw_server, over the engine of io/tls.h. False, or nothing read, when the connection is no more. */
#ifndef TESTS_SUPPORT_RAW_TLS_H
#define TESTS_SUPPORT_RAW_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "io/tls.h"
#include "raw_server.h"

bool raw_tls_open(struct raw_conn *conn, struct mesh__tls_conf *conf);
ssize_t raw_tls_read(struct raw_conn *conn, char *bytes, size_t cap);
bool raw_tls_send(struct raw_conn *conn, const char *bytes, size_t len);
void raw_tls_close(struct raw_conn *conn); /* close_notify; no effect without TLS */

#endif
