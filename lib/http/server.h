/*
 * The one HTTP server core: applications' inbound side, meshd's control and admin listeners, the probe port, `meshctl connect`. HTTP/1.1 (RFC 9112; 1.0 is answered and closed) and,
 * where it is asked for, HTTP/2 (RFC 9113): to a handler the same, but for mesh__exchange_is_http2(). TLS by io/tls, or plaintext. One loop; several servers, each with its loop, can share a listener.
 *
 * HTTP/1: the requests of one connection are handled one at a time and answered in order; what follows the one at hand waits, in the kernel where it is more than 64 KiB. HTTP/2: up to 100 at a time, counting those whose streams were
 * reset and whose handlers are still at work; a limit or a refusal is then the stream's, not the connection's, and what is "cut" is reset.
 *
 * What is refused (THREATS 1 to 7, 10 to 12) is answered here and never reaches the handler; it is counted, and logged at most twenty times a second by each loop. Header fields
 * named mesh-* are removed unless the peer is an authenticated mesh identity; X-Forwarded-Client-Cert always: who calls, the certificate says.
 */
#ifndef MESH__HTTP_SERVER_H
#define MESH__HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/loop.h"
#include "io/tls.h"
#include "telemetry/metrics.h"
#include "wire/addr.h"

struct mesh__http_server;
struct mesh__exchange; /* one request and its reply; counted */

struct mesh__field_text {
	const char *name;
	const char *value;
};

struct mesh__http_limits {
	int32_t max_connections;     /* 10000; over it: accepted and closed at once, counted */
	int32_t max_handshakes;      /* 1000 at a time; over it, one that has taken longer than a second makes room for the newcomer, else that is closed at once */
	int32_t max_header_bytes;    /* 65536: request line and fields; 431 */
	int32_t max_fields;          /* 128; 431 */
	int64_t max_body_bytes;      /* 16 MiB; 413 */
	int64_t max_stranger_body_bytes; /* the same, of a peer that has shown no certificate, where it is less: unbounded */
	int64_t max_bodies_bytes;    /* 32 MiB, or 2 * max_body_bytes where that is more: what the whole bodies of one HTTP/2 connection hold together before they have to wait for each other (h2_bodies.h); what waits for body_ms is refused with REFUSED_STREAM */
	int64_t handshake_ms;        /* 10000; deadlines are noticed at most 250 ms late */
	int64_t header_ms;           /* 10000, from the first byte of a request to the end of its header; 408 */
	int64_t body_ms;             /* 60000, from the end of the header to the end of the body; of a streamed body, without a byte that the handler waits for, until its reply begins; 408 */
	int64_t reply_ms;            /* 120000 for a handler to reply, from the end of the request, of a streamed one from what was last received or read; 503 */
	int64_t write_ms;            /* 30000 without a byte taken by the peer: closed */
	int64_t idle_ms;             /* 90000 between requests */
	int64_t drain_grace_ms;      /* 0: see mesh__http_server_drain() */
	int64_t max_stream_bytes;    /* 8 MiB written to a stream and not yet taken by the peer: closed */
};

/* The defaults named above. */
void mesh__http_limits_default(struct mesh__http_limits *limits);

/* On the loop, for each whole request (body included; with stream_bodies when its header is whole). The callee replies now or later. It holds one reference that the reply (or mesh__exchange_unref without one: 500) ends. */
typedef void (*mesh__http_handler)(void *user, struct mesh__exchange *x);

struct mesh__http_options {
	struct mesh__addr address;
	bool fed;                        /* it does not listen at `address`: its connections come by mesh__http_server_spread() */
	const char *name;                /* a label in logs and metrics: "inbound", "control", "admin", "probe" */
	struct mesh__tls_conf *tls;      /* NULL: plaintext. Referenced. */
	bool tls_required;               /* with tls NULL: TLS that comes by mesh__http_server_rotate(); until then connections are closed at once, counted as "no-identity" */
	bool http2;                      /* takes HTTP/2 too: over TLS where `tls` settles on it, in plaintext by its preface (prior knowledge, RFC 9113 section 3.3) */
	struct mesh__http_limits limits;
	bool stream_bodies;              /* the handler is called when a request's header is whole, and reads the body while it comes; max_body_bytes is then not looked at */
	mesh__http_handler handler;
	void *user;
	struct mesh__metrics *metrics;   /* may be NULL. Counts mesh_connections_total, mesh_handshakes_total{resumed}, mesh_handshakes_refused_total{reason}, mesh_requests_refused_total{reason} and the gauge mesh_connections */
};

/* Listens and serves. Loop's thread, or before the loop runs. Copies what it needs. */
int mesh__http_server_new(struct mesh__loop *loop, const struct mesh__http_options *options, struct mesh__http_server **out, struct mesh__err *err) MESH__MUST_USE;

