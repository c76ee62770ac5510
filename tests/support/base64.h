/* DER into PEM, for tests that make their own. */
#ifndef TESTS_SUPPORT_BASE64_H
#define TESTS_SUPPORT_BASE64_H

#include <stddef.h>

#include "base/buf.h"

/* Appends "-----BEGIN label-----", the bytes in base64 in lines of 64 (RFC 7468), and the end. */
void base64_pem(struct mesh__buf *out, const char *label, const void *bytes, size_t len);

#endif
