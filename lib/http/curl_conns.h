/*
 * The connections that one curl_multi has open, from socket() to close(), and which of them have a peer that was judged: the positive list. One thread at a time, as the multi itself.
 *
 * A connection is found by the four addresses that libcurl's pre-request callback gives. The list holds sockets, not addresses alone: an entry lives exactly as long as its descriptor, so no
 * later connection can inherit an earlier one's verdict.
 */
#ifndef MESH__HTTP_CURL_CONNS_H
#define MESH__HTTP_CURL_CONNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/env.h"
#include "wire/addr.h"
#include "wire/name.h"

struct mesh__conn {
	struct mesh__conn *next;
	int fd;
	bool over_unix;                   /* a UNIX socket: the addresses are never known */
	bool named;                       /* the two addresses below are known: it is connected */
	bool verified;
	bool http2;                       /* it speaks HTTP/2: known once it is verified */
	bool spoke;                       /* mesh__conns_quiet() found something to read on it, which libcurl has to look at before it sends */
	struct mesh__addr local, peer;
	char expect[MESH__SPIFFE_MAX];    /* verified for a peer that must be this one */
	int64_t not_after_ms;             /* the end of its certificate; 0: it has none */
	int n_users;                      /* the exchanges that it serves at present; the memory stays for them */
	bool closed;                      /* struck off already: there for its users alone */
	bool peer_ended;                  /* the peer had ended it before it was closed */
	/* What exchanges were told on it, which share it (curl_unprocessed.h): */
	bool goaway;                      /* a GOAWAY came, with the number of the last stream that the peer has taken */
	uint32_t last_stream;
	bool refused;                     /* a stream was refused: libcurl closes the connection with its last exchange */
};

struct mesh__conns {
	const struct mesh__env *env;
	struct mesh__conn *first;
	int max_open;    /* how many libcurl may have open for exchanges that have not been let through; 0: any number */
};

void mesh__conns_init(struct mesh__conns *conns, const struct mesh__env *env);

/* Frees the entries; closes nothing: libcurl closes its sockets first. */
void mesh__conns_fini(struct mesh__conns *conns);

/* A new close-on-exec socket on the list, or -1 with errno. */
int mesh__conns_open(struct mesh__conns *conns, int family, int type, int protocol);

/* Closes a socket and strikes it off. */
void mesh__conns_close(struct mesh__conns *conns, int fd);

/* The connection between the two addresses, or NULL. */
struct mesh__conn *mesh__conns_find(struct mesh__conns *conns, const char *peer_ip, int peer_port, const char *local_ip, int local_port);

/* The newest connection over a UNIX socket, or NULL: those have no addresses to tell them apart by, and no peer to judge. */
struct mesh__conn *mesh__conns_unix(struct mesh__conns *conns);

/* An exchange uses it, and is over. */
void mesh__conns_use(struct mesh__conn *conn);
void mesh__conns_leave(struct mesh__conn *conn);

/* Whether one more may be opened. */
bool mesh__conns_may_open(const struct mesh__conns *conns);

/*
 * True when each idle connection may be used. Whatever HTTP/1 has to say now (an end, a reset, an alert) means that it may not; libcurl 7.88 itself takes a close_notify for a sign of life. HTTP/2 may also say things that are no end
 * (PING, SETTINGS, WINDOW_UPDATE): libcurl reads them when it takes the connection for an exchange, and mesh__conns_at_an_end() tells what came of it.
 */
bool mesh__conns_quiet(struct mesh__conns *conns);

/* True when a connection that spoke is not to be used after all: it still has something to say, so that libcurl has not seen all of it. */
bool mesh__conns_at_an_end(struct mesh__conn *conn);

/* True when the certificate of a peer, good when it was judged, has expired since. */
bool mesh__conns_expired(const struct mesh__conns *conns);

/* In a forked child: each socket becomes /dev/null, so that nothing said on it reaches the parent's peer. */
void mesh__conns_abandon(struct mesh__conns *conns);

#endif