/*
 * Spreads the connections that `server` accepts over itself and the `n` others, made with `fed`, each on a loop of its own: each goes where the fewest are. Their limits of connections and handshakes are for all together
 * from here on. Before any of the loops runs. The others' loops must run when `server`'s does; that one ends first, then theirs, then the others are freed, and `server` last. Drain and rotate each, on its loop. MESH_E_NO_MEMORY.
 */
int mesh__http_server_spread(struct mesh__http_server *server, struct mesh__http_server *const *others, size_t n, struct mesh__err *err) MESH__MUST_USE;

/* In a forked child: closes its copies of descriptors that are on their way from loop to loop. Touches nothing else; the server is not used again. Accepts NULL. */
void mesh__http_server_abandon(struct mesh__http_server *server);

void mesh__http_server_address(const struct mesh__http_server *server, struct mesh__addr *out);

/* New connections use `tls` from here on; old ones keep theirs, but an idle or next request on a connection whose peer `trust` has since revoked is refused: the connection is closed. Loop's thread. */
void mesh__http_server_rotate(struct mesh__http_server *server, struct mesh__tls_conf *tls, struct mesh__trust *trust);

/*
 * Drains. First, for limits.drain_grace_ms (at most half of drain_ms, and no longer than there are connections, those of a spread counted together), all is served as before, but each reply says Connection: close: peers that are still to hear
 * that this server leaves do not meet a connection that closes just when they send. Then it stops listening and accepting, and idle connections close. `done(arg)` runs on the loop when the last connection has gone, at the latest after
 * `drain_ms`, when what is left is cut. Loop's thread, once.
 */
void mesh__http_server_drain(struct mesh__http_server *server, int64_t drain_ms, mesh__loop_fn done, void *arg);

/* Whether requests were cut at the end of the drain that had not been given their whole reply, and that a peer still waited for. From `done` on; loop's thread. */
bool mesh__http_server_cut_short(const struct mesh__http_server *server);

/* Cuts what is left and frees, on the loop's thread or after the loop has ended. Exchanges still held by others stay valid; their replies are dropped. Accepts NULL. */
void mesh__http_server_free(struct mesh__http_server *server);

/* ---- The request. Any thread, until the reply. ---- */

const char *mesh__exchange_method(const struct mesh__exchange *x);
const char *mesh__exchange_path(const struct mesh__exchange *x);   /* without query; normalised, once, here (wire/path.h): what cannot be is refused, 400 */
const char *mesh__exchange_query(const struct mesh__exchange *x);  /* "" when none */
const char *mesh__exchange_header(const struct mesh__exchange *x, const char *name);
size_t mesh__exchange_n_fields(const struct mesh__exchange *x);
struct mesh__field_text mesh__exchange_field(const struct mesh__exchange *x, size_t index);
const char *mesh__exchange_body(const struct mesh__exchange *x, size_t *len); /* whole; "" with stream_bodies */
bool mesh__exchange_is_http2(const struct mesh__exchange *x);
const struct mesh__leaf *mesh__exchange_peer(const struct mesh__exchange *x); /* NULL: no certificate */
void mesh__exchange_address(const struct mesh__exchange *x, struct mesh__addr *out); /* of the peer */
int64_t mesh__exchange_arrived_us(const struct mesh__exchange *x);

/* True once it has ended before it was over, as told by `gone` below: its answer interests nobody. */
bool mesh__exchange_is_gone(const struct mesh__exchange *x);

/*
 * ---- The request's body, while it comes. Loop's thread. ----
 * Without stream_bodies all of it has come when the handler is called. No more than 256 KiB, and what one read of the socket gave, wait to be read: the peer then waits too. What the handler leaves unread when its reply is whole is
 * thrown away, the connection after it if the body is not whole.
 */
struct mesh__exchange_events {
	void (*readable)(void *arg); /* after MESH_E_WOULD_BLOCK of mesh__exchange_read(), once: bytes, the end, or the abort */
	void (*writable)(void *arg); /* after mesh__stream_room() said 0, once: there is room again */
	void (*gone)(void *arg);     /* once: the peer reset it, the connection ended, or the core ended it (see mesh__exchange_read()), before it was over. Nothing more is read; what is written is dropped. The reference stays. */
};

/*
 * Who is told; NULL: nobody. Borrowed until another is, or the exchange is over for the caller: it has replied, ended or aborted a stream, or unref'd. Members may be NULL. No event comes from inside a function of this header that the
 * callee calls for the same exchange. Who replies from another thread takes `events` away first, on the loop: `gone` may be under way.
 */
void mesh__exchange_watch(struct mesh__exchange *x, const struct mesh__exchange_events *events, void *arg);

/*
 * Reads up to `size` (> 0) bytes. MESH_OK with *n > 0; MESH_OK with *n == 0: the end, trailers are there; MESH_E_WOULD_BLOCK: none now, `readable` follows. Else it is gone: MESH_E_RESET by the peer, or with its connection; by the core,
 * which has answered for the handler where its reply had not begun: MESH_E_PROTOCOL the body is malformed, MESH_E_TIMEOUT body_ms or reply_ms passed, MESH_E_NO_MEMORY. The first read that finds nothing answers Expect: 100-continue.
 */
