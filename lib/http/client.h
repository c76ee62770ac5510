/*
 * The one HTTP client: libcurl over mutual TLS (or, said loudly, plaintext), on the facts of DESIGN section 4. Three ways in: a pool of handles for the calling thread (the fast path), flights, which are exchanges of
 * the same pool that a loop drives, and a multi on the loop for the control link.
 *
 * Every connection's peer is judged (mesh__trust_judge) before the first byte of a request is sent on it, and only connections on the handle's list of verified ones are used.
 */
#ifndef MESH__HTTP_CLIENT_H
#define MESH__HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"
#include "http/trailers.h"
#include "io/loop.h"
#include "io/trust.h"
#include "wire/addr.h"

/* Once a process, before any thread of ours: curl_global_init and the check that libcurl is the OpenSSL flavour (MESH_E_UNSUPPORTED, with the remedy). Several calls are fine. */
int mesh__client_init(struct mesh__err *err) MESH__MUST_USE;

/* ---- Credentials: one identity generation. Immutable, counted, any thread. No pool or multi spans two. ---- */

struct mesh__creds;
struct mesh__curl_peer_ctx;

/* Copies the texts. MESH_E_INVALID: one is missing or cannot be read, or the key is not the certificate's; MESH_E_NO_MEMORY. */
int mesh__creds_new(const struct mesh__env *env, uint64_t generation, const char *chain_pem, const char *key_pem, struct mesh__trust *trust, struct mesh__creds **out, struct mesh__err *err) MESH__MUST_USE;

/*
 * True when the three make an identity: the key's halves belong together and to the leaf, and the chain leads up to one of the roots at the wall clock of `env`, every key P-256, every signature ECDSA with SHA-256. It is what
 * mesh__pki_matches() and mesh__pki_chain_verify() find together, by libcurl's TLS library, in a tenth of their time. False may also be a lack of memory: they tell the reason. What the leaf says is not looked at.
 */
bool mesh__creds_sound(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem) MESH__MUST_USE;

struct mesh__creds *mesh__creds_ref(struct mesh__creds *creds);
void mesh__creds_unref(struct mesh__creds *creds);
uint64_t mesh__creds_generation(const struct mesh__creds *creds);
struct mesh__trust *mesh__creds_trust(const struct mesh__creds *creds); /* borrowed */
const char *mesh__creds_chain(const struct mesh__creds *creds);         /* borrowed PEM */
const char *mesh__creds_key(const struct mesh__creds *creds);
const struct mesh__curl_peer_ctx *mesh__creds_ctx(const struct mesh__creds *creds); /* borrowed; the same, parsed for libcurl (curl_peer_ctx.h, which says when it is NULL) */

/* ---- Whom to connect to ---- */

struct mesh__target {
	struct mesh__addr address;
	char host[MESH__DNS_MAX];     /* the DNS name that the certificate must have, and the Host field; for plaintext: what Host says */
	char spiffe[MESH__SPIFFE_MAX];/* the SPIFFE ID that the certificate must have */
	bool insecure_plaintext;      /* no TLS at all */
	char unix_path[108];          /* plaintext alone: the socket that is connected to instead of `address`; "": none */
};

/* ---- Cancelling, from any thread ---- */

struct mesh__cancel;
struct mesh__cancel *mesh__cancel_new(const struct mesh__env *env);
void mesh__cancel_free(struct mesh__cancel *cancel);
void mesh__cancel_fire(struct mesh__cancel *cancel);        /* wakes whoever waits with it; sticks */
bool mesh__cancel_fired(const struct mesh__cancel *cancel);
void mesh__cancel_reset(struct mesh__cancel *cancel);       /* for the next call */

/* ---- One exchange ---- */

struct mesh__client_field {
	const char *name;
	const char *value;
};

struct mesh__client_request {
	const char *method;
	const char *target;            /* path and query, checked by the caller */
	const struct mesh__client_field *fields;
	size_t n_fields;
	const void *body;              /* borrowed until the exchange ends */
	size_t body_len;
	bool has_body;                 /* an empty body is not none */
	size_t max_response_bytes;     /* of the body; header fields are bounded at 64 KiB and 256 of them, trailers at 16 KiB and 128 */
};

