/* The call: route, pick, admit, attempt, observe, and back to pick while the retry rule says so (DESIGN section 2). */
#ifndef MESH__OUTBOUND_CALL_H
#define MESH__OUTBOUND_CALL_H

#include "outbound/request.h"

/* Makes the call of `request` on this thread. MESH_OK: a response came. Otherwise request->error says why. MESH_E_STATE when one is under way. */
int mesh__call(struct mesh_request *request);

#endif
