#include "way.h"

#include <curl/curl.h>
#include <meshlib/mesh.h>

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICES_MAX 8
#define EVENTS_MAX 64
#define STREAMS_CONNECTIONS 8 /* as the mesh has it */

/* What SSL_session_reused() is; libcurl has brought it, and tells nothing of the kind itself. */
typedef int (*reused_fn)(const void *ssl);

/* One handle of one caller; on cache lines of its own. */
struct raw {
	_Alignas(128) CURL *curl;
	char *body;
	size_t len;
	size_t room;
	unsigned long resumed;
	reused_fn reused; /* NULL but for the kinds that dial */
	bool seen;        /* the handshake of this call was looked at */
	uint64_t since_ns; /* of a request that flies */
};

/* One caller's turn, on cache lines of its own. */
struct turn {
	_Alignas(128) unsigned next;
};

struct way {
	const struct target *target;
	struct mesh *mesh;          /* mesh, join and async */
	CURLM *multi;               /* multi */
	bool flies;
	char *names;                /* of the services, each ended by a NUL */
	const char *services[SERVICES_MAX];
	unsigned n_services;
	struct raw *raw;            /* the others: [caller][handle] */
	struct turn *turns;         /* [caller] */
	struct curl_slist *fields;
	struct curl_slist *connect_to;
	atomic_bool told;
};

static bool fail(struct way *w, const char *what)
{
	if (!atomic_exchange(&w->told, true)) {
		fprintf(stderr, "client: %s: %s\n", w->n_services > 0 ? w->services[0] : "raw libcurl", what);
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

/* Called for each line of the response's head: the first tells whether the connection's handshake was a resumed one. */
static size_t on_head(char *bytes, size_t size, size_t n, void *user)
{
	struct curl_tlssessioninfo *tls = NULL;
	struct raw *r = user;

	(void)bytes;
	if (!r->seen && curl_easy_getinfo(r->curl, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls != NULL && tls->internals != NULL) {
		r->resumed += r->reused(tls->internals) == 1;
		r->seen = true;
	}
	return size * n;
}

static bool set_tls(CURL *curl, const struct target *t)
{
	return curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_CAINFO, t->bundle) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_SSLCERT, t->certificate) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_SSLKEY, t->key) == CURLE_OK;
}

static bool set_dialling(struct raw *r, bool resume)
{
	*(void **)&r->reused = dlsym(RTLD_DEFAULT, "SSL_session_reused");
	return r->reused != NULL && curl_easy_setopt(r->curl, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_SSL_SESSIONID_CACHE, resume ? 1L : 0L) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_HEADERDATA, r) == CURLE_OK;
}

static bool is_http2(const char *kind)
{
	return kind[strlen(kind) - 1] == '2';
}

static bool raw_open(struct raw *r, const struct way *w, const char *kind)
{
	const struct target *t = w->target;
	long version = is_http2(kind) ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1;
	bool tls = strcmp(kind, "plain") != 0, dials = strcmp(kind, "full") == 0 || strcmp(kind, "resumed") == 0;
	char url[512];

	(void)snprintf(url, sizeof(url), "http%s://%s%s", tls ? "s" : "", t->host, t->path);
	/* No byte more than asked for is room enough, and one byte more is an error. */
	r->room = t->bytes;
	r->body = calloc(1, t->bytes + 1);
	r->curl = curl_easy_init();
	return r->body != NULL && r->curl != NULL && (!tls || set_tls(r->curl, t)) && (!dials || set_dialling(r, strcmp(kind, "resumed") == 0)) &&
		curl_easy_setopt(r->curl, CURLOPT_URL, url) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_CONNECT_TO, w->connect_to) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, w->fields) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_HTTP_VERSION, version) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_PROXY, "") == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, 15000L) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_PIPEWAIT, (long)is_http2(kind)) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_PRIVATE, r) == CURLE_OK &&
		curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, r) == CURLE_OK;
}

static void *zeroed(size_t n, size_t size)
{
	void *block = aligned_alloc(128, n * size);

	return block != NULL ? memset(block, 0, n * size) : NULL;
}

static int n_handles(const struct way *w)
{
	return w->target->callers * w->target->handles;
}

static bool add(struct curl_slist **list, const char *text)
{
	struct curl_slist *more = curl_slist_append(*list, text);

	*list = more != NULL ? more : *list;
	return more != NULL;
}

