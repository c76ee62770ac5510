/*
 * What a call decides, without its exchange: from its service and route to its endpoint, to what the answer teaches; of a service with as many endpoints and routes as are promised to be decided fast. Zones a to c of which this process is in
 * the first, two subsets, and every route splits.
 */
#ifndef TESTS_SUPPORT_DECISION_H
#define TESTS_SUPPORT_DECISION_H

#include "static_mesh.h"

enum { DECISION_ENDPOINTS = 100, DECISION_ROUTES = 20 };

/* With this balancer, which hashes a header that every request has. */
void decision_open(struct static_mesh *mesh, const char *balancer);

/* A request that the n-th of the routes takes. */
struct mesh_request *decision_request(struct static_mesh *mesh, unsigned n);

/* The n-th endpoint, of DECISION_ENDPOINTS. */
struct mesh__endpoint *decision_endpoint(struct static_mesh *mesh, unsigned n);

/* The call: its first tries, so many, are answered 503, and the next, if a retry may be made, 200. request->endpoint is the last one's. False: there was none to choose. Any thread, for requests of its own; allocates nothing. */
bool decision_make(struct static_mesh *mesh, struct mesh_request *request, int failures);

#endif
