/*
 * What the serving process gives up before it touches a key: other descriptors, dumps, new privileges, root's rights. It protects the key from whoever takes over meshd or another process of
 * the same machine; it is no defence against root.
 */
#ifndef MESHCA_HARDEN_H
#define MESHCA_HARDEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "meshca/dir.h"

enum { MESHCA_DEFAULT_UID = 63741 }; /* where there is no user "meshca"; above the ranges that Debian gives out (policy 9.2.2) */

/* Closes every descriptor but standard error and `keep`; /dev/null stands in for the standard ones. */
int meshca_harden_descriptors(int keep, struct mesh__err *err) MESH__MUST_USE;

/* No dump of memory, no core file, no privilege gained by execve; a file-size limit fails the write instead of killing. */
int meshca_harden_process(struct mesh__err *err) MESH__MUST_USE;

/* As whom to run. */
struct meshca_owner {
	bool change; /* false: as who it is already */
	uid_t uid;
	gid_t gid;
};

/* `user` is a name, a number or NULL for the default: started as root the user "meshca", else MESHCA_DEFAULT_UID; started as anybody else that one. MESH_E_INVALID, MESH_E_DENIED (only root can change). */
int meshca_owner_choose(const char *user, struct meshca_owner *out, struct mesh__err *err) MESH__MUST_USE;

/* Gives it the directory and the CA's files, then becomes it for good, without supplementary groups. */
int meshca_owner_become(const struct meshca_owner *owner, const struct meshca_dir *dir, struct mesh__err *err) MESH__MUST_USE;

#endif
