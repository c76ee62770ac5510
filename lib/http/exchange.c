#include <string.h>

#include "base/str.h"
#include "http/core.h"
#include "wire/url.h"

/* ---- The request ---- */

/* What is not the peer's to say: who it is never, and what the mesh's own fields say only where it is one of the mesh. */
static void drop_fields(struct mesh__exchange *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n_fields; i++) {
		const char *name = x->fields[i].name;
		size_t len = strlen(name);

		if (!mesh__field_is_claim(name, len) && (x->has_peer || !mesh__field_is_mesh(name, len))) {
			x->fields[n++] = x->fields[i];
		}
	}
	x->n_fields = n;
}

static const struct mesh__leaf *peer_of(const struct mesh__conn *c)
{
	return c->tls != NULL ? mesh__tls_peer(c->tls) : NULL;
}

size_t mesh__exchange_max_body(const struct mesh__conn *c)
{
	const struct mesh__http_limits *limits = &c->server->options.limits;
	int64_t max = limits->max_body_bytes;

	if (c->server->options.stream_bodies) {
		return SIZE_MAX / 2;
	}
	return (size_t)(peer_of(c) == NULL && limits->max_stranger_body_bytes < max ? limits->max_stranger_body_bytes : max);
}

static void exchange_free(struct mesh__exchange *x)
{
	struct mesh__http_server *s = x->server;

	mesh__buf_fini(&x->body);
	mesh__trailers_fini(&x->trailers);
	mesh__trailers_fini(&x->own_trailers);
	mesh__free(x->kept);
	mesh__free(x);
	mesh__http_server_unref(s);
}

struct mesh__exchange *mesh__exchange_new(struct mesh__conn *c, size_t n_fields, size_t text_len, char **text)
{
	const struct mesh__leaf *leaf = peer_of(c);
	struct mesh__http_server *s = c->server;
	size_t room = sizeof(struct mesh__exchange) + n_fields * sizeof(struct mesh__field_text);
	struct mesh__exchange *x = mesh__alloc(&s->env->mem, room + text_len + 1);

	if (x == NULL) {
		return NULL;
	}
	*text = (char *)x + room;
	x->refs = 1;
	x->server = mesh__http_server_ref(s);
	x->address = c->peer;
	x->arrived_us = mesh__mono_us(s->env);
	x->n_fields = n_fields;
	x->streams_body = s->options.stream_bodies;
	mesh__buf_init(&x->body, &s->env->mem, mesh__exchange_max_body(c));
	mesh__trailers_init(&x->trailers, &s->env->mem);
	mesh__trailers_init(&x->own_trailers, &s->env->mem);
	if (leaf != NULL) {
		x->peer = *leaf;
		x->has_peer = true;
	}
	return x;
}

void mesh__exchange_open(struct mesh__exchange *x, const struct mesh__carrier *ops, void *carrier)
{
	x->ops = ops;
	x->carrier = carrier;
	x->is_head = strcmp(x->method, "HEAD") == 0;
	drop_fields(x);
}

const char *mesh__exchange_method(const struct mesh__exchange *x)
{
	return x->method;
}

const char *mesh__exchange_path(const struct mesh__exchange *x)
{
	return x->path;
}

const char *mesh__exchange_query(const struct mesh__exchange *x)
{
	return x->query;
}

const char *mesh__exchange_header(const struct mesh__exchange *x, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < x->n_fields; i++) {
		if (mesh__str_eq_nocase(name, len, x->fields[i].name)) {
			return x->fields[i].value;
		}
	}
	return NULL;
}

size_t mesh__exchange_n_fields(const struct mesh__exchange *x)
{
	return x->n_fields;
}

struct mesh__field_text mesh__exchange_field(const struct mesh__exchange *x, size_t index)
{
	return x->fields[index];
}

const char *mesh__exchange_body(const struct mesh__exchange *x, size_t *len)
{
	*len = x->streams_body ? 0 : x->body.len;
	return *len > 0 ? x->body.data : "";
}

bool mesh__exchange_is_http2(const struct mesh__exchange *x)
{
	return x->is_http2;
}

const struct mesh__leaf *mesh__exchange_peer(const struct mesh__exchange *x)
{
	return x->has_peer ? &x->peer : NULL;
}

void mesh__exchange_address(const struct mesh__exchange *x, struct mesh__addr *out)
{
	*out = x->address;
}

