#include "meshca/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "meshca/protocol.h"

static int fail_errno(struct mesh__err *err, const char *what)
{
	bool gone = errno == EPIPE || errno == ECONNRESET;

	return mesh__fail(err, gone ? MESH_E_CLOSED : MESH_E_IO, "%s: %s", what, strerror(errno));
}

/* Waits until the socket is ready for `events` or the process is to stop. */
static int wait_for(const struct meshca_channel *channel, short events, struct mesh__err *err)
{
	struct pollfd fds[2] = {{.fd = channel->fd, .events = events}, {.fd = channel->stop_fd, .events = POLLIN}};

	for (;;) {
		int n = poll(fds, 2, -1);
		if (n < 0 && errno != EINTR) {
			return fail_errno(err, "poll");
		}
		if (n > 0 && fds[1].revents != 0) {
			return mesh__fail(err, MESH_E_CANCELLED, "told to stop");
		}
		if (n > 0) {
			return MESH_OK;
		}
	}
}

/* Exactly `len` bytes; *got tells how far it came. */
static int receive_all(const struct meshca_channel *channel, char *bytes, size_t len, size_t *got, struct mesh__err *err)
{
	*got = 0;
	while (*got < len) {
		ssize_t n;
		int code = wait_for(channel, POLLIN, err);
		if (code != MESH_OK) {
			return code;
		}
		n = recv(channel->fd, bytes + *got, len - *got, MSG_DONTWAIT);
		if (n == 0) {
			return mesh__fail(err, MESH_E_CLOSED, "the peer went away");
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return fail_errno(err, "receive");
		}
		*got += n > 0 ? (size_t)n : 0;
	}
	return MESH_OK;
}

static int cut_short(int code, struct mesh__err *err)
{
	return code == MESH_E_CLOSED ? mesh__fail(err, MESH_E_PROTOCOL, "the peer went away inside a frame") : code;
}

int meshca_frame_receive(const struct meshca_channel *channel, struct mesh__buf *frame, struct mesh__err *err)
{
	unsigned char head[MESHCA_FRAME_HEAD_BYTES];
	size_t got, len;
	char *room;
	int code = receive_all(channel, (char *)head, sizeof(head), &got, err);

	if (code != MESH_OK) {
		return got > 0 ? cut_short(code, err) : code;
	}
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > MESHCA_FRAME_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "a frame of %zu bytes is over the bound of %d", len, (int)MESHCA_FRAME_MAX_BYTES);
	}
	mesh__buf_clear(frame);
	room = mesh__buf_reserve(frame, len);
	if (room == NULL) {
		return mesh__buf_error(frame, "a frame", err);
	}
	code = receive_all(channel, room, len, &got, err);
	frame->len = got;
	frame->data[got] = '\0';
	return cut_short(code, err);
}

static int send_all(const struct meshca_channel *channel, const char *bytes, size_t len, int more, struct mesh__err *err)
{
	while (len > 0) {
		ssize_t n = send(channel->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL | more);
		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			int code = wait_for(channel, POLLOUT, err);
			if (code != MESH_OK) {
				return code;
			}
		} else if (errno != EINTR) {
			return fail_errno(err, "send");
		}
	}
	return MESH_OK;
}

int meshca_frame_send(const struct meshca_channel *channel, const char *text, size_t len, struct mesh__err *err)
{
	unsigned char head[MESHCA_FRAME_HEAD_BYTES] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8), (unsigned char)len};
	int code;

	if (len > MESHCA_FRAME_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "an answer of %zu bytes is over the bound of %d", len, (int)MESHCA_FRAME_MAX_BYTES);
	}
	code = send_all(channel, (const char *)head, sizeof(head), MSG_MORE, err);
	return code == MESH_OK ? send_all(channel, text, len, 0, err) : code;
}
