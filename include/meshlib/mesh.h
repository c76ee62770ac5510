/*
 * meshlib: a service mesh inside your process.
 *
 * A program opens a mesh handle, names a service, and calls it: discovery, mutual TLS, load balancing, retries of what surely did not
 * reach anybody, and one deadline over all of it happen in here. The same handle serves calls from others.
 *
 * This header is C99 and C++ clean. Every handle is opaque. Strings are NUL-terminated UTF-8; a string that a function takes is copied
 * unless it says otherwise. Functions that return int32_t return MESH_OK (0) or one of the codes below, unless they say otherwise.
 * Every free function accepts NULL; any other function that is given NULL for a handle, or where it needs a value, returns MESH_E_INVALID, NULL or 0, or has no effect. The library starts no thread before mesh_open(), never prints, never exits, and installs no signal handler.
 */
#ifndef MESHLIB_MESH_H
#define MESHLIB_MESH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MESH_API __attribute__((visibility("default")))
#else
#define MESH_API
#endif

/* What can go wrong. Values never change; new ones are added at the end. mesh_code_name() gives the name as a string. */
enum mesh_code {
	MESH_OK = 0,
	MESH_E_INVALID = 1,      /* an argument, option, address, name or document is malformed */
	MESH_E_NO_MEMORY = 2,    /* out of memory */
	MESH_E_TIMEOUT = 3,      /* the deadline passed */
	MESH_E_CANCELLED = 4,    /* mesh_cancel() was called */
	MESH_E_CLOSED = 5,       /* the handle is closing or closed */
	MESH_E_NO_SERVICE = 6,   /* the control plane knows no such service */
	MESH_E_NO_ENDPOINT = 7,  /* the service has no endpoint at present */
	MESH_E_OVERLOADED = 8,   /* a local limit was hit; nothing was sent */
	MESH_E_CONNECT = 9,      /* no connection could be made; nothing was sent */
	MESH_E_TLS = 10,         /* the TLS handshake failed */
	MESH_E_IDENTITY = 11,    /* the peer is not who it must be; nothing was sent */
	MESH_E_RESET = 12,       /* the connection died after the request was, or may have been, sent */
	MESH_E_PROTOCOL = 13,    /* the peer broke the protocol */
	MESH_E_TOO_LARGE = 14,   /* a body, a header or a message is over its bound */
	MESH_E_CONTROL = 15,     /* the control plane cannot be reached, or refused */
	MESH_E_DENIED = 16,      /* not allowed */
	MESH_E_NOT_READY = 17,   /* no identity or no configuration yet */
	MESH_E_WOULD_BLOCK = 18, /* a waiting function was called on the mesh's own loop thread */
	MESH_E_FORKED = 19,      /* the handle belongs to the parent process */
	MESH_E_IO = 20,          /* an operation on a file or descriptor failed */
	MESH_E_STATE = 21,       /* called in the wrong order, or twice */
	MESH_E_NOT_FOUND = 22,   /* no such thing */
	MESH_E_EXISTS = 23,      /* there is one already */
	MESH_E_UNSUPPORTED = 24, /* not in this version, or not over the protocol that is spoken */
	MESH_E_INTERNAL = 25     /* a defect in the library */
};

/* What an event tells. Values never change; new ones are added at the end. */
enum mesh_event_kind {
	MESH_EVENT_DONE = 1,     /* the started call is over, with `code` */
	MESH_EVENT_READABLE = 2, /* a read that said MESH_E_WOULD_BLOCK can go on */
	MESH_EVENT_WRITABLE = 3, /* a write that said MESH_E_WOULD_BLOCK can go on */
	MESH_EVENT_GONE = 4      /* who calls has gone */
};

/* A mesh: one service instance in one process, as client, server or both. Any thread, unless a function says otherwise. */
typedef struct mesh mesh;
/* Settings for mesh_open(). One thread at a time. */
typedef struct mesh_options mesh_options;
/* What went wrong: an object, never thread-local. Immutable; any thread may read it. */
typedef struct mesh_error mesh_error;
/* One outbound call: the request, then its result. One thread at a time, but for mesh_cancel() and mesh_call_wait(). */
typedef struct mesh_request mesh_request;
/* The serving side of a mesh. Any thread. */
typedef struct mesh_server mesh_server;
/* One inbound request, until it is replied to. One thread at a time; it may be handed from thread to thread. */
typedef struct mesh_inbound mesh_inbound;

/* ---- The library ---- */

/* The library's version, "MAJOR.MINOR.PATCH". Static. */
MESH_API const char *mesh_version(void);

/* The name of a code ("MESH_E_TIMEOUT"); "MESH_E_UNKNOWN" for a number that is none. Static. */
MESH_API const char *mesh_code_name(int32_t code);

/* Frees a string that a function of this header gave to the caller to free. */
MESH_API void mesh_string_free(char *text);

/* ---- Errors ---- */

/* The code, its stable name, and where it arose: "local", "policy", "control", "connect", "tls" or "peer". The strings live as long as the error. */
MESH_API int32_t mesh_error_code(const mesh_error *error);
MESH_API const char *mesh_error_name(const mesh_error *error);
MESH_API const char *mesh_error_origin(const mesh_error *error);

