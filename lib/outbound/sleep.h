/* How the thread that makes a call waits where nothing but time and the call's cancel are to be waited for. */
#ifndef MESH__OUTBOUND_SLEEP_H
#define MESH__OUTBOUND_SLEEP_H

#include <stdint.h>

struct mesh_request;

/* Sleeps until then, or until the call is cancelled or interrupted (http/cancel.h). */
void mesh__sleep_until(struct mesh_request *request, int64_t until_us);

#endif
