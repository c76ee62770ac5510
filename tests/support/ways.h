/* The ways to make a call with a body: waited for or started, with either body whole or streamed. For tests that hold a rule for all of them; they fail the test that calls them. */
#ifndef TESTS_SUPPORT_WAYS_H
#define TESTS_SUPPORT_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshlib/mesh.h>

#define WAYS(X) X(WAITED_FOR) X(STARTED) X(DOWNLOADED) X(UPLOADED) X(STREAMED)

#define X(name) WAY_##name,
enum way { WAYS(X) N_WAYS };
#undef X

/* Whether the request's body streams. */
bool way_is_uploaded(enum way way);

/* A request of "sent" to payments, with half a minute. */
mesh_request *way_request(mesh *caller, enum way way, const char *method, const char *path);

/* Makes the call, to the end of its response's head. What it came to. */
int32_t way_make(mesh_request *request, enum way way);

/* Reads a response that streams to its end, or as far as it comes. */
int32_t way_download(mesh_request *request, char *text, size_t size);

/* The response's body as text; in `text` where it is streamed, and then to its end. */
const char *way_body(mesh_request *request, enum way way, char *text, size_t size);

#endif
