#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshca/frame.h"
#include "meshca/protocol.h"

struct pair {
	int theirs;
	int stop[2];
	struct meshca_channel channel;
	struct mesh__buf frame;
};

static void pair_open(struct pair *p)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(pipe(p->stop), 0);
	p->theirs = fds[0];
	p->channel = (struct meshca_channel){fds[1], p->stop[0]};
	mesh__buf_init(&p->frame, mesh__mem_libc(), MESHCA_FRAME_MAX_BYTES);
}

static void pair_close(struct pair *p)
{
	if (p->theirs >= 0) {
		(void)close(p->theirs);
	}
	(void)close(p->channel.fd);
	(void)close(p->stop[0]);
	(void)close(p->stop[1]);
	mesh__buf_fini(&p->frame);
}

static void put(int fd, const char *bytes, size_t len)
{
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

static void receives_what_was_sent_frame_by_frame(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	put(p.theirs, "\0\0\0\2{}\0\0\0\0\0\0\0\3abc", 4 + 2 + 4 + 4 + 3);
	assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, NULL), MESH_OK);
	assert_string_equal(p.frame.data, "{}");
	assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, NULL), MESH_OK);
	assert_int_equal(p.frame.len, 0);
	assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, NULL), MESH_OK);
	assert_string_equal(p.frame.data, "abc");
	(void)shutdown(p.theirs, SHUT_WR);
	assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, NULL), MESH_E_CLOSED);
	pair_close(&p);
}

static void tells_how_a_stream_was_lost(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int expect;
	} table[] = {
		{"", 0, MESH_E_CLOSED},
		{"\0", 1, MESH_E_PROTOCOL},
		{"\0\0\0", 3, MESH_E_PROTOCOL},
		{"\0\0\0\5", 4, MESH_E_PROTOCOL},
		{"\0\0\0\5abcd", 8, MESH_E_PROTOCOL},
		{"\0\1\0\1", 4, MESH_E_TOO_LARGE},
		{"\377\377\377\377", 4, MESH_E_TOO_LARGE},
		{"GET / HTTP/1.1", 14, MESH_E_TOO_LARGE},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(table); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct pair p;

		pair_open(&p);
		put(p.theirs, table[i].bytes, table[i].len);
		(void)shutdown(p.theirs, SHUT_WR);
		assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, &err), table[i].expect);
		assert_int_equal(err.code, table[i].expect);
		pair_close(&p);
	}
}

static void being_told_to_stop_ends_every_wait(void **state)
{
	static char much[MESHCA_FRAME_MAX_BYTES];
	struct pair p;
	int code = MESH_OK;

	(void)state;
	pair_open(&p);
	put(p.stop[1], "x", 1);
	assert_int_equal(meshca_frame_receive(&p.channel, &p.frame, NULL), MESH_E_CANCELLED);
	for (int i = 0; i < 1000 && code == MESH_OK; i++) { /* until the socket is full: nobody reads */
		code = meshca_frame_send(&p.channel, much, sizeof(much), NULL);
	}
	assert_int_equal(code, MESH_E_CANCELLED);
	pair_close(&p);
}

static void sends_a_frame_that_can_be_received(void **state)
{
	struct pair p;
	char got[8];

	(void)state;
	pair_open(&p);
	assert_int_equal(meshca_frame_send(&p.channel, "{}", 2, NULL), MESH_OK);
	assert_int_equal(recv(p.theirs, got, 6, MSG_WAITALL), 6);
	assert_memory_equal(got, "\0\0\0\2{}", 6);
	assert_int_equal(meshca_frame_send(&p.channel, "", MESHCA_FRAME_MAX_BYTES + 1, NULL), MESH_E_TOO_LARGE);
	(void)close(p.theirs);
	p.theirs = -1;
	assert_int_equal(meshca_frame_send(&p.channel, "{}", 2, NULL), MESH_E_CLOSED);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receives_what_was_sent_frame_by_frame),
		cmocka_unit_test(tells_how_a_stream_was_lost),
		cmocka_unit_test(being_told_to_stop_ends_every_wait),
		cmocka_unit_test(sends_a_frame_that_can_be_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
