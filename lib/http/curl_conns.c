#include "http/curl_conns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void mesh__conns_init(struct mesh__conns *conns, const struct mesh__env *env)
{
	*conns = (struct mesh__conns){.env = env};
}

void mesh__conns_fini(struct mesh__conns *conns)
{
	while (conns->first != NULL) {
		struct mesh__conn *conn = conns->first;

		conns->first = conn->next;
		mesh__free(conn);
	}
}

int mesh__conns_open(struct mesh__conns *conns, int family, int type, int protocol)
{
	struct mesh__conn *conn = mesh__alloc(&conns->env->mem, sizeof(*conn));

	if (conn == NULL) {
		errno = ENOMEM;
		return -1;
	}
	conn->fd = socket(family, type | SOCK_CLOEXEC, protocol);
	if (conn->fd < 0) {
		int why = errno;
		mesh__free(conn);
		errno = why;
		return -1;
	}
	conn->over_unix = family == AF_UNIX;
	conn->next = conns->first;
	conns->first = conn;
	return conn->fd;
}

void mesh__conns_close(struct mesh__conns *conns, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	for (struct mesh__conn **at = &conns->first; *at != NULL; at = &(*at)->next) {
		struct mesh__conn *conn = *at;
		if (conn->fd == fd) {
			*at = conn->next;
			conn->peer_ended = poll(&p, 1, 0) > 0;
			conn->closed = true;
			if (conn->n_users == 0) {
				mesh__free(conn);
			}
			break;
		}
	}
	(void)close(fd);
}

static bool addr_of(const struct sockaddr_storage *from, struct mesh__addr *out)
{
	const void *bytes;

	*out = (struct mesh__addr){.v6 = from->ss_family == AF_INET6};
	if (out->v6) {
		const struct sockaddr_in6 *in6 = (const void *)from;
		bytes = &in6->sin6_addr;
		out->port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)from;
		bytes = &in->sin_addr;
		out->port = ntohs(in->sin_port);
	}
	return inet_ntop(from->ss_family, bytes, out->ip, sizeof(out->ip)) != NULL;
}

static void learn_addresses(struct mesh__conn *conn)
{
	struct sockaddr_storage local = {.ss_family = AF_UNSPEC}, peer = {.ss_family = AF_UNSPEC};
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);

	if (getsockname(conn->fd, (struct sockaddr *)&local, &local_len) == 0 && getpeername(conn->fd, (struct sockaddr *)&peer, &peer_len) == 0) {
		conn->named = addr_of(&local, &conn->local) && addr_of(&peer, &conn->peer);
	}
}

static bool is_addr(const struct mesh__addr *addr, const char *ip, int port)
{
	return addr->port == port && strcmp(addr->ip, ip) == 0;
}

struct mesh__conn *mesh__conns_find(struct mesh__conns *conns, const char *peer_ip, int peer_port, const char *local_ip, int local_port)
{
	if (peer_ip == NULL || local_ip == NULL) {
		return NULL;
	}
	for (struct mesh__conn *conn = conns->first; conn != NULL; conn = conn->next) {
		if (!conn->named && !conn->over_unix) {
			learn_addresses(conn);
		}
		if (conn->named && is_addr(&conn->peer, peer_ip, peer_port) && is_addr(&conn->local, local_ip, local_port)) {
			return conn;
		}
	}
	return NULL;
}

struct mesh__conn *mesh__conns_unix(struct mesh__conns *conns)
{
	struct mesh__conn *conn = conns->first;

	while (conn != NULL && !conn->over_unix) {
		conn = conn->next;
	}
	return conn;
}

void mesh__conns_use(struct mesh__conn *conn)
{
	conn->n_users++;
}

void mesh__conns_leave(struct mesh__conn *conn)
{
	if (--conn->n_users == 0 && conn->closed) {
		mesh__free(conn);
	}
}

bool mesh__conns_may_open(const struct mesh__conns *conns)
{
	int n = 0;

	for (const struct mesh__conn *conn = conns->first; conn != NULL; conn = conn->next) {
		n++;
	}
	return conns->max_open == 0 || n < conns->max_open;
}

/* What there is to hear: 0 nothing, POLLIN alone something to read, anything else the end. */
static int listen_to(const struct mesh__conn *conn)
{
	struct pollfd pfd = {.fd = conn->fd, .events = POLLIN | POLLRDHUP};
	int ready;

	do {
		ready = poll(&pfd, 1, 0);
	} while (ready < 0 && errno == EINTR); /* also without waiting: a signal is no sign of life */
	return ready < 0 ? POLLERR : ready == 0 ? 0 : pfd.revents;
}

bool mesh__conns_quiet(struct mesh__conns *conns)
{
	for (struct mesh__conn *conn = conns->first; conn != NULL; conn = conn->next) {
		int heard = conn->verified && conn->n_users == 0 ? listen_to(conn) : 0;

		conn->spoke = conn->http2 && heard == POLLIN;
		if (heard != 0 && !conn->spoke) {
			return false;
		}
	}
	return true;
}

bool mesh__conns_at_an_end(struct mesh__conn *conn)
{
	bool spoke = conn->spoke;

	conn->spoke = false;
	return spoke && listen_to(conn) != 0;
}

bool mesh__conns_expired(const struct mesh__conns *conns)
{
	for (const struct mesh__conn *conn = conns->first; conn != NULL; conn = conn->next) {
		if (conn->not_after_ms != 0 && mesh__wall_ms(conns->env) >= conn->not_after_ms) {
			return true;
		}
	}
	return false;
}

void mesh__conns_abandon(struct mesh__conns *conns)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (struct mesh__conn *conn = conns->first; conn != NULL; conn = conn->next) {
		/* Without a descriptor to put in its place, closing this process's copy is as harmless: it sends nothing while the parent holds its own. */
		if (null < 0 || dup3(null, conn->fd, O_CLOEXEC) < 0) {
			(void)close(conn->fd);
		}
	}
	if (null >= 0) {
		(void)close(null);
	}
}
