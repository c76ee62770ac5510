#include <string.h>

#include "http/core.h"

enum { BODY_KEEP_BYTES = 128 * 1024 }; /* of a streamed body's buffer, once it is empty */

/* ---- For its carrier ---- */

size_t mesh__exchange_unread(const struct mesh__exchange *x)
{
	return x->body.len - x->body_at;
}

struct mesh__buf *mesh__exchange_body_buf(struct mesh__exchange *x)
{
	/* Not at every call: what is moved is never more than what was read. */
	if (x->streams_body && x->body_at >= mesh__exchange_unread(x)) {
		mesh__buf_consume(&x->body, x->body_at);
		x->body_at = 0;
	}
	return &x->body;
}

static void tell_readable(struct mesh__exchange *x)
{
	if (x->wants) {
		x->wants = false;
		if (x->events != NULL && x->events->readable != NULL) {
			x->events->readable(x->events_arg);
		}
	}
}

static void tell_writable(struct mesh__exchange *x)
{
	if (x->waits) {
		x->waits = false;
		if (x->events != NULL && x->events->writable != NULL) {
			x->events->writable(x->events_arg);
		}
	}
}

void mesh__exchange_fed(struct mesh__exchange *x, bool ended)
{
	x->body_ended |= ended;
	x->progress_us = mesh__mono_us(x->server->env);
	tell_readable(x);
}

void mesh__exchange_drained(struct mesh__exchange *x)
{
	tell_writable(x);
}

/* Only we hold it: who was told has unref'd it. */
static void forget_who_left(struct mesh__exchange *x)
{
	if (atomic_load(&x->refs) == 1) {
		x->events = NULL;
		x->gone = NULL;
	}
}

void mesh__exchange_tell_gone(struct mesh__exchange *x)
{
	const struct mesh__exchange_events *events;
	mesh__loop_fn fn;

	mesh__exchange_ref(x); /* any of them may end it for its part, and is told no more */
	tell_readable(x);
	forget_who_left(x);
	tell_writable(x);
	forget_who_left(x);
	events = x->events;
	x->events = NULL;
	if (events != NULL && events->gone != NULL) {
		events->gone(x->events_arg);
	}
	fn = x->gone;
	x->gone = NULL;
	if (fn != NULL) {
		fn(x->gone_arg);
	}
	mesh__exchange_unref(x);
}

/* ---- For the handler ---- */

bool mesh__exchange_is_gone(const struct mesh__exchange *x)
{
	return atomic_load(&x->is_gone);
}

void mesh__exchange_watch(struct mesh__exchange *x, const struct mesh__exchange_events *events, void *arg)
{
	x->events = events;
	x->events_arg = arg;
}

static void take(struct mesh__exchange *x, void *buf, size_t n)
{
	memcpy(buf, x->body.data + x->body_at, n);
	x->body_at += n;
	if (!x->streams_body) {
		return; /* it stays for mesh__exchange_body() */
	}
	if (x->body_at == x->body.len) {
		mesh__buf_clear(&x->body);
		x->body_at = 0;
		if (x->body.cap > BODY_KEEP_BYTES) {
			mesh__buf_fini(&x->body);
		}
	}
	x->progress_us = mesh__mono_us(x->server->env);
	if (x->carrier != NULL) {
		x->ops->read(x->carrier, n);
	}
}

int mesh__exchange_read(struct mesh__exchange *x, void *buf, size_t size, size_t *n)
{
	size_t unread = mesh__exchange_unread(x);

	*n = 0;
	if (x->code != MESH_OK) {
		return x->code;
	}
	if (unread > 0) {
		*n = size < unread ? size : unread;
		take(x, buf, *n);
		return MESH_OK;
	}
	if (x->body_ended) {
		return MESH_OK;
	}
	if (x->carrier == NULL) {
		return MESH_E_RESET;
	}
	if (!x->wants) {
		x->wants = true;
		x->progress_us = mesh__mono_us(x->server->env);
	}
	x->ops->read(x->carrier, 0);
	return MESH_E_WOULD_BLOCK;
}

size_t mesh__exchange_n_trailers(const struct mesh__exchange *x)
{
	return x->body_ended ? x->trailers.n : 0;
}

struct mesh__field_text mesh__exchange_trailer(const struct mesh__exchange *x, size_t index)
{
	return mesh__trailers_at(&x->trailers, index);
}
