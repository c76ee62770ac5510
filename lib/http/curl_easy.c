#include "http/curl_easy.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "http/curl_hooks.h"
#include "http/curl_peer.h"
#include "http/curl_peer_ctx.h"
#include "http/curl_peer_sessions.h"

_Static_assert(MESH__EASY_TEXT_MAX >= CURL_ERROR_SIZE, "libcurl writes that much into CURLOPT_ERRORBUFFER");

enum { LINES_MAX_BYTES = 256 * 1024 };

/* ---- A handle ---- */

static struct curl_blob borrowed(const char *pem)
{
	/* Without a copy: the credentials and the trust are referenced for the handle's life. libcurl only reads it. */
	return (struct curl_blob){.data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};
}

static bool set_pem(CURL *curl, CURLoption option, const char *pem)
{
	struct curl_blob blob = borrowed(pem);

	return curl_easy_setopt(curl, option, &blob) == CURLE_OK;
}

/* The certificate shown and the roots trusted: as texts, which libcurl parses for each connection, only where they are not at hand parsed. */
static bool set_credentials(struct mesh__easy *e)
{
	CURL *curl = e->curl;
	bool ok;

	e->use.ctx = e->creds != NULL && e->trust == mesh__creds_trust(e->creds) ? mesh__creds_ctx(e->creds) : NULL;
	if (e->use.ctx != NULL) {
		e->use.sessions = e->share != NULL ? mesh__share_sessions(e->share) : NULL;
		return mesh__curl_peer_ctx_use(&e->use, curl);
	}
	ok = e->trust == NULL || set_pem(curl, CURLOPT_CAINFO_BLOB, mesh__trust_roots(e->trust));
	if (e->creds != NULL) {
		ok = ok && set_pem(curl, CURLOPT_SSLCERT_BLOB, mesh__creds_chain(e->creds)) && set_pem(curl, CURLOPT_SSLKEY_BLOB, mesh__creds_key(e->creds));
	}
	return ok;
}

static bool set_tls(struct mesh__easy *e)
{
	CURL *curl = e->curl;
	bool ok = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
	long verify = e->trust != NULL;

	ok = ok && curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L) == CURLE_OK;
	ok = ok && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK;
	ok = ok && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, verify * 2) == CURLE_OK;
	/* Else the machine's public CAs would be trusted beside ours. */
	ok = ok && curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
	ok = ok && curl_easy_setopt(curl, CURLOPT_CAINFO, NULL) == CURLE_OK;
	/* Resumed are sessions of the share alone, which belongs to one endpoint: libcurl's own cache, of a multi, may offer one peer's session to another of the same name. */
	ok = ok && curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L) == CURLE_OK;
	if (e->trust == NULL) {
		/* What nobody vouches for is not kept. */
		ok = ok && curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
	}
	return ok && set_credentials(e);
}

static long http_version(const struct mesh__easy *e)
{
	if (e->proto == MESH__HTTP_1) {
		return CURL_HTTP_VERSION_1_1;
	}
	return e->plaintext ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS;
}

/* Before 8.1 libcurl fails with CURLE_HTTP2 where prior knowledge meets a connection that speaks HTTP/2 already; there "HTTP/2" says enough. On a new one it would ask for an upgrade. */
static bool set_version(const struct mesh__easy *e)
{
	bool kept;

	if (!e->plaintext || e->proto == MESH__HTTP_1) {
		return true; /* before libcurl is asked for its version, which costs it thousands of instructions */
	}
	kept = !e->may_dial && curl_version_info(CURLVERSION_NOW)->version_num < 0x080100;
	return curl_easy_setopt(e->curl, CURLOPT_HTTP_VERSION, kept ? (long)CURL_HTTP_VERSION_2_0 : http_version(e)) == CURLE_OK;
}

/* Nothing from the machine's or the user's surroundings (proxies, netrc, cookies, redirects, encodings) has a say in a call. */
static bool set_http(struct mesh__easy *e)
{
	CURL *curl = e->curl;

	return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, e->text) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CURLU, e->url) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CONNECT_TO, e->connect_to) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, e->plaintext ? "http" : "https") == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, http_version(e)) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*") == CURLE_OK && /* else it looks through the environment at each exchange */
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 1L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

/* "::ip:port": wherever the URL leads, connect there. */
static bool make_connect_to(struct mesh__easy *e, const struct mesh__easy_peer *peer)
{
	bool v6 = strchr(peer->connect_host, ':') != NULL;
	char text[MESH__EASY_NAME_MAX + 16];

	if (e->over_unix) {
		return curl_easy_setopt(e->curl, CURLOPT_UNIX_SOCKET_PATH, peer->unix_path) == CURLE_OK;
	}
	(void)snprintf(text, sizeof(text), v6 ? "::[%s]:%u" : "::%s:%u", peer->connect_host, (unsigned)peer->connect_port);
	e->connect_to = curl_slist_append(NULL, text);
	return e->connect_to != NULL;
}

