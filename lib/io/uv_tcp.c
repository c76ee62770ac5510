/*
 * Sockets by hand over uv_poll, not uv_tcp: writes go out with MSG_NOSIGNAL (a library may not install a handler for SIGPIPE, and the process must not die of it), a full queue costs no
 * request object, and accepting can wait while the process is out of descriptors.
 */
#include "io/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/uv_loop.h"

enum {
	ACCEPT_BATCH = 64,      /* connections taken before other sockets get their turn */
	ACCEPT_PAUSE_MS = 100,  /* until we ask again whether a descriptor is free */
	UNSENT_MAX_BYTES = 128 * 1024
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t to_socket(const struct mesh__addr *addr, union address *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (addr->v6) {
		sa->v6.sin6_family = AF_INET6;
		sa->v6.sin6_port = htons(addr->port);
		return inet_pton(AF_INET6, addr->ip, &sa->v6.sin6_addr) == 1 ? sizeof(sa->v6) : 0;
	}
	sa->v4.sin_family = AF_INET;
	sa->v4.sin_port = htons(addr->port);
	return inet_pton(AF_INET, addr->ip, &sa->v4.sin_addr) == 1 ? sizeof(sa->v4) : 0;
}

static void from_socket(const union address *sa, struct mesh__addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (sa->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&sa->v6.sin6_addr)) {
		(void)inet_ntop(AF_INET, &sa->v6.sin6_addr.s6_addr[12], addr->ip, sizeof(addr->ip));
		addr->port = ntohs(sa->v6.sin6_port);
	} else if (sa->any.sa_family == AF_INET6) {
		addr->v6 = true;
		(void)inet_ntop(AF_INET6, &sa->v6.sin6_addr, addr->ip, sizeof(addr->ip));
		addr->port = ntohs(sa->v6.sin6_port);
	} else {
		(void)inet_ntop(AF_INET, &sa->v4.sin_addr, addr->ip, sizeof(addr->ip));
		addr->port = ntohs(sa->v4.sin_port);
	}
}

/* ---- Connections ---- */

struct mesh__tcp {
	struct mesh__handle handle;
	const struct mesh__tcp_events *events;
	void *arg;
	struct mesh__addr peer;
	struct mesh__buf queue;
	size_t queue_sent;  /* of `queue`, already with the kernel */
	bool reading;
	bool paused;
	bool ended;         /* nothing more will come, which has been said */
	bool broken;
	bool told_broken;   /* that it is: nothing more is said */
	bool closed;
	bool shut_wanted;
};

static void on_ready(uv_poll_t *uv, int status, int events);

static void update_interest(struct mesh__tcp *t)
{
	int wanted = 0;

	if (t->reading && !t->paused && !t->ended) {
		wanted |= UV_READABLE;
	}
	if (mesh__tcp_queued(t) > 0 && !t->broken) {
		wanted |= UV_WRITABLE;
	}
	if (wanted != 0) {
		(void)uv_poll_start(&t->handle.uv.poll, wanted, on_ready);
	} else {
		(void)uv_poll_stop(&t->handle.uv.poll);
	}
}

/* Who has closed its side may still read; when it then breaks, what waits for it has no other end. */
static void end_reading(struct mesh__tcp *t, int code)
{
	if (t->told_broken || (t->ended && code == MESH_OK)) {
		return;
	}
	t->ended = true;
	t->told_broken = code != MESH_OK;
	t->broken |= t->told_broken;
	update_interest(t);
	t->events->end(t->arg, code);
}

static int code_of(int error)
{
	return error == ECONNRESET || error == EPIPE ? MESH_E_RESET : MESH_E_IO;
}

/* One read: what is left comes with the next turn of the loop, after the other sockets'. True when there may be more. */
static bool read_once(struct mesh__tcp *t)
{
	char *scratch = t->handle.loop->scratch;
	ssize_t n;

	do {
		n = recv(t->handle.fd, scratch, MESH__SCRATCH_BYTES, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		t->events->data(t->arg, scratch, (size_t)n);
		return true;
	}
	if (n == 0) {
		end_reading(t, MESH_OK);
	} else if (errno != EAGAIN && errno != EWOULDBLOCK) {
		end_reading(t, code_of(errno));
	}
	return false;
}

/* As many bytes as the kernel takes; -1 when the connection is broken. */
static ssize_t send_some(struct mesh__tcp *t, const char *bytes, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(t->handle.fd, bytes + sent, len - sent, MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			break;
		} else if (errno != EINTR) {
			t->broken = true;
			return -1;
		}
	}
	return (ssize_t)sent;
}

