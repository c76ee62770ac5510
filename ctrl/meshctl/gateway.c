#include "meshctl/gateway.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <meshlib/mesh.h>

#include "base/str.h"
#include "wire/json.h"
#include "wire/url.h"

enum { TEXT_MAX_BYTES = 64 * 1024, NAME_ROOM = 32 };

/* ---- Fields of one hop ---- */

void ctl_connection_of(ctl_field_fn field, const void *source, struct mesh__buf *out)
{
	const char *name, *value;

	for (size_t i = 0; field(source, i, &name, &value); i++) {
		if (strcasecmp(name, "connection") == 0) {
			mesh__buf_str(out, value);
			mesh__buf_chr(out, ',');
		}
	}
}

bool ctl_field_stays(const char *name, const char *connection)
{
	char dashed[NAME_ROOM]; /* longer than any of these names; of mesh-* and proxy-* the beginning is enough */
	size_t len = strlen(name), n = 0;

	for (; n < len && n < sizeof(dashed); n++) {
		dashed[n] = (char)(name[n] == '_' ? '-' : name[n]);
	}
	if (mesh__field_is_hop(dashed, n) || mesh__field_is_mesh(dashed, n) || mesh__field_is_claim(name, len)) {
		return true;
	}
	/* Proxy: a CGI program would take it for its environment's HTTP_PROXY. */
	if (n >= 5 && strncasecmp(dashed, "proxy", 5) == 0 && (n == 5 || dashed[5] == '-')) {
		return true;
	}
	return connection != NULL && len > 0 && mesh__field_list_has(connection, strlen(connection), name);
}

/* ---- The request, as the server behind sees it ---- */

void ctl_fields_init(struct ctl_fields *fields, const struct mesh__mem *mem)
{
	fields->n = 0;
	mesh__buf_init(&fields->text, mem, TEXT_MAX_BYTES);
}

void ctl_fields_fini(struct ctl_fields *fields)
{
	mesh__buf_fini(&fields->text);
}

static int add(struct ctl_fields *fields, const char *name, const char *value, struct mesh__err *err)
{
	if (fields->n == CTL_FIELDS_MAX) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the message has more than %d fields", CTL_FIELDS_MAX);
	}
	fields->list[fields->n++] = (struct mesh__client_field){name, value};
	return MESH_OK;
}

/* What the request says of those before the caller. */
struct before {
	bool proto, host, trailers; /* X-Forwarded-Proto, X-Forwarded-Host, "te: trailers" are there */
	const char *authority;      /* the Host field */
};

static bool is(const char *name, const char *other)
{
	return strcasecmp(name, other) == 0;
}

static int take(struct ctl_fields *fields, struct before *before, const char *name, const char *value, const char *connection, struct mesh__err *err)
{
	before->trailers = before->trailers || (is(name, "te") && mesh__field_list_has(value, strlen(value), "trailers"));
	before->authority = is(name, "host") ? value : before->authority;
	if (ctl_field_stays(name, connection) || is(name, "x-forwarded-for")) {
		return MESH_OK;
	}
	before->proto = before->proto || is(name, "x-forwarded-proto");
	before->host = before->host || is(name, "x-forwarded-host");
	return add(fields, name, value, err);
}

/* All texts are written before the first is pointed at: the buffer may move. */
static int add_forwarded(struct ctl_fields *fields, ctl_field_fn field, const void *source, const struct ctl_caller *caller, size_t at, struct mesh__err *err)
{
	struct mesh__buf *text = &fields->text;
	const char *name, *value;
	size_t cert;
	int code;

	for (size_t i = 0; field(source, i, &name, &value); i++) {
		if (is(name, "x-forwarded-for") && value[0] != '\0') {
			mesh__buf_printf(text, "%s, ", value);
		}
	}
	mesh__buf_str(text, caller->address);
	mesh__buf_chr(text, '\0');
	cert = text->len;
	mesh__buf_printf(text, "By=%s;URI=%s", caller->own, caller->peer);
	code = mesh__buf_error(text, "the fields that tell of the caller", err);
	if (code == MESH_OK) {
		code = add(fields, "x-forwarded-for", text->data + at, err);
	}
	return code == MESH_OK ? add(fields, "x-forwarded-client-cert", text->data + cert, err) : code;
}

int ctl_fields_behind(struct ctl_fields *fields, ctl_field_fn field, const void *source, const struct ctl_caller *caller, bool http2, struct mesh__err *err)
{
	struct mesh__buf connection;
	struct before before = {0};
	const char *name, *value;
	int code;

	mesh__buf_init(&connection, fields->text.mem, TEXT_MAX_BYTES);
	ctl_connection_of(field, source, &connection);
	code = mesh__buf_error(&connection, "the Connection fields", err);
	for (size_t i = 0; code == MESH_OK && field(source, i, &name, &value); i++) {
		code = take(fields, &before, name, value, connection.data, err);
	}
	mesh__buf_fini(&connection);
	if (code == MESH_OK && http2 && before.trailers) {
		code = add(fields, "te", "trailers", err);
	}
	if (code == MESH_OK && caller->mirrored) {
		code = add(fields, "mesh-mirror", "1", err);
	}
	if (code == MESH_OK && !before.proto) {
		code = add(fields, "x-forwarded-proto", "https", err);
	}
	if (code == MESH_OK && !before.host && before.authority != NULL) {
		code = add(fields, "x-forwarded-host", before.authority, err);
	}
	return code == MESH_OK ? add_forwarded(fields, field, source, caller, fields->text.len, err) : code;
}

/* ---- Failures ---- */

int32_t ctl_gateway_status(int32_t code)
{
	switch (code) {
	case MESH_E_TIMEOUT:
		return 504;
	case MESH_E_OVERLOADED:
	case MESH_E_NO_ENDPOINT:
	case MESH_E_NOT_READY:
	case MESH_E_CLOSED:
	case MESH_E_CANCELLED:
		return 503;
	default:
		return 502;
	}
}

int64_t ctl_body_length(const char *content_length)
{
	uint64_t n;

	return content_length != NULL && mesh__str_u64(content_length, strlen(content_length), INT64_MAX, &n) ? (int64_t)n : -1;
}

size_t ctl_gateway_length(const char *method, const char *content_length, size_t body_len)
{
	int64_t n = strcmp(method, "HEAD") == 0 ? ctl_body_length(content_length) : -1;

	return n >= 0 ? (size_t)n : body_len;
}

void ctl_gateway_body(int32_t status, const char *message, struct mesh__buf *out)
{
	struct mesh__json_out json = {out, false};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "error", status == 504 ? "gateway-timeout" : status == 503 ? "unavailable" : "bad-gateway");
	mesh__json_put_text(&json, "message", message);
	mesh__json_close(&json, '}');
	mesh__buf_chr(out, '\n');
}