/* One line for a person: what was tried, with which value, and what to do. Lives as long as the error. */
MESH_API const char *mesh_error_message(const mesh_error *error);

/* 1 when a handler may have seen the request (so repeating it may do its work twice), 0 when it surely reached none. */
MESH_API int32_t mesh_error_may_be_processed(const mesh_error *error);

/* How many tries were made, and to which endpoint ("instance address") try `index` (from 0) went; NULL past the last. Lives as long as the error. */
MESH_API int32_t mesh_error_tries(const mesh_error *error);
MESH_API const char *mesh_error_endpoint(const mesh_error *error, int32_t index);

/* Frees an error that mesh_open(), mesh_wait_ready() or mesh_serve() gave. */
MESH_API void mesh_error_free(mesh_error *error);

/* ---- Options ---- */

/* Empty options, or NULL when out of memory. The caller frees them with mesh_options_free(), at any time after mesh_open(). */
MESH_API mesh_options *mesh_options_new(void);
MESH_API void mesh_options_free(mesh_options *options);

/*
 * Sets option `key` to `value` (NULL: back to unset). What is unset comes from the environment variable in brackets, else from the default.
 *
 *   control [MESH_CONTROL]            https://host:port of meshd; several, separated by commas, are tried from a random start
 *   token [MESH_TOKEN]                the join token
 *   service [MESH_SERVICE]            the name this process goes by; with a token it may be left out: the token's record says it
 *   namespace [MESH_NAMESPACE]        default "default"
 *   instance [MESH_INSTANCE]          default: the one kept in state_dir, else random
 *   version [MESH_VERSION]            a label, for subsets
 *   zone [MESH_ZONE]
 *   listen [MESH_LISTEN]              ip:port for mesh_serve(); default: the local address of the control connection, port 0 (any)
 *   advertise [MESH_ADVERTISE]        ip:port that others are told; default: the address listened on
 *   probe_listen [MESH_PROBE_LISTEN]  ip:port of a plaintext listener that answers /livez and /readyz alone; default: none
 *   probe_metrics [MESH_PROBE_METRICS] "1": /metrics there too
 *   state_dir [MESH_STATE_DIR]        a directory for key, certificate and the last snapshot; default: nothing is kept
 *   log [MESH_LOG]                    debug, info, warn, error or off: JSON lines on stderr; default off (a sink set in code: info)
 *   workers [MESH_WORKERS]            threads of the handler pool, 1 to 512; default 16
 *   loops [MESH_LOOPS]                threads that serve the connections, 1 to 64; default: one for each CPU that the process may run on
 *   max_body [MESH_MAX_BODY]          bytes of a request's or response's body that are taken whole; default 16777216
 *   request_bodies [MESH_REQUEST_BODIES]  "whole" (the default): a handler gets a request when its body is there too; "streamed": when its header is, and reads the body while it comes
 *   tls_max_version [MESH_TLS_MAX_VERSION] "1.2": mesh_serve() does without TLS 1.3; default "1.3", where the TLS library has it (mbedTLS 3.6)
 *   certificate, key, bundle [MESH_CERTIFICATE, MESH_KEY, MESH_BUNDLE]  PEM files: an identity from elsewhere, such as `meshctl cert issue`; needs no token
 *   endpoints [MESH_ENDPOINTS]        a file of `kind: Endpoints` documents: static endpoints; with the three above no control plane is needed
 *
 * Returns MESH_E_INVALID for a key that is none or a value that cannot be; mesh_options_message() then says what and why.
 */
MESH_API int32_t mesh_options_set(mesh_options *options, const char *key, const char *value);

/* The value set in code for `key`, or NULL. Lives until the key is set again. */
MESH_API const char *mesh_options_get(const mesh_options *options, const char *key);

/* What the last mesh_options_set() that failed had to say; "" when none did. Lives until the next one. */
MESH_API const char *mesh_options_message(const mesh_options *options);

/*
 * A sink for log events. It is called from any thread, with no lock held; it must not call back into the mesh. `level` is 0 debug, 1 info, 2 warn,
 * 3 error; `line` is one JSON object and lives for the call; a value in it that is over
 * 2 KiB is cut there, and ends in "...".
 */
typedef void (*mesh_log_fn)(void *user, int32_t level, const char *line);
MESH_API void mesh_options_log(mesh_options *options, mesh_log_fn sink, void *user);

/* An allocator for everything that a mesh allocates of its own (not curl, mbedTLS, libuv): malloc's, realloc's and free's contracts, any thread. It must outlive the mesh. */
typedef void *(*mesh_alloc_fn)(void *user, size_t size);
typedef void *(*mesh_resize_fn)(void *user, void *block, size_t size);
typedef void (*mesh_release_fn)(void *user, void *block);
MESH_API void mesh_options_allocator(mesh_options *options, mesh_alloc_fn alloc, mesh_resize_fn resize, mesh_release_fn release, void *user);

