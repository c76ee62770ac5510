#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "http/curl_easy.h"
#include "wire/grpc.h"

struct verdict {
	int code;
	enum mesh__origin origin;
	const char *what;
	const char *hint; /* "" for none */
};

/* libcurl 7.88 has no code of its own for broken chunks: CURLE_RECV_ERROR and this word. */
static bool says(const struct mesh__easy *e, const char *word)
{
	return strstr(e->text, word) != NULL;
}

/* What to look at, by OpenSSL's and libcurl's words for what is wrong with the peer's certificate. */
static const char *identity_hint(const struct mesh__easy *e)
{
	static const struct {
		const char *word, *hint;
	} hints[] = {
		{"subject name", "; nothing was sent; another service answers at that address: is the endpoint's address right?"},
		{"has expired", "; nothing was sent; check the clocks of both hosts, and what keeps the peer from renewing its certificate"},
		{"not yet valid", "; nothing was sent; check the clocks of both hosts"},
		{"issuer certificate", "; nothing was sent; the peer's certificate is of another CA than this side's roots: do both belong to one mesh?"},
		{"self-signed", "; nothing was sent; the peer's certificate is of another CA than this side's roots: do both belong to one mesh?"},
	};

	for (size_t i = 0; i < MESH__COUNT(hints); i++) {
		if (says(e, hints[i].word)) {
			return hints[i].hint;
		}
	}
	return "; nothing was sent";
}

/* Before the request was let through: nothing was sent. */
static struct verdict unsent(const struct mesh__easy *e, CURLcode curl_code)
{
	switch (curl_code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
		return (struct verdict){MESH_E_IDENTITY, MESH__ORIGIN_TLS, "the peer is not who it must be", identity_hint(e)};
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return (struct verdict){MESH_E_TLS, MESH__ORIGIN_TLS, "the own certificate, its key or the roots cannot be used", ""};
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CIPHER:
	case CURLE_USE_SSL_FAILED:
	case CURLE_SSL_ENGINE_INITFAILED:
		return (struct verdict){MESH_E_TLS, MESH__ORIGIN_TLS, "the TLS handshake failed", says(e, "alert") ? "; the peer refused this side's certificate or TLS version" : ""};
	case CURLE_OUT_OF_MEMORY:
		return (struct verdict){MESH_E_NO_MEMORY, MESH__ORIGIN_LOCAL, "out of memory", ""};
	case CURLE_OPERATION_TIMEDOUT:
		return (struct verdict){MESH_E_CONNECT, MESH__ORIGIN_CONNECT, "no connection within the connect timeout", ""};
	case CURLE_COULDNT_RESOLVE_HOST:
		return (struct verdict){MESH_E_CONNECT, MESH__ORIGIN_CONNECT, "the name cannot be resolved", ""};
	case CURLE_COULDNT_CONNECT:
		return (struct verdict){MESH_E_CONNECT, MESH__ORIGIN_CONNECT, "cannot connect", "; is it running, and reachable from here?"};
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
		return (struct verdict){MESH_E_CONNECT, MESH__ORIGIN_CONNECT, "the connection broke before it could be used", ""};
	default:
		return (struct verdict){MESH_E_INTERNAL, MESH__ORIGIN_LOCAL, "libcurl could not make the exchange", ""};
	}
}

/* After it: it may have been processed. */
static struct verdict maybe_sent(const struct mesh__easy *e, CURLcode curl_code)
{
	bool begun = e->head.n_bytes > 0; /* of the response */

	switch (curl_code) {
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_WRITE_ERROR:
		return (struct verdict){MESH_E_PROTOCOL, MESH__ORIGIN_PEER, "the response is malformed", ""};
	case CURLE_FILESIZE_EXCEEDED:
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE: /* a header line over libcurl's own bound */
#endif
		return (struct verdict){MESH_E_TOO_LARGE, MESH__ORIGIN_PEER, "the response is too large", ""};
	case CURLE_OUT_OF_MEMORY: /* so 7.88 calls a header line over its bound of 100 KB too */
		if (e->head.at != MESH__HEAD_BODY) {
			return (struct verdict){MESH_E_TOO_LARGE, MESH__ORIGIN_PEER, "a header line of the response is too large, or memory is out", ""};
		}
		return (struct verdict){MESH_E_NO_MEMORY, MESH__ORIGIN_LOCAL, "out of memory", ""};
	case CURLE_OPERATION_TIMEDOUT:
		return (struct verdict){MESH_E_TIMEOUT, MESH__ORIGIN_PEER, "no response in time", ""};
	case CURLE_RECV_ERROR:
		if (says(e, "chunk")) {
			return (struct verdict){MESH_E_PROTOCOL, MESH__ORIGIN_PEER, "the response is malformed", ""};
		}
		break;
	default:
		break;
	}
	/* TLS 1.3: the peer judges our certificate after our first request has gone out. */
	if (!begun && !e->reused && says(e, "alert")) {
		return (struct verdict){MESH_E_TLS, MESH__ORIGIN_TLS, "the peer refused this side's certificate, after the request may have been sent", ""};
	}
	return (struct verdict){MESH_E_RESET, MESH__ORIGIN_PEER,
		begun ? "the connection broke in the middle of the response" : "the connection broke before a response came; the request may have been processed", ""};
}