static void shutdown_if_due(struct mesh__tcp *t)
{
	if (t->shut_wanted && mesh__tcp_queued(t) == 0) {
		t->shut_wanted = false;
		(void)shutdown(t->handle.fd, SHUT_WR);
	}
}

/* True when the queue has just become empty. */
static bool flush(struct mesh__tcp *t)
{
	ssize_t n = send_some(t, t->queue.data + t->queue_sent, mesh__tcp_queued(t));

	if (n < 0) {
		end_reading(t, MESH_E_RESET);
		return false;
	}
	t->queue_sent += (size_t)n;
	if (mesh__tcp_queued(t) == 0) {
		mesh__buf_fini(&t->queue); /* a slow moment of one peer is not paid for until it leaves */
		t->queue_sent = 0;
		shutdown_if_due(t);
		update_interest(t);
		return true;
	}
	if (t->queue_sent > t->queue.len / 2) {
		mesh__buf_consume(&t->queue, t->queue_sent);
		t->queue_sent = 0;
	}
	return false;
}

static void on_ready(uv_poll_t *uv, int status, int events)
{
	struct mesh__tcp *t = uv->data;

	if (status < 0) {
		/* An error is pending on the socket: what came before it is still to be read, unless nobody wants it now. */
		while (!t->closed && !t->ended && !t->paused && t->reading && read_once(t)) {
		}
		if (!t->closed) {
			end_reading(t, MESH_E_RESET);
		}
		return;
	}
	if ((events & UV_WRITABLE) && mesh__tcp_queued(t) > 0 && flush(t)) {
		t->events->drained(t->arg);
	}
	if ((events & UV_READABLE) && !t->closed && t->reading && !t->paused && !t->ended) {
		(void)read_once(t);
	}
}

void mesh__tcp_start(struct mesh__tcp *t, const struct mesh__tcp_events *events, void *arg)
{
	t->events = events;
	t->arg = arg;
	t->reading = true;
	update_interest(t);
}

void mesh__tcp_pause(struct mesh__tcp *t, bool paused)
{
	if (t->paused != paused) {
		t->paused = paused;
		update_interest(t);
	}
}

int mesh__tcp_write(struct mesh__tcp *t, const void *bytes, size_t len)
{
	ssize_t sent = 0;

	if (t->broken) {
		return MESH_E_RESET;
	}
	if (mesh__tcp_queued(t) == 0) {
		sent = send_some(t, bytes, len);
		if (sent < 0) {
			return MESH_E_RESET;
		}
	}
	if ((size_t)sent < len) {
		mesh__buf_add(&t->queue, (const char *)bytes + sent, len - (size_t)sent);
		if (t->queue.error != MESH_OK) {
			t->broken = true;
			return MESH_E_NO_MEMORY;
		}
		update_interest(t);
	}
	return MESH_OK;
}

size_t mesh__tcp_queued(const struct mesh__tcp *t)
{
	return t->queue.len - t->queue_sent;
}

void mesh__tcp_shutdown(struct mesh__tcp *t)
{
	t->shut_wanted = true;
	shutdown_if_due(t);
}

void mesh__tcp_peer(const struct mesh__tcp *t, struct mesh__addr *out)
{
	*out = t->peer;
}

/* ---- Arrivals ---- */

struct mesh__tcp *mesh__tcp_new(struct mesh__loop *loop, const struct mesh__arrival *arrival)
{
	struct mesh__tcp *t = mesh__handle_alloc(loop, sizeof(*t));

	if (t == NULL || uv_poll_init(&loop->uv, &t->handle.uv.poll, arrival->fd) != 0) {
		mesh__free(t);
		return NULL;
	}
	mesh__buf_init(&t->queue, &loop->env->mem, SIZE_MAX / 2);
	t->peer = arrival->peer;
	t->handle.fd = arrival->fd;
	t->handle.uv.poll.data = t;
	mesh__handle_open(&t->handle);
	return t;
}

