#include "sockets.h"

#include <errno.h>
#include <sys/socket.h>

ssize_t socket_recv(int fd, void *bytes, size_t size)
{
	ssize_t n;

	do {
		n = recv(fd, bytes, size, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

bool socket_send(int fd, const void *bytes, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR) {
			return false;
		}
		sent += n > 0 ? (size_t)n : 0;
	}
	return true;
}
