/* Where meshd is: --data DIR, else MESH_ADMIN (with MESH_ADMIN_TOKEN), else MESH_DATA. */
#ifndef MESHCTL_LOCATE_H
#define MESHCTL_LOCATE_H

#include <limits.h>
#include <stdbool.h>

#include "meshctl/command.h"
#include "wire/addr.h"

enum { CTL_URL_MAX = 300, CTL_ADMIN_TOKEN_MAX = 256 };

struct ctl_place {
	char data[PATH_MAX];               /* meshd's directory, "" when MESH_ADMIN led there */
	char admin[CTL_URL_MAX];           /* the URL as it was found, for messages */
	struct mesh__addr address;         /* the same */
	char control[CTL_URL_MAX];         /* "" when not known from a file */
	char token[CTL_ADMIN_TOKEN_MAX];   /* wipe it when done */
};

/*
 * Fills in *out. MESH_E_NOT_FOUND when nothing says where meshd is, or its files are not there; MESH_E_DENIED when
 * its token cannot be read; MESH_E_INVALID for an address or file that is malformed.
 */
int ctl_locate(const struct ctl *ctl, struct ctl_place *out, struct mesh__err *err) MESH__MUST_USE;

#endif
