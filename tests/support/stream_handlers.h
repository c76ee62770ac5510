/*
 * Handlers of streamed bodies, once in the manner that waits (modes "pool" and "pull") and once by events ("inline"): /upload counts and checks what comes (serving_is_filled()) and answers "N intact", /download?N sends so many
 * bytes of the same, anything else sends back what comes.
 */
#ifndef TESTS_SUPPORT_STREAM_HANDLERS_H
#define TESTS_SUPPORT_STREAM_HANDLERS_H

#include <meshlib/mesh.h>

enum { STREAM_WAYS = 3 };

extern const struct stream_way {
	const char *mode;
	mesh_handler_fn handler;
} stream_ways[STREAM_WAYS];

/* /upload, in the manner that waits. */
void stream_take_upload(mesh_inbound *in);

/* Bytes of serving_fill() as a reply's body, each piece told to `given`, which may be NULL; why no more could be written. The reply is not ended. */
int32_t stream_give(mesh_inbound *in, size_t len, void (*given)(size_t n));

#endif