/* The same request to the byte: the fields that the library adds to a call are sent here, too. */
static bool raws_open(struct way *w, const char *kind, const char *address)
{
	char connect_to[128];
	bool ok;

	(void)snprintf(connect_to, sizeof(connect_to), "::%s", address);
	ok = add(&w->connect_to, connect_to) && add(&w->fields, "Accept:") && add(&w->fields, "mesh-deadline-ms: 15000");
	w->raw = zeroed((size_t)n_handles(w), sizeof(*w->raw));
	for (int i = 0; ok && w->raw != NULL && i < n_handles(w); i++) {
		ok = raw_open(&w->raw[i], w, kind);
	}
	return (ok && w->raw != NULL) || fail(w, "cannot be set up");
}

static bool take_services(struct way *w, const char *list)
{
	char *rest = w->names = strdup(list);

	while (rest != NULL && w->n_services < SERVICES_MAX) {
		w->services[w->n_services++] = strsep(&rest, "+");
	}
	return w->n_services > 0 && rest == NULL;
}

static bool meshes_open(struct way *w, const char *kind, const char *services)
{
	const struct target *t = w->target;
	const char *endpoints = is_http2(kind) ? t->endpoints2 : t->endpoints;
	bool join = strcmp(kind, "join") == 0;
	mesh_options *options = mesh_options_new();
	mesh_error *error = NULL;
	bool ok = take_services(w, services) && options != NULL;

	ok = ok && (join || (mesh_options_set(options, "certificate", t->certificate) == MESH_OK && mesh_options_set(options, "key", t->key) == MESH_OK &&
		mesh_options_set(options, "bundle", t->bundle) == MESH_OK && mesh_options_set(options, "endpoints", endpoints) == MESH_OK));
	ok = ok && mesh_open(options, &w->mesh, &error) == MESH_OK && mesh_wait_ready(w->mesh, 10000, &error) == MESH_OK;
	if (!ok) {
		(void)fail(w, error != NULL ? mesh_error_message(error) : options != NULL ? mesh_options_message(options) : "out of memory");
	}
	mesh_error_free(error);
	mesh_options_free(options);
	return ok;
}

static bool is_one_of(const char *kind, const char *const *kinds)
{
	while (*kinds != NULL && strcmp(kind, *kinds) != 0) {
		kinds++;
	}
	return *kinds != NULL;
}

static bool is_mesh(const char *kind)
{
	static const char *const kinds[] = {"mesh", "mesh2", "async", "async2", "join", NULL};

	return is_one_of(kind, kinds);
}

static bool is_flying(const char *kind)
{
	static const char *const kinds[] = {"multi", "multi2", "async", "async2", NULL};

	return is_one_of(kind, kinds);
}

bool way_kind_known(const char *kind)
{
	static const char *const kinds[] = {"tls", "tls2", "plain", "full", "resumed", "multi", "multi2", NULL};

	return is_mesh(kind) || is_one_of(kind, kinds);
}

static bool multi_open(struct way *w, bool http2)
{
	w->multi = curl_multi_init();
	return w->multi != NULL && (!http2 || curl_multi_setopt(w->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)STREAMS_CONNECTIONS) == CURLM_OK);
}

struct way *way_open(const char *kind, const char *to, const struct target *target)
{
	struct way *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		return NULL;
	}
	w->target = target;
	w->turns = zeroed((size_t)target->callers, sizeof(*w->turns));
	w->flies = is_flying(kind);
	if (w->turns == NULL || !(is_mesh(kind) ? meshes_open(w, kind, to) : raws_open(w, kind, to)) || (w->flies && !is_mesh(kind) && !multi_open(w, is_http2(kind)))) {
		way_close(w);
		return NULL;
	}
	return w;
}

static bool raw_came(struct way *w, struct raw *r, CURLcode code)
{
	long status = 0;

	if (code != CURLE_OK) {
		return fail(w, curl_easy_strerror(code));
	}
	(void)curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	return (status == 200 && r->len == w->target->bytes) || fail(w, "the answer is not 200 with the body asked for");
}

static bool raw_call(struct way *w, struct raw *r)
{
	r->len = 0;
	r->seen = false;
	return raw_came(w, r, curl_easy_perform(r->curl));
}

static bool mesh_came(struct way *w, mesh_request *r, int32_t code)
{
	size_t len = 0;

	if (code != MESH_OK) {
		return fail(w, mesh_error_message(mesh_request_error(r)));
	}
	(void)mesh_response_body(r, &len);
	return (mesh_response_status(r) == 200 && len == w->target->bytes) || fail(w, "the answer is not 200 with the body asked for");
}