/* A clock: `monotonic_us` in microseconds, never backwards; `wall_ms` in milliseconds since 1970. Any thread. For tests. */
typedef int64_t (*mesh_clock_fn)(void *user);
MESH_API void mesh_options_clock(mesh_options *options, mesh_clock_fn monotonic_us, mesh_clock_fn wall_ms, void *user);

/* Dice for decisions (which endpoint, which moment), uniform over 64 bits. Any thread. Secrets never come from here. For tests. */
typedef uint64_t (*mesh_dice_fn)(void *user);
MESH_API void mesh_options_dice(mesh_options *options, mesh_dice_fn dice, void *user);

/* ---- A mesh ---- */

/*
 * Opens a mesh and starts joining it in the background: it does not block, and an unreachable control plane is no failure here. On failure *out is NULL
 * and *error, unless `error` is NULL, an object to be freed. `options` may be NULL (environment and defaults alone).
 * Errors: MESH_E_INVALID (what the options say cannot be), MESH_E_NO_MEMORY, MESH_E_IO, MESH_E_UNSUPPORTED (libcurl is not the OpenSSL flavour), MESH_E_STATE (1024 are open in this process), MESH_E_CLOSED (the process exits).
 */
MESH_API int32_t mesh_open(const mesh_options *options, mesh **out, mesh_error **error);

/*
 * Waits until the mesh has an identity and, where a control plane is set, its first word from it (or a cached snapshot); at most `timeout_ms`.
 * Errors: MESH_E_TIMEOUT, whose message says what is missing and the last reason; MESH_E_DENIED when the token was refused for good;
 * MESH_E_CLOSED; MESH_E_WOULD_BLOCK; MESH_E_FORKED.
 */
MESH_API int32_t mesh_wait_ready(mesh *m, int64_t timeout_ms, mesh_error **error);

/* The SPIFFE ID of this mesh and its instance id, as heap strings to be freed with mesh_string_free(); NULL before there is one. */
MESH_API char *mesh_identity(mesh *m);
MESH_API char *mesh_instance(mesh *m);

/* Counters in the Prometheus text format 0.0.4, as a heap string to be freed with mesh_string_free(). NULL when out of memory. */
MESH_API char *mesh_metrics(mesh *m);

/*
 * Ends the mesh: deregisters, lets requests that are being answered and calls that are being made finish for at most `drain_ms`, then stops and
 * frees everything. Calls still waiting after that complete with MESH_E_CLOSED; handlers that are running are waited for, and requests that they have kept may still be replied to, which sends nothing.
 * Requests made of it may outlive it and are freed as ever. Returns MESH_OK, or MESH_E_TIMEOUT when the drain was cut short.
 *
 * Any thread. Where it would wait for itself it returns MESH_E_WOULD_BLOCK and nothing is done: on the mesh's own threads (so in its handlers), and in a callback of this header (a log sink). Of several calls one closes,
 * the others return MESH_E_CLOSED at once. A handle that was closed is told from every other for as long as the process lives: each function given it returns MESH_E_CLOSED, or NULL, whether
 * before, during or after another thread's mesh_close(). NULL is no mesh: MESH_OK, nothing done.
 *
 * In a forked child it closes its copies of the mesh's descriptors without touching the parent's connections, and returns MESH_E_FORKED; the memory stays, as a thread of the parent may have been changing it.
 *
 * A process may also exit() without it, from any thread and any callback: calls under way end with MESH_E_CLOSED, and the mesh's threads come to rest before what they use is taken down, within two seconds in all. Nothing is
 * deregistered then: others learn of it when the lease expires. After a dlclose() the library stays where it is.
 */
MESH_API int32_t mesh_close(mesh *m, int64_t drain_ms);

/* ---- Calling ---- */

/*
 * A request to `service` (in the own namespace) or `service.namespace`: `method` such as "GET", `path` from its slash, query included, already
 * percent-encoded. NULL when out of memory, or when the mesh is closed. What is malformed is told by mesh_call(). Free it with mesh_request_free() once no call of it runs.
 */
MESH_API mesh_request *mesh_request_new(mesh *m, const char *service, const char *method, const char *path);
MESH_API void mesh_request_free(mesh_request *request);

/*
 * Adds a header field. Errors: MESH_E_INVALID for a name or value that HTTP forbids (RFC 9110 section 5), for the fields that belong to the connection (Host, Connection,
 * Content-Length, Transfer-Encoding, Keep-Alive, Upgrade, TE, Trailer, Expect) and for mesh-*, which belong to the library; MESH_E_NO_MEMORY; MESH_E_TOO_LARGE (over 128 fields or 64 KiB).
 * grpc-timeout is read (MESH_E_INVALID when it cannot be): it sets the call's timeout as mesh_request_timeout() does, and goes out with what is left of it.
 */
MESH_API int32_t mesh_request_header(mesh_request *request, const char *name, const char *value);

/* Sets the body: `len` bytes, copied. Errors: MESH_E_NO_MEMORY, MESH_E_TOO_LARGE (max_body). */
MESH_API int32_t mesh_request_body(mesh_request *request, const void *bytes, size_t len);