static void set_linger_0(int fd)
{
	const struct linger now = {1, 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void mesh__arrival_close(const struct mesh__arrival *arrival, bool reset)
{
	if (reset) {
		set_linger_0(arrival->fd);
	}
	(void)close(arrival->fd);
}

void mesh__tcp_close(struct mesh__tcp *t, bool reset)
{
	if (t == NULL || t->closed) {
		return;
	}
	t->closed = true;
	if (reset) {
		set_linger_0(t->handle.fd);
	}
	mesh__buf_fini(&t->queue);
	mesh__handle_close(&t->handle);
}

/* ---- Listeners ---- */

struct mesh__listener {
	struct mesh__handle handle;
	struct mesh__timer *pause;
	struct mesh__addr address;
	mesh__accept_fn fn;
	void *arg;
	int backlog;
	bool closed;
};

static void on_connection(uv_poll_t *uv, int status, int events);

static void resume_accepting(void *arg)
{
	struct mesh__listener *l = arg;

	(void)uv_poll_start(&l->handle.uv.poll, UV_READABLE, on_connection);
}

static void pause_accepting(struct mesh__listener *l)
{
	(void)uv_poll_stop(&l->handle.uv.poll);
	mesh__timer_start(l->pause, ACCEPT_PAUSE_MS, 0);
}

/* True when there may be another connection. */
static bool accept_one(struct mesh__listener *l)
{
	const int one = 1, unsent = UNSENT_MAX_BYTES;
	struct mesh__arrival arrival;
	union address peer;
	socklen_t len = sizeof(peer);

	memset(&peer, 0, sizeof(peer));
	arrival.fd = accept4(l->handle.fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (arrival.fd >= 0) {
		(void)setsockopt(arrival.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		/* Else the kernel takes megabytes at a time, and a peer that reads slowly looks like one that does not read. */
		(void)setsockopt(arrival.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
		from_socket(&peer, &arrival.peer);
		l->fn(l->arg, &arrival);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		pause_accepting(l); /* the listener stays readable: without a pause this would spin */
		return false;
	}
	return errno != EAGAIN && errno != EWOULDBLOCK; /* others are the one connection's trouble: it has gone already */
}

static void on_connection(uv_poll_t *uv, int status, int events)
{
	struct mesh__listener *l = uv->data;

	(void)events;
	if (status < 0) {
		pause_accepting(l);
		return;
	}
	for (int i = 0; i < ACCEPT_BATCH && !l->closed && accept_one(l); i++) {
	}
}

void mesh__listener_take_backlog(struct mesh__listener *l)
{
	for (int i = 0; i < l->backlog && !l->closed && accept_one(l); i++) {
	}
}

/* A listening socket, or -1 with errno. */
static int listen_on(const struct mesh__addr *addr, int backlog, struct mesh__addr *bound)
{
	union address sa;
	socklen_t len = to_socket(addr, &sa);
	const int one = 1;
	int fd = socket(addr->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &sa.any, len) != 0 || listen(fd, backlog) != 0 || getsockname(fd, &sa.any, &(socklen_t){sizeof(sa)}) != 0) {
		int error = errno;

		(void)close(fd);
		errno = error;
		return -1;
	}
	from_socket(&sa, bound);
	return fd;
}

int mesh__listener_new(struct mesh__loop *loop, const struct mesh__addr *addr, int backlog, mesh__accept_fn fn, void *arg, struct mesh__listener **out, struct mesh__err *err)
{
	struct mesh__listener *l = mesh__handle_alloc(loop, sizeof(*l));
	char text[MESH__ADDR_TEXT];
	int rc;

	*out = NULL;
	if (l == NULL || mesh__timer_new(loop, resume_accepting, l, &l->pause) != MESH_OK) {
		mesh__free(l);
		return mesh__fail_memory(err);
	}
	mesh__addr_format(addr, text);
	l->fn = fn;
	l->arg = arg;
	l->backlog = backlog;
	l->handle.fd = listen_on(addr, backlog, &l->address);
	if (l->handle.fd < 0) {
		rc = mesh__fail(err, MESH_E_IO, "cannot listen on %s: %s", text, strerror(errno));
		goto fail;
	}
	rc = uv_poll_init(&loop->uv, &l->handle.uv.poll, l->handle.fd);
	if (rc != 0) {
		(void)close(l->handle.fd);
		rc = mesh__fail(err, MESH_E_IO, "cannot watch the listener on %s: %s", text, uv_strerror(rc));
		goto fail;
	}
	l->handle.uv.poll.data = l;
	mesh__handle_open(&l->handle);
	resume_accepting(l);
	*out = l;
	return MESH_OK;
fail:
	mesh__timer_free(l->pause);
	mesh__free(l);
	return rc;
}

void mesh__listener_address(const struct mesh__listener *l, struct mesh__addr *out)
{
	*out = l->address;
}

void mesh__listener_free(struct mesh__listener *l)
{
	if (l == NULL || l->closed) {
		return;
	}
	l->closed = true;
	mesh__timer_free(l->pause);
	mesh__handle_close(&l->handle);
}
