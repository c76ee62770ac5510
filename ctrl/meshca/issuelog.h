/*
 * The CA's own record of what it signed: DIR/issued.log, one JSON object a line, only ever appended to. A certificate leaves this process after its line is on the disk, so what
 * meshd's records do not show, this file does. One thread.
 */
#ifndef MESHCA_ISSUELOG_H
#define MESHCA_ISSUELOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "meshca/dir.h"

#define MESHCA_ISSUELOG_NAME "issued.log"

struct meshca_issuelog {
	int fd;
	bool torn; /* the file does not end with a whole line: the next one begins with a newline */
};

struct meshca_record {
	int64_t time_ms;
	const char *how;           /* "serve" or "hand" */
	const char *serial;
	const char *spiffe;
	const unsigned char *pin;  /* [32]: SHA-256 of the public key that was certified */
	int64_t not_before_ms, not_after_ms;
	const char *issuer_serial;
};

/* Opens or makes the log. MESH_E_IO, MESH_E_DENIED. */
int meshca_issuelog_open(const struct meshca_dir *dir, struct meshca_issuelog *out, struct mesh__err *err) MESH__MUST_USE;

/* Appends one line and waits for the disk. On failure (MESH_E_IO, MESH_E_NO_MEMORY) the certificate must not be handed out; the next attempt starts afresh. */
int meshca_issuelog_append(struct meshca_issuelog *log, const struct mesh__mem *mem, const struct meshca_record *record, struct mesh__err *err) MESH__MUST_USE;

void meshca_issuelog_close(struct meshca_issuelog *log);

#endif