/* The time that the call may take in all, every try and wait included; default: the service's `timeout`, built in 15 s. MESH_E_INVALID unless 1 to 86400000. */
MESH_API int32_t mesh_request_timeout(mesh_request *request, int64_t timeout_ms);

/*
 * Makes the call part of the inbound request that it is made for: what is left of that one's deadline bounds it, and where that one is a retry, or is made for one, this call is not tried again: retries must not multiply from hop to hop.
 * `inbound` must not have been replied to yet.
 */
MESH_API int32_t mesh_request_parent(mesh_request *request, const mesh_inbound *inbound);

/*
 * Says whether the call is idempotent (1) or not (0), whatever its method: to process it twice is as good as once. Unless it is said, GET, HEAD, OPTIONS, PUT and DELETE are (RFC 9110 section 9.2.2). A call that is not is never tried
 * again when a handler may have seen it. Before the call; MESH_E_INVALID for any other number.
 */
MESH_API int32_t mesh_request_idempotent(mesh_request *request, int32_t idempotent);

/*
 * Makes the call and waits for its end, on this thread. MESH_OK means that a response came, whatever its status. By the service's
 * `retries` (docs/RETRIES.md) a call is tried again, on an endpoint not yet tried where there is one, within the deadline and the budget: what surely reached no handler, and of what may have been processed only what is idempotent.
 * By its `hedging` (docs/HEDGING.md) one that is idempotent and takes long is made a second time beside the first, and the first answer is the call's.
 * A request may be called again once its call has ended (its results are
 * then replaced), but not while one is under way: MESH_E_STATE. Errors: any code above; mesh_request_error() has the rest. On the mesh's own threads, where nothing may wait: MESH_E_WOULD_BLOCK.
 */
MESH_API int32_t mesh_call(mesh_request *request);

/* Ends the call of `request`, now or the next one to begin, with MESH_E_CANCELLED, from any thread and any callback. Its end is told as ever, once. No effect on one that has ended. */
MESH_API void mesh_cancel(mesh_request *request);

/* ---- Calling without waiting ---- */

typedef struct mesh_event {
	mesh_request *request;
	void *user;             /* of mesh_call_start() */
	int32_t kind;
	int32_t code;
} mesh_event;

/*
 * Told once that a started call is over, on a thread of the library, on which nothing may wait: functions that do return MESH_E_WOULD_BLOCK there. With `code` what mesh_call() would have returned; the request is the application's
 * again: it may be started anew, or freed, in here.
 */
typedef void (*mesh_done_fn)(void *user, mesh_request *request, int32_t code);

/*
 * Begins the call that mesh_call() would make, under the same limits, and returns. Any thread and any callback. MESH_OK: it is under way, the request not to be changed or freed before its end is told: by done(), or where `done` is NULL
 * by mesh_poll() or mesh_call_wait(), whichever is first. Any other code, and nothing follows: MESH_E_STATE (a call of it is under way), MESH_E_CLOSED, MESH_E_FORKED, MESH_E_NO_MEMORY, MESH_E_IO (the first call starts a thread).
 */
MESH_API int32_t mesh_call_start(mesh_request *request, mesh_done_fn done, void *user);

/*
 * Waits until the call that was started with `done` NULL is over, and returns its code, also a second time. No event tells of it from then on. MESH_E_STATE: no such call was started since the last
 * mesh_call(). On the mesh's own threads: MESH_E_WOULD_BLOCK.
 */
MESH_API int32_t mesh_call_wait(mesh_request *request);

/*
 * Takes the events of calls that were started with `done` NULL, at most `n`, waiting at most `timeout_ms` for the first (0: not at all). Returns how many were put into `events`, 0 after the time, or minus a code:
 * MESH_E_INVALID, MESH_E_CLOSED once the mesh is closed and no event is left, MESH_E_FORKED, MESH_E_WOULD_BLOCK (on the mesh's own threads, with a timeout). Several threads may poll; each event goes to one.
 * An event that nobody has taken when the mesh is closed is lost, but not the call's results: mesh_call_wait() has its code.
 */
MESH_API int32_t mesh_poll(mesh *m, mesh_event *events, int32_t n, int64_t timeout_ms);

/*
 * A descriptor that poll(2), epoll(7) and their like find readable while events wait to be taken: for a loop that the library does not run. The mesh's: not to be read or closed, and closed by mesh_close(). Or minus
 * a code: MESH_E_INVALID, MESH_E_CLOSED, MESH_E_FORKED, MESH_E_IO (no descriptor is left), MESH_E_NO_MEMORY.
 */
MESH_API int32_t mesh_event_fd(mesh *m);

/* ---- Calling with bodies that stream ---- */

