#include "raw_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "raw_tls.h"
#include "sockets.h"

enum { MAX_CONNECTIONS = 512, BACKLOG = 512, PENDING_MAX = 1 << 20 };

struct raw_server {
	int fd;
	struct mesh__addr address;
	_Atomic(struct mesh__tls_conf *) tls;
	raw_script script;
	void *arg;
	pthread_t acceptor;
	struct raw_counts counts;
	pthread_mutex_t mu; /* guards the three below */
	bool stopping;
	long n_threads;
	struct serving {
		pthread_t thread;
		int fd; /* -1: closed */
		struct raw_conn conn;
	} serving[MAX_CONNECTIONS];
};

static void die(const char *what)
{
	perror(what);
	abort();
}

static void pause_briefly(void)
{
	struct timespec ts = {.tv_nsec = 1000000};
	nanosleep(&ts, NULL); /* lint: waits for an event */
}

bool raw_wait(const _Atomic long *counter, long value)
{
	for (int i = 0; i < 60000; i++) {
		if (atomic_load(counter) == value) {
			return true;
		}
		pause_briefly();
	}
	return false;
}

/* ---- What a script does ---- */

size_t raw_read(struct raw_conn *conn, char *bytes, size_t cap)
{
	size_t n = conn->n_pending < cap ? conn->n_pending : cap;
	ssize_t got;

	if (n > 0) {
		memcpy(bytes, conn->pending, n);
		memmove(conn->pending, conn->pending + n, conn->n_pending - n);
		conn->n_pending -= n;
		return n;
	}
	got = conn->tls != NULL ? raw_tls_read(conn, bytes, cap) : socket_recv(conn->fd, bytes, cap);
	return got > 0 ? (size_t)got : 0;
}

bool raw_send(struct raw_conn *conn, const char *bytes, size_t len)
{
	return conn->tls != NULL ? raw_tls_send(conn, bytes, len) : socket_send(conn->fd, bytes, len);
}

bool raw_say(struct raw_conn *conn, const char *text)
{
	return raw_send(conn, text, strlen(text));
}

void raw_reset(struct raw_conn *conn)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	conn->reset = true;
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void raw_hang(struct raw_conn *conn)
{
	char bytes[4096];

	while (socket_recv(conn->fd, bytes, sizeof(bytes)) > 0) {
	}
}

static size_t content_length(const char *head)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");

	return field == NULL ? 0 : (size_t)strtoul(field + 17, NULL, 10);
}

bool raw_request(struct raw_conn *conn, char *request, size_t cap)
{
	char *text = calloc(1, PENDING_MAX + 1);
	size_t len = 0, whole = 0;

	while (whole == 0 || len < whole) {
		size_t n = len < PENDING_MAX ? raw_read(conn, text + len, PENDING_MAX - len) : 0;
		const char *end;
		if (n == 0) {
			free(text);
			return false;
		}
		len += n;
		text[len] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (whole == 0 && end != NULL) {
			whole = (size_t)(end + 4 - text) + content_length(text);
		}
	}
	if (cap > 0) {
		(void)snprintf(request, cap, "%.*s", (int)whole, text);
	}
	conn->pending = realloc(conn->pending, conn->n_pending + len - whole + 1);
	memcpy(conn->pending + conn->n_pending, text + whole, len - whole);
	conn->n_pending += len - whole;
	free(text);
	atomic_fetch_add(&conn->server->counts.requests, 1);
	return true;
}

void raw_answer_ok(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0)) {
		if (!raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
			return;
		}
	}
}

/* ---- The server ---- */

static bool shake_hands(struct raw_conn *conn)
{
	struct raw_server *server = conn->server;
	bool ok = true;

	if (atomic_load(&server->tls) != NULL) {
		ok = raw_tls_open(conn, atomic_load(&server->tls));
		atomic_fetch_add(&server->counts.resumed, ok && mesh__tls_resumed(conn->tls));
		atomic_fetch_add(&server->counts.shaken, ok);
	}
	return ok;
}

static void *serve(void *arg)
{
	struct serving *s = arg;
	struct raw_conn *conn = &s->conn;
	struct raw_server *server = conn->server;

	if (shake_hands(conn)) {
		server->script(conn);
		raw_tls_close(conn);
	}
	free(conn->pending);
	(void)pthread_mutex_lock(&server->mu);
	(void)close(s->fd);
	s->fd = -1;
	(void)pthread_mutex_unlock(&server->mu);
	atomic_fetch_sub(&server->counts.open, 1);
	return NULL;
}

static void begin_serving(struct raw_server *server, int fd)
{
	struct serving *s = NULL;
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)pthread_mutex_lock(&server->mu);
	if (server->stopping || server->n_threads == MAX_CONNECTIONS) {
		(void)close(fd);
	} else {
		s = &server->serving[server->n_threads];
		s->fd = fd;
		s->conn = (struct raw_conn){.server = server, .fd = fd, .index = server->n_threads++, .arg = server->arg};
		atomic_fetch_add(&server->counts.open, 1);
		atomic_fetch_add(&server->counts.accepted, 1);
		if (pthread_create(&s->thread, NULL, serve, s) != 0) {
			die("pthread_create");
		}
	}
	(void)pthread_mutex_unlock(&server->mu);
}

static void *accept_all(void *arg)
{
	struct raw_server *server = arg;
	struct pollfd ready = {.fd = server->fd, .events = POLLIN};
	int fd = 0;

	/* Linux's accept() takes a descriptor before it waits, and tests count descriptors: wait first. */
	while (fd >= 0) {
		if (poll(&ready, 1, -1) > 0) {
			fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0) {
				begin_serving(server, fd);
			}
		}
	}
	return NULL;
}

struct raw_server *raw_server_new(struct mesh__tls_conf *tls, raw_script script, void *arg)
{
	struct raw_server *server = calloc(1, sizeof(*server));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	if (server == NULL) {
		die("calloc");
	}
	atomic_init(&server->tls, tls);
	server->script = script;
	server->arg = arg;
	(void)pthread_mutex_init(&server->mu, NULL);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(server->fd, BACKLOG) != 0 ||
	    getsockname(server->fd, (struct sockaddr *)&in, &len) != 0) {
		die("listen");
	}
	server->address = (struct mesh__addr){.ip = "127.0.0.1", .port = ntohs(in.sin_port)};
	if (pthread_create(&server->acceptor, NULL, accept_all, server) != 0) {
		die("pthread_create");
	}
	return server;
}

void raw_server_become(struct raw_server *server, struct mesh__tls_conf *tls)
{
	atomic_store(&server->tls, tls);
}

void raw_server_free(struct raw_server *server)
{
	(void)pthread_mutex_lock(&server->mu);
	server->stopping = true;
	(void)shutdown(server->fd, SHUT_RDWR);
	for (long i = 0; i < server->n_threads; i++) {
		if (server->serving[i].fd >= 0) {
			(void)shutdown(server->serving[i].fd, SHUT_RDWR);
		}
	}
	(void)pthread_mutex_unlock(&server->mu);
	(void)pthread_join(server->acceptor, NULL);
	for (long i = 0; i < server->n_threads; i++) {
		(void)pthread_join(server->serving[i].thread, NULL);
	}
	(void)close(server->fd);
	(void)pthread_mutex_destroy(&server->mu);
	free(server);
}

void raw_server_address(const struct raw_server *server, struct mesh__addr *out)
{
	*out = server->address;
}

struct raw_counts *raw_server_counts(struct raw_server *server)
{
	return &server->counts;
}
