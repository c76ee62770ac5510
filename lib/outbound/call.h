/* The call: route, pick, admit, attempt, observe, and back to pick while the retry rule says so (DESIGN section 2). */
#ifndef MESH__OUTBOUND_CALL_H
#define MESH__OUTBOUND_CALL_H

#include "outbound/request.h"

/* Makes the call of `request` on this thread. MESH_OK: a response came. Otherwise request->error says why. MESH_E_STATE when one is under way. */
int mesh__call(struct mesh_request *request);

/* Whether this is a thread of the mesh's own: whoever waited on it for a call would wait for himself. Asked while a call is under way: until it has ended, no loop goes. */
bool mesh__call_on_own_thread(const struct mesh__outbound *outbound);

/* ---- For calls that are parked (async.c): the same machine. ---- */

/* A call begins: the results of the last are forgotten. */
void mesh__call_prepare(struct mesh_request *request, bool parked);

/* Goes on with a parked call, as far as it gets: it is parked again, or has ended, and was told, and may be freed. The call thread. */
void mesh__call_go_on(struct mesh_request *request);

/* What came of the call, its code; sets what the application sees of it. */
int mesh__call_conclude(struct mesh_request *request);

#endif
