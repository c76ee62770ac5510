/* The inside of the server core: the server, its connections, their exchanges. Private to server.c, spread.c, conn*.c, handshakes.c, exchange.c, stream.c. */
#ifndef MESH__HTTP_CORE_H
#define MESH__HTTP_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "http/h1.h"
#include "http/h1_chunks.h"
#include "http/h1_scan.h"
#include "http/reply.h"
#include "http/server.h"
#include "io/tcp.h"

/* Refusals are logged, but not so that a flood of them becomes a flood of lines. */
struct mesh__http_logger {
	int64_t window_us; /* when the second at hand began */
	int n_lines;
	int64_t n_left_out;
};

/* The connections in state HANDSHAKE, in the order of their coming. */
struct mesh__handshakes {
	struct mesh__conn *oldest, *newest;
	int32_t n;
};

/* On its way from the loop that accepted it. */
struct mesh__newcomer {
	struct mesh__newcomer *next;
	struct mesh__arrival arrival;
};

/* What servers that share one listener know of each other (spread.c). */
struct mesh__http_spread {
	struct mesh__http_server **fed; /* by this one; borrowed */
	size_t n_fed, last;             /* `last`: who got the last connection; 0 is this server itself */
	_Atomic int32_t n_placed;       /* connections here or on their way here: written by both sides */
	struct mesh__newcomer *_Atomic newcomers; /* the latest first; can be read from its head at any moment, by a forked child too */
	_Atomic bool posted;            /* newcomers_post has yet to run */
	struct mesh__post newcomers_post, end_post;
	bool ended;                     /* nothing more will be fed */
};

struct mesh__http_server {
	_Atomic int refs; /* its owner's, and one for each connection and exchange */
	const struct mesh__env *env;
	pthread_mutex_t loop_mu; /* guards loop */
	struct mesh__loop *loop; /* NULL once the server was freed: the loop may be gone too */

	/* All below: the loop's thread alone. */
	struct mesh__http_options options; /* name and tls are our own */
	char name[32];
	struct mesh__trust *trust; /* since the last rotation; may be NULL */
	struct mesh__listener *listener;
	struct mesh__timer *sweep;
	bool sweeping;
	struct mesh__conn *conns;
	int32_t n_conns;
	struct mesh__handshakes handshakes;
	int64_t n_sweeps;
	bool closed;
	bool draining;
	bool grace;           /* the first part of the drain: connections may be idle and new ones come */
	int64_t grace_until_us;
	int64_t drain_until_us;
	mesh__loop_fn drained;
	void *drained_arg;
	struct mesh__buf plain, cipher, out, lines; /* for the moment: used and emptied within one call */
	int64_t date_s;
	char date[MESH__DATE_TEXT];
	struct mesh__counter *n_accepted, *n_open; /* NULL without metrics */
	struct mesh__http_spread spread;
	struct mesh__counter *n_whole, *n_resumed; /* handshakes done; NULL also without TLS */
	struct mesh__http_logger logger;
};

/* X(NAME): where a connection stands. */
#define MESH__CONN_STATES(X)                                                                                           \
	X(HANDSHAKE) /* TLS is not established yet */                                                                    \
	X(IDLE)      /* between requests */                                                                             \
	X(HEAD)      /* a request has begun */                                                                          \
	X(BODY)      /* its header is whole */                                                                          \
	X(HANDLER)   /* it is whole, and the handler has it */                                                          \
	X(STREAM)    /* the handler has begun a reply of unknown length */                                              \
	X(LINGER)    /* all is said: what still comes is thrown away until the peer has heard it */

#define X(name) MESH__CONN_##name,
enum mesh__conn_state { MESH__CONN_STATES(X) };
#undef X

struct mesh__conn {
	struct mesh__conn *next, *prev;
	struct mesh__http_server *server; /* counted */
	struct mesh__tcp *tcp;
	struct mesh__tls *tls; /* NULL: plaintext */
	enum mesh__conn_state state;
	int64_t deadline_us; /* of the state */
	struct mesh__conn *older, *newer; /* in server->handshakes */
	int64_t since_sweep;              /* likewise */
	int busy;            /* calls of ours on the stack, or posted: the memory stays */
	bool closed;
	bool pumping;
	bool doomed;         /* to be closed as soon as the stack is clear of callers */
	bool eof;            /* the peer has ended its side */
	bool last;           /* the reply at hand is the last */
	struct mesh__exchange *x; /* the request at hand; borrowed: it names this connection in turn */
	struct mesh__buf head;    /* a header as it comes */
	struct mesh__h1_scan scan;
	struct mesh__h1_chunks chunks;
	struct mesh__buf pending; /* input that waits for the request at hand */
	size_t pending_used;
	size_t n_lingered;
	uint64_t n_written;       /* bytes given to the socket */
	uint64_t n_taken;         /* of them with the kernel, when last looked at */
	int64_t write_until_us;   /* when the peer must have taken some; 0: nothing waits */
	struct mesh__post doom_post;
	struct mesh__addr peer;
};