int mesh__exchange_read(struct mesh__exchange *x, void *buf, size_t size, size_t *n) MESH__MUST_USE;

/* The request's trailer fields, names in lower case, once the end was read: at most 128, 16 KiB, and none that could forge what a header says (Content-Length, Transfer-Encoding, Host, Authorization, mesh-*, …: RFC 9110 section 6.5.1). {"", ""} where there is none. */
size_t mesh__exchange_n_trailers(const struct mesh__exchange *x);
struct mesh__field_text mesh__exchange_trailer(const struct mesh__exchange *x, size_t index);

/* ---- The reply. ---- */

struct mesh__reply {
	int status;                      /* 200 to 599 */
	const struct mesh__field_text *fields;
	size_t n_fields;
	const void *body;
	size_t body_len;
	bool close;                      /* close the connection after it */
	const struct mesh__field_text *trailers; /* left out where there is no place for them: to HTTP/1.0, and without a body (HEAD, 204, 304) */
	size_t n_trailers;
};

/* Replies whole, from any thread; copies; takes the caller's reference. A HEAD's, 204's or 304's body is not sent; to HEAD `body` may be NULL where body_len is known. Dropped when the peer has gone. Fields must be valid; Content-Length, Connection and Date are ours. */
void mesh__exchange_reply(struct mesh__exchange *x, const struct mesh__reply *reply);

/*
 * A refusal, from any thread; takes the reference. A JSON reply, {"error": code, "message": text}; to a gRPC request (by its content type) an answer of trailers alone: HTTP 200 with `grpc-status` for the HTTP status
 * (mesh__grpc_status_of_refusal()) and `grpc-message`, "code: text".
 */
void mesh__exchange_refuse(struct mesh__exchange *x, int status, const char *code, const char *message);

/* The same, saying that no handler has seen the request (mesh-not-processed: 1). */
void mesh__exchange_refuse_unprocessed(struct mesh__exchange *x, int status, const char *code, const char *message);

/* The same, saying when to come again, in so many milliseconds (> 0): Retry-After, whose unit is a second, rounded up; to a gRPC request grpc-retry-pushback-ms. */
void mesh__exchange_refuse_for(struct mesh__exchange *x, int status, const char *code, const char *message, int64_t wait_ms);

void mesh__exchange_ref(struct mesh__exchange *x);
void mesh__exchange_unref(struct mesh__exchange *x);

/* Has fn(arg) run on the exchange's loop, later. False, and it never runs, when the server has been freed: its connections are gone. Any thread that has a reference; `post` is the caller's until then. */
bool mesh__exchange_post(struct mesh__exchange *x, struct mesh__post *post, mesh__loop_fn fn, void *arg) MESH__MUST_USE;

/*
 * A streamed reply, loop's thread only: of known length where there is one valid Content-Length among the fields, else chunked (to HTTP/1.0: until the end of the connection). begin: false when the peer has gone, or a reply was made; the reference is then still the
 * caller's to unref. Else it is kept until end; unref instead of end is abort. write copies; false when the peer has gone, is over max_stream_bytes, or was promised fewer bytes
 * (the connection is then cut); writing nothing is nothing, and to HEAD, with 204 and 304 nothing is sent. An end with bytes still to come of a known length is abort. `gone(arg)` runs once, on the loop and never inside write, when the connection ends before
 * mesh__stream_end; not after it. Whether it ran or not, the caller ends with mesh__stream_end() or mesh__stream_abort(), each of which takes the reference.
 */
bool mesh__stream_begin(struct mesh__exchange *x, int status, const struct mesh__field_text *fields, size_t n_fields, mesh__loop_fn gone, void *arg) MESH__MUST_USE;
bool mesh__stream_write(struct mesh__exchange *x, const void *bytes, size_t len) MESH__MUST_USE;
void mesh__stream_end(struct mesh__exchange *x);

/* How many bytes may be written before the writer should wait for `writable`, which then follows: 0 while the peer has 256 KiB still to take, until no more than 64 KiB of them are left. Of an exchange that is gone: not 0. */
size_t mesh__stream_room(struct mesh__exchange *x);

/* A trailer field, before the end. Left out where there is no place for it (see struct mesh__reply, and with a known length in HTTP/1), where it is not valid, and where it would forge what a header says. False: out of memory, or there are too many. */
bool mesh__stream_trailer(struct mesh__exchange *x, const char *name, const char *value) MESH__MUST_USE;

/* Ends it so that the peer cannot take what it has for whole: HTTP/1 cuts the connection. Also before a reply has begun. */
void mesh__stream_abort(struct mesh__exchange *x);

#endif