/*
 * The request's body, the response's, or both may stream, at the pace of the slower side: what nobody takes is not taken from who sends it, beyond a bound of some 512 KiB a body. A streamed call has a connection of its own for its
 * whole life. What is said here holds for each of its two directions by itself: one thread may write while another reads.
 *
 * The functions that wait do so for at most `timeout_ms`. With 0 or less they do not wait: what cannot go on at once says MESH_E_WOULD_BLOCK, which is followed by one event when it could go on, or never will. On the mesh's own
 * threads, so in the functions below, a call with a timeout says MESH_E_WOULD_BLOCK too, and nothing follows. MESH_E_FORKED in a forked child.
 *
 * The request's body takes its time from the call's. Once the head of the response is there, that ends, unless mesh_request_timeout() has set it; from there on a call on which nothing moves for 60 s, in either direction, ends with MESH_E_TIMEOUT. mesh_cancel() ends it at any
 * moment, and so does mesh_request_free() once the call is over: what the other side has of it is then seen to be cut.
 */

/*
 * The body will be written: `length` bytes, or -1 where that is not known. Such a call has to be started: mesh_call() returns MESH_E_STATE. Of a body nothing is kept: once a part of it has gone out, the call is not tried again.
 * Before the call; MESH_E_STATE while one is under way, and beside mesh_request_body(); MESH_E_INVALID, MESH_E_NO_MEMORY.
 */
MESH_API int32_t mesh_request_upload(mesh_request *request, int64_t length);

/*
 * The response's body will be read: the call is over, for mesh_call() and for who is told of a started one, as soon as the response's head is there, and mesh_response_body() is "". The request may be called again only when the body
 * is through, both ways. Before the call; errors as above.
 */
MESH_API int32_t mesh_request_download(mesh_request *request);

/*
 * What has come to pass: MESH_EVENT_READABLE after a mesh_response_read(), MESH_EVENT_WRITABLE after a mesh_request_write(), that said MESH_E_WOULD_BLOCK: try again. Called on a thread of the library, where it must not block; it
 * may use and free the request, and is not called after that; who frees it on another thread sees to it that it is not running there then. Who sets none gets these as events of mesh_poll(), with the `user` of mesh_call_start().
 */
typedef void (*mesh_stream_fn)(void *user, mesh_request *request, int32_t kind);
MESH_API int32_t mesh_request_on_stream(mesh_request *request, mesh_stream_fn fn, void *user);

/*
 * Writes bytes of the body, copied: with a timeout all `len` of them, with 0 as many as there is room for. *written (which may be NULL) is how many, also on failure. From the start of the call on, whether or not the response has
 * begun. Errors: MESH_E_TIMEOUT, MESH_E_WOULD_BLOCK (none was written); MESH_E_RESET (nobody reads on: the connection broke, or the answer is whole already), MESH_E_CANCELLED, MESH_E_CLOSED and whatever else ended the call;
 * MESH_E_TOO_LARGE (more than the length that was told: none was written); MESH_E_STATE (no call was started, or after the end); MESH_E_INVALID, MESH_E_NO_MEMORY.
 */
MESH_API int32_t mesh_request_write(mesh_request *request, const void *bytes, size_t len, size_t *written, int64_t timeout_ms);

/*
 * Adds a trailer field to the request: it follows the body of an upload whose length was not told. Before mesh_request_end(), also while the body is written; it is of one call, the next begins without any. Over HTTP/1.1 alone: libcurl
 * sends none over HTTP/2. Which it is shows when there is a connection: with a trailer added before that a call over HTTP/2 ends with MESH_E_UNSUPPORTED, and nothing was sent; after it, this returns MESH_E_UNSUPPORTED, nothing was added,
 * and the call goes on. Who needs them has `protocol: http` in the service's document. Errors besides: MESH_E_INVALID (not valid, or a name that may not stand there, as of mesh_reply_trailer()); MESH_E_TOO_LARGE (over 128, or 16 KiB);
 * MESH_E_STATE (no upload, its length was told, or after its end); MESH_E_NO_MEMORY.
 */
MESH_API int32_t mesh_request_trailer(mesh_request *request, const char *name, const char *value);

/* The body is whole; the response may come, or go on, after it. MESH_E_INVALID: fewer bytes than the length that was told, and it did not end; MESH_E_STATE. */
MESH_API int32_t mesh_request_end(mesh_request *request);

/*
 * Reads the next bytes of the response's body: at least one, at most `size`, of which *n is how many; MESH_OK with *n == 0 is the end, and the trailers are there. There is no bound on its length. Errors: MESH_E_STATE before the
 * call is over; MESH_E_TIMEOUT, MESH_E_WOULD_BLOCK (it can be called again after both); MESH_E_RESET, MESH_E_PROTOCOL, MESH_E_CANCELLED, MESH_E_CLOSED and whatever else broke it off, after the bytes that came before:
 * mesh_request_error() has the rest.
 */
MESH_API int32_t mesh_response_read(mesh_request *request, void *buf, size_t size, size_t *n, int64_t timeout_ms);

/* ---- What came of it ---- */

/* The status of the response, 100 to 599, or 0 when there is none. */
MESH_API int32_t mesh_response_status(const mesh_request *request);

/* The value of header `name` in any case (the first, when there are several), or NULL. Lives until the next call of the request. */
MESH_API const char *mesh_response_header(const mesh_request *request, const char *name);