/* "https://host/"; what comes behind the slash is each exchange's own. */
static bool make_url(struct mesh__easy *e, const char *host)
{
	char text[MESH__EASY_NAME_MAX + 32];

	(void)snprintf(text, sizeof(text), "%s://%s/", e->plaintext ? "http" : "https", host);
	e->url = curl_url();
	return e->url != NULL && curl_url_set(e->url, CURLUPART_URL, text, 0) == CURLUE_OK;
}

static bool nameable(const char *host)
{
	return strlen(host) < MESH__EASY_NAME_MAX && strpbrk(host, "/?#@\\ ") == NULL;
}

/* A path takes an address's place; the URL has a host all the same. */
static int make_unix_names(struct mesh__easy *e, const struct mesh__easy_peer *peer, struct mesh__err *err)
{
	if (!peer->plaintext || !nameable(peer->host) || peer->host[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "\"%.100s\" at the socket %.107s cannot be connected to", peer->host, peer->unix_path);
	}
	e->over_unix = true;
	(void)snprintf(e->where, sizeof(e->where), "%s at unix:%s", peer->host, peer->unix_path);
	return make_url(e, peer->host) ? MESH_OK : mesh__fail_memory(err);
}

static int make_names(struct mesh__easy *e, const struct mesh__easy_peer *peer, struct mesh__err *err)
{
	char address[MESH__EASY_NAME_MAX + 16];

	if (peer->unix_path != NULL && peer->unix_path[0] != '\0') {
		return make_unix_names(e, peer, err);
	}
	if (!nameable(peer->host) || !nameable(peer->connect_host) || peer->connect_host[0] == '\0' || peer->connect_port == 0 || strlen(peer->expect) >= sizeof(e->expect)) {
		return mesh__fail(err, MESH_E_INVALID, "\"%.100s\" at \"%.100s\" port %u cannot be connected to", peer->host, peer->connect_host, (unsigned)peer->connect_port);
	}
	(void)snprintf(address, sizeof(address), strchr(peer->connect_host, ':') != NULL ? "[%s]:%u" : "%s:%u", peer->connect_host, (unsigned)peer->connect_port);
	(void)snprintf(e->expect, sizeof(e->expect), "%s", peer->expect);
	(void)snprintf(e->where, sizeof(e->where), "%s%s%s", peer->host, peer->host[0] != '\0' ? " at " : "", address);
	return make_url(e, peer->host[0] != '\0' ? peer->host : address) ? MESH_OK : mesh__fail_memory(err);
}

int mesh__easy_init(struct mesh__easy *e, const struct mesh__env *env, const struct mesh__easy_peer *peer, struct mesh__conns *conns, struct mesh__err *err)
{
	int code;

	memset(e, 0, sizeof(*e));
	mesh__buf_init(&e->lines, &env->mem, LINES_MAX_BYTES);
	e->conns = conns;
	e->plaintext = peer->plaintext;
	e->proto = peer->proto;
	code = make_names(e, peer, err);
	if (code == MESH_OK && e->proto != MESH__HTTP_1 && !e->plaintext && !mesh__curl_peer_readable()) {
		code = mesh__fail(err, MESH_E_UNSUPPORTED, "HTTP/2 needs libcurl's OpenSSL to be the one that this library is linked with: what a handshake settled on is read there");
	}
	if (code != MESH_OK) {
		mesh__easy_fini(e);
		return code;
	}
	e->creds = peer->creds != NULL ? mesh__creds_ref(peer->creds) : NULL;
	e->trust = peer->trust != NULL ? mesh__trust_ref(peer->trust) : NULL;
	e->share = peer->share != NULL && peer->trust != NULL ? mesh__share_ref(peer->share) : NULL;
	e->curl = curl_easy_init();
	if (e->curl == NULL || !make_connect_to(e, peer)) {
		mesh__easy_fini(e);
		return mesh__fail_memory(err);
	}
	if (!set_http(e) || (!e->plaintext && !set_tls(e)) || !mesh__easy_hook(e)) {
		mesh__easy_fini(e);
		return mesh__fail(err, MESH_E_INTERNAL, "libcurl %s refuses an option, or is out of memory", curl_version_info(CURLVERSION_NOW)->version);
	}
	return MESH_OK;
}

static void leave_connection(struct mesh__easy *e)
{
	if (e->conn != NULL) {
		mesh__conns_leave(e->conn);
		e->conn = NULL;
	}
}

