#include "meshctl/upstream.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/str.h"
#include "http/client.h"
#include "wire/json.h"
#include "wire/url.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 60000, FIELDS_MAX = 256, TARGET_MAX = 16 * 1024, ERROR_MAX_BYTES = 4096 };

struct ctl_upstream {
	const struct mesh__env *env;
	struct mesh__pool *pool;
	size_t max_body_bytes;
};

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

/* `name` among the comma-separated words of `list`. */
static bool names_field(const char *list, const char *name)
{
	size_t name_len = strlen(name);

	while (*list != '\0') {
		size_t len;
		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == name_len && strncasecmp(list, name, len) == 0) {
			return true;
		}
		list += len;
	}
	return false;
}

bool ctl_field_stays(const char *name, const char *connection)
{
	char dashed[32]; /* longer than any of these names; of mesh-* the beginning is enough */
	size_t len = strlen(name), n = 0;

	for (; n < len && n < sizeof(dashed); n++) {
		dashed[n] = (char)(name[n] == '_' ? '-' : name[n]);
	}
	return mesh__field_is_hop(dashed, n) || mesh__field_is_mesh(dashed, n) ||
		mesh__field_is_claim(name, len) || (connection != NULL && len > 0 && names_field(connection, name));
}

size_t ctl_gateway_length(const char *method, const char *content_length, size_t body_len)
{
	uint64_t n;

	return strcmp(method, "HEAD") == 0 && content_length != NULL && mesh__str_u64(content_length, strlen(content_length), INT64_MAX, &n) ? (size_t)n : body_len;
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

static void refuse(struct ctl_upstream *up, mesh_inbound *inbound, int32_t code, const char *message)
{
	int32_t status = ctl_gateway_status(code);
	struct mesh__buf body;

	mesh__buf_init(&body, &up->env->mem, ERROR_MAX_BYTES);
	ctl_gateway_body(status, message, &body);
	(void)mesh_reply_header(inbound, "content-type", "application/json");
	(void)mesh_reply(inbound, status, body.data, body.len);
	mesh__buf_fini(&body);
}

static size_t take_fields(const mesh_inbound *inbound, struct mesh__client_field *fields)
{
	const char *connection = mesh_inbound_header(inbound, "connection");
	const char *name, *value;
	size_t n = 0;

	for (size_t i = 0; n < FIELDS_MAX && mesh_inbound_field(inbound, i, &name, &value) == 1; i++) {
		if (!ctl_field_stays(name, connection)) {
			fields[n].name = name;
			fields[n].value = value;
			n++;
		}
	}
	return n;
}

static void pass_back(struct ctl_upstream *up, mesh_inbound *inbound, const struct mesh__client_response *response)
{
	const char *connection = mesh__client_response_header(response, "connection");
	const char *name, *value;

	for (size_t i = 0; mesh__client_response_field(response, i, &name, &value); i++) {
		if (!ctl_field_stays(name, connection) && mesh_reply_header(inbound, name, value) != MESH_OK) {
			mesh__log(up->env, MESH__LOG_WARN, "field of the upstream's response left out", "name", name, (char *)NULL);
		}
	}
	(void)mesh_reply(inbound, response->status, response->body.data,
		ctl_gateway_length(mesh_inbound_method(inbound), mesh__client_response_header(response, "content-length"), response->body.len));
}

static int64_t answer_ms(const mesh_inbound *inbound)
{
	int64_t left_ms = mesh_inbound_remaining_ms(inbound);

	return left_ms >= 0 && left_ms < ANSWER_MS ? left_ms : ANSWER_MS;
}

static int exchange(struct ctl_upstream *up, const mesh_inbound *inbound, struct mesh__client_response *response,
	struct mesh__err *err)
{
	struct mesh__client_field fields[FIELDS_MAX];
	struct mesh__client_request request = {0};
	struct mesh__client_result result;
	char target[TARGET_MAX];
	const char *query = mesh_inbound_query(inbound);
	int n = snprintf(target, sizeof(target), "%s%s%s", mesh_inbound_path(inbound), query[0] != '\0' ? "?" : "", query);

	if (n < 0 || (size_t)n >= sizeof(target)) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the request target is too long");
	}
	request.method = mesh_inbound_method(inbound);
	request.target = target;
	request.fields = fields;
	request.n_fields = take_fields(inbound, fields);
	request.body = mesh_inbound_body(inbound, &request.body_len);
	request.has_body = request.body_len > 0;
	request.max_response_bytes = up->max_body_bytes;
	return mesh__pool_exchange(up->pool, &request, CONNECT_MS, mesh__mono_us(up->env) + answer_ms(inbound) * 1000,
		NULL, response, &result, err);
}