/* Before 8.0 libcurl drops trailers where it reads GOAWAY, or the connection's end, before it has handed them on, and says that all is well. Of gRPC's they are the half that counts. */
static int check_trailers(const struct mesh__easy *e, struct mesh__err *err)
{
	const struct mesh__client_response *response = e->head.response;
	bool announced = mesh__client_response_header(response, "trailer") != NULL && mesh__unprocessed_farewell(e);
	bool grpc = response->status == 200 && !e->no_body && mesh__grpc_content_type(mesh__client_response_header(response, "content-type")) && mesh__client_response_header(response, "grpc-status") == NULL;

	if (!e->http2 || e->has_trailers || !(announced || grpc)) {
		return MESH_OK;
	}
	return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_RESET, "%s: the response ended without its trailers%s; the request may have been processed", e->where, grpc ? ", gRPC's status among them" : "");
}

/* Over HTTP/2 libcurl is told to ignore the length, and before 8.0 it takes a stream that was reset for one that ended, where the peer then broke the rules and the connection off. */
static bool is_short(const struct mesh__easy *e)
{
	int status = e->head.response->status;

	return e->http2 && e->head.has_length && e->n_body != e->head.content_length && !e->no_body && status != 204 && status != 304;
}

/* libcurl is content when a connection ends in the middle of a header. */
static int check_whole(const struct mesh__easy *e, struct mesh__err *err)
{
	if (e->passed && e->head.at == MESH__HEAD_BODY && is_short(e)) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_RESET, "%s: the response ended after %llu of its %llu bytes; the request may have been processed", e->where,
			(unsigned long long)e->n_body, (unsigned long long)e->head.content_length);
	}
	if (e->passed && e->head.at == MESH__HEAD_BODY && !mesh__easy_is_answered(e) && mesh__unprocessed_broken_off(e)) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_RESET, "%s: the connection broke in the middle of the response (the peer does not keep the rules of HTTP/2)", e->where);
	}
	if (e->passed && e->head.at == MESH__HEAD_BODY) {
		return check_trailers(e, err);
	}
	return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_RESET, "%s: the connection ended in the middle of the response's header", e->where);
}

int mesh__easy_verdict(const struct mesh__easy *e, int curl_code, struct mesh__err *err)
{
	const char *detail = e->text[0] != '\0' ? e->text : curl_easy_strerror((CURLcode)curl_code);
	struct verdict v;

	if (e->stopped.code != MESH_OK) {
		return mesh__fail_at(err, e->stopped.origin, e->stopped.code, "%s: %s", e->where, e->stopped.message);
	}
	if (curl_code == CURLE_OK) {
		return check_whole(e, err);
	}
	if (e->unvouched) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_RESET, "%s: the session that was resumed is not one of a peer that was found good; nothing was sent", e->where);
	}
	if (e->dial_failed && e->dial_errno == ENOMEM) {
		return mesh__fail_memory(err);
	}
	if (e->dial_failed) {
		return mesh__fail_at(err, MESH__ORIGIN_LOCAL, MESH_E_CONNECT, "%s: no socket can be made: %s; raise the limit of open files (ulimit -n)", e->where, strerror(e->dial_errno));
	}
	if (mesh__unprocessed_surely(e, curl_code)) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_RESET, "%s: the peer refused the request before anything processed it", e->where);
	}
	if (!e->http2 && (e->again || e->dial_refused)) {
		detail = "a kept connection had gone";
	}
	v = e->passed ? maybe_sent(e, (CURLcode)curl_code) : unsent(e, (CURLcode)curl_code);
	if (e->again) {
		v = maybe_sent(e, CURLE_GOT_NOTHING);
	}
	return mesh__fail_at(err, v.origin, v.code, "%s: %s (%s)%s", e->where, v.what, detail, v.hint);
}
