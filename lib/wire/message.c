#include "wire/message.h"

#include "base/mem.h"
#include "wire/field.h"
#include "wire/json.h"

/* Each decoder is one list of fields: what goes wrong sticks in the reader and is asked for once. */

/* ---- GET /v1/bundle ---- */

void mesh__msg_bundle_encode(const struct mesh__msg_bundle *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "trust_domain", msg->trust_domain);
	mesh__json_put_text(&json, "roots_pem", msg->roots_pem);
	mesh__json_close(&json, '}');
}

int mesh__msg_bundle_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_bundle *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_bundle){.trust_domain = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->trust_domain = mesh__field_text(&f, "trust_domain", MESH__TEXT_TRUST_DOMAIN, MESH__REQUIRED);
		out->roots_pem = mesh__field_text(&f, "roots_pem", MESH__TEXT_PEM, MESH__REQUIRED);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_bundle_fini(out);
	}
	return f.code;
}

void mesh__msg_bundle_fini(struct mesh__msg_bundle *msg)
{
	mesh__free(msg->trust_domain);
	mesh__free(msg->roots_pem);
	*msg = (struct mesh__msg_bundle){.trust_domain = NULL};
}

/* ---- POST /v1/enroll and /v1/renew ---- */

void mesh__msg_enroll_encode(const struct mesh__msg_enroll *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "token", msg->token);
	mesh__json_put_text(&json, "csr_pem", msg->csr_pem);
	mesh__json_put_text(&json, "instance", msg->instance);
	mesh__json_close(&json, '}');
}

int mesh__msg_enroll_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_enroll *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_enroll){.token = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->token = mesh__field_text(&f, "token", MESH__TEXT_LINE, MESH__OPTIONAL);
		out->csr_pem = mesh__field_text(&f, "csr_pem", MESH__TEXT_CSR, MESH__REQUIRED);
		out->instance = mesh__field_text(&f, "instance", MESH__TEXT_LABEL, MESH__OPTIONAL);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_enroll_fini(out);
	}
	return f.code;
}

void mesh__msg_enroll_fini(struct mesh__msg_enroll *msg)
{
	mesh__free_secret(msg->token);
	mesh__free(msg->csr_pem);
	mesh__free(msg->instance);
	*msg = (struct mesh__msg_enroll){.token = NULL};
}

void mesh__msg_certificate_encode(const struct mesh__msg_certificate *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "chain_pem", msg->chain_pem);
	mesh__json_put_text(&json, "roots_pem", msg->roots_pem);
	mesh__json_put_text(&json, "trust_domain", msg->trust_domain);
	mesh__json_put_text(&json, "namespace", msg->ns);
	mesh__json_put_text(&json, "service", msg->service);
	mesh__json_close(&json, '}');
}

int mesh__msg_certificate_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_certificate *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_certificate){.chain_pem = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->chain_pem = mesh__field_text(&f, "chain_pem", MESH__TEXT_PEM, MESH__REQUIRED);
		out->roots_pem = mesh__field_text(&f, "roots_pem", MESH__TEXT_PEM, MESH__REQUIRED);
		out->trust_domain = mesh__field_text(&f, "trust_domain", MESH__TEXT_TRUST_DOMAIN, MESH__REQUIRED);
		out->ns = mesh__field_text(&f, "namespace", MESH__TEXT_LABEL, MESH__REQUIRED);
		out->service = mesh__field_text(&f, "service", MESH__TEXT_LABEL, MESH__REQUIRED);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_certificate_fini(out);
	}
	return f.code;
}

void mesh__msg_certificate_fini(struct mesh__msg_certificate *msg)
{
	mesh__free(msg->chain_pem);
	mesh__free(msg->roots_pem);
	mesh__free(msg->trust_domain);
	mesh__free(msg->ns);
	mesh__free(msg->service);
	*msg = (struct mesh__msg_certificate){.chain_pem = NULL};
}

/* ---- subscribe ---- */

