/*
 * gRPC's rules for a call (wire/grpc.h): a request whose content type is gRPC's takes its deadline along as `grpc-timeout`, and is judged by its status, where HTTP's is 200 whatever became of it. The caller gets the response as it is.
 */
#ifndef MESH__OUTBOUND_GRPC_H
#define MESH__OUTBOUND_GRPC_H

#include "outbound/request.h"
#include "wire/grpc.h"

/* The caller's `grpc-timeout`, which is how a gRPC program says how long a call may take: as mesh_request_timeout(), up to 24 h. What is left of it is sent. MESH_E_INVALID when it cannot be read. */
int mesh__grpc_take_timeout(struct mesh_request *request, const char *value) MESH__MUST_USE;

/* Adds `te` and `grpc-timeout` to the fields of a try, of which `out` has the number; nothing to one that is not gRPC's. */
void mesh__grpc_add_fields(struct mesh_request *request, struct mesh__client_field *fields, struct mesh__client_request *out);

/* The status of a response: of its trailers, of its head when there are no trailers but in it, or what HTTP's means where it says none. Pure. */
enum mesh__grpc_status mesh__grpc_status_of(const struct mesh__client_response *response);

/* True when a response of 200 says that no handler saw the request, as mesh__exchange_refuse_unprocessed() says it. Pure. */
bool mesh__grpc_says_not_processed(const struct mesh__client_response *response);

/* Counts the status of a try that was answered, and says whether it was a failure of the endpoint; false for a call that is not gRPC's. */
bool mesh__grpc_observe(struct mesh_request *request);

#endif
