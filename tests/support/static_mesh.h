/* A mesh without processes, for tests of what decides about calls: services of documents, their endpoints' live state, and requests that have got as far as being routed. Nothing is sent. */
#ifndef TESTS_SUPPORT_STATIC_MESH_H
#define TESTS_SUPPORT_STATIC_MESH_H

#include "control/model.h"
#include "fake_env.h"
#include "outbound/endpoint.h"
#include "outbound/request.h"

struct static_mesh {
	struct fake_env fake; /* its clock, its dice */
	struct mesh__endpoint_list list;
	struct mesh__endpoint_source source;
	struct mesh__outbound outbound;
	struct mesh__model *model;
	struct mesh__snapshot *snapshot;
};

/* `documents` is YAML: Endpoints, with insecurePlaintext, and Services. A process in `zone` (NULL: in none). */
void static_mesh_open(struct static_mesh *mesh, const char *documents, const char *zone);
void static_mesh_close(struct static_mesh *mesh);

/* A GET of the service, "payments.default", which has taken its route and is about to choose its first endpoint. */
struct mesh_request *static_mesh_request(struct static_mesh *mesh, const char *key, const char *path);

/* The same once more, of the request's own service. */
void static_mesh_route(struct static_mesh *mesh, struct mesh_request *request);

/* The service's endpoint at 127.0.0.1:port. */
struct mesh__endpoint *static_mesh_endpoint(struct static_mesh *mesh, const char *key, unsigned port);

/* Counters of the mesh, as their text says: name{label="value"}; 0: it is not there. */
int64_t static_mesh_count(struct static_mesh *mesh, const char *series);

#endif