void mesh__easy_fini(struct mesh__easy *e)
{
	leave_connection(e);
	if (e->curl != NULL) {
		curl_easy_cleanup(e->curl);
	}
	curl_url_cleanup(e->url);
	curl_slist_free_all(e->connect_to);
	mesh__free(e->nodes);
	if (e->lines.mem != NULL) {
		mesh__buf_fini(&e->lines);
	}
	mesh__share_unref(e->share);
	mesh__creds_unref(e->creds);
	if (e->trust != NULL) {
		mesh__trust_unref(e->trust);
	}
	memset(e, 0, sizeof(*e));
}

/* ---- The request ---- */

static bool has_field(const struct mesh__client_request *request, const char *name)
{
	for (size_t i = 0; i < request->n_fields; i++) {
		if (mesh__str_eq_nocase(request->fields[i].name, strlen(request->fields[i].name), name)) {
			return true;
		}
	}
	return false;
}

/* RFC 9110 section 8.6: a method that anticipates content says that there is none. */
static bool announces_body(const struct mesh__client_request *request)
{
	return request->has_body || mesh__str_eq(request->method, "POST") || mesh__str_eq(request->method, "PUT") || mesh__str_eq(request->method, "PATCH");
}

/* libcurl's notation: "name: value", "name;" for an empty value, "name:" to leave out what it would add itself (Expect stalls an upload by a second). */
static size_t write_lines(struct mesh__buf *lines, const struct mesh__client_request *request, bool with_body)
{
	/* libcurl looks through all lines for each field that it might add: none that it does not add without a body. */
	static const char *const added_by_libcurl[] = {"Accept", "Expect", "Content-Type"};
	size_t n = request->n_fields, n_added = with_body ? MESH__COUNT(added_by_libcurl) : 1;

	mesh__buf_clear(lines);
	for (size_t i = 0; i < request->n_fields; i++) {
		const char *value = request->fields[i].value;
		mesh__buf_str(lines, request->fields[i].name);
		mesh__buf_str(lines, value[0] == '\0' ? ";" : ": ");
		mesh__buf_add(lines, value, strlen(value) + 1);
	}
	for (size_t i = 0; i < n_added; i++) {
		if (!has_field(request, added_by_libcurl[i])) {
			mesh__buf_str(lines, added_by_libcurl[i]);
			mesh__buf_add(lines, ":", 2);
			n++;
		}
	}
	return n;
}

/* The list that libcurl reads, in memory that serves exchange after exchange. */
static int set_fields(struct mesh__easy *e, const struct mesh__client_request *request, struct mesh__err *err)
{
	size_t n = write_lines(&e->lines, request, announces_body(request) || e->events.read != NULL);
	char *text = e->lines.data;
	int code = mesh__buf_error(&e->lines, "the header of the request", err);

	if (code != MESH_OK) {
		return code;
	}
	if (n > e->cap_nodes) {
		struct curl_slist *grown = mesh__resize(e->lines.mem, e->nodes, n * sizeof(*grown));
		if (grown == NULL) {
			return mesh__fail_memory(err);
		}
		e->nodes = grown;
		e->cap_nodes = n;
	}
	for (size_t i = 0; i < n; i++) {
		e->nodes[i] = (struct curl_slist){.data = text, .next = i + 1 < n ? &e->nodes[i + 1] : NULL};
		text += strlen(text) + 1;
	}
	return curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, n > 0 ? e->nodes : NULL) == CURLE_OK ? MESH_OK : mesh__fail_memory(err);
}

static bool set_method(const struct mesh__easy *e, const struct mesh__client_request *request)
{
	static const char none[] = "";
	CURL *curl = e->curl;
	const char *own = NULL; /* the method that libcurl would use by itself */
	bool ok;

	/* HTTPGET first: it takes back what an earlier exchange set. */
	ok = curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	if (mesh__str_eq(request->method, "HEAD")) {
		own = "HEAD";
		ok = ok && curl_easy_setopt(curl, CURLOPT_NOBODY, 1L) == CURLE_OK;
	} else if (e->events.read != NULL) {
		own = "POST"; /* without POSTFIELDS libcurl reads; without a length in HTTP/1.1 it sends chunks */
		ok = ok && curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)e->events.body_len) == CURLE_OK &&
			curl_easy_setopt(curl, CURLOPT_TRAILERFUNCTION, NULL) == CURLE_OK;
	} else if (announces_body(request)) {
		own = "POST";
		ok = ok && curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
			curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->has_body ? request->body_len : 0)) == CURLE_OK &&
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->has_body && request->body_len > 0 ? request->body : none) == CURLE_OK;
	} else {
		own = "GET";
	}
	return ok && curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, mesh__str_eq(request->method, own) ? NULL : request->method) == CURLE_OK;
}

