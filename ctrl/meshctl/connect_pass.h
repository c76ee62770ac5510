/* One request on its way through `meshctl connect`: from a plaintext connection into a call of the mesh, and back, both while they pass. On the loop of the port; the call itself runs on the library's own thread. */
#ifndef MESHCTL_CONNECT_PASS_H
#define MESHCTL_CONNECT_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshlib/mesh.h>

#include "http/server.h"
#include "io/loop.h"

struct ctl_through;

/* Whom the port leads to, and what is under way there. */
struct ctl_passage {
	const struct mesh__env *env;
	struct mesh__loop *loop;
	mesh *m;
	const char *service;
	int64_t timeout_ms;              /* 0: the service's */
	struct ctl_through *under_way;
	struct ctl_through *idle;        /* for the next ones: who rings a moment late still rings at one of ours */
};

/* The handler of the port's server, whose bodies are streamed. `user` is the passage. */
void ctl_passage_request(void *user, struct mesh__exchange *x);

/* Breaks off what is under way: the server is about to be freed. On the loop, or after it has ended. */
void ctl_passage_stop(struct ctl_passage *passage);

/* After the mesh was closed and the loop freed. */
void ctl_passage_fini(struct ctl_passage *passage);

#endif