/* Field `index` (from 0) of the response in the order received: *name and *value live until the next call. Returns 1, or 0 past the last. */
MESH_API int32_t mesh_response_field(const mesh_request *request, size_t index, const char **name, const char **value);

/*
 * Trailers: the fields that came behind the body (RFC 9110 section 6.5), as above; NULL and 0 where there are none. Left out are those that may not stand there: Content-Length, Transfer-Encoding, Host, Authorization, mesh-*
 * and whatever else says how a message is to be read (section 6.5.1). At most 128, in 16 KiB, else the call fails with MESH_E_TOO_LARGE.
 */
MESH_API const char *mesh_response_trailer(const mesh_request *request, const char *name);
MESH_API int32_t mesh_response_trailer_field(const mesh_request *request, size_t index, const char **name, const char **value);

/* The version of HTTP that it came by: 1 or 2. */
MESH_API int32_t mesh_inbound_http_version(const mesh_inbound *inbound);

/* The body, with a NUL behind it that *len does not count; "" when there is none. Lives until the next call. `len` may be NULL. */
MESH_API const char *mesh_response_body(const mesh_request *request, size_t *len);

/* The instance id that answered, or NULL; and the version label of it. Live until the next call. */
MESH_API const char *mesh_response_instance(const mesh_request *request);
MESH_API const char *mesh_response_version(const mesh_request *request);

/* Tries made by the last call. */
MESH_API int32_t mesh_request_tries(const mesh_request *request);

/* What went wrong with the last call, or NULL. Belongs to the request: lives until its next call; do not free it. */
MESH_API const mesh_error *mesh_request_error(const mesh_request *request);

/* ---- Serving ---- */

/*
 * Answers one request. SEVERAL RUN AT ONCE, ON DIFFERENT THREADS, in both modes that have handlers: what handlers share must be guarded. With "pool" each runs on a thread of the worker pool. With "inline" each runs on the thread of its connection's loop
 * (there are `loops` of them; a connection stays with one), where it must not block: all connections of that loop would wait. It replies
 * by mesh_reply(), now or later, from any thread; a request that it never replies to is answered 503 at its deadline. A child that it forks must not return from it: the thread is the parent's mesh's.
 */
typedef void (*mesh_handler_fn)(void *user, mesh_inbound *inbound);

/*
 * Starts serving and, once there is an identity, registers this instance. `mode` is "pool" (NULL means the same), "inline", or "pull": without a handler (`handler` NULL), the program takes the requests with mesh_server_next(). One listener, whose connections are dealt out evenly to `loops` threads. One server a mesh. The server belongs to the mesh and ends
 * with mesh_close(). Does not wait for the registration: mesh_wait_ready() does. Errors: MESH_E_INVALID (listen, advertise, mode, handler), MESH_E_IO (the
 * address is in use, …), MESH_E_STATE (there is one already), MESH_E_NO_MEMORY, MESH_E_CLOSED, MESH_E_FORKED.
 */
MESH_API int32_t mesh_serve(mesh *m, const char *mode, mesh_handler_fn handler, void *user, mesh_server **out, mesh_error **error);

/*
 * Says whether this process can serve at present (`ready` 1, as from the start) or not (0), and why not: what it depends on has gone, or is not there yet. While it cannot, it is not registered, so that others call other instances;
 * requests that come all the same are answered 503 as not processed, so that their callers try elsewhere; /readyz on the probe port answers 503 with `reason`; and mesh_wait_ready() waits. What is being answered goes on. Before mesh_serve() or after, at any
 * time, on any thread; nothing is waited for. `reason` (NULL: "not ready") is copied, up to 199 bytes, on one line. Errors: MESH_E_INVALID, MESH_E_CLOSED, MESH_E_FORKED.
 */
MESH_API int32_t mesh_set_ready(mesh *m, int32_t ready, const char *reason);

/* The address that the server listens on, "ip:port" or "[ip]:port", as a heap string to be freed with mesh_string_free(); NULL before it listens, and once its mesh is closed. */
MESH_API char *mesh_server_address(mesh_server *server);

/*
 * In mode "pull": takes the next request, waiting for one at most `timeout_ms` (0 or less: not at all). Any thread, several at once; each request goes to one of them, and is replied to as by a handler. At most 4096 wait;
 * what comes over that is refused (503, mesh-not-processed), and so is one whose caller's deadline has passed when it would be taken (504). In the drain of mesh_close() requests are still to be taken. On failure *out is
 * NULL: MESH_E_TIMEOUT; MESH_E_WOULD_BLOCK with a timeout of 0, and on the mesh's own loop threads with any other; MESH_E_CLOSED once the mesh is closed and no request waits; MESH_E_STATE in the other modes; MESH_E_FORKED.
 */
MESH_API int32_t mesh_server_next(mesh_server *server, mesh_inbound **out, int64_t timeout_ms);

/*
 * For a loop of the program's own: a descriptor that is readable while requests wait for mesh_server_next(), and once the mesh closes for good. Poll it, and do nothing else with it: it is the mesh's, and ends with
 * mesh_close(); a program that the process becomes does not get it. The same at each call. Else minus a code: MESH_E_STATE (not in mode "pull"), MESH_E_IO (no descriptor left), MESH_E_CLOSED, MESH_E_FORKED.
 */
