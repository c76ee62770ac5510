/*
 * One inbound request on its way: authenticated by the server core, dispatched to the handler, replied to once. The public mesh_inbound is this struct.
 */
#ifndef MESH__INBOUND_INBOUND_H
#define MESH__INBOUND_INBOUND_H

#include <stdatomic.h>

#include "base/buf.h"
#include "http/server.h"
#include "inbound/jobs.h"
#include "policy/aimd.h"

enum { MESH__REPLY_FIELDS_MAX = 128, MESH__REPLY_FIELDS_BYTES = 64 * 1024 };

struct mesh_server;
struct mesh__inbound_stream;

/* Fields of a reply, or trailers: heap strings. */
struct mesh__field_list {
	struct mesh__field_text *list;
	size_t n, cap, bytes;
};

/* Counted: by whoever has it, until the reply, and by its stream. What it holds is that one's alone; what both sides use is in the stream. */
struct mesh_inbound {
	_Atomic int refs;
	struct mesh_server *server;       /* one reference */
	struct mesh__exchange *x;         /* one reference, which the reply takes where there is no stream */
	const struct mesh__leaf *peer;    /* the exchange's */
	int32_t try_number;               /* from 1 */
	bool retried;                     /* it is a retry, or made for one: calls that are made for it make none */
	bool mirrored;                    /* a copy, whose answer is thrown away */
	int64_t deadline_us;              /* 0: the caller did not say */
	bool limited;                     /* it is one of those that concurrencyLimit counts, */
	int64_t limited_us;               /* since then, */
	bool patient;                     /* had time enough then for its deadline to tell of the server, */
	struct mesh__concurrency_limit limit; /* by this rule */
	int32_t status;                   /* that it was answered with; 0: none */
	struct mesh__job job;             /* its place in a queue */
	struct mesh__field_list fields, trailers; /* of the reply */
	int64_t length;                   /* of a streamed reply, where it was told; else -1 */
	bool failed;                      /* a reply field could not be kept */
	struct mesh__inbound_stream *stream; /* NULL: request and reply are whole */
	bool body_streams;                /* the request's body is read while it comes */
	bool begun;                       /* a streamed reply was */
	size_t read_at;                   /* how much of a whole request body was read */
	struct mesh__buf collected;       /* of a streamed one */
	bool body_ended;                  /* its end was read: the trailers are there */
};

/* A new inbound request, taking the exchange's reference; NULL when out of memory (the reference stays). */
struct mesh_inbound *mesh__inbound_new(struct mesh_server *server, struct mesh__exchange *x) MESH__MUST_USE;

void mesh__inbound_ref(struct mesh_inbound *in);
void mesh__inbound_unref(struct mesh_inbound *in);

/* Content-Length is taken for a reply that will be streamed. MESH_E_INVALID, MESH_E_TOO_LARGE, MESH_E_NO_MEMORY. */
int mesh__inbound_reply_field(struct mesh_inbound *in, const char *name, const char *value) MESH__MUST_USE;
int mesh__inbound_reply_trailer(struct mesh_inbound *in, const char *name, const char *value) MESH__MUST_USE;

/* Replies and ends it. */
int mesh__inbound_reply(struct mesh_inbound *in, int32_t status, const void *body, size_t len);

/* Refuses before anything was done for it (mesh__exchange_refuse_unprocessed()), and ends it. MESH_E_STATE when a reply had begun: it was cut. */
int mesh__inbound_refuse(struct mesh_inbound *in, int status, const char *code, const char *message);

/* The same, of one whose body nobody reads yet, saying when to come again (mesh__exchange_refuse_for()). */
void mesh__inbound_refuse_for(struct mesh_inbound *in, int status, const char *code, const char *message, int64_t wait_ms);

/* Ends one whose caller has gone. */
void mesh__inbound_drop(struct mesh_inbound *in);

/* What is left of the caller's deadline in whole milliseconds; -1: it did not say. */
int64_t mesh__inbound_left_ms(const struct mesh_inbound *in);

#endif
