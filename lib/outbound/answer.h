/*
 * The answers that a route gives by itself: a redirect (status and Location) and a direct response (status, content type, body). Nothing is sent, no endpoint is picked, no try is made; the call is one that went well. To gRPC either is a
 * status: that which an answer of a proxy with this HTTP status has, its message the body, or where to.
 */
#ifndef MESH__OUTBOUND_ANSWER_H
#define MESH__OUTBOUND_ANSWER_H

#include "outbound/request.h"

/* Whether the route answers by itself. */
bool mesh__answer_is_due(const struct mesh__route *route);

/* The answer of request->route: into request->response, or for a response that streams into its pipe; request->answered_here. What mesh__admit_call() says; MESH_E_TOO_LARGE, MESH_E_NO_MEMORY. */
int mesh__answer_here(struct mesh_request *request) MESH__MUST_USE;

/*
 * Into request->response, which has nothing in it: an answer of gRPC's, which has its status where gRPC looks for it: trailers alone, the message `how` and behind it `message`. What stands for an answer of HTTP's has the status that such
 * an answer of a proxy has (http-grpc-status-mapping.md). Want of memory, or of room, sticks in the response's fields.
 */
void mesh__answer_grpc(struct mesh_request *request, enum mesh__grpc_status status, const char *how, const char *message);

#endif
