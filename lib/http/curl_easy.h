/*
 * One libcurl handle, configured for one peer, and the exchange that runs on it: what the calling thread's pool and the loop's multi have in common. One thread at a time.
 *
 * The order of an exchange: mesh__easy_begin(), the owner runs the handle on its multi, mesh__easy_end() with libcurl's verdict (or mesh__easy_stop() before it, with a verdict of the owner's).
 */
#ifndef MESH__HTTP_CURL_EASY_H
#define MESH__HTTP_CURL_EASY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/client.h"
#include "http/curl_conns.h"
#include "http/curl_peer_ctx.h"
#include "http/curl_share.h"
#include "http/curl_unprocessed.h"
#include "http/head.h"

struct curl_slist;

enum { MESH__EASY_NAME_MAX = 254, MESH__EASY_TEXT_MAX = 256 /* CURL_ERROR_SIZE */ };

/* Whom a handle talks to. */
struct mesh__easy_peer {
	const char *host;            /* in the URL, the certificate and the Host field; "": the address it connects to */
	const char *connect_host;    /* a name, or an IP literal without brackets */
	uint16_t connect_port;
	const char *unix_path;       /* a socket to connect to instead; NULL or "": none. Plaintext alone: there is nobody on it to judge */
	const char *expect;          /* the SPIFFE ID */
	struct mesh__trust *trust;   /* NULL: the peer is not verified at all */
	struct mesh__creds *creds;   /* NULL: no certificate is shown */
	struct mesh__share *share;   /* NULL: no session is kept or resumed */
	bool plaintext;
	enum mesh__http_proto proto;
};

/* What the owner wants to know, any of them NULL. */
struct mesh__easy_events {
	void (*connected)(void *arg);                            /* the request is about to go out: dialling, if there was any, is over */
	bool (*head)(void *arg, int status);                     /* false ends the exchange with MESH_E_PROTOCOL */
	int (*data)(void *arg, const char *bytes, size_t len);   /* instead of collecting the body, as mesh__flight_options.data (client.h) */
	int64_t (*read)(void *arg, char *buf, size_t size);      /* instead of the request's body, as mesh__flight_options.read; body_len as there */
	int64_t body_len;
	bool (*speaks)(void *arg, bool http2);                   /* as mesh__flight_options.speaks */
	const struct mesh__trailers *trailers;                   /* likewise, with read */
	void *arg;
};

struct mesh__easy {
	void *curl;                    /* CURL */
	struct mesh__conns *conns;
	struct mesh__creds *creds;
	struct mesh__trust *trust;
	struct mesh__share *share;
	struct mesh__curl_peer_use use; /* of creds and share; ctx NULL: libcurl has the texts */
	bool plaintext;
	bool over_unix;                /* a socket of this machine */
	enum mesh__http_proto proto;
	bool tells_refused;          /* libcurl sends a second time for one reason alone: curl_unprocessed.h */
	bool logs;                     /* it has to log over HTTP/2: likewise */
	char expect[MESH__SPIFFE_MAX];
	char where[MESH__EASY_NAME_MAX + 4 + MESH__EASY_NAME_MAX + 16]; /* "host at address", for messages */
	void *url;                     /* CURLU: parsed once, and not for each exchange */
	struct curl_slist *connect_to;
	struct mesh__easy_events events;
	char text[MESH__EASY_TEXT_MAX]; /* CURLOPT_ERRORBUFFER */

