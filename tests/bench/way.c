#include "way.h"

#include <curl/curl.h>
#include <meshlib/mesh.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One caller's handle; on cache lines of its own. */
struct raw {
	_Alignas(128) CURL *curl;
	char *body;
	size_t len;
	size_t room;
};

struct way {
	const struct target *target;
	const char *service;        /* mesh alone */
	struct mesh *mesh;          /* mesh alone */
	struct raw *raw;            /* the others */
	struct curl_slist *fields;
	struct curl_slist *connect_to;
	atomic_bool told;
};

static bool fail(struct way *w, const char *what)
{
	if (!atomic_exchange(&w->told, true)) {
		fprintf(stderr, "client: %s: %s\n", w->service != NULL ? w->service : "raw libcurl", what);
	}
	return false;
}

/* The body is kept, as a program that wants it would, in memory that is there already. */
static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
	struct raw *r = user;

	(void)size;
	if (n > r->room - r->len) {
		return 0;
	}
	memcpy(r->body + r->len, bytes, n);
	r->len += n;
	return n;
}

static bool set_tls(CURL *curl, const struct target *t)
{
	return curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CAINFO, t->bundle) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_SSLCERT, t->certificate) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_SSLKEY, t->key) == CURLE_OK;
}

static bool raw_open(struct raw *r, const struct way *w, bool tls)
{
	const struct target *t = w->target;
	char url[512];

	(void)snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "", t->host, t->path);
	/* No byte more than asked for is room enough, and one byte more is an error. */
	r->room = t->bytes;
	r->body = calloc(1, t->bytes + 1);
	r->curl = curl_easy_init();
	return r->body != NULL && r->curl != NULL && (!tls || set_tls(r->curl, t)) && curl_easy_setopt(r->curl, CURLOPT_URL, url) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_CONNECT_TO, w->connect_to) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, w->fields) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_PROXY, "") == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, 15000L) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, r) == CURLE_OK;
}

static bool add(struct curl_slist **list, const char *text)
{
	struct curl_slist *more = curl_slist_append(*list, text);

	*list = more != NULL ? more : *list;
	return more != NULL;
}

/* The same request to the byte: the fields that the library adds to a call are sent here, too. */
static bool raws_open(struct way *w, const char *address, bool tls)
{
	char connect_to[128];
	bool ok;

	(void)snprintf(connect_to, sizeof(connect_to), "::%s", address);
	ok = add(&w->connect_to, connect_to) && add(&w->fields, "Accept:") && add(&w->fields, "mesh-try: 1") && add(&w->fields, "mesh-deadline-ms: 15000");
	w->raw = aligned_alloc(_Alignof(struct raw), (size_t)w->target->callers * sizeof(*w->raw));
	if (w->raw == NULL) {
		return false;
	}
	memset(w->raw, 0, (size_t)w->target->callers * sizeof(*w->raw));
	for (int i = 0; ok && i < w->target->callers; i++) {
		ok = raw_open(&w->raw[i], w, tls);
	}
	return ok;
}

static bool mesh_way_open(struct way *w, const char *service)
{
	const struct target *t = w->target;
	mesh_options *options = mesh_options_new();
	mesh_error *error = NULL;
	bool ok = options != NULL;

	w->service = service;
	ok = ok && mesh_options_set(options, "certificate", t->certificate) == MESH_OK && mesh_options_set(options, "key", t->key) == MESH_OK &&
		mesh_options_set(options, "bundle", t->bundle) == MESH_OK && mesh_options_set(options, "endpoints", t->endpoints) == MESH_OK;
	ok = ok && mesh_open(options, &w->mesh, &error) == MESH_OK && mesh_wait_ready(w->mesh, 10000, &error) == MESH_OK;
	if (!ok) {
		(void)fail(w, error != NULL ? mesh_error_message(error) : options != NULL ? mesh_options_message(options) : "out of memory");
	}
	mesh_error_free(error);
	mesh_options_free(options);
	return ok;
}

struct way *way_open(const char *kind, const char *to, const struct target *target)
{
	struct way *w = calloc(1, sizeof(*w));
	bool ok;

	if (w == NULL) {
		return NULL;
	}
	w->target = target;
	if (strcmp(kind, "mesh") == 0) {
		ok = mesh_way_open(w, to);
	} else {
		ok = raws_open(w, to, strcmp(kind, "tls") == 0) || fail(w, "cannot be set up");
	}
	if (!ok) {
		way_close(w);
		return NULL;
	}
	return w;
}

static bool raw_call(struct way *w, struct raw *r)
{
	CURLcode code;
	long status = 0;

	r->len = 0;
	code = curl_easy_perform(r->curl);
	if (code != CURLE_OK) {
		return fail(w, curl_easy_strerror(code));
	}
	(void)curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	return (status == 200 && r->len == w->target->bytes) || fail(w, "the answer is not 200 with the body asked for");
}

/* A request a call, as programs do it. */
static bool mesh_way_call(struct way *w)
{
	mesh_request *r = mesh_request_new(w->mesh, w->service, "GET", w->target->path);
	size_t len = 0;
	bool ok;

	if (r == NULL) {
		return fail(w, "out of memory");
	}
	ok = mesh_call(r) == MESH_OK;
	if (!ok) {
		(void)fail(w, mesh_error_message(mesh_request_error(r)));
	} else {
		(void)mesh_response_body(r, &len);
		ok = (mesh_response_status(r) == 200 && len == w->target->bytes) || fail(w, "the answer is not 200 with the body asked for");
	}
	mesh_request_free(r);
	return ok;
}

bool way_call(struct way *w, int caller)
{
	return w->mesh != NULL ? mesh_way_call(w) : raw_call(w, &w->raw[caller]);
}

void way_close(struct way *w)
{
	if (w == NULL) {
		return;
	}
	if (w->mesh != NULL) {
		(void)mesh_close(w->mesh, 1000);
	}
	for (int i = 0; w->raw != NULL && i < w->target->callers; i++) {
		curl_easy_cleanup(w->raw[i].curl);
		free(w->raw[i].body);
	}
	free(w->raw);
	curl_slist_free_all(w->fields);
	curl_slist_free_all(w->connect_to);
	free(w);
}
