#include "http/curl_hooks.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "http/curl_peer.h"
#include "http/curl_peer_sessions.h"
#include "http/h2_unread.h"

enum { BODY_AT_ONCE = 1024 * 1024, LOSES_WHAT_IS_RESET_BEFORE = 0x080000 };

/* ---- Sockets ---- */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct mesh__easy *e = arg;
	int fd;

	(void)purpose;
	/* Once a request was let through, a new connection could only serve to send it again. */
	if (e->passed) {
		mesh__unprocessed_again(e);
	}
	if (!e->may_dial || e->passed || !mesh__conns_may_open(e->conns)) {
		e->dial_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = mesh__conns_open(e->conns, address->family, address->socktype, address->protocol);
	if (fd < 0) {
		e->dial_failed = true;
		e->dial_errno = errno;
		return CURL_SOCKET_BAD;
	}
	return fd;
}

/* libcurl keeps this callback and its argument with the connection, so the argument is the multi's list and not the handle. */
static int on_close(void *arg, curl_socket_t fd)
{
	mesh__conns_close(arg, fd);
	return 0;
}

/* ---- Leave to send ---- */

/* Certificate `index` that the peer sent, from its own (0), as PEM; NULL past the last. On a connection that served before there is none. */
static const char *peer_pem(CURL *curl, int index)
{
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL || index >= info->num_of_certs) {
		return NULL;
	}
	for (const struct curl_slist *at = info->certinfo[index]; at != NULL; at = at->next) {
		if (strncmp(at->data, "Cert:", 5) == 0) {
			return at->data + 5;
		}
	}
	return NULL;
}

static int refuse_identity(struct mesh__easy *e, const char *why)
{
	return mesh__fail_at(&e->stopped, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "%s; nothing was sent", why);
}

/* Whoever is in the chain at all counts, verified or not: an honest peer sends nothing but its own chain. */
static int judge_cas(struct mesh__easy *e)
{
	const char *pem;
	int code = MESH_OK;

	if (peer_pem(e->curl, MESH__CHAIN_MAX) != NULL) {
		return refuse_identity(e, "the peer's chain is too long");
	}
	for (int i = 1; code == MESH_OK && (pem = peer_pem(e->curl, i)) != NULL; i++) {
		code = mesh__pki_ca_judge(pem, strlen(pem), mesh__trust_domain(e->trust), &e->stopped);
	}
	return code;
}

/* What libcurl does not check itself: the SPIFFE ID, and everything else that the mesh asks of a leaf. */
static int judge_whole(struct mesh__easy *e, struct mesh__leaf *leaf)
{
	const char *pem = peer_pem(e->curl, 0);
	int code;

	if (pem == NULL) {
		return refuse_identity(e, "the peer's certificate cannot be seen");
	}
	code = mesh__trust_judge(e->trust, pem, strlen(pem), e->expect, leaf, NULL, &e->stopped);
	return code != MESH_OK ? code : judge_cas(e);
}

/*
 * The chain was shown in the whole handshake that made the session, and judged there, if that handshake stood and its caller stayed: libcurl keeps sessions of refused peers too, and of those that nobody waited for. Then a whole one is made.
 * The leaf is judged again, its time now by us.
 */
static int judge_resumed(struct mesh__easy *e, const struct mesh__curl_peer *peer, struct mesh__leaf *leaf)
{
	int code;

	if (!mesh__share_vouched(e->share, peer->sha256)) {
		e->unvouched = true;
		return MESH_E_RESET;
	}
	code = mesh__trust_judge(e->trust, peer->der, peer->len, e->expect, leaf, NULL, &e->stopped);
	if (code == MESH_OK && mesh__wall_ms(e->conns->env) >= leaf->not_after_ms) {
		code = refuse_identity(e, "the peer's certificate has expired since it was shown");
	}
	return code;
}