struct mesh__exchange {
	_Atomic int refs;
	_Atomic bool replied;
	struct mesh__http_server *server; /* counted */
	struct mesh__conn *conn;          /* the loop's thread alone; NULL once it is over */
	struct mesh__post post;
	struct mesh__h1_head head;
	struct mesh__buf body;
	struct mesh__leaf peer;
	bool has_peer;
	bool is_head;
	bool handed_over; /* the handler has it; until then it is the connection's */
	bool streaming;
	struct mesh__addr address;
	int64_t arrived_us;
	/* A reply on its way from another thread. */
	int kept_status;
	bool kept_close;
	struct mesh__buf kept_lines, kept_body;
	size_t kept_body_len;          /* told to HEAD, of a body that is not kept */
	/* A stream's. */
	mesh__loop_fn gone;
	void *gone_arg;
	struct mesh__field_text fields[]; /* then the header's text */
};

/* ---- server.c ---- */

struct mesh__http_server *mesh__http_server_ref(struct mesh__http_server *s);
void mesh__http_server_unref(struct mesh__http_server *s); /* any thread; the last frees memory alone */
const char *mesh__http_server_date(struct mesh__http_server *s);
void mesh__http_server_joined(struct mesh__http_server *s, struct mesh__conn *c);
void mesh__http_server_left(struct mesh__http_server *s, struct mesh__conn *c);

/* A sweep at the next turn of the loop. */
void mesh__http_server_sweep_soon(struct mesh__http_server *s);

/* Counts a handshake that is done. */
void mesh__http_server_shook_hands(struct mesh__http_server *s, bool resumed);

/* Counts and, within reason, logs: `event` "handshake refused" or "request refused". */
void mesh__http_server_refused(struct mesh__http_server *s, const char *event, const struct mesh__addr *peer, const char *reason, const char *message);

/* ---- conn.c: life, time and bytes ---- */

/* Counted as placed here (spread.n_placed), which ends with the connection. */
void mesh__conn_begin(struct mesh__http_server *server, const struct mesh__arrival *arrival);
void mesh__conn_enter(struct mesh__conn *c, enum mesh__conn_state state);
void mesh__conn_close(struct mesh__conn *c, bool reset);
void mesh__conn_hold(struct mesh__conn *c);
void mesh__conn_release(struct mesh__conn *c); /* ends a hold; frees what was closed meanwhile */
void mesh__conn_doom(struct mesh__conn *c);    /* closes it soon: for calls made by those whom closing calls back */
void mesh__conn_linger(struct mesh__conn *c);  /* nothing more is sent */
/* False, and told, when the peer's certificate has been revoked or has expired since the handshake. */
bool mesh__conn_still_trusted(struct mesh__conn *c);
void mesh__conn_sweep(struct mesh__conn *c, int64_t now_us);

/* Sends bytes, encrypted where that is due. False: the connection is closed now, or (doomed) soon. */
bool mesh__conn_send(struct mesh__conn *c, const void *bytes, size_t len, const void *more, size_t more_len);

/* ---- spread.c: which of several servers gets a connection ---- */

void mesh__spread_accept(void *server, const struct mesh__arrival *arrival);

/* No connection here, nor at those that this one feeds, nor on its way. */
bool mesh__spread_is_empty(const struct mesh__http_server *s);

/* The listener has gone: tells those that this one feeds. */
void mesh__spread_end(struct mesh__http_server *s);

/* Refuses those who are still on their way. */
void mesh__spread_fini(struct mesh__http_server *s);

/* ---- handshakes.c: how many at a time ---- */

void mesh__handshakes_add(struct mesh__http_server *s, struct mesh__conn *c);
void mesh__handshakes_remove(struct mesh__http_server *s, struct mesh__conn *c);

/* False when one more would be over the limit and all of them are young; else one that is not makes room where need be. */
bool mesh__handshakes_make_room(struct mesh__http_server *s);

/* ---- conn_request.c: from bytes to requests, from replies to bytes ---- */

void mesh__conn_input(struct mesh__conn *c, const char *bytes, size_t len);

/* Stops reading while too much waits for the request at hand. */
void mesh__conn_throttle(struct mesh__conn *c);
void mesh__conn_resume(struct mesh__conn *c); /* goes on with what waits */
void mesh__conn_refuse(struct mesh__conn *c, enum mesh__refusal refusal);

struct mesh__wire_reply {
	int status;
	const char *lines; /* fields as lines */
	size_t lines_len;
	const void *body;
	size_t body_len;
	bool close;
};
void mesh__conn_reply(struct mesh__conn *c, const struct mesh__wire_reply *reply);

/* Ends an idle connection from which nothing more will come, or is to come, once all has been sent. */
void mesh__conn_end_if_done(struct mesh__conn *c);

/* Parts with the request at hand. */
void mesh__conn_let_go(struct mesh__conn *c);

/* The reply at hand has been sent: the next request, or the end. */
void mesh__conn_settle(struct mesh__conn *c);

/* ---- exchange.c ---- */

/* Of a header that the scan has found whole. Held once. */
enum mesh__refusal mesh__exchange_new(struct mesh__conn *c, struct mesh__exchange **out);

/* The connection has no more to do with it: told to a stream when `gone`; freed when the handler never had it. */
void mesh__exchange_detach(struct mesh__exchange *x, bool gone);

/*
 * Has fn(x) run on the loop, now if this is it. False, and it never runs, when the server has been freed: its connections are gone. The lock keeps the server, and so the loop, from
 * being freed in between. Any thread.
 */
bool mesh__exchange_on_loop(struct mesh__exchange *x, mesh__loop_fn fn) MESH__MUST_USE;

#endif