void mesh__msg_subscribe_encode(const struct mesh__msg_subscribe *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_open(&json, "services", '[');
	for (size_t i = 0; i < msg->n_services; i++) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "service", msg->services[i].service);
		mesh__json_put_u64(&json, "endpoints_version", msg->services[i].endpoints_version);
		mesh__json_put_u64(&json, "generation", msg->services[i].generation);
		if (msg->services[i].config_only) {
			mesh__json_put_bool(&json, "config_only", true);
		}
		mesh__json_close(&json, '}');
	}
	mesh__json_close(&json, ']');
	mesh__json_put_bool(&json, "replace", msg->replace);
	mesh__json_put_u64(&json, "trust_version", msg->trust_version);
	mesh__json_close(&json, '}');
}

static void take_services(struct mesh__fields *f, struct mesh__msg_subscribe *out)
{
	size_t n;
	const struct mesh__json *item = mesh__field_array(f, "services", MESH__MSG_MAX_SERVICES, &n);

	out->services = mesh__field_room(f, n, sizeof(*out->services));
	for (; f->code == MESH_OK && item != NULL; item = mesh__json_next(item)) {
		struct mesh__fields inner = mesh__fields_of(f, item, "services");
		struct mesh__msg_interest *interest = &out->services[out->n_services];

		interest->service = mesh__field_text(&inner, "service", MESH__TEXT_SERVICE_KEY, MESH__REQUIRED);
		interest->endpoints_version = mesh__field_u64(&inner, "endpoints_version", MESH__OPTIONAL);
		interest->generation = mesh__field_u64(&inner, "generation", MESH__OPTIONAL);
		interest->config_only = mesh__field_bool(&inner, "config_only", false);
		out->n_services++;
		mesh__fields_join(f, &inner);
	}
}

int mesh__msg_subscribe_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_subscribe *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_subscribe){.services = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		take_services(&f, out);
		out->replace = mesh__field_bool(&f, "replace", false);
		out->trust_version = mesh__field_u64(&f, "trust_version", MESH__OPTIONAL);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_subscribe_fini(out);
	}
	return f.code;
}

void mesh__msg_subscribe_fini(struct mesh__msg_subscribe *msg)
{
	for (size_t i = 0; i < msg->n_services; i++) {
		mesh__free(msg->services[i].service);
	}
	mesh__free(msg->services);
	*msg = (struct mesh__msg_subscribe){.services = NULL};
}

/* ---- heartbeat and ack ---- */

void mesh__msg_heartbeat_encode(const struct mesh__msg_heartbeat *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_bool(&json, "registered", msg->registered);
	mesh__json_close(&json, '}');
}

int mesh__msg_heartbeat_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_heartbeat *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_heartbeat){.registered = false};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->registered = mesh__field_bool(&f, "registered", false);
	}
	mesh__json_free(root);
	return f.code;
}

void mesh__msg_heartbeat_fini(struct mesh__msg_heartbeat *msg)
{
	*msg = (struct mesh__msg_heartbeat){.registered = false};
}

void mesh__msg_ack_encode(const struct mesh__msg_ack *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_u64(&json, "sequence", msg->sequence);
	mesh__json_put_u64(&json, "generation", msg->generation);
	mesh__json_put_text(&json, "refused", msg->refused);
	mesh__json_put_text(&json, "service", msg->service);
	mesh__json_close(&json, '}');
}

int mesh__msg_ack_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_ack *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_ack){.sequence = 0};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->sequence = mesh__field_u64(&f, "sequence", MESH__REQUIRED);
		out->generation = mesh__field_u64(&f, "generation", MESH__OPTIONAL);
		out->refused = mesh__field_text(&f, "refused", MESH__TEXT_LINE, MESH__OPTIONAL);
		out->service = mesh__field_text(&f, "service", MESH__TEXT_SERVICE_KEY, MESH__OPTIONAL);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_ack_fini(out);
	}
	return f.code;
}

void mesh__msg_ack_fini(struct mesh__msg_ack *msg)
{
	mesh__free(msg->refused);
	mesh__free(msg->service);
	*msg = (struct mesh__msg_ack){.sequence = 0};
}

/* ---- report ---- */

static void put_endpoint(struct mesh__json_out *json, const struct mesh__msg_endpoint *e)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "instance", e->instance);
	if (e->ejected) {
		mesh__json_put_bool(json, "ejected", true);
	}
	if (e->failed_check) {
		mesh__json_put_bool(json, "failed_check", true);
	}
	mesh__json_put_u64(json, "cost_us", (uint64_t)e->cost_us);
	mesh__json_close(json, '}');
}

