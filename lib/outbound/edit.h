/*
 * What a call's route makes of its request and of its response's header (policy/edit.h). What the caller has said and what the server has answered stay as they are, for another call, and for who judges the answer: what is sent, and what the
 * application sees, stand beside them.
 */
#ifndef MESH__OUTBOUND_EDIT_H
#define MESH__OUTBOUND_EDIT_H

#include "http/client.h"
#include "policy/edit.h"
#include "wire/url.h"

enum { MESH__REQUEST_FIELDS_MAX = 128, MESH__REQUEST_OWN_FIELDS = 6 };

struct mesh_request;

struct mesh__edited {
	struct mesh__client_response head; /* the response's header, and nothing else of it */
	const char *target;                /* the request's own, or in text */
	size_t n_fields;
	/* From here on only what the words above say is there holds anything. */
	struct mesh__client_field fields[MESH__REQUEST_FIELDS_MAX + 2 * MESH__HEADER_EDITS_MAX + MESH__REQUEST_OWN_FIELDS]; /* strings of the request or of the snapshot; then room for ours */
	char text[MESH__TARGET_MAX + 1];
};

/* Accepts NULL. */
void mesh__edited_free(struct mesh__edited *edited);

/* The view that the target of `request`, and the Location that its route sends it to, are made of, but for the host. `room` holds its path. */
struct mesh__edit_view mesh__edit_view_of(const struct mesh_request *request, char room[MESH__TARGET_MAX + 1]);

/* The response's header as its route wants it, which is there, for mesh__request_head(). Before the call lets go of its snapshot. MESH_E_NO_MEMORY. */
int mesh__edit_response(struct mesh_request *request) MESH__MUST_USE;

#endif