/* A request a call, as programs do it. */
static bool one_mesh_call(struct way *w, const char *service)
{
	mesh_request *r = mesh_request_new(w->mesh, service, "GET", w->target->path);
	bool ok = r != NULL ? mesh_came(w, r, mesh_call(r)) : fail(w, "out of memory");

	mesh_request_free(r);
	return ok;
}

/* ---- many at a time ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : 0;
}

static bool multi_start(struct way *w, struct raw *r)
{
	r->len = 0;
	r->since_ns = now_ns();
	return curl_multi_add_handle(w->multi, r->curl) == CURLM_OK || fail(w, "libcurl takes no more");
}

/* What has landed starts again, while there is to be more; how many did not. */
static int multi_land(struct way *w, const struct flying *f)
{
	int left = 0, over = 0;
	CURLMsg *msg;

	while ((msg = curl_multi_info_read(w->multi, &left)) != NULL) {
		struct raw *r = NULL;
		CURLcode code = msg->data.result;

		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		(void)curl_multi_remove_handle(w->multi, r->curl);
		f->landed(f->arg, now_ns() - r->since_ns, raw_came(w, r, code));
		over += !f->more(f->arg) || !multi_start(w, r);
	}
	return over;
}

static void multi_fly(struct way *w, int n, const struct flying *f)
{
	int flying = 0, running = 0;

	for (int i = 0; i < n; i++) {
		flying += multi_start(w, &w->raw[i]);
	}
	while (flying > 0) {
		if (curl_multi_perform(w->multi, &running) != CURLM_OK) {
			(void)fail(w, "libcurl gives up");
			return;
		}
		flying -= multi_land(w, f);
		if (flying > 0) {
			(void)curl_multi_poll(w->multi, NULL, 0, 1000, NULL);
		}
	}
}

/* The moment is told back with the event: a request a call here too. */
static bool async_start(struct way *w)
{
	mesh_request *r = mesh_request_new(w->mesh, w->services[0], "GET", w->target->path);
	int32_t code = r != NULL ? mesh_call_start(r, NULL, (void *)(uintptr_t)now_ns()) : MESH_E_NO_MEMORY;

	if (code != MESH_OK) {
		mesh_request_free(r);
		return fail(w, mesh_code_name(code));
	}
	return true;
}

static void async_fly(struct way *w, int n, const struct flying *f)
{
	mesh_event events[EVENTS_MAX];
	int flying = 0;

	for (int i = 0; i < n; i++) {
		flying += async_start(w);
	}
	while (flying > 0) {
		int32_t came = mesh_poll(w->mesh, events, EVENTS_MAX, 20000);

		if (came <= 0) {
			(void)fail(w, "no answer comes");
			return;
		}
		for (int32_t i = 0; i < came; i++) {
			bool ok = mesh_came(w, events[i].request, events[i].code);

			f->landed(f->arg, now_ns() - (uint64_t)(uintptr_t)events[i].user, ok);
			mesh_request_free(events[i].request);
			flying -= !f->more(f->arg) || !async_start(w);
		}
	}
}

bool way_flies(const struct way *w)
{
	return w->flies;
}

void way_fly(struct way *w, int n, const struct flying *f)
{
	if (w->mesh != NULL) {
		async_fly(w, n, f);
	} else {
		multi_fly(w, n, f);
	}
}

bool way_call(struct way *w, int caller)
{
	unsigned turn = w->turns[caller].next++;

	if (w->mesh != NULL) {
		return one_mesh_call(w, w->services[turn % w->n_services]);
	}
	return raw_call(w, &w->raw[caller * w->target->handles + (int)(turn % (unsigned)w->target->handles)]);
}

unsigned long way_resumed(const struct way *w)
{
	unsigned long n = 0;

	for (int i = 0; w->raw != NULL && i < n_handles(w); i++) {
		n += w->raw[i].resumed;
	}
	return n;
}

void way_close(struct way *w)
{
	if (w->mesh != NULL) {
		(void)mesh_close(w->mesh, 1000);
	}
	for (int i = 0; w->raw != NULL && i < n_handles(w); i++) {
		curl_easy_cleanup(w->raw[i].curl);
		free(w->raw[i].body);
	}
	(void)curl_multi_cleanup(w->multi);
	free(w->raw);
	free(w->turns);
	free(w->names);
	curl_slist_free_all(w->fields);
	curl_slist_free_all(w->connect_to);
	free(w);
}