void ctl_upstream_handle(void *user, mesh_inbound *inbound)
{
	struct ctl_upstream *up = user;
	struct mesh__client_response response;
	struct mesh__err err = MESH__NO_ERR;
	int code;

	mesh__client_response_init(&response, up->env, up->max_body_bytes);
	code = exchange(up, inbound, &response, &err);
	if (code == MESH_OK && response.status >= 200 && response.status <= 599) {
		pass_back(up, inbound, &response);
	} else if (code == MESH_OK) {
		refuse(up, inbound, MESH_E_PROTOCOL, "the upstream's status is not one that HTTP knows");
	} else {
		mesh__log(up->env, MESH__LOG_WARN, "the upstream failed", "reason", err.message, (char *)NULL);
		refuse(up, inbound, code, err.message);
	}
	mesh__client_response_fini(&response);
}

/* A name is looked up when the proxy starts, as registration does with endpoints: who moves the server starts the proxy anew. */
static int resolve(const char *url, const struct mesh__origin_url *parsed, struct mesh__addr *out, struct mesh__err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
	char ip[NI_MAXHOST], text[NI_MAXHOST + 16];
	int failed = getaddrinfo(parsed->host, NULL, &hints, &found);

	if (failed == 0) {
		failed = getnameinfo(found->ai_addr, found->ai_addrlen, ip, sizeof(ip), NULL, 0, NI_NUMERICHOST);
		(void)snprintf(text, sizeof(text), !failed && found->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
			failed ? "" : ip, (unsigned)parsed->port);
		freeaddrinfo(found);
	}
	if (failed != 0) {
		return mesh__fail(err, MESH_E_CONNECT, "--upstream \"%s\": %s", url, gai_strerror(failed));
	}
	return mesh__addr_parse("--upstream", text, false, out, err);
}

int ctl_upstream_new(const struct mesh__env *env, const char *url, size_t max_body_bytes, struct ctl_upstream **out,
	struct mesh__err *err)
{
	struct mesh__pool_options options;
	struct mesh__origin_url parsed;
	struct ctl_upstream *up;
	int code;

	*out = NULL;
	if (mesh__origin_url_parse("--upstream", url, true, &parsed, err) != MESH_OK) {
		return err->code;
	}
	if (parsed.tls) {
		return mesh__fail(err, MESH_E_INVALID, "--upstream \"%s\": the server behind is reached by plain http", url);
	}
	mesh__pool_options_default(&options);
	memset(&options.target, 0, sizeof(options.target));
	if (resolve(url, &parsed, &options.target.address, err) != MESH_OK) {
		return err->code;
	}
	options.target.insecure_plaintext = true; /* the server behind is unchanged: it has no identity to show */
	(void)snprintf(options.target.host, sizeof(options.target.host), parsed.v6 ? "[%s]:%u" : "%s:%u", parsed.host,
		(unsigned)parsed.port);
	up = mesh__alloc(&env->mem, sizeof(*up));
	if (up == NULL) {
		return mesh__fail_memory(err);
	}
	up->env = env;
	up->max_body_bytes = max_body_bytes;
	code = mesh__pool_new(env, &options, &up->pool, err);
	if (code != MESH_OK) {
		mesh__free(up);
		return code;
	}
	*out = up;
	return MESH_OK;
}

void ctl_upstream_free(struct ctl_upstream *upstream)
{
	if (upstream != NULL) {
		mesh__pool_unref(upstream->pool);
		mesh__free(upstream);
	}
}