static void forget_exchange(struct mesh__easy *e)
{
	leave_connection(e);
	e->text[0] = '\0';
	e->dial_refused = e->dial_failed = e->passed = e->again = e->stale = e->unvouched = e->lost = e->refused = e->reused = e->http2 = e->session_later = false;
	e->unprocessed = (struct mesh__unprocessed){0};
	e->dial_errno = 0;
	e->passed_us = 0;
	e->body_left = e->events.body_len;
	e->body_ended = e->upload_paused = e->has_trailers = e->sent_trailers = false;
	e->n_body = 0;
	mesh__err_clear(&e->stopped);
}

int mesh__easy_begin(struct mesh__easy *e, const struct mesh__client_request *request, struct mesh__client_response *response, bool may_dial, int64_t connect_timeout_ms, struct mesh__err *err)
{
	int code;

	forget_exchange(e);
	mesh__client_response_clear(response);
	if (mesh__str_eq(request->method, "HEAD") && (request->has_body || e->events.read != NULL)) {
		return mesh__fail(err, MESH_E_INVALID, "a HEAD request takes no body");
	}
	mesh__head_init(&e->head, response);
	e->no_body = mesh__str_eq(request->method, "HEAD");
	e->body_len = e->events.read != NULL ? e->events.body_len : request->has_body ? (int64_t)request->body_len : 0;
	e->max_body = request->max_response_bytes < response->body.max_bytes ? request->max_response_bytes : response->body.max_bytes;
	e->may_dial = may_dial;
	e->connect_timeout_ms = connect_timeout_ms;
	e->begun_us = mesh__mono_us(e->conns->env);
	code = set_fields(e, request, err);
	if (code != MESH_OK) {
		return code;
	}
	if (!set_version(e) || !set_method(e, request) || curl_easy_setopt(e->curl, CURLOPT_REQUEST_TARGET, request->target) != CURLE_OK ||
	    curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms) != CURLE_OK) {
		return mesh__fail_memory(err);
	}
	return MESH_OK;
}

/* ---- The end ---- */

void mesh__easy_stop(struct mesh__easy *e, int code, const char *how)
{
	if (e->stopped.code == MESH_OK) {
		(void)mesh__fail_at(&e->stopped, e->passed ? MESH__ORIGIN_PEER : MESH__ORIGIN_CONNECT, code, "%s", how);
	}
}

bool mesh__easy_unsent_stale(const struct mesh__easy *e)
{
	return (e->dial_refused || e->stale || e->unvouched) && !e->passed && e->stopped.code == MESH_OK;
}

bool mesh__easy_session_came(struct mesh__easy *e)
{
	e->session_later = e->session_later && !mesh__curl_sessions_any(mesh__share_sessions(e->share));
	return !e->session_later;
}

bool mesh__easy_is_answered(const struct mesh__easy *e)
{
	const struct mesh__head *head = &e->head;

	if (e->events.read == NULL || e->body_ended || head->at != MESH__HEAD_BODY || e->stopped.code != MESH_OK) {
		return false;
	}
	/* A gRPC answer that is but its status has no body, and its peer reads no further. */
	return (head->has_length && e->n_body == head->content_length) || (e->http2 && (e->has_trailers || mesh__client_response_header(head->response, "grpc-status") != NULL));
}

/* Before 8.7 libcurl writes in front of its buffer when a handle that has sent trailers sends chunks again: it takes the trailers for those that went, and leaves no room for a chunk's size (run, 7.88). */
static bool is_spoilt(const struct mesh__easy *e)
{
	return e->sent_trailers && curl_version_info(CURLVERSION_NOW)->version_num < 0x080700;
}

bool mesh__easy_keeps_connection(const struct mesh__easy *e)
{
	return !is_spoilt(e) && e->passed && !e->head.close && e->stopped.code == MESH_OK && !mesh__easy_is_answered(e);
}

void mesh__easy_so_far(const struct mesh__easy *e, struct mesh__client_result *result)
{
	result->reused = e->reused;
	result->http2 = e->http2;
	result->connect_us = e->reused || !e->may_dial ? 0 : (e->passed ? e->passed_us : mesh__mono_us(e->conns->env)) - e->begun_us;
}

int mesh__easy_end(struct mesh__easy *e, int curl_code, struct mesh__client_result *result, struct mesh__err *err)
{
	int code;

	if (e->http2) {
		mesh__unprocessed_listen(e, false);
	}
	result->sent = e->passed && !mesh__unprocessed_surely(e, curl_code) ? MESH__SENT_MAYBE : MESH__SENT_NOTHING;
	mesh__easy_so_far(e, result);
	code = mesh__easy_verdict(e, curl_code, err);
	e->lost = e->dial_refused || e->again || e->stale || (e->http2 && e->reused && code == MESH_E_RESET && result->sent == MESH__SENT_MAYBE && e->head.n_bytes == 0);
	if (e->share != NULL && (e->refused || code == MESH_E_IDENTITY)) {
		mesh__share_spoil(e->share);
	}
	leave_connection(e);
	return code;
}
