/* A request that outlives the caller's: one block holds its strings, fields and body. */
#ifndef MESH__HTTP_REQUEST_COPY_H
#define MESH__HTTP_REQUEST_COPY_H

#include "http/client.h"

struct mesh__request_copy {
	struct mesh__client_request request;
	struct mesh__client_field *fields;
	char *bytes;
};

int mesh__request_copy_init(struct mesh__request_copy *copy, const struct mesh__env *env, const struct mesh__client_request *request, struct mesh__err *err) MESH__MUST_USE;

/* A zeroed one is accepted. */
void mesh__request_copy_fini(struct mesh__request_copy *copy);

#endif
