#include "support/h2_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/http_stage.h"

void h2_client_dial(struct h2_client *k)
{
	*k = (struct h2_client){.conn = {.fd = stage_dial()}};
	h2_peer_init(&k->peer, &k->conn);
}

void h2_client_open(struct h2_client *k)
{
	h2_client_dial(k);
	h2_preface(&k->peer.out);
	assert_true(h2_peer_flush(&k->peer));
}

void h2_client_close(struct h2_client *k)
{
	h2_peer_fini(&k->peer);
	(void)close(k->conn.fd);
}

void h2_client_ask(struct h2_client *k, uint32_t stream, bool whole, const char *method, const char *path, const char *more)
{
	h2_request(&k->peer.out, stream, whole, method, "host", path, more);
	assert_true(h2_peer_flush(&k->peer));
}

void h2_client_hear(struct h2_client *k, uint32_t stream, const char *status, struct h2_message *message)
{
	char value[8];

	assert_true(h2_peer_message(&k->peer, message));
	assert_int_equal(message->stream, stream);
	assert_true(h2_message_field(message, ":status", value, sizeof(value)));
	if (strcmp(value, status) != 0) {
		fail_msg("not %s but %s", status, message->lines);
	}
}

void h2_client_get(struct h2_client *k, uint32_t stream, const char *path, const char *status, struct h2_message *message)
{
	h2_client_ask(k, stream, true, "GET", path, NULL);
	h2_client_hear(k, stream, status, message);
}

void h2_client_hear_body(struct h2_client *k, uint32_t stream, const char *expected)
{
	struct mesh__buf body;

	mesh__buf_init(&body, mesh__mem_libc(), SIZE_MAX / 2);
	assert_true(h2_peer_body(&k->peer, stream, &body));
	assert_string_equal(body.data != NULL ? body.data : "", expected);
	mesh__buf_fini(&body);
}

uint32_t h2_client_hear_reset(struct h2_client *k, uint32_t stream)
{
	struct h2_frame_view frame;

	assert_true(h2_peer_await(&k->peer, H2_RST_STREAM, stream, &frame));
	return h2_frame_number(&frame, 0);
}

uint32_t h2_client_hear_goaway(struct h2_client *k, uint32_t *last)
{
	struct h2_frame_view frame;

	assert_true(h2_peer_await(&k->peer, H2_GOAWAY, 0, &frame));
	*last = h2_frame_number(&frame, 0);
	return h2_frame_number(&frame, 4);
}

void h2_client_hear_end(struct h2_client *k)
{
	struct h2_frame_view frame;

	while (h2_peer_frame(&k->peer, &frame)) {
	}
}
