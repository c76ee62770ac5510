#include "client_response_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libcurl is to find them. */
#define OURS __attribute__((visibility("default")))

enum { CONNECTIONS_MAX = 16, REQUEST_MAX_BYTES = 4096, IDLE_POLLS_MAX = 1000 };

struct connection {
	int fd, far_fd; /* libcurl's end and ours; -1: none */
	struct sockaddr_in local, peer;
	char request[REQUEST_MAX_BYTES + 1];
	size_t request_len;
	size_t n_read;  /* of the response at hand */
	bool spoken, answered;
	bool reset;
};

static struct {
	struct connection connections[CONNECTIONS_MAX];
	bool begun;
	uint16_t next_port;
	const struct peer_response *response;
	void (*stalled)(void);
	int n_requests;
	int n_idle_polls; /* since something was sent or received */
	peer_take_fn take; /* NULL: HTTP/1.1 */
	void (*answers)(bool first_of_connection);
} net;

static struct connection *find(int fd)
{
	for (int i = 0; net.begun && i < CONNECTIONS_MAX; i++) {
		if (net.connections[i].far_fd >= 0 && net.connections[i].fd == fd) {
			return &net.connections[i];
		}
	}
	return NULL;
}

static struct connection *place_for(int fd)
{
	struct connection *c = find(fd); /* the number is used again: that connection has gone */

	for (int i = 0; c == NULL && i < CONNECTIONS_MAX; i++) {
		c = !net.begun || net.connections[i].far_fd < 0 ? &net.connections[i] : NULL;
	}
	if (!net.begun) {
		for (int i = 0; i < CONNECTIONS_MAX; i++) {
			net.connections[i].far_fd = -1;
		}
		net.begun = true;
	}
	if (c == NULL) {
		abort();
	}
	if (c->far_fd >= 0) {
		(void)close(c->far_fd);
	}
	return c;
}

void peer_close(void)
{
	for (int i = 0; net.begun && i < CONNECTIONS_MAX; i++) {
		if (net.connections[i].far_fd >= 0) {
			(void)close(net.connections[i].far_fd);
			net.connections[i].far_fd = -1;
		}
	}
}

void peer_answer(const struct peer_response *response, void (*stalled)(void))
{
	net.response = response;
	net.stalled = stalled;
	net.n_requests = 0;
}

int peer_n_requests(void)
{
	return net.n_requests;
}

/* ---- What libcurl calls; glibc declares addresses as transparent unions ---- */

OURS int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	struct connection *c = place_for(fd);
	int pair[2];

	if (len < sizeof(c->peer) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0 || dup3(pair[0], fd, O_CLOEXEC) < 0) {
		abort();
	}
	(void)close(pair[0]);
	*c = (struct connection){.fd = fd, .far_fd = pair[1]};
	memcpy(&c->peer, addr.__sockaddr__, sizeof(c->peer));
	c->local = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(1024 + net.next_port++ % 60000)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return 0;
}

static int give(const struct sockaddr_in *from, struct sockaddr *addr, socklen_t *len)
{
	memcpy(addr, from, *len < sizeof(*from) ? *len : sizeof(*from));
	*len = sizeof(*from);
	return 0;
}

OURS int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	const struct connection *c = find(fd);

	return c != NULL ? give(&c->local, addr.__sockaddr__, len) : (int)syscall(SYS_getsockname, fd, addr.__sockaddr__, len);
}

OURS int getpeername(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	const struct connection *c = find(fd);

	return c != NULL ? give(&c->peer, addr.__sockaddr__, len) : (int)syscall(SYS_getpeername, fd, addr.__sockaddr__, len);
}

void peer_speak(peer_take_fn take, void (*answers)(bool first_of_connection))
{
	net.take = take;
	net.answers = answers;
}

static size_t take_http_1(const char *bytes, size_t len, bool fresh, bool *whole)
{
	const char *end = strstr(bytes, "\r\n\r\n");
	const char *field = strcasestr(bytes, "\r\ncontent-length:");

	(void)fresh;
	*whole = end != NULL && len >= (size_t)(end + 4 - bytes) + (field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0);
	return *whole ? len : 0;
}

static void answer(struct connection *c)
{
	const struct peer_response *r = net.response;

	if (net.answers != NULL) {
		net.answers(!c->answered);
	}
	c->n_read = 0;
	c->answered = true;
	net.n_requests++;
	if (syscall(SYS_sendto, c->far_fd, r->bytes, r->len, MSG_NOSIGNAL, NULL, 0) != (long)r->len) {
		abort();
	}
	c->reset = r->end == PEER_RESETS;
	if (r->end != PEER_STAYS) {
		(void)shutdown(c->far_fd, SHUT_WR);
	}
}

OURS ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	struct connection *c = find(fd);
	size_t n, done = 1;
	bool whole;

	if (c == NULL) {
		return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
	}
	net.n_idle_polls = 0;
	n = len < REQUEST_MAX_BYTES - c->request_len ? len : REQUEST_MAX_BYTES - c->request_len;
	memcpy(c->request + c->request_len, bytes, n);
	c->request_len += n;
	c->request[c->request_len] = '\0';
	if (n == 0) {
		abort(); /* nobody asks for so much */
	}
	while (done > 0 && c->request_len > 0) {
		done = (net.take != NULL ? net.take : take_http_1)(c->request, c->request_len, !c->spoken, &whole);
		c->spoken |= done > 0;
		c->request_len -= done;
		memmove(c->request, c->request + done, c->request_len + 1);
		if (whole) {
			answer(c);
		}
	}
	return (ssize_t)n;
}

OURS ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
	struct connection *c = find(fd);
	ssize_t n;

	for (size_t i = 0; c != NULL && i < net.response->n_cuts; i++) {
		if (net.response->cuts[i] > c->n_read) {
			len = len < net.response->cuts[i] - c->n_read ? len : net.response->cuts[i] - c->n_read;
			break;
		}
	}
	n = syscall(SYS_recvfrom, fd, bytes, len, flags, NULL, NULL);
	if (c != NULL && n > 0 && (flags & MSG_PEEK) == 0) {
		c->n_read += (size_t)n;
		net.n_idle_polls = 0;
	}
	if (c != NULL && n == 0 && c->reset) {
		errno = ECONNRESET;
		return -1;
	}
	return n;
}

OURS int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int rc = (int)syscall(SYS_poll, fds, n, 0);

	/* libcurl 7.88 waits for room to send where it is the peer's window, and not the socket, that has none. */
	if (n > 0 && timeout_ms != 0 && (rc == 0 || ++net.n_idle_polls > IDLE_POLLS_MAX)) {
		net.stalled();
		rc = (int)syscall(SYS_poll, fds, n, timeout_ms);
	}
	return rc;
}