/* Owned by the caller, init before, fini after; reusable by mesh__client_response_clear. */
struct mesh__client_response {
	int status;                    /* 0: none came */
	struct mesh__buf fields;       /* "name\0value\0" pairs, in order, names in lower case */
	size_t n_fields;
	struct mesh__buf body;
	struct mesh__trailers trailers; /* there once the exchange is over */
};
void mesh__client_response_init(struct mesh__client_response *r, const struct mesh__env *env, size_t max_body_bytes);
void mesh__client_response_clear(struct mesh__client_response *r);
void mesh__client_response_fini(struct mesh__client_response *r);
/* The first field named `name` (lower case), or NULL; field `index`, false past the last. */
const char *mesh__client_response_header(const struct mesh__client_response *r, const char *name);
bool mesh__client_response_field(const struct mesh__client_response *r, size_t index, const char **name, const char **value);
/* Appends a field that came from nobody, its name in lower case. Want of memory, or of room, sticks in r->fields. */
void mesh__client_response_add(struct mesh__client_response *r, const char *name, const char *value);
/* Likewise of the trailers: those that may stand there (mesh__field_may_trail()). */
const char *mesh__client_response_trailer(const struct mesh__client_response *r, const char *name);
bool mesh__client_response_trailer_field(const struct mesh__client_response *r, size_t index, const char **name, const char **value);

/* How far the request got, for the retry rule. */
enum mesh__sent { MESH__SENT_NOTHING, MESH__SENT_MAYBE };

/* In how many milliseconds its Retry-After (RFC 9110 section 10.2.3) has one come back, by the wall clock at `wall_ms` where it names a date: 0 to a day; -1: it has none that can be read. Pure. */
int64_t mesh__client_response_retry_after_ms(const struct mesh__client_response *r, int64_t wall_ms);

struct mesh__client_result {
	enum mesh__sent sent;          /* SENT_NOTHING: surely no byte of it left, or over HTTP/2 the peer said that it has not processed it (RFC 9113 section 8.7); with TLS 1.3 or any doubt: MAYBE */
	bool reused;                   /* on a connection that had served before */
	bool http2;                    /* over HTTP/2; false where it came to no connection */
	int64_t connect_us;            /* the part of the time that was spent dialling and shaking hands */
	int64_t total_us;
};

/* ---- The calling thread's way: a pool of handles for one endpoint and one generation ---- */

/*
 * The circuit of one destination: what bounds the connections of the pools of all its endpoints, and the calls that wait for one. Counted, any thread; a pool keeps it. There is always a connection allowed to each pool: with more of
 * them than max_connections, that is how many there may be.
 */
struct mesh__circuit;
struct mesh__metrics;

#define MESH__CIRCUIT_METRIC "mesh_circuit_open_total"
#define MESH__CIRCUIT_HELP "Calls that met a limit of circuitBreaker: refused, or by maxConnections made to wait."
enum { MESH__CIRCUIT_NAME = 128 };

struct mesh__circuit_options {
	const char *name;              /* of the destination, for errors; copied, as far as MESH__CIRCUIT_NAME */
	struct mesh__metrics *metrics; /* may be NULL. Counts MESH__CIRCUIT_METRIC{limit} */
	int32_t max_connections, max_pending;
};

