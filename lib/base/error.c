#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of a message, for what is said before it or behind; the rest is left to what went wrong. */
enum { CONTEXT_MAX = 220 };

/* Messages carry bytes from networks and files: keep a terminal or a log line from being driven by them. */
static void make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f) {
			*p = '?';
		}
	}
}

static void fill(struct mesh__err *err, enum mesh__origin origin, int code, const char *fmt, va_list args) MESH__PRINTF(4, 0);

static void fill(struct mesh__err *err, enum mesh__origin origin, int code, const char *fmt, va_list args)
{
	char text[sizeof(err->message)]; /* the old message may be among the arguments */

	(void)vsnprintf(text, sizeof(text), fmt, args);
	make_printable(text);
	memcpy(err->message, text, sizeof(text));
	err->code = code;
	err->origin = origin;
}

int mesh__fail(struct mesh__err *err, int code, const char *fmt, ...)
{
	if (err != NULL) {
		va_list args;
		va_start(args, fmt);
		fill(err, MESH__ORIGIN_LOCAL, code, fmt, args);
		va_end(args);
	}
	return code;
}

int mesh__fail_at(struct mesh__err *err, enum mesh__origin origin, int code, const char *fmt, ...)
{
	if (err != NULL) {
		va_list args;
		va_start(args, fmt);
		fill(err, origin, code, fmt, args);
		va_end(args);
	}
	return code;
}

int mesh__wrap(struct mesh__err *err, const char *fmt, ...)
{
	char context[sizeof(err->message)];
	va_list args;

	if (err == NULL) {
		return MESH_E_INTERNAL;
	}
	va_start(args, fmt);
	(void)vsnprintf(context, sizeof(context), fmt, args);
	va_end(args);
	return mesh__fail_at(err, err->origin, err->code, "%.*s: %s", CONTEXT_MAX, context, err->message);
}

void mesh__err_more(struct mesh__err *err, const char *fmt, ...)
{
	char more[sizeof(err->message)];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(more, sizeof(more), fmt, args);
	va_end(args);
	more[CONTEXT_MAX] = '\0';
	(void)mesh__fail_at(err, err->origin, err->code, "%.*s; %s", (int)(sizeof(err->message) - sizeof("; ") - strlen(more)), err->message, more);
}

int mesh__fail_memory(struct mesh__err *err)
{
	return mesh__fail(err, MESH_E_NO_MEMORY, "out of memory");
}

const char *mesh__code_name(int code)
{
	static const char *const names[] = {
#define N(name) [name] = #name
		N(MESH_OK),
		N(MESH_E_INVALID), N(MESH_E_NO_MEMORY), N(MESH_E_TIMEOUT), N(MESH_E_CANCELLED), N(MESH_E_CLOSED),
		N(MESH_E_NO_SERVICE), N(MESH_E_NO_ENDPOINT), N(MESH_E_OVERLOADED), N(MESH_E_CONNECT), N(MESH_E_TLS),
		N(MESH_E_IDENTITY), N(MESH_E_RESET), N(MESH_E_PROTOCOL), N(MESH_E_TOO_LARGE), N(MESH_E_CONTROL),
		N(MESH_E_DENIED), N(MESH_E_NOT_READY), N(MESH_E_WOULD_BLOCK), N(MESH_E_FORKED), N(MESH_E_IO),
		N(MESH_E_STATE), N(MESH_E_NOT_FOUND), N(MESH_E_EXISTS), N(MESH_E_UNSUPPORTED), N(MESH_E_INTERNAL),
#undef N
	};

	return code >= 0 && (size_t)code < MESH__COUNT(names) ? names[code] : "MESH_E_UNKNOWN";
}

const char *mesh__origin_name(enum mesh__origin origin)
{
	static const char *const names[] = {
#define X(name, text) text,
		MESH__ORIGINS(X)
#undef X
	};

	return (unsigned)origin < MESH__COUNT(names) ? names[origin] : "unknown";
}
