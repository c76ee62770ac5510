/* The inside of the server core: the server, its connections, their exchanges. Private to server.c, spread.c, handshakes.c, conn.c, h1_conn.c, h1_reply.c, h2_conn.c, h2_stream.c, h2_bodies.c, exchange*.c. */
#ifndef MESH__HTTP_CORE_H
#define MESH__HTTP_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "http/h1_conn.h"
#include "http/h2_conn.h"
#include "http/refusal.h"
#include "http/reply.h"
#include "http/trailers.h"
#include "http/server.h"
#include "io/tcp.h"

/* Refusals are logged, but not so that a flood of them becomes a flood of lines. */
struct mesh__http_logger {
	int64_t window_us; /* when the second at hand began */
	int n_lines;
	int64_t n_left_out;
};

/* Connections in state HANDSHAKE whose peers wait for our arithmetic. */
struct mesh__handshake_line {
	struct mesh__conn *first, *last;
};

/* The connections in state HANDSHAKE, in the order of their coming; and of them, those with bytes that the loop has not come to (handshakes.c). */
struct mesh__handshakes {
	struct mesh__conn *oldest, *newest;
	int32_t n;
	struct mesh__handshake_line nearly; /* those nearly done: they have had a flight of ours, or resume a session */
	struct mesh__handshake_line fresh;  /* the others, the latest first */
	int64_t spent_us;                  /* on arithmetic, in this turn of the loop */
	bool turn_ends, slice_posted;      /* that what follows runs */
	struct mesh__post turn_post, slice_post;
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
	bool cutting;         /* the drain is over, and what is left goes */
	bool cut_short;       /* a request without its whole reply was among that */
	mesh__loop_fn drained;
	void *drained_arg;
	struct mesh__buf plain, cipher, out; /* for the moment: used and emptied within one call */
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
	X(BUSY)      /* its protocol is at work, and watches the time */                                                \
	X(LINGER)    /* all is said: what still comes is thrown away until the peer has heard it */

#define X(name) MESH__CONN_##name,
enum mesh__conn_state { MESH__CONN_STATES(X) };
#undef X

/* What is spoken on a connection. The connection is held while it is called; the loop's thread. */
struct mesh__protocol {
	void (*input)(struct mesh__conn *c, const char *bytes, size_t len); /* what has come, decrypted; state IDLE or BUSY */
	void (*eof)(struct mesh__conn *c);                                  /* the peer has ended its side (c->eof); likewise */
	void (*drained)(struct mesh__conn *c);                              /* the kernel has taken all that was sent; likewise */
	void (*sweep)(struct mesh__conn *c, int64_t now_us);                /* every 250 ms, in state BUSY: what is overdue */
	void (*drain)(struct mesh__conn *c);                                /* the server drains: told when that begins, and when its grace (server->grace) is over; any state */
	void (*expire)(struct mesh__conn *c);                               /* state IDLE: it has been idle for too long, or its peer is believed no longer. Ends it, soon at least */
	void (*part)(struct mesh__conn *c);                                 /* nothing more is read or said: whatever it carries is gone, what waits is thrown away. Once or more, also from inside the others */
	void (*fini)(struct mesh__conn *c);                                 /* frees its memory; called last, from none of the others */
};

struct mesh__conn {
	struct mesh__conn *next, *prev;
	struct mesh__http_server *server; /* counted */
	struct mesh__tcp *tcp;
	struct mesh__tls *tls; /* NULL: plaintext */
	const struct mesh__protocol *protocol;
	enum mesh__conn_state state;
	int64_t deadline_us; /* of the state; BUSY has none */
	struct mesh__conn *older, *newer; /* in server->handshakes */
	int64_t since_sweep;              /* likewise */
	struct mesh__handshake_line *line; /* in which it waits; NULL: in none */
	struct mesh__conn *line_next, *line_prev;
	struct mesh__buf early;           /* what its peer said meanwhile */
	bool early_eof;                   /* and that nothing follows it */
	int busy;            /* calls of ours on the stack, or posted: the memory stays */
	bool closed;
	bool doomed;         /* to be closed as soon as the stack is clear of callers */
	bool eof;            /* the peer has ended its side */
	size_t n_lingered;
	uint64_t n_written;       /* bytes given to the socket */
	uint64_t n_taken;         /* of them with the kernel, when last looked at */
	int64_t write_until_us;   /* when the peer must have taken some; 0: nothing waits */
	struct mesh__post doom_post;
	struct mesh__addr peer;
	struct mesh__h1_conn h1;
	struct mesh__h2_conn h2;
};

/*
 * What carries an exchange: an HTTP/1 connection with the request at hand, or one stream of a connection that has many. The loop's thread; `carrier` is the object that mesh__exchange_open() was given. What is said to end the
 * exchange ends with mesh__exchange_detach().
 */
struct mesh__carrier {
	void (*reply)(void *carrier, const struct mesh__reply *reply);  /* whole. Ends it. */
	void (*refuse)(void *carrier, enum mesh__refusal refusal);      /* in the core's own words. Ends it. */
	bool (*begin)(void *carrier, int status, const struct mesh__field_text *fields, size_t n_fields); /* a streamed reply's head. False: it could not be sent; ended. */
	bool (*write)(void *carrier, const void *bytes, size_t len);    /* of its body, len > 0. False: the peer has gone, or is too slow; it ends soon. */
	void (*end)(void *carrier, const struct mesh__field_text *trailers, size_t n_trailers); /* its end. Ends it. */
	void (*abort)(void *carrier);                                   /* the peer must not take what it has for whole. Ends it. */
	size_t (*room)(void *carrier);                                  /* mesh__stream_room(): after 0, mesh__exchange_drained() */
	void (*read)(void *carrier, size_t n);                          /* the handler has taken n bytes of the body; 0: it found none, and waits. Calls nobody back. */
};

enum { MESH__STREAM_HIGH_BYTES = 256 * 1024, MESH__STREAM_LOW_BYTES = 64 * 1024 }; /* of what waits for a handler or for the peer */

struct mesh__exchange {
	_Atomic int refs;
	_Atomic bool replied;
	struct mesh__http_server *server; /* counted */
	const struct mesh__carrier *ops;
	void *carrier;                    /* the loop's thread alone; NULL once it is over */
	struct mesh__post post;
	const char *method, *path, *query;
	const struct mesh__exchange_events *events; /* NULL: nobody listens */
	void *events_arg;
	_Atomic bool is_gone;
	int code;           /* why it is */
	bool streams_body;  /* the handler has it before the body is whole */
	bool body_ended;
	bool wants;         /* its reader has found nothing: readable is due */
	bool waits;         /* its writer has found no room: writable is due */
	int64_t progress_us; /* when something was last received or read; when the handler got it, or found nothing to read */
	struct mesh__buf body;
	size_t body_at;     /* read of it */
	struct mesh__trailers trailers;
	struct mesh__leaf peer;
	bool has_peer;
	bool is_head;
	bool is_http2;
	bool handed_over; /* the handler has it; until then it is the carrier's */
	bool streaming;
	struct mesh__addr address;
	int64_t arrived_us;
	struct mesh__reply *kept; /* on its way from another thread, in one piece; NULL: there was no memory for it */
	/* A streamed reply's. */
	mesh__loop_fn gone;
	void *gone_arg;
	bool bodiless;
	bool sized;         /* its length was told: */
	uint64_t length, n_left;
	struct mesh__trailers own_trailers;
	size_t n_fields;
	struct mesh__field_text fields[]; /* names in lower case; then the text of all */
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

/* Takes what came over TLS: a part of the handshake, or records. The connection is held. */
void mesh__conn_decrypt(struct mesh__conn *c, const char *bytes, size_t len);

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

/* ---- handshakes.c: how many at a time, and whose turn it is ---- */

void mesh__handshakes_add(struct mesh__http_server *s, struct mesh__conn *c);
void mesh__handshakes_remove(struct mesh__http_server *s, struct mesh__conn *c);

/* False when one more would be over the limit and all of them are young; else one that is not makes room where need be. */
bool mesh__handshakes_make_room(struct mesh__http_server *s);

/*
 * Takes what a peer said in its handshake (mesh__conn_decrypt()): at once, or in a later turn of the loop where this one has spent its time on others' handshakes. So connections that are established are served meanwhile, whoever
 * and however many want to become so. What is nearly done is finished first; of the others the last to come goes first: when there are more than there is time for, it is the one that still waits. The connection is held.
 */
void mesh__handshakes_feed(struct mesh__conn *c, const char *bytes, size_t len);

/* The peer has ended its side. True when that is looked at later, behind what waits: it may hold a request. False also of one whose first flight waits: it has given up, and costs no arithmetic. */
bool mesh__handshakes_keep_eof(struct mesh__conn *c);

/* ---- exchange.c ---- */

/* The largest body that this connection's peer may send; with stream_bodies none is too large. */
size_t mesh__exchange_max_body(const struct mesh__conn *c);

/* One with room for the fields of a header and for text_len bytes of text, which are the carrier's to fill in at *text, and a NUL behind them. Held once, by the carrier until it is handed over. NULL: out of memory. */
struct mesh__exchange *mesh__exchange_new(struct mesh__conn *c, size_t n_fields, size_t text_len, char **text) MESH__MUST_USE;

/* The header is in: method, path, query, fields (names in lower case). Takes away what is not the peer's to say. */
void mesh__exchange_open(struct mesh__exchange *x, const struct mesh__carrier *ops, void *carrier);

/* The handler has it from here on. */
void mesh__exchange_hand_over(struct mesh__exchange *x);

/* The carrier has no more to do with it: it is over (MESH_OK), or gone, which is told, for this reason. Freed when the handler never had it. */
void mesh__exchange_detach(struct mesh__exchange *x, int code);

/* The peer has gone, which is told, while the handler is still at work: the carrier's until that has ended it. */
void mesh__exchange_gone(struct mesh__exchange *x, int code);

/* What is overdue (limits.body_ms, reply_ms): MESH__REFUSAL_NONE, or TIMEOUT for the peer, LATE for the handler. */
enum mesh__refusal mesh__exchange_overdue(const struct mesh__exchange *x, int64_t now_us);

/* One of the core's own refusals as a reply, in JSON or, where `x` (NULL: it is not known who asked) is a gRPC request, in trailers alone. The reply borrows from the rest, which must not move. */
struct mesh__refusal_reply {
	struct mesh__reply reply;
	struct mesh__field_text fields[5];
	struct mesh__buf text;
	char number[4];
};
void mesh__refusal_reply_init(struct mesh__refusal_reply *r, const struct mesh__mem *mem, const struct mesh__exchange *x, enum mesh__refusal refusal);
void mesh__refusal_reply_fini(struct mesh__refusal_reply *r);

/*
 * Has fn(x) run on the loop, now if this is it. False, and it never runs, when the server has been freed: its connections are gone. The lock keeps the server, and so the loop, from
 * being freed in between. Any thread.
 */
bool mesh__exchange_on_loop(struct mesh__exchange *x, mesh__loop_fn fn) MESH__MUST_USE;

/* ---- exchange_body.c: the request's body, for its carrier. What tells may free the exchange where the carrier holds no reference. ---- */

/* Where what has come of the body is appended; then mesh__exchange_fed(). */
struct mesh__buf *mesh__exchange_body_buf(struct mesh__exchange *x);

/* Tells a reader that waits; `ended`: the body is whole, its trailers are in x->trailers. For a handler that has it. */
void mesh__exchange_fed(struct mesh__exchange *x, bool ended);

/* Tells a writer that waits, once no more than MESH__STREAM_LOW_BYTES of what was written are left. */
void mesh__exchange_drained(struct mesh__exchange *x);

/* What has come and was not read. */
size_t mesh__exchange_unread(const struct mesh__exchange *x);

/* Tells whoever listens that it is gone. */
void mesh__exchange_tell_gone(struct mesh__exchange *x);

#endif