static int judge_new(struct mesh__easy *e, struct mesh__conn *conn)
{
	struct mesh__curl_peer peer;
	struct mesh__leaf leaf;
	bool seen;
	int code;

	conn->http2 = e->proto != MESH__HTTP_1 && (e->plaintext || mesh__curl_peer_http2(e->curl));
	if (e->plaintext || e->trust == NULL) {
		conn->verified = true;
		return MESH_OK;
	}
	seen = e->share != NULL && mesh__curl_peer_read(e->curl, &peer);
	if (e->share != NULL && !seen) {
		mesh__share_spoil(e->share); /* who would resume this could not be judged */
	}
	code = seen && peer.resumed ? judge_resumed(e, &peer, &leaf) : judge_whole(e, &leaf);
	if (code != MESH_OK) {
		e->stopped.origin = MESH__ORIGIN_TLS;
		return code;
	}
	if (seen && !peer.resumed) {
		mesh__share_vouch(e->share, peer.sha256, leaf.not_after_ms);
		e->session_later = peer.session_later && !mesh__curl_sessions_any(mesh__share_sessions(e->share));
	}
	memcpy(conn->expect, e->expect, sizeof(conn->expect));
	conn->not_after_ms = leaf.not_after_ms;
	conn->verified = true;
	return MESH_OK;
}

static int judge_identity(struct mesh__easy *e, struct mesh__conn *conn)
{
	if (conn == NULL) {
		return refuse_identity(e, "the connection is none that was opened here");
	}
	e->reused = conn->verified;
	if (!conn->verified) {
		return judge_new(e, conn);
	}
	return strcmp(conn->expect, e->trust == NULL ? "" : e->expect) == 0 ? MESH_OK : refuse_identity(e, "the connection belongs to a peer with another SPIFFE ID");
}

static int judge(struct mesh__easy *e, struct mesh__conn *conn)
{
	int code = judge_identity(e, conn);

	if (code == MESH_OK && e->proto == MESH__HTTP_2_ONLY && !conn->http2) {
		code = mesh__fail_at(&e->stopped, MESH__ORIGIN_TLS, MESH_E_PROTOCOL, "the peer takes no HTTP/2, which the service's protocol asks for; nothing was sent");
	}
	return code;
}

/* libcurl has read what an idle connection had to say. What more there is would be an end, as a rule: it is not waited for what it turns out to be. */
static bool has_ended(const struct mesh__easy *e, struct mesh__conn *conn)
{
	return conn->spoke && (mesh__conns_at_an_end(conn) || (!e->plaintext && mesh__curl_peer_ended(e->curl)));
}

