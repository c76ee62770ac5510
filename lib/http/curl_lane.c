#include "http/curl_lane.h"

#include <curl/curl.h>

int mesh__lane_new(struct mesh__loop *loop, void (*ran)(void *arg), void *arg, struct mesh__lane **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct mesh__lane *lane = mesh__alloc(&env->mem, sizeof(*lane));

	*out = NULL;
	if (lane == NULL) {
		return mesh__fail_memory(err);
	}
	mesh__conns_init(&lane->conns, env);
	lane->curl = mesh__wakeup_multi(&lane->wakeup);
	if (lane->curl == NULL || mesh__drive_attach(&lane->drive, loop, lane->curl, ran, arg, NULL) != MESH_OK) {
		mesh__lane_free(lane);
		return mesh__fail(err, MESH_E_NO_MEMORY, "libcurl makes no handle: out of memory, or out of file descriptors (raise ulimit -n)");
	}
	*out = lane;
	return MESH_OK;
}

void mesh__lane_free(struct mesh__lane *lane)
{
	if (lane == NULL) {
		return;
	}
	mesh__drive_detach(&lane->drive); /* the watches go before the sockets */
	if (lane->curl != NULL) {
		(void)curl_multi_cleanup(lane->curl);
	}
	mesh__conns_fini(&lane->conns);
	mesh__free(lane);
}
