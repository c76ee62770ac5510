#include "wire/message.h"

#include <string.h>

#include "base/attr.h"
#include "base/mem.h"
#include "wire/field.h"
#include "wire/instance.h"
#include "wire/json.h"

enum {
	PROTOCOL_MAX = 1000,
	INTERVAL_MAX_MS = 24 * 60 * 60 * 1000,
	DOCUMENTS_MAX = 1000,
	REVOKED_MAX = 65536
};

static const char *const type_names[] = {
#define X(name, text) [MESH__RECORD_##name] = text,
	MESH__RECORDS(X)
#undef X
};

/* ---- encoding ---- */

static void put_instances(struct mesh__json_out *json, const char *key, const struct mesh__msg_instance *instances, size_t n)
{
	mesh__json_open(json, key, '[');
	for (size_t i = 0; i < n; i++) {
		mesh__instance_put(json, NULL, &instances[i]);
	}
	mesh__json_close(json, ']');
}

static void put_texts(struct mesh__json_out *json, const char *key, char *const *texts, size_t n)
{
	mesh__json_open(json, key, '[');
	for (size_t i = 0; i < n; i++) {
		mesh__json_put_text(json, NULL, texts[i]);
	}
	mesh__json_close(json, ']');
}

void mesh__record_encode(const struct mesh__record *record, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "type", type_names[record->type]);
	mesh__json_put_u64(&json, "sequence", record->sequence);
	mesh__json_put_u64(&json, "version", record->version);
	switch (record->type) {
	case MESH__RECORD_HELLO:
		mesh__json_put_text(&json, "session", record->session);
		mesh__json_put_int(&json, "protocol", record->protocol);
		mesh__json_put_int(&json, "heartbeat_ms", record->heartbeat_ms);
		mesh__json_put_int(&json, "lease_ms", record->lease_ms);
		break;
	case MESH__RECORD_ENDPOINTS:
		mesh__json_put_text(&json, "service", record->service);
		mesh__json_put_bool(&json, "full", record->full);
		mesh__json_put_bool(&json, "known", record->known);
		put_instances(&json, "instances", record->instances, record->n_instances);
		put_instances(&json, "removed", record->removed, record->n_removed);
		break;
	case MESH__RECORD_CONFIG:
		mesh__json_put_text(&json, "service", record->service);
		put_texts(&json, "documents", record->documents, record->n_documents);
		break;
	case MESH__RECORD_TRUST:
		mesh__json_put_text(&json, "roots_pem", record->roots_pem);
		put_texts(&json, "revoked", record->revoked, record->n_revoked);
		break;
	case MESH__RECORD_PING:
	case MESH__RECORD_UNKNOWN:
		break;
	}
	mesh__json_close(&json, '}');
	mesh__buf_chr(out, '\n');
}

/* ---- decoding ---- */

static enum mesh__record_type type_of(const struct mesh__json *object)
{
	const char *text = mesh__json_text(mesh__json_get(object, "type"));

	for (size_t i = MESH__RECORD_UNKNOWN + 1; text != NULL && i < MESH__COUNT(type_names); i++) {
		if (strcmp(text, type_names[i]) == 0) {
			return (enum mesh__record_type)i;
		}
	}
	return MESH__RECORD_UNKNOWN;
}

/* *n grows with each that is begun, so that a failure leaves nothing behind. */
static struct mesh__msg_instance *take_instances(struct mesh__fields *f, const char *key, size_t *n)
{
	size_t count;
	const struct mesh__json *item = mesh__field_array(f, key, MESH__MSG_MAX_ENDPOINTS, &count);
	struct mesh__msg_instance *instances = mesh__field_room(f, count, sizeof(*instances));

	for (; f->code == MESH_OK && item != NULL; item = mesh__json_next(item)) {
		struct mesh__fields inner = mesh__fields_of(f, item, key);
		mesh__instance_take(&inner, &instances[(*n)++]);
		mesh__fields_join(f, &inner);
	}
	return instances;
}

static void take_endpoints(struct mesh__fields *f, struct mesh__record *out)
{
	out->service = mesh__field_text(f, "service", MESH__TEXT_SERVICE_KEY, MESH__REQUIRED);
	out->full = mesh__field_bool(f, "full", false);
	out->known = mesh__field_bool(f, "known", true);
	out->instances = take_instances(f, "instances", &out->n_instances);
	out->removed = take_instances(f, "removed", &out->n_removed);
	for (size_t i = 0; f->code == MESH_OK && i < out->n_instances; i++) {
		if (out->instances[i].n_addresses == 0) {
			f->code = mesh__fail(f->err, MESH_E_INVALID, "instance \"%s\" has no address", out->instances[i].instance);
		}
	}
}

static void take_payload(struct mesh__fields *f, struct mesh__record *out)
{
	switch (out->type) {
	case MESH__RECORD_HELLO:
		out->session = mesh__field_text(f, "session", MESH__TEXT_ID, MESH__REQUIRED);
		out->protocol = mesh__field_i64(f, "protocol", 1, PROTOCOL_MAX);
		out->heartbeat_ms = mesh__field_i64(f, "heartbeat_ms", 1, INTERVAL_MAX_MS);
		out->lease_ms = mesh__field_i64(f, "lease_ms", 1, INTERVAL_MAX_MS);
		break;
	case MESH__RECORD_ENDPOINTS:
		take_endpoints(f, out);
		break;
	case MESH__RECORD_CONFIG:
		out->service = mesh__field_text(f, "service", MESH__TEXT_SERVICE_KEY, MESH__REQUIRED);
		out->documents = mesh__field_texts(f, "documents", MESH__TEXT_DOCUMENT, DOCUMENTS_MAX, &out->n_documents);
		break;
	case MESH__RECORD_TRUST:
		out->roots_pem = mesh__field_text(f, "roots_pem", MESH__TEXT_PEM, MESH__REQUIRED);
		out->revoked = mesh__field_texts(f, "revoked", MESH__TEXT_SERIAL, REVOKED_MAX, &out->n_revoked);
		break;
	case MESH__RECORD_PING:
	case MESH__RECORD_UNKNOWN:
		break;
	}
}

int mesh__record_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__record *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__record){.type = MESH__RECORD_UNKNOWN};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		out->type = type_of(f.object);
		out->sequence = mesh__field_u64(&f, "sequence", MESH__REQUIRED);
		if (f.code == MESH_OK && out->sequence == 0) {
			f.code = mesh__fail(err, MESH_E_INVALID, "field \"sequence\" counts from 1");
		}
		out->version = mesh__field_u64(&f, "version", MESH__OPTIONAL);
		take_payload(&f, out);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__record_fini(out);
	}
	return f.code;
}

static void free_instances(struct mesh__msg_instance *instances, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		mesh__msg_instance_fini(&instances[i]);
	}
	mesh__free(instances);
}

void mesh__record_fini(struct mesh__record *record)
{
	mesh__free(record->session);
	mesh__free(record->service);
	free_instances(record->instances, record->n_instances);
	free_instances(record->removed, record->n_removed);
	mesh__field_texts_free(record->documents, record->n_documents);
	mesh__free(record->roots_pem);
	mesh__field_texts_free(record->revoked, record->n_revoked);
	*record = (struct mesh__record){.type = MESH__RECORD_UNKNOWN};
}
