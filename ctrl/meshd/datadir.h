/* The data directory: made 0700, locked by one meshd, holding the admin token and the notice that says where meshd listens. */
#ifndef MESHD_DATADIR_H
#define MESHD_DATADIR_H

#include <stddef.h>

#include "base/env.h"
#include "base/error.h"

enum { MESHD_PATH_MAX = 4096, MESHD_ADMIN_TOKEN = 64 };

struct meshd_datadir {
	const struct mesh__env *env;
	char path[MESHD_PATH_MAX - 64];
	int lock_fd; /* -1: none */
	char admin_token[MESHD_ADMIN_TOKEN + 1];
};

/*
 * Makes the directory where it is missing, tightens it to 0700, locks it and reads (or, first, makes) admin.token. MESH_E_EXISTS when another meshd holds it, naming its pid;
 * MESH_E_IO; MESH_E_INVALID for an admin token that is none.
 */
int meshd_datadir_open(struct meshd_datadir *dir, const struct mesh__env *env, const char *path, struct mesh__err *err) MESH__MUST_USE;

/* Lets the lock go and wipes the token. Accepts a directory that was not opened (lock_fd -1). */
void meshd_datadir_close(struct meshd_datadir *dir);

/* Whether what is written there is kept: MESH_E_NOT_FOUND when the directory was removed or another put in its place, MESH_E_IO when its file system is as good as full. */
int meshd_datadir_check(const struct meshd_datadir *dir, struct mesh__err *err) MESH__MUST_USE;

/* "DIR/name" into out[MESHD_PATH_MAX]. */
void meshd_datadir_file(const struct meshd_datadir *dir, const char *name, char *out);

/* Writes or removes meshd.json. */
int meshd_datadir_announce(const struct meshd_datadir *dir, const char *control_url, const char *admin_url, const char *trust_domain, struct mesh__err *err) MESH__MUST_USE;
void meshd_datadir_withdraw(const struct meshd_datadir *dir);

#endif