int mesh__circuit_new(const struct mesh__env *env, const struct mesh__circuit_options *options, struct mesh__circuit **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__circuit *mesh__circuit_ref(struct mesh__circuit *circuit);
void mesh__circuit_unref(struct mesh__circuit *circuit);

/* `n` more endpoints (fewer, where it is negative) that will have a pool: a connection is kept free for each. */
void mesh__circuit_seat(struct mesh__circuit *circuit, int32_t n);

/* Other limits from here on. What is over them ends in its own time: connections close as they become idle. */
void mesh__circuit_limit(struct mesh__circuit *circuit, int32_t max_connections, int32_t max_pending);

/* How many there are at present: connections, those being made among them; calls that wait for one. */
int32_t mesh__circuit_connections(const struct mesh__circuit *circuit);
int32_t mesh__circuit_pending(const struct mesh__circuit *circuit);

struct mesh__pool;                     /* counted, any thread */

/* Over TLS the handshake settles it (ALPN); without TLS there is nothing to settle it with: either HTTP/2 is HTTP/2 from the first byte (prior knowledge, RFC 9113 section 3.3). */
enum mesh__http_proto {
	MESH__HTTP_1,      /* HTTP/1.1 */
	MESH__HTTP_2,      /* HTTP/2 with a peer that takes it, else HTTP/1.1 */
	MESH__HTTP_2_ONLY  /* HTTP/2; a peer that does not take it is sent nothing */
};

struct mesh__pool_options {
	struct mesh__target target;
	struct mesh__creds *creds;     /* referenced; NULL for plaintext */
	enum mesh__http_proto proto;   /* MESH__HTTP_1 */
	int32_t max_dials;             /* 8 at once */
	int32_t max_pending;           /* of this pool alone. 1024 waiting: over it MESH_E_OVERLOADED */
	int32_t max_connections;       /* of this pool alone. 1024 */
	struct mesh__circuit *circuit; /* referenced; its limits hold as well, over all of its pools. NULL: none */
	int64_t idle_ms;               /* 60000: idle ones are closed by mesh__pool_sweep */
};
void mesh__pool_options_default(struct mesh__pool_options *options);

int mesh__pool_new(const struct mesh__env *env, const struct mesh__pool_options *options, struct mesh__pool **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__pool *mesh__pool_ref(struct mesh__pool *pool);
void mesh__pool_unref(struct mesh__pool *pool);

/* Closes connections that are idle for longer than idle_ms (all idle ones with `all`). Any thread. */
void mesh__pool_sweep(struct mesh__pool *pool, bool all);

/* No connection is kept from here on (the endpoint has left, or the generation is old); exchanges under way finish. Any thread. */
void mesh__pool_retire(struct mesh__pool *pool);

/* How long a thread waits for its exchange, and what it minds meanwhile. */
struct mesh__client_wait {
	int64_t deadline_us;           /* monotonic */
	struct mesh__cancel *cancel;   /* NULL: nobody cancels it */
	void (*due)(void *arg);        /* NULL: nothing is. Called once, as soon as it is `due_us` and the exchange is not over, on its thread, with no lock held; NULL from then on */
	int64_t due_us;
	void *arg;
};

/*
 * Makes one exchange on this thread. Waits for an idle connection or for leave to dial, then sends and receives, until the deadline or cancel. libcurl's own re-send is
 * stopped: a request that may have left is never sent again. connect_timeout_ms is counted from the dial.
 *
 * MESH_OK: a whole response. Errors, each with origin and message naming the address: MESH_E_TIMEOUT, MESH_E_CANCELLED, MESH_E_OVERLOADED, MESH_E_CONNECT, MESH_E_TLS, MESH_E_IDENTITY, MESH_E_RESET, MESH_E_PROTOCOL,
 * MESH_E_TOO_LARGE, MESH_E_NO_MEMORY. result->sent is right in every case.
 */
int mesh__pool_exchange(struct mesh__pool *pool, const struct mesh__client_request *request, int64_t connect_timeout_ms, struct mesh__client_wait *wait,
	struct mesh__client_response *response, struct mesh__client_result *result, struct mesh__err *err) MESH__MUST_USE;

/* In a forked child: makes the pool's sockets harmless to the parent (each replaced by /dev/null), takes no lock, of nobody, and frees nothing. */
void mesh__pool_abandon(struct mesh__pool *pool);

/* ---- The loop's way to the same pool: an exchange that nobody waits for. Loop's thread only. ---- */

struct mesh__flight;

enum { MESH__BODY_LATER = -1, MESH__BODY_FAIL = -2 };

struct mesh__flight_options {
	struct mesh__client_request request;     /* what it points to is borrowed until done */
	struct mesh__client_response *response;  /* borrowed until done */
	int64_t connect_timeout_ms;              /* counted from the dial */
	int64_t deadline_us;                     /* monotonic; INT64_MAX: none */
	bool streamed;                           /* a connection of its own for its whole life; so with read() or data(). Else, over HTTP/2 and TLS, one that is shared */
	/*
	 * NULL: the request's own body, which is not to be had beside it. Bytes into buf: how many, > 0; 0: the end; MESH__BODY_LATER: none now, to be asked again after mesh__flight_resume(), or earlier; MESH__BODY_FAIL: the exchange ends.
	 * With a body_len no more is asked for than is left of it; less of it is MESH_E_INVALID.
	 */
	int64_t (*read)(void *arg, char *buf, size_t size);
	int64_t body_len;                        /* -1: not known */
	/*
	 * NULL, or: what follows the body that read() gives, where its length is not known; looked at once, after its end. Over HTTP/2 libcurl has no way to send any: who has some, or may yet, finds out by speaks() and ends it.
	 */
	const struct mesh__trailers *trailers;
	/* NULL, or: the connection is there, and nothing was sent. False: it has trailers, which what is spoken there cannot take, and ends with MESH_E_UNSUPPORTED. Once for each connection. */
	bool (*speaks)(void *arg, bool http2);
	/* NULL, or: the response's head is whole, in *response. False ends the exchange with MESH_E_PROTOCOL. */
	bool (*head)(void *arg);
	/* NULL: the body is collected in the response. Else its bytes as they come. MESH_OK: taken, all of them; MESH_E_WOULD_BLOCK: none of them, to be offered again after mesh__flight_resume(), or earlier; any other code ends the exchange. */
	int (*data)(void *arg, const char *bytes, size_t len);
	/* Once, never inside a function of this header: `code`, `result` and `err` as of mesh__pool_exchange(). The flight is no more. */
	void (*done)(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err);
	void *arg;
};

/*
 * Begins an exchange: it stands in one queue with the threads that wait for the pool's connections, and shares their limits. A request whose body has begun to be read is never sent again. Callbacks come from the loop, never in here.
 * On failure (MESH_E_OVERLOADED, MESH_E_NO_MEMORY, MESH_E_INVALID and what else mesh__pool_exchange() says before it sends) nothing was sent, and `done` is not called.
 */
int mesh__flight_start(struct mesh__pool *pool, struct mesh__loop *loop, const struct mesh__flight_options *options, struct mesh__flight **out, struct mesh__err *err) MESH__MUST_USE;

/* Closes what the flights of this pool share on that loop: before it ends. None of them is under way there. */
void mesh__pool_leave(struct mesh__pool *pool, struct mesh__loop *loop);

/* There are bytes for `read` again, or room for `data`. The callbacks come from the loop, not in here. Until done. */
void mesh__flight_resume(struct mesh__flight *flight);

/* Another deadline from here on, also from within its functions. */
void mesh__flight_deadline(struct mesh__flight *flight, int64_t deadline_us);

/* What `done` would tell of it now, while it runs and its head is there. */
void mesh__flight_so_far(const struct mesh__flight *flight, struct mesh__client_result *result);

/* Ends it: `done` follows from the loop, with `code`, unless it was over already. `how`, a string that lives until then, continues "host at address: ". Also in its own callbacks; until done. */
void mesh__flight_stop(struct mesh__flight *flight, int code, const char *how);

/* ---- The loop's way: one multi for one generation. Loop's thread only. ---- */

struct mesh__multi;
struct mesh__transfer;

/* `creds` may be NULL: then transfers trust what their own target says (see mesh__transfer_options.trust). */
int mesh__multi_new(struct mesh__loop *loop, struct mesh__creds *creds, struct mesh__multi **out, struct mesh__err *err) MESH__MUST_USE;
/* Cancels what runs (each done callback gets MESH_E_CANCELLED) and frees. Accepts NULL. */
void mesh__multi_free(struct mesh__multi *multi);

enum mesh__verify {
	MESH__VERIFY_PEER,      /* chain to the trust's roots, DNS name, judged SPIFFE ID */
	MESH__VERIFY_NOTHING    /* insecure: for the one fetch of the bundle, which sends no secret and is checked against the token's pin */
};

struct mesh__transfer_options {
	char host[254];                       /* the DNS name to verify and to put in Host */
	char spiffe[MESH__SPIFFE_MAX];        /* the peer's SPIFFE ID */
	char connect_host[254];               /* where to connect: a name or an IP literal without brackets (resolved off the loop by libcurl) */
	uint16_t connect_port;
	enum mesh__verify verify;
	struct mesh__trust *trust;            /* for VERIFY_PEER without creds (enrolment): verified against these roots, no client certificate shown */
	struct mesh__client_request request;  /* fields and body are copied */
	int64_t connect_timeout_ms;
	int64_t timeout_ms;                   /* of the whole; 0: none (a stream) */
	int64_t silence_ms;                   /* streams: MESH_E_TIMEOUT after so long without a byte; 0: none */
	/* A stream: the head, then data as it comes. `data` NULL: the body is collected in the response. Returning false ends the transfer with MESH_E_PROTOCOL. */
	bool (*head)(void *arg, int status);
	bool (*data)(void *arg, const char *bytes, size_t len);
	/* Once, never inside mesh__transfer_start. `response` is valid for the call. */
	void (*done)(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err);
	void *arg;
};

int mesh__transfer_start(struct mesh__multi *multi, const struct mesh__transfer_options *options, struct mesh__transfer **out, struct mesh__err *err) MESH__MUST_USE;

/* Ends it without its done callback. Not after done has run. */
void mesh__transfer_cancel(struct mesh__transfer *transfer);

/* In a forked child: as mesh__pool_abandon. */
void mesh__multi_abandon(struct mesh__multi *multi);

#endif
