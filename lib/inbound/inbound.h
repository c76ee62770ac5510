/*
 * One inbound request on its way: authenticated by the server core, dispatched to the handler, replied to once. The public mesh_inbound is this struct.
 */
#ifndef MESH__INBOUND_INBOUND_H
#define MESH__INBOUND_INBOUND_H

#include "http/server.h"
#include "inbound/workers.h"

enum { MESH__REPLY_FIELDS_MAX = 128, MESH__REPLY_FIELDS_BYTES = 64 * 1024 };

struct mesh_server;

struct mesh_inbound {
	struct mesh_server *server;       /* one reference, until the reply */
	struct mesh__exchange *x;         /* one reference, until the reply */
	const struct mesh__leaf *peer;    /* the exchange's */
	int32_t try_number;               /* from 1 */
	int64_t deadline_us;              /* 0: the caller did not say */
	struct mesh__job job;             /* its place in the workers' queue */
	struct mesh__field_text *fields;  /* of the reply: heap strings */
	size_t n_fields, cap_fields, fields_bytes;
	bool failed;                      /* a reply field could not be kept */
};

/* A new inbound request, taking the exchange's reference; NULL when out of memory (the reference stays). */
struct mesh_inbound *mesh__inbound_new(struct mesh_server *server, struct mesh__exchange *x) MESH__MUST_USE;

int mesh__inbound_reply_field(struct mesh_inbound *in, const char *name, const char *value) MESH__MUST_USE;

/* Replies and frees. */
int mesh__inbound_reply(struct mesh_inbound *in, int32_t status, const void *body, size_t len);

/* Refuses before the handler has seen it (status, code, message, mesh-not-processed: 1), and frees. */
void mesh__inbound_refuse(struct mesh_inbound *in, int status, const char *code, const char *message);

/* What is left of the caller's deadline in whole milliseconds; -1: it did not say. */
int64_t mesh__inbound_left_ms(const struct mesh_inbound *in);

#endif
