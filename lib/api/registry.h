/*
 * The meshes of this process, and what a `mesh *` of the public header is: not an address but a number that names one opening of one mesh, so that a handle that was closed can be told from every other, for good. Finding
 * takes no lock: one compare-and-swap on a word of that mesh's own. This table and the word whether the process exits are all that the library keeps of its own for the whole process.
 *
 * The life of a place: added (known here, named to nobody yet) > open > closing (one thread is; the mesh still works) > shut (nobody enters any more) > free.
 */
#ifndef MESH__API_REGISTRY_H
#define MESH__API_REGISTRY_H

#include <meshlib/mesh.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/env.h"

enum { MESH__OPEN_MAX = 1024 }; /* meshes in a process */

struct mesh__opened;

/* A place for `opened`, which nobody finds yet; NULL when there is none left, or when the process exits. */
mesh *mesh__registry_add(struct mesh__opened *opened);
void mesh__registry_open(mesh *handle);

/* The mesh that `handle` names, which is not freed before mesh__registry_leave(); NULL when it is none, or closed. */
struct mesh__opened *mesh__registry_enter(mesh *handle) MESH__MUST_USE;
void mesh__registry_leave(mesh *handle);

/* True for the one thread that closes it from here on; the others are told that it is closed. */
bool mesh__registry_close(mesh *handle) MESH__MUST_USE;

/* The closing thread gives up: the process exits, and what remains is the exit's. */
void mesh__registry_give_back(mesh *handle);

/* Nobody enters from here on; returns when all who had have left. */
void mesh__registry_shut(mesh *handle);

/* In a forked child, where those who had entered never leave: false when it is closed already. */
bool mesh__registry_abandon(mesh *handle) MESH__MUST_USE;

/* The place is free again, and the handle names nothing for ever. */
void mesh__registry_remove(mesh *handle);

/* ---- The end of the process ---- */

/* From here on nothing is added. True for the first who says so. */
bool mesh__registry_exit(void);
bool mesh__registry_exits(void);

/* Place `index`, entered: whoever is closing it is told by `hurry` to give it back or to finish, and waited for until `deadline_us`. NULL when there is nothing to be parked there. It is closing from here on, for good. */
struct mesh__opened *mesh__registry_take(int index, void (*hurry)(struct mesh__opened *opened, const struct mesh__env *env, int64_t deadline_us), const struct mesh__env *env,
	int64_t deadline_us) MESH__MUST_USE;

#endif
