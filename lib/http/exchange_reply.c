#include <string.h>

#include "http/core.h"

/* ---- Whole replies ---- */

static size_t text_size(const struct mesh__field_text *fields, size_t n_fields)
{
	size_t size = 0;

	for (size_t i = 0; i < n_fields; i++) {
		size += strlen(fields[i].name) + strlen(fields[i].value) + 2;
	}
	return size;
}

static char *put_text(char *at, const char *text, const char **out)
{
	size_t size = strlen(text) + 1;

	*out = memcpy(at, text, size);
	return at + size;
}

static char *put_fields(char *at, const struct mesh__field_text *fields, size_t n_fields, struct mesh__field_text *out)
{
	for (size_t i = 0; i < n_fields; i++) {
		at = put_text(at, fields[i].name, &out[i].name);
		at = put_text(at, fields[i].value, &out[i].value);
	}
	return at;
}

/* In one piece: the reply, its fields, their text, the body. NULL: out of memory. */
static struct mesh__reply *copy_reply(struct mesh__exchange *x, const struct mesh__reply *reply)
{
	size_t body_len = x->is_head ? 0 : reply->body_len;
	size_t fields_size = (reply->n_fields + reply->n_trailers) * sizeof(struct mesh__field_text);
	size_t size = fields_size + text_size(reply->fields, reply->n_fields) + text_size(reply->trailers, reply->n_trailers) + body_len;
	struct mesh__reply *copy = mesh__resize(&x->server->env->mem, NULL, sizeof(*copy) + size); /* not mesh__alloc(): a megabyte would be written twice */
	struct mesh__field_text *fields;
	char *at;

	if (copy == NULL) {
		return NULL;
	}
	fields = (struct mesh__field_text *)(void *)(copy + 1);
	at = (char *)fields + fields_size;
	*copy = *reply;
	copy->fields = fields;
	copy->trailers = fields + reply->n_fields;
	at = put_fields(at, reply->fields, reply->n_fields, fields);
	at = put_fields(at, reply->trailers, reply->n_trailers, fields + reply->n_fields);
	copy->body = body_len > 0 ? memcpy(at, reply->body, body_len) : NULL;
	return copy;
}

static void on_kept(void *arg)
{
	struct mesh__exchange *x = arg;

	if (x->carrier != NULL && x->kept != NULL) {
		x->ops->reply(x->carrier, x->kept);
	} else if (x->carrier != NULL) {
		x->ops->refuse(x->carrier, MESH__REFUSAL_NO_MEMORY);
	}
	mesh__exchange_unref(x);
}

static bool on_own_loop(struct mesh__exchange *x)
{
	struct mesh__http_server *s = x->server;
	bool own;

	(void)pthread_mutex_lock(&s->loop_mu);
	own = s->loop != NULL && mesh__loop_is_current(s->loop);
	(void)pthread_mutex_unlock(&s->loop_mu);
	return own;
}

/* It is over for the callee, who may be in the middle of being told of something. On the loop. */
static void tell_nobody(struct mesh__exchange *x)
{
	x->events = NULL;
	x->gone = NULL;
}

void mesh__exchange_reply(struct mesh__exchange *x, const struct mesh__reply *reply)
{
	if (atomic_exchange(&x->replied, true)) {
		mesh__exchange_unref(x);
		return;
	}
	if (on_own_loop(x)) {
		tell_nobody(x);
		if (x->carrier != NULL) {
			x->ops->reply(x->carrier, reply);
		}
		mesh__exchange_unref(x);
		return;
	}
	x->kept = copy_reply(x, reply);
	if (!mesh__exchange_on_loop(x, on_kept)) {
		mesh__exchange_unref(x);
	}
}

/* ---- Streams ---- */

bool mesh__stream_begin(struct mesh__exchange *x, int status, const struct mesh__field_text *fields, size_t n_fields, mesh__loop_fn gone, void *arg)
{
	if (x->carrier == NULL || atomic_exchange(&x->replied, true)) {
		return false;
	}
	x->bodiless = x->is_head || status == 204 || status == 304;
	x->sized = mesh__reply_length(fields, n_fields, &x->length);
	x->n_left = x->length;
	if (!x->ops->begin(x->carrier, status, fields, n_fields)) {
		return false;
	}
	x->streaming = true;
	x->gone = gone;
	x->gone_arg = arg;
	return true;
}

/* The carrier is told that it ends, and nobody of it. */
static void abort_now(struct mesh__exchange *x)
{
	tell_nobody(x);
	x->ops->abort(x->carrier);
}

bool mesh__stream_write(struct mesh__exchange *x, const void *bytes, size_t len)
{
	if (x->carrier == NULL || !x->streaming) {
		return false;
	}
	if (len == 0 || x->bodiless) {
		return true;
	}
	if (x->sized && len > x->n_left) {
		abort_now(x);
		return false;
	}
	x->n_left -= x->sized ? len : 0;
	return x->ops->write(x->carrier, bytes, len);
}

size_t mesh__stream_room(struct mesh__exchange *x)
{
	size_t room = x->carrier != NULL ? x->ops->room(x->carrier) : MESH__STREAM_HIGH_BYTES;

	x->waits = room == 0;
	return room;
}

bool mesh__stream_trailer(struct mesh__exchange *x, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	return !mesh__reply_field_goes(name, name_len, value, value_len) || mesh__trailers_add(&x->own_trailers, name, name_len, value, value_len);
}

void mesh__stream_end(struct mesh__exchange *x)
{
	struct mesh__field_text trailers[MESH__TRAILERS_MAX];
	size_t n = x->own_trailers.n;

	tell_nobody(x);
	if (x->carrier == NULL || !x->streaming) {
		mesh__exchange_unref(x);
		return;
	}
	if (x->sized && !x->bodiless && x->n_left > 0) {
		abort_now(x);
	} else {
		for (size_t i = 0; i < n; i++) {
			trailers[i] = mesh__trailers_at(&x->own_trailers, i);
		}
		x->ops->end(x->carrier, trailers, n);
	}
	mesh__exchange_unref(x);
}

void mesh__stream_abort(struct mesh__exchange *x)
{
	bool replied = atomic_exchange(&x->replied, true);

	tell_nobody(x);
	if (x->carrier != NULL && (x->streaming || !replied)) {
		abort_now(x);
	}
	mesh__exchange_unref(x);
}