MESH_API int32_t mesh_server_event_fd(mesh_server *server);

/*
 * The request: method, path without query and the query without '?' ("" when none); its header without mesh-* and X-Forwarded-Client-Cert, which are nobody's to say. All live until the reply. The method and the query are as received.
 * The path is normalised (docs/SECURITY.md): "//", "/./" and "/%61" arrive as "/", "/" and "/a"; what servers read in several ways, such as %2F, %00 or a backslash, is refused with 400 before any handler.
 */
MESH_API const char *mesh_inbound_method(const mesh_inbound *inbound);
MESH_API const char *mesh_inbound_path(const mesh_inbound *inbound);
MESH_API const char *mesh_inbound_query(const mesh_inbound *inbound);
MESH_API const char *mesh_inbound_header(const mesh_inbound *inbound, const char *name);
MESH_API int32_t mesh_inbound_field(const mesh_inbound *inbound, size_t index, const char **name, const char **value);

/* The body, with a NUL behind it that *len does not count; "" when there is none. Of a streamed one: what mesh_inbound_collect() has put together, "" before. Lives until the reply. `len` may be NULL. */
MESH_API const char *mesh_inbound_body(const mesh_inbound *inbound, size_t *len);

/* Who calls: the verified SPIFFE ID, and its service and namespace. Never NULL. Live until the reply. */
MESH_API const char *mesh_inbound_peer(const mesh_inbound *inbound);
MESH_API const char *mesh_inbound_peer_service(const mesh_inbound *inbound);
MESH_API const char *mesh_inbound_peer_namespace(const mesh_inbound *inbound);

/* The address that the caller's connection comes from, "ip:port" or "[ip]:port", as a heap string to be freed with mesh_string_free(); NULL when out of memory. Who calls is not told by it. Not after the reply. */
MESH_API char *mesh_inbound_address(const mesh_inbound *inbound);

/* Which try of its call this is, from 1; and the milliseconds left before its caller gives up, or -1 when it did not say. */
MESH_API int32_t mesh_inbound_try(const mesh_inbound *inbound);
MESH_API int64_t mesh_inbound_remaining_ms(const mesh_inbound *inbound);

/* 1 when this is the copy that a route's `mirror` makes of a call, else 0: its caller has its answer from elsewhere, and what is replied here is thrown away. */
MESH_API int32_t mesh_inbound_mirrored(const mesh_inbound *inbound);

/*
 * Adds a header field to the reply, before mesh_reply() or mesh_reply_begin() (else MESH_E_STATE). Errors as mesh_request_header(); but Content-Length is taken, once: the length of a body that will be streamed. mesh_reply() pays it
 * no heed.
 */
MESH_API int32_t mesh_reply_header(mesh_inbound *inbound, const char *name, const char *value);

/*
 * Adds a trailer field to the reply, before mesh_reply() or mesh_reply_end(): it follows the body. Left out where there is no place for it: to HTTP/1.0, without a body, and behind one whose Content-Length was told on HTTP/1.1.
 * Errors as mesh_reply_header(); MESH_E_INVALID too for the names that may not stand there (Authorization, Proxy-Authorization, Cookie; RFC 9110 section 6.5.1).
 */
MESH_API int32_t mesh_reply_trailer(mesh_inbound *inbound, const char *name, const char *value);

/*
 * Replies, from any thread, and ends `inbound`: it must not be used again, whatever is returned. `status` is 200 to 599; the body is `len` bytes, copied. To HEAD no body is
 * sent, and `body` may be NULL where `len`, what GET would have had, is known. A reply after the caller has gone is dropped. Errors (the caller was answered 500 instead): MESH_E_INVALID, MESH_E_NO_MEMORY;
 * MESH_E_STATE after mesh_reply_begin() (the reply was cut); MESH_E_FORKED in a forked child, where nothing is sent and the memory stays.
 */
MESH_API int32_t mesh_reply(mesh_inbound *inbound, int32_t status, const void *body, size_t len);

/*
 * Refuses a request that surely nothing was done for, and ends `inbound`: 503, with `message` in a JSON body, and word to the caller's mesh that it may try another instance, which it does where its retry rules and its deadline let it. From any
 * thread. Errors as mesh_reply().
 */
MESH_API int32_t mesh_reply_refuse(mesh_inbound *inbound, const char *message);

/* ---- Serving bodies that stream ---- */

/*
 * With the option `request_bodies` set to "streamed" a request is there to be answered as soon as its header is; a reply can be streamed in either setting. Both go on at the pace of the slower side: what nobody reads is not
 * taken from the network, beyond a bound of some 512 KiB a request and as much a reply.
 *
 * All functions below: any thread, one at a time, as long as `inbound` is not replied to; but one thread may read (and collect) while another writes. Those that wait do so for at most `timeout_ms`. With 0 or less they do not wait:
 * what cannot go on at once says MESH_E_WOULD_BLOCK, which is followed by one event (mesh_inbound_on_stream()) when it could go on, or never will. On the mesh's own loop threads, so in "inline" handlers and in event functions,
 * a call with a timeout says MESH_E_WOULD_BLOCK too, and nothing follows. MESH_E_FORKED in a forked child.
 */

