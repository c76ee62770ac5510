#include "raw_tls.h"

#include <stdlib.h>
#include <string.h>

#include "sockets.h"

enum { CIPHERTEXT_AT_ONCE = 16 * 1024, PLAIN_MAX = 1 << 22 };

static bool flush(struct raw_conn *conn, struct mesh__buf *out)
{
	bool ok = socket_send(conn->fd, out->data, out->len);

	mesh__buf_clear(out);
	return ok;
}

/* Takes what the socket has next; plaintext goes behind what is pending. */
static bool pump(struct raw_conn *conn)
{
	char in[CIPHERTEXT_AT_ONCE];
	struct mesh__buf plain, out;
	ssize_t n = socket_recv(conn->fd, in, sizeof(in));
	bool ok = n > 0;

	mesh__buf_init(&plain, mesh__mem_libc(), PLAIN_MAX);
	mesh__buf_init(&out, mesh__mem_libc(), PLAIN_MAX);
	if (ok) {
		ok = mesh__tls_receive(conn->tls, in, (size_t)n, &plain, &out, NULL) == MESH_OK;
		ok = flush(conn, &out) && ok;
	}
	if (plain.len > 0) {
		conn->pending = realloc(conn->pending, conn->n_pending + plain.len);
		memcpy(conn->pending + conn->n_pending, plain.data, plain.len);
		conn->n_pending += plain.len;
	}
	mesh__buf_fini(&plain);
	mesh__buf_fini(&out);
	return ok;
}

bool raw_tls_open(struct raw_conn *conn, struct mesh__tls_conf *conf)
{
	if (mesh__tls_new(conf, &conn->tls) != MESH_OK) {
		return false;
	}
	while (!mesh__tls_established(conn->tls)) {
		/* Whoever goes at once has its last words of the handshake and its farewell read in one. */
		if (!pump(conn) && !mesh__tls_established(conn->tls)) {
			mesh__tls_free(conn->tls);
			conn->tls = NULL;
			return false;
		}
	}
	return true;
}

ssize_t raw_tls_read(struct raw_conn *conn, char *bytes, size_t cap)
{
	size_t n;

	while (conn->n_pending == 0) {
		if (!pump(conn) && conn->n_pending == 0) {
			return 0;
		}
	}
	n = conn->n_pending < cap ? conn->n_pending : cap;
	memcpy(bytes, conn->pending, n);
	memmove(conn->pending, conn->pending + n, conn->n_pending - n);
	conn->n_pending -= n;
	return (ssize_t)n;
}

bool raw_tls_send(struct raw_conn *conn, const char *bytes, size_t len)
{
	struct mesh__buf out;
	bool ok;

	mesh__buf_init(&out, mesh__mem_libc(), PLAIN_MAX);
	ok = mesh__tls_send(conn->tls, bytes, len, &out, NULL) == MESH_OK && flush(conn, &out);
	mesh__buf_fini(&out);
	return ok;
}

void raw_tls_close(struct raw_conn *conn)
{
	struct mesh__buf out;

	if (conn->tls == NULL) {
		return;
	}
	mesh__buf_init(&out, mesh__mem_libc(), PLAIN_MAX);
	if (!conn->reset) {
		mesh__tls_close(conn->tls, &out);
		(void)flush(conn, &out);
	}
	mesh__buf_fini(&out);
	mesh__tls_free(conn->tls);
	conn->tls = NULL;
}