int64_t mesh__exchange_arrived_us(const struct mesh__exchange *x)
{
	return x->arrived_us;
}

/* ---- Its life ---- */

void mesh__exchange_ref(struct mesh__exchange *x)
{
	atomic_fetch_add(&x->refs, 1);
}

void mesh__exchange_hand_over(struct mesh__exchange *x)
{
	x->handed_over = true;
	x->body_ended |= !x->streams_body;
	x->progress_us = mesh__mono_us(x->server->env);
	x->server->options.handler(x->server->options.user, x);
}

static void forget_body(struct mesh__exchange *x)
{
	if (x->streams_body) {
		mesh__buf_fini(&x->body);
		x->body_at = 0;
	}
}

void mesh__exchange_detach(struct mesh__exchange *x, int code)
{
	x->carrier = NULL;
	if (!x->handed_over) {
		exchange_free(x);
	} else if (code == MESH_OK) {
		forget_body(x);
	} else {
		x->server->cut_short |= x->server->cutting && !atomic_load(&x->is_gone);
		mesh__exchange_gone(x, code);
	}
}

void mesh__exchange_gone(struct mesh__exchange *x, int code)
{
	forget_body(x);
	x->code = code;
	atomic_store(&x->is_gone, true);
	if (x->streaming || !atomic_load(&x->replied)) {
		mesh__exchange_tell_gone(x);
	}
}

enum mesh__refusal mesh__exchange_overdue(const struct mesh__exchange *x, int64_t now_us)
{
	const struct mesh__http_limits *limits = &x->server->options.limits;

	if (!x->handed_over) {
		return now_us >= x->arrived_us + limits->body_ms * 1000 ? MESH__REFUSAL_TIMEOUT : MESH__REFUSAL_NONE;
	}
	if (x->streaming) {
		return MESH__REFUSAL_NONE; /* from here on it is a conversation, whose silences are its own */
	}
	if (x->wants) {
		return now_us >= x->progress_us + limits->body_ms * 1000 ? MESH__REFUSAL_TIMEOUT : MESH__REFUSAL_NONE;
	}
	return now_us >= x->progress_us + limits->reply_ms * 1000 ? MESH__REFUSAL_LATE : MESH__REFUSAL_NONE;
}

bool mesh__exchange_on_loop(struct mesh__exchange *x, mesh__loop_fn fn)
{
	struct mesh__http_server *s = x->server;
	bool here = false, posted = false;

	(void)pthread_mutex_lock(&s->loop_mu);
	if (s->loop != NULL) {
		here = mesh__loop_is_current(s->loop);
		posted = !here;
		if (posted) {
			mesh__loop_post(s->loop, &x->post, fn, x);
		}
	}
	(void)pthread_mutex_unlock(&s->loop_mu);
	if (here) {
		fn(x);
	}
	return here || posted;
}

bool mesh__exchange_post(struct mesh__exchange *x, struct mesh__post *post, mesh__loop_fn fn, void *arg)
{
	struct mesh__http_server *s = x->server;
	bool posted;

	(void)pthread_mutex_lock(&s->loop_mu);
	posted = s->loop != NULL;
	if (posted) {
		mesh__loop_post(s->loop, post, fn, arg);
	}
	(void)pthread_mutex_unlock(&s->loop_mu);
	return posted;
}

/* The last reference went without a reply, or with half of one. */
static void on_forgotten(void *arg)
{
	struct mesh__exchange *x = arg;

	x->events = NULL;
	x->gone = NULL;
	if (x->carrier != NULL && !x->streaming) {
		x->ops->refuse(x->carrier, MESH__REFUSAL_NO_REPLY);
	} else if (x->carrier != NULL) {
		x->ops->abort(x->carrier); /* a stream without an end must not look like a whole one */
	}
	exchange_free(x);
}

void mesh__exchange_unref(struct mesh__exchange *x)
{
	if (atomic_fetch_sub(&x->refs, 1) > 1) {
		return;
	}
	/* Whoever is last and finds a reply made also finds the carrier gone, but for a stream, which is the loop's. */
	if (atomic_exchange(&x->replied, true) && !(x->streaming && x->carrier != NULL)) {
		exchange_free(x);
	} else if (!mesh__exchange_on_loop(x, on_forgotten)) {
		exchange_free(x);
	}
}