/*
 * Reads the next bytes of the request's body: at least one, at most `size`, of which *n is how many; MESH_OK with *n == 0 is the end. A body that came whole reads the same. There is no bound on the length of a streamed
 * body; a caller that sends nothing for 60 s while it is awaited is cut off, as long as no reply has begun. Errors: MESH_E_TIMEOUT, MESH_E_WOULD_BLOCK (it can be called again after both); MESH_E_RESET (the caller has gone, or its connection), MESH_E_PROTOCOL (the
 * body is malformed), MESH_E_NO_MEMORY: nothing more will come, and what was not read is lost; MESH_E_INVALID.
 */
MESH_API int32_t mesh_inbound_read(mesh_inbound *inbound, void *buf, size_t size, size_t *n, int64_t timeout_ms);

/* Reads what is left of the body for mesh_inbound_body(), up to max_body. MESH_OK: it is whole. Errors as mesh_inbound_read(); after MESH_E_TIMEOUT and MESH_E_WOULD_BLOCK it goes on where it was. MESH_E_TOO_LARGE: over max_body. */
MESH_API int32_t mesh_inbound_collect(mesh_inbound *inbound, int64_t timeout_ms);

/*
 * The trailer field `name` of the request in any case (the first, when there are several), or NULL; field `index` (from 0), of which *name and *value live until the reply: 1, or 0 past the last. There once the end of the body was
 * read, or collected, and at once for a body that came whole. None that would forge what a header says (Content-Length, Host, Authorization, mesh-*, …).
 */
MESH_API const char *mesh_inbound_trailer(const mesh_inbound *inbound, const char *name);
MESH_API int32_t mesh_inbound_trailer_field(const mesh_inbound *inbound, size_t index, const char **name, const char **value);

/* 1 when the caller has gone, as far as is known: its answer interests nobody; else 0. An HTTP/1.1 caller that closes its connection may be heard of only when it is written to. */
MESH_API int32_t mesh_inbound_gone(const mesh_inbound *inbound);

/*
 * What has come to pass: MESH_EVENT_READABLE after a mesh_inbound_read() or mesh_inbound_collect(), MESH_EVENT_WRITABLE after a mesh_reply_write(), that said MESH_E_WOULD_BLOCK: try again. MESH_EVENT_GONE: the caller has gone; once.
 * Called on the thread of the connection's loop, where it must not block; it may use and end `inbound`. It is not called once `inbound` was ended; who ends it on another thread sees to it that it is not running there then.
 */
typedef void (*mesh_inbound_fn)(void *user, mesh_inbound *inbound, int32_t kind);

/* Says who is told, from now on and of what has come to pass already. NULL: nobody, what comes to pass is kept. Errors: MESH_E_NO_MEMORY. */
MESH_API int32_t mesh_inbound_on_stream(mesh_inbound *inbound, mesh_inbound_fn fn, void *user);

/*
 * Begins a reply that is streamed: status (200 to 599) and header go out; the body follows by mesh_reply_write(), and mesh_reply_end() ends it. The request's body may be read meanwhile, and further until then. Errors:
 * MESH_E_INVALID, MESH_E_STATE (begun already), MESH_E_NO_MEMORY: nothing was begun, `inbound` stays, and has to be replied to.
 */
MESH_API int32_t mesh_reply_begin(mesh_inbound *inbound, int32_t status);

/*
 * Writes bytes of the body, copied: with a timeout all `len` of them, with 0 as many as there is room for. *written (which may be NULL) is how many, also on failure. To HEAD, and with 204 and 304, they are thrown away. Errors: MESH_E_TIMEOUT, MESH_E_WOULD_BLOCK (none was
 * written); MESH_E_RESET (the caller has gone, or took nothing for 30 s), MESH_E_NO_MEMORY; MESH_E_TOO_LARGE (more than the Content-Length that was told: none was written); MESH_E_STATE (no mesh_reply_begin()).
 */
MESH_API int32_t mesh_reply_write(mesh_inbound *inbound, const void *bytes, size_t len, size_t *written, int64_t timeout_ms);

/*
 * Ends the body, trailers included, and `inbound`: it must not be used again, whatever is returned. What is still to be sent is sent. What was not read of the request's body is thrown away. Errors, after which the caller has a reply that was cut, or none: MESH_E_STATE
 * (none was begun), MESH_E_INVALID (fewer bytes than the Content-Length that was told), MESH_E_NO_MEMORY (a field or trailer could not be kept).
 */
MESH_API int32_t mesh_reply_end(mesh_inbound *inbound);

/* Gives up on `inbound`, before or in the reply, and ends it: the caller sees that it was cut (its connection closes, with HTTP/2 its stream is reset), and never takes half an answer for a whole one. */
MESH_API int32_t mesh_reply_abort(mesh_inbound *inbound);

#ifdef __cplusplus
}
#endif

#endif
