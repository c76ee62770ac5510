#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAP = 128 };

void mesh__buf_init(struct mesh__buf *buf, const struct mesh__mem *mem, size_t max_bytes)
{
	*buf = (struct mesh__buf){.mem = mem, .max_bytes = max_bytes};
}

void mesh__buf_fini(struct mesh__buf *buf)
{
	mesh__free(buf->data);
	mesh__buf_init(buf, buf->mem, buf->max_bytes);
}

void mesh__buf_fini_secret(struct mesh__buf *buf)
{
	mesh__wipe(buf->data, buf->cap);
	mesh__buf_fini(buf);
}

char *mesh__buf_reserve(struct mesh__buf *buf, size_t len)
{
	size_t need, cap;
	char *grown;

	if (buf->error != MESH_OK) {
		return NULL;
	}
	if (len > buf->max_bytes - buf->len || len >= SIZE_MAX - buf->len) {
		buf->error = MESH_E_TOO_LARGE;
		return NULL;
	}
	need = buf->len + len + 1;
	if (need <= buf->cap) {
		return buf->data + buf->len;
	}
	cap = buf->cap < FIRST_CAP ? FIRST_CAP : buf->cap;
	while (cap < need) {
		cap = cap > need / 2 ? need : cap * 2;
	}
	if (cap < buf->cap + buf->cap / 2) {
		cap = buf->cap + buf->cap / 2;
	}
	grown = mesh__resize(buf->mem, buf->data, cap);
	if (grown == NULL) {
		buf->error = MESH_E_NO_MEMORY;
		return NULL;
	}
	buf->data = grown;
	buf->cap = cap;
	buf->data[buf->len] = '\0';
	return buf->data + buf->len;
}

void mesh__buf_add(struct mesh__buf *buf, const void *bytes, size_t len)
{
	char *room = mesh__buf_reserve(buf, len);

	if (room != NULL) {
		if (len > 0) {
			memcpy(room, bytes, len);
		}
		buf->len += len;
		buf->data[buf->len] = '\0';
	}
}

void mesh__buf_str(struct mesh__buf *buf, const char *text)
{
	mesh__buf_add(buf, text, strlen(text));
}

void mesh__buf_chr(struct mesh__buf *buf, char c)
{
	mesh__buf_add(buf, &c, 1);
}

void mesh__buf_vprintf(struct mesh__buf *buf, const char *fmt, va_list args)
{
	va_list again;
	char *room;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	if (len < 0 && buf->error == MESH_OK) {
		buf->error = MESH_E_TOO_LARGE; /* over INT_MAX bytes */
	}
	room = len < 0 ? NULL : mesh__buf_reserve(buf, (size_t)len);
	if (room != NULL) {
		(void)vsnprintf(room, (size_t)len + 1, fmt, again);
		buf->len += (size_t)len;
	}
	va_end(again);
}

void mesh__buf_printf(struct mesh__buf *buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	mesh__buf_vprintf(buf, fmt, args);
	va_end(args);
}

void mesh__buf_consume(struct mesh__buf *buf, size_t len)
{
	if (len >= buf->len) {
		len = buf->len;
	}
	if (len > 0) {
		memmove(buf->data, buf->data + len, buf->len - len + 1);
		buf->len -= len;
	}
}

void mesh__buf_clear(struct mesh__buf *buf)
{
	buf->len = 0;
	buf->error = MESH_OK;
	if (buf->data != NULL) {
		buf->data[0] = '\0';
	}
}

int mesh__buf_error(const struct mesh__buf *buf, const char *what, struct mesh__err *err)
{
	if (buf->error == MESH_E_TOO_LARGE) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "%s is larger than %zu bytes", what, buf->max_bytes);
	}
	return buf->error == MESH_OK ? MESH_OK : mesh__fail_memory(err);
}

char *mesh__buf_take(struct mesh__buf *buf)
{
	char *data = NULL;
	int error = buf->error;

	if (error == MESH_OK) {
		data = buf->data != NULL ? buf->data : mesh__strdup(buf->mem, "");
		error = data != NULL ? MESH_OK : MESH_E_NO_MEMORY;
		buf->data = NULL;
	}
	mesh__buf_fini(buf);
	buf->error = error; /* for the caller to ask why there is nothing */
	return data;
}