void mesh__msg_report_encode(const struct mesh__msg_report *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_open(&json, "services", '[');
	for (size_t i = 0; i < msg->n_services; i++) {
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "service", msg->services[i].service);
		mesh__json_open(&json, "endpoints", '[');
		for (size_t k = 0; k < msg->services[i].n_endpoints; k++) {
			put_endpoint(&json, &msg->services[i].endpoints[k]);
		}
		mesh__json_close(&json, ']');
		mesh__json_close(&json, '}');
	}
	mesh__json_close(&json, ']');
	mesh__json_close(&json, '}');
}

/* `room`: how many there may still be. */
static void take_endpoints(struct mesh__fields *f, size_t room, struct mesh__msg_reported *out)
{
	size_t n;
	const struct mesh__json *item = mesh__field_array(f, "endpoints", room, &n);

	out->endpoints = mesh__field_room(f, n, sizeof(*out->endpoints));
	for (; f->code == MESH_OK && item != NULL; item = mesh__json_next(item)) {
		struct mesh__fields inner = mesh__fields_of(f, item, "endpoints");
		struct mesh__msg_endpoint *e = &out->endpoints[out->n_endpoints];
		uint64_t cost_us;

		e->instance = mesh__field_text(&inner, "instance", MESH__TEXT_ENDPOINT, MESH__REQUIRED);
		e->ejected = mesh__field_bool(&inner, "ejected", false);
		e->failed_check = mesh__field_bool(&inner, "failed_check", false);
		cost_us = mesh__field_u64(&inner, "cost_us", MESH__OPTIONAL);
		e->cost_us = cost_us > INT64_MAX ? INT64_MAX : (int64_t)cost_us;
		out->n_endpoints++;
		mesh__fields_join(f, &inner);
	}
}

static void take_reported(struct mesh__fields *f, struct mesh__msg_report *out)
{
	size_t n, room = MESH__REPORT_MAX_ENDPOINTS;
	const struct mesh__json *item = mesh__field_array(f, "services", MESH__REPORT_MAX_ENDPOINTS, &n);

	out->services = mesh__field_room(f, n, sizeof(*out->services));
	for (; f->code == MESH_OK && item != NULL; item = mesh__json_next(item)) {
		struct mesh__fields inner = mesh__fields_of(f, item, "services");
		struct mesh__msg_reported *reported = &out->services[out->n_services];

		out->n_services++;
		reported->service = mesh__field_text(&inner, "service", MESH__TEXT_SERVICE_KEY, MESH__REQUIRED);
		take_endpoints(&inner, room, reported);
		room -= reported->n_endpoints;
		mesh__fields_join(f, &inner);
	}
}

int mesh__msg_report_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_report *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_report){.services = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		take_reported(&f, out);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_report_fini(out);
	}
	return f.code;
}

void mesh__msg_report_fini(struct mesh__msg_report *msg)
{
	for (size_t i = 0; i < msg->n_services; i++) {
		for (size_t k = 0; k < msg->services[i].n_endpoints; k++) {
			mesh__free(msg->services[i].endpoints[k].instance);
		}
		mesh__free(msg->services[i].endpoints);
		mesh__free(msg->services[i].service);
	}
	mesh__free(msg->services);
	*msg = (struct mesh__msg_report){.services = NULL};
}

/* ---- refusals ---- */

void mesh__msg_refusal_encode(const struct mesh__msg_refusal *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "code", msg->code);
	mesh__json_put_text(&json, "message", msg->message);
	mesh__json_close(&json, '}');
}

int mesh__msg_refusal_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_refusal *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_refusal){.code = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->code = mesh__field_text(&f, "code", MESH__TEXT_WORD, MESH__REQUIRED);
		out->message = mesh__field_text(&f, "message", MESH__TEXT_LINE, MESH__REQUIRED);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_refusal_fini(out);
	}
	return f.code;
}

void mesh__msg_refusal_fini(struct mesh__msg_refusal *msg)
{
	mesh__free(msg->code);
	mesh__free(msg->message);
	*msg = (struct mesh__msg_refusal){.code = NULL};
}
