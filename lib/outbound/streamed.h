/*
 * A call whose bodies stream: the request's is written while it is sent, the response's read while it comes, by the application's threads, at the pace of the slower side. Such a call is made by the call thread alone (async.h), as a
 * flight with a connection of its own. Where the response streams the call is over, for who waits for it, when the response's head is there; the flight, and the request's place among the running calls, last until the bodies are through.
 *
 *	     the application's threads        |        the call thread
 *	write, end  ------> up (pipe) --------|----> the flight's request body
 *	read        <------ down (pipe) <-----|----- the flight's response body
 *	               room, bytes: one post  |
 */
#ifndef MESH__OUTBOUND_STREAMED_H
#define MESH__OUTBOUND_STREAMED_H

#include <meshlib/mesh.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/pipe.h"
#include "http/client.h"
#include "io/loop.h"

enum { MESH__STREAM_IDLE_MS = 60000 };

struct mesh_request;
struct mesh__events;

struct mesh__streamed {
	struct mesh_request *request;
	bool upload, download;
	int64_t upload_len;              /* -1: not known */
	int64_t written;                 /* by the application's writer */
	bool used;                       /* there has been a call: the pipes are what it left */
	mesh_stream_fn fn;               /* NULL: told by events */
	void *user;
	struct mesh__pipe up, down;
	bool end_read;                   /* by the application's reader: the trailers are there */
	atomic_bool told;                /* the call is over for the application; the bodies may still be on their way */
	atomic_bool broken;              /* off, after the head: */
	struct mesh__err err;            /* why; from then on only read */

	/* From the application's threads to the call thread. */
	pthread_mutex_t mu;              /* guards the next seven */
	bool posted;                     /* the post is on its way */
	bool over;                       /* no post is made any more */
	bool given_up;                   /* freed by the application: the call thread frees it, in the end */
	bool ended;                      /* the request's body: its trailers stand */
	bool http2;                      /* the try at hand has a connection, which speaks it: there is no place for trailers */
	bool trailers_spent;             /* they are of a call that is over */
	struct mesh__trailers trailers;  /* of the request; the call thread reads them after the end */
	struct mesh__post post;

	/* The call thread's. */
	int64_t begun_us;                /* the try at hand */
	int64_t until_us;                /* by when it must be through, whatever happens; INT64_MAX: nothing was said */
	int64_t n_gone;                  /* bytes of the request's body that have left, in whichever try */
	bool all_gone;                   /* that is all of it */
	bool head_due;                   /* the head is there, and the machine has not gone on yet */
};

/* The request's body, or the response's, will stream. MESH_E_NO_MEMORY; MESH_E_STATE while a call is under way, and for an upload beside a body. */
int mesh__streamed_upload(struct mesh_request *request, int64_t length) MESH__MUST_USE;
int mesh__streamed_download(struct mesh_request *request) MESH__MUST_USE;
int mesh__streamed_watch(struct mesh_request *request, mesh_stream_fn fn, void *user) MESH__MUST_USE;

/* ---- The application's threads. `deadline_us` 0: without waiting. Codes as mesh.h tells them. ---- */

int mesh__streamed_write(struct mesh_request *request, const void *bytes, size_t len, size_t *written, int64_t deadline_us) MESH__MUST_USE;
int mesh__streamed_trailer(struct mesh_request *request, const char *name, const char *value) MESH__MUST_USE;
int mesh__streamed_end(struct mesh_request *request) MESH__MUST_USE;
int mesh__streamed_read(struct mesh_request *request, void *buf, size_t size, size_t *n, int64_t deadline_us) MESH__MUST_USE;

/* The application frees the request. True: its call is not through, is cancelled now, and the request is the call thread's to free. */
bool mesh__streamed_give_up(struct mesh_request *request);

/* ---- The call's machine ---- */

/* A call begins. */
void mesh__streamed_begin(struct mesh_request *request);

/* Makes a flight of it, whose `done` is the caller's. */
void mesh__streamed_board(struct mesh_request *request, struct mesh__flight_options *options);

/* There is no flight: the call, or its try, is answered here, and a response that streams is what its body holds. MESH_E_NO_MEMORY. */
int mesh__streamed_answer(struct mesh_request *request) MESH__MUST_USE;

/* The flight is over. True: the machine goes on with *code; false: it was through already, and so is the request now. */
bool mesh__streamed_landed(struct mesh_request *request, int *code, const struct mesh__err *err);

/* Says of a deadline that passed what the flight does not know: that the request's body was still on its way, and what to do then, or that nothing has moved. Other errors stay as they are, and so does that of a call whose bodies are whole. */
void mesh__streamed_explain(const struct mesh_request *request, struct mesh__err *err);

/* The machine is through, with request->call.code. True: the flight goes on. */
bool mesh__streamed_concluded(struct mesh_request *request);

/* No post is made from here on. True: one is on its way, and mesh__async_through() follows when it has come. */
bool mesh__streamed_settle(struct mesh_request *request);

/*
 * All is through: the request is the application's again, not to be touched from here on, and in the same moment `events` (NULL: nothing) tells that its call is over. False: the application has given it up, nothing is told, and the
 * request is the caller's to free.
 */
bool mesh__streamed_give_back(struct mesh_request *request, struct mesh__events *events);

/* Whether the application has freed it, while its call was under way: nothing is told of it any more. */
bool mesh__streamed_is_given_up(struct mesh_request *request);

/* Nothing refers to it any more. Accepts NULL. */
void mesh__streamed_free(struct mesh__streamed *streamed);

#endif
