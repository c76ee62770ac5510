/*
 * A server for tests that does exactly what its script says, byte for byte, faults included: one thread accepts, one thread serves each connection. Loopback, any port.
 * What the script sees of a connection goes through raw_read() and raw_send(), in plaintext or, for a server with a tls conf, inside TLS.
 */
#ifndef TESTS_SUPPORT_RAW_SERVER_H
#define TESTS_SUPPORT_RAW_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "wire/addr.h"

struct raw_server;
struct mesh__tls_conf;

/* A connection, as its script sees it. Closed, in order, when the script returns. */
struct raw_conn {
	struct raw_server *server;
	int fd;
	long index;             /* of the connection, from 0 */
	struct mesh__tls *tls;  /* NULL: plaintext */
	char *pending;          /* read and not yet asked for */
	size_t n_pending;
	bool reset;             /* raw_reset() was called */
	void *arg;
};

typedef void (*raw_script)(struct raw_conn *conn);

struct raw_counts {
	_Atomic long accepted;
	_Atomic long shaken;   /* TLS handshakes that succeeded */
	_Atomic long resumed;  /* of them, those that resumed a session */
	_Atomic long requests; /* whole requests that raw_request() read */
	_Atomic long open;     /* connections not yet closed */
};

/* Begins to listen and serve. `tls` (borrowed) may be NULL. Aborts the test when it cannot. */
struct raw_server *raw_server_new(struct mesh__tls_conf *tls, raw_script script, void *arg);

/* New connections are shaken hands with under `tls` (borrowed) from here on, as if another process had taken the address. */
void raw_server_become(struct raw_server *server, struct mesh__tls_conf *tls);

/* Ends: shuts connections down, waits for the scripts to return. */
void raw_server_free(struct raw_server *server);

void raw_server_address(const struct raw_server *server, struct mesh__addr *out);
struct raw_counts *raw_server_counts(struct raw_server *server);

/* Waits, at most a minute, until *counter is `value`; false when it never is. */
bool raw_wait(const _Atomic long *counter, long value);

/* Reads one request (header, and a body of Content-Length); keeps its text in request[cap], cut. False at the end of the connection. */
bool raw_request(struct raw_conn *conn, char *request, size_t cap);

/* At most `cap` bytes; 0 at the end. */
size_t raw_read(struct raw_conn *conn, char *bytes, size_t cap);

bool raw_send(struct raw_conn *conn, const char *bytes, size_t len);
bool raw_say(struct raw_conn *conn, const char *text);

/* The connection will end with a reset instead of in order: no close_notify, no FIN. */
void raw_reset(struct raw_conn *conn);

/* Blocks until the peer, or raw_server_free(), ends the connection. */
void raw_hang(struct raw_conn *conn);

/* A script: answers each request with 200 and "ok", until the peer ends the connection. */
void raw_answer_ok(struct raw_conn *conn);

#endif