static int on_ready_to_send(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct mesh__easy *e = arg;
	struct mesh__conn *conn;

	/* libcurl repeats by itself what it sent on a reused connection that then died, a POST too. */
	if (e->passed) {
		mesh__unprocessed_again(e);
		e->again = true;
		return CURL_PREREQFUNC_ABORT;
	}
	conn = e->over_unix ? mesh__conns_unix(e->conns) : mesh__conns_find(e->conns, peer_ip, peer_port, local_ip, local_port);
	if (judge(e, conn) != MESH_OK) {
		e->refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (has_ended(e, conn)) {
		e->stale = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (e->events.speaks != NULL && !e->events.speaks(e->events.arg, conn->http2)) {
		(void)mesh__fail_at(&e->stopped, MESH__ORIGIN_POLICY, MESH_E_UNSUPPORTED,
			"HTTP/2 is spoken there, over which the trailers of a request cannot be sent; nothing was sent. With `protocol: http` in the service's document they can");
		return CURL_PREREQFUNC_ABORT;
	}
	mesh__conns_use(conn);
	e->conn = conn;
	e->passed = true;
	e->http2 = e->head.http2 = conn->http2;
	if (e->http2) {
		mesh__unprocessed_listen(e, true);
	}
	if (e->proto != MESH__HTTP_1) {
		/* Over HTTP/2 the stream's end is the body's, and trailers may come between: with a length libcurl listens no longer once that is reached. That the length is right nghttp2 sees to. */
		(void)curl_easy_setopt(e->curl, CURLOPT_IGNORE_CONTENT_LENGTH, (long)e->http2);
	}
	if (e->may_dial) {
		e->passed_us = mesh__mono_us(e->conns->env); /* what dialling took is told */
	}
	if (e->events.connected != NULL) {
		e->events.connected(e->events.arg);
	}
	return CURL_PREREQFUNC_OK;
}

/* ---- The response ---- */

/* The head is whole: is there any use in reading on? */
static int head_done(struct mesh__easy *e)
{
	const struct mesh__head *head = &e->head;
	int status = head->response->status;
	bool bodyless = e->no_body || status == 204 || status == 304;

	if (e->events.head != NULL && !e->events.head(e->events.arg, status)) {
		return mesh__fail_at(&e->stopped, MESH__ORIGIN_PEER, MESH_E_PROTOCOL, "the response (status %d) is not of use here", status);
	}
	if (bodyless || !head->has_length || e->events.data != NULL) {
		return MESH_OK;
	}
	if (head->content_length > e->max_body) {
		return mesh__fail_at(&e->stopped, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the body of the response has %llu bytes, at most %zu are taken",
			(unsigned long long)head->content_length, e->max_body);
	}
	/* At once, but not on a mere promise of megabytes; a failure shows when the bytes come. */
	(void)!mesh__buf_reserve(&head->response->body, head->content_length < BODY_AT_ONCE ? (size_t)head->content_length : BODY_AT_ONCE);
	return MESH_OK;
}

/* libcurl has given all of the request's body to HTTP/2. */
static bool has_sent_all(const struct mesh__easy *e)
{
	curl_off_t n = 0;

	if (e->body_len < 0) {
		return e->body_ended;
	}
	return curl_easy_getinfo(e->curl, CURLINFO_SIZE_UPLOAD_T, &n) == CURLE_OK && n >= e->body_len;
}

/*
 * The peer has closed the stream before the request was whole. Before 8.0 libcurl throws away what it has read of the body in one piece with the reset, hands on the trailers behind it, and says nothing: what may lack its middle
 * must not look whole.
 */
static int judge_trailers(struct mesh__easy *e)
{
	if (!e->http2 || e->has_trailers || curl_version_info(CURLVERSION_NOW)->version_num >= LOSES_WHAT_IS_RESET_BEFORE || has_sent_all(e) ||
	    mesh__str_eq(mesh__client_response_header(e->head.response, MESH__H2_ENDS_APART), "1")) {
		return MESH_OK;
	}
	return mesh__fail_at(&e->stopped, MESH__ORIGIN_PEER, MESH_E_RESET, "the response ended before the request, and this libcurl may have lost a part of it; the request may have been processed");
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct mesh__easy *e = arg;
	bool was_head = e->head.at != MESH__HEAD_BODY;

	if (e->stopped.code != MESH_OK || mesh__head_line(&e->head, line, size * n, &e->stopped) != MESH_OK) {
		return CURL_WRITEFUNC_ERROR;
	}
	if (!was_head && judge_trailers(e) != MESH_OK) {
		return CURL_WRITEFUNC_ERROR;
	}
	e->has_trailers = e->has_trailers || !was_head;
	if (was_head && e->head.at == MESH__HEAD_BODY && head_done(e) != MESH_OK) {
		return CURL_WRITEFUNC_ERROR;
	}
	return size * n;
}

/* The owner takes all of it, or none now, or wants no more. */
static int hand_on(struct mesh__easy *e, const char *bytes, size_t len)
{
	int code = e->events.data(e->events.arg, bytes, len);

	if (code != MESH_OK && code != MESH_E_WOULD_BLOCK) {
		mesh__easy_stop(e, code, "the body of the response is not wanted any more");
	}
	return code;
}

static int take_body(struct mesh__easy *e, const char *bytes, size_t len)
{
	struct mesh__buf *body = &e->head.response->body;

	if (len > e->max_body - body->len) {
		return mesh__fail_at(&e->stopped, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the body of the response is larger than the %zu bytes that are taken", e->max_body);
	}
	mesh__buf_add(body, bytes, len);
	return mesh__buf_error(body, "the body of the response", &e->stopped);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct mesh__easy *e = arg;

	if (e->stopped.code != MESH_OK) {
		return CURL_WRITEFUNC_ERROR;
	}
	switch (e->events.data != NULL ? hand_on(e, bytes, size * n) : take_body(e, bytes, size * n)) {
	case MESH_OK:
		e->n_body += size * n;
		return e->stopped.code == MESH_OK ? size * n : CURL_WRITEFUNC_ERROR;
	case MESH_E_WOULD_BLOCK:
		return CURL_WRITEFUNC_PAUSE;
	default:
		return CURL_WRITEFUNC_ERROR;
	}
}

/* ---- The request's body, where the owner gives it by and by ---- */

/* libcurl frees the list, whatever is returned. */
static int on_trailers(struct curl_slist **list, void *arg)
{
	struct mesh__easy *e = arg;
	const struct mesh__trailers *trailers = e->events.trailers;

	struct curl_slist *grown = NULL;
	struct mesh__buf line;
	size_t i;

	mesh__buf_init(&line, e->lines.mem, MESH__TRAILERS_MAX_BYTES + sizeof(": "));
	for (i = 0; i < trailers->n; i++) {
		struct mesh__field_text field = mesh__trailers_at(trailers, i);

		mesh__buf_clear(&line);
		mesh__buf_printf(&line, "%s: %s", field.name, field.value);
		grown = line.error == MESH_OK ? curl_slist_append(*list, line.data) : NULL;
		if (grown == NULL) {
			break;
		}
		*list = grown;
	}
	mesh__buf_fini(&line);
	if (i < trailers->n) {
		mesh__easy_stop(e, MESH_E_NO_MEMORY, "out of memory: the request's trailers could not be sent");
		return CURL_TRAILERFUNC_ABORT;
	}
	return CURL_TRAILERFUNC_OK;
}

/* It looks for the function when the body has ended: not before there is one, as it wants a last chunk of its own. It forgets the argument by itself. */
static bool give_trailers(struct mesh__easy *e)
{
	e->sent_trailers = e->events.trailers != NULL && e->events.trailers->n > 0 && e->events.body_len < 0 && !e->http2;
	return !e->sent_trailers || (curl_easy_setopt(e->curl, CURLOPT_TRAILERFUNCTION, on_trailers) == CURLE_OK && curl_easy_setopt(e->curl, CURLOPT_TRAILERDATA, e) == CURLE_OK);
}

/* Where a length was promised the peer waits for all of it: less would hang, and libcurl does not look. */
static size_t end_body(struct mesh__easy *e)
{
	if (e->body_left > 0) {
		mesh__easy_stop(e, MESH_E_INVALID, "the body of the request ended before the length that was said");
		return CURL_READFUNC_ABORT;
	}
	if (!give_trailers(e)) {
		return CURL_READFUNC_ABORT;
	}
	e->body_ended = true;
	return 0;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
	struct mesh__easy *e = arg;
	size_t room = size * n;
	int64_t given;

	if (e->events.read == NULL || e->stopped.code != MESH_OK) {
		return CURL_READFUNC_ABORT;
	}
	if (e->body_ended || e->body_left == 0) {
		return end_body(e);
	}
	if (e->body_left > 0 && (uint64_t)e->body_left < room) {
		room = (size_t)e->body_left;
	}
	given = e->events.read(e->events.arg, buf, room);
	e->upload_paused = given == MESH__BODY_LATER;
	if (e->stopped.code != MESH_OK) {
		return CURL_READFUNC_ABORT;
	}
	if (given == MESH__BODY_LATER) {
		return CURL_READFUNC_PAUSE;
	}
	if (given < 0 || (uint64_t)given > room) {
		mesh__easy_stop(e, MESH_E_CANCELLED, "the body of the request was broken off");
		return CURL_READFUNC_ABORT;
	}
	if (given == 0) {
		return end_body(e);
	}
	e->body_left -= e->body_left > 0 ? given : 0;
	return (size_t)given;
}

bool mesh__easy_hook(struct mesh__easy *e)
{
	CURL *curl = e->curl;

	return curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, e) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, e->conns) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_ready_to_send) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PREREQDATA, e) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_HEADERDATA, e) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_READDATA, e) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, e) == CURLE_OK &&
		mesh__unprocessed_hook(e);
}
