#include <string.h>

#include "base/str.h"
#include "http/core.h"
#include "wire/url.h"

/* ---- The request ---- */

static size_t blank_lines(const char *text)
{
	size_t n = 0;

	while (text[n] == '\r' || text[n] == '\n') {
		n++;
	}
	return n;
}

/* The header without the empty lines before it, as a string of its own behind the fields. */
static struct mesh__exchange *exchange_alloc(struct mesh__conn *c, char **text, size_t *len)
{
	size_t skip = blank_lines(c->head.data);
	size_t room = sizeof(struct mesh__exchange) + c->scan.n_fields * sizeof(struct mesh__field_text);
	struct mesh__exchange *x;

	*len = c->head.len - skip;
	x = mesh__alloc(&c->server->env->mem, room + *len + 1);
	if (x != NULL) {
		memcpy((char *)x + room, c->head.data + skip, *len);
		*text = (char *)x + room;
	}
	return x;
}

/* What is not the peer's to say: who it is never, and what the mesh's own fields say only where it is one of the mesh. */
static void drop_fields(struct mesh__h1_head *head, bool of_the_mesh)
{
	size_t n = 0;

	for (size_t i = 0; i < head->n_fields; i++) {
		const char *name = head->fields[i].name;
		size_t len = strlen(name);

		if (!mesh__field_is_claim(name, len) && (of_the_mesh || !mesh__field_is_mesh(name, len))) {
			head->fields[n++] = head->fields[i];
		}
	}
	head->n_fields = n;
}

static void exchange_free(struct mesh__exchange *x)
{
	struct mesh__http_server *s = x->server;

	mesh__buf_fini(&x->body);
	mesh__buf_fini(&x->kept_lines);
	mesh__buf_fini(&x->kept_body);
	mesh__free(x);
	mesh__http_server_unref(s);
}

static size_t max_body_of(const struct mesh__http_limits *limits, bool stranger)
{
	int64_t max = limits->max_body_bytes;

	return (size_t)(stranger && limits->max_stranger_body_bytes < max ? limits->max_stranger_body_bytes : max);
}

enum mesh__refusal mesh__exchange_new(struct mesh__conn *c, struct mesh__exchange **out)
{
	const struct mesh__leaf *leaf = c->tls != NULL ? mesh__tls_peer(c->tls) : NULL;
	struct mesh__http_server *s = c->server;
	size_t max_body = max_body_of(&s->options.limits, leaf == NULL);
	char *text = NULL;
	size_t len;
	struct mesh__exchange *x = exchange_alloc(c, &text, &len);
	enum mesh__refusal refusal;

	*out = NULL;
	if (x == NULL) {
		return MESH__REFUSAL_NO_MEMORY;
	}
	x->refs = 1;
	x->server = mesh__http_server_ref(s);
	refusal = mesh__h1_parse(text, len, x->fields, c->scan.n_fields, max_body, &x->head);
	if (refusal != MESH__REFUSAL_NONE) {
		exchange_free(x);
		return refusal;
	}
	x->conn = c;
	x->address = c->peer;
	x->arrived_us = mesh__mono_us(s->env);
	x->is_head = strcmp(x->head.method, "HEAD") == 0;
	mesh__buf_init(&x->body, &s->env->mem, max_body);
	mesh__buf_init(&x->kept_lines, &s->env->mem, SIZE_MAX / 2);
	mesh__buf_init(&x->kept_body, &s->env->mem, SIZE_MAX / 2);
	if (leaf != NULL) {
		x->peer = *leaf;
		x->has_peer = true;
	}
	drop_fields(&x->head, leaf != NULL);
	*out = x;
	return MESH__REFUSAL_NONE;
}

const char *mesh__exchange_method(const struct mesh__exchange *x)
{
	return x->head.method;
}

const char *mesh__exchange_path(const struct mesh__exchange *x)
{
	return x->head.path;
}

const char *mesh__exchange_query(const struct mesh__exchange *x)
{
	return x->head.query;
}

const char *mesh__exchange_header(const struct mesh__exchange *x, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < x->head.n_fields; i++) {
		if (mesh__str_eq_nocase(name, len, x->head.fields[i].name)) {
			return x->head.fields[i].value;
		}
	}
	return NULL;
}

size_t mesh__exchange_n_fields(const struct mesh__exchange *x)
{
	return x->head.n_fields;
}

struct mesh__field_text mesh__exchange_field(const struct mesh__exchange *x, size_t index)
{
	return x->head.fields[index];
}

const char *mesh__exchange_body(const struct mesh__exchange *x, size_t *len)
{
	*len = x->body.len;
	return x->body.data != NULL ? x->body.data : "";
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

void mesh__exchange_detach(struct mesh__exchange *x, bool gone)
{
	mesh__loop_fn fn = x->gone;

	x->conn = NULL;
	x->gone = NULL;
	if (!x->handed_over) {
		exchange_free(x);
	} else if (gone && fn != NULL) {
		fn(x->gone_arg);
	}
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

/* The last reference went without a reply, or with half of one. */
static void on_forgotten(void *arg)
{
	struct mesh__exchange *x = arg;
	struct mesh__conn *c = x->conn;

	if (c != NULL && !x->streaming) {
		mesh__conn_hold(c);
		mesh__conn_refuse(c, MESH__REFUSAL_NO_REPLY);
		mesh__conn_release(c);
	} else if (c != NULL) {
		mesh__conn_let_go(c);
		mesh__conn_doom(c); /* a stream without an end must not look like a whole one */
	}
	exchange_free(x);
}

void mesh__exchange_unref(struct mesh__exchange *x)
{
	if (atomic_fetch_sub(&x->refs, 1) > 1) {
		return;
	}
	/* Whoever is last and finds a reply made also finds the connection let go, but for a stream, which is the loop's. */
	if (atomic_exchange(&x->replied, true) && !(x->streaming && x->conn != NULL)) {
		exchange_free(x);
	} else if (!mesh__exchange_on_loop(x, on_forgotten)) {
		exchange_free(x);
	}
}