	/* The exchange at hand. */
	struct mesh__buf lines;        /* the request's header, and its nodes for libcurl: kept for the next exchange */
	struct curl_slist *nodes;
	size_t cap_nodes;
	struct mesh__head head;
	size_t max_body;
	bool no_body;                  /* the response to this method has none */
	int64_t body_len;              /* the request's; -1: not known */
	int64_t body_left;             /* of what events.read is to give; -1: not known */
	bool body_ended;               /* events.read has given all */
	bool upload_paused;            /* it had nothing when it was asked last */
	bool sent_trailers;            /* of the request */
	uint64_t n_body;               /* bytes of the response's body that were taken */
	bool has_trailers;             /* of the response: over HTTP/2 libcurl tells of them when the peer has closed the stream */
	bool may_dial;
	bool dial_refused;             /* libcurl wanted a new connection, and may_dial said no */
	bool dial_failed;              /* no socket could be made: `dial_errno` */
	int dial_errno;
	bool passed;                   /* a pre-request callback let the request through: from here on it may have been sent */
	bool again;                    /* libcurl set about sending it a second time */
	bool stale;                    /* the kept connection had ended, or may have, when the request was about to go out */
	bool unvouched;                /* the session that was resumed is none of a peer that was found good: its chain is still to be seen */
	bool lost;                     /* a kept connection was found dead */
	struct mesh__conn *conn;       /* that it passed on, until its end; NULL: none yet */
	bool http2;                    /* that one speaks it */
	struct mesh__unprocessed unprocessed;
	bool refused;                  /* the peer's identity was */
	bool reused;
	bool session_later;            /* there was no session to resume, and that of this new connection comes behind the handshake (TLS 1.3) */
	int64_t begun_us, passed_us;
	int64_t connect_timeout_ms;
	struct mesh__err stopped;      /* why we ended it ourselves; code MESH_OK: we did not */
};

int mesh__easy_init(struct mesh__easy *e, const struct mesh__env *env, const struct mesh__easy_peer *peer, struct mesh__conns *conns, struct mesh__err *err) MESH__MUST_USE;

/* Not while its handle is on a multi. A zeroed one is accepted. */
void mesh__easy_fini(struct mesh__easy *e);

/*
 * Sets the handle up for an exchange. The request and the response are borrowed until its end. connect_timeout_ms 0: libcurl's own, 5 minutes. Over HTTP/2 in plaintext one that may dial cannot use a kept connection (before
 * libcurl 8.1): who may dial has none.
 */
int mesh__easy_begin(struct mesh__easy *e, const struct mesh__client_request *request, struct mesh__client_response *response, bool may_dial, int64_t connect_timeout_ms, struct mesh__err *err) MESH__MUST_USE;

/*
 * True when the response is whole, as far as can be told, and the request's body, given by and by, is not: libcurl would go on with it, or wait for it while it pauses. The owner may end the exchange there (CURLE_OK): its connection is
 * not kept, and the peer sees that the body was broken off.
 */
bool mesh__easy_is_answered(const struct mesh__easy *e);

/* Decides how the exchange ends, unless that is decided already: deadline, cancel, silence. `how` continues "host at address: ". */
void mesh__easy_stop(struct mesh__easy *e, int code, const char *how);

/* True when the exchange can begin anew without anybody having seen it: the connection kept for it was gone. */
bool mesh__easy_unsent_stale(const struct mesh__easy *e);

/* True, and session_later no longer, when the session has come. */
bool mesh__easy_session_came(struct mesh__easy *e);

/* True when the connection may serve another exchange after this one, which succeeded. */
bool mesh__easy_keeps_connection(const struct mesh__easy *e);

/* On which connection it runs, and what dialling took. */
void mesh__easy_so_far(const struct mesh__easy *e, struct mesh__client_result *result);

/* The exchange is over, the handle off its multi; `curl_code` is libcurl's verdict (a CURLcode). Fills in *result but for total_us, and returns the code of client.h with its message. */
int mesh__easy_end(struct mesh__easy *e, int curl_code, struct mesh__client_result *result, struct mesh__err *err) MESH__MUST_USE;

/* The one table from libcurl's verdicts to ours (curl_verdict.c). */
int mesh__easy_verdict(const struct mesh__easy *e, int curl_code, struct mesh__err *err) MESH__MUST_USE;

#endif
