#include "wire/instance.h"

#include "base/mem.h"

void mesh__instance_put(struct mesh__json_out *out, const char *key, const struct mesh__msg_instance *instance)
{
	mesh__json_open(out, key, '{');
	mesh__json_put_text(out, "instance", instance->instance);
	if (instance->n_addresses > 0) {
		mesh__json_open(out, "addresses", '[');
		for (size_t i = 0; i < instance->n_addresses; i++) {
			mesh__json_put_text(out, NULL, instance->addresses[i]);
		}
		mesh__json_close(out, ']');
	}
	mesh__json_put_text(out, "version", instance->version);
	mesh__json_put_text(out, "zone", instance->zone);
	mesh__json_put_text(out, "reason", instance->reason);
	mesh__json_put_text(out, "service", instance->service);
	mesh__json_close(out, '}');
}

void mesh__instance_take(struct mesh__fields *f, struct mesh__msg_instance *instance)
{
	const struct mesh__json *item;
	size_t n;

	instance->instance = mesh__field_text(f, "instance", MESH__TEXT_LABEL, MESH__REQUIRED);
	for (item = mesh__field_array(f, "addresses", MESH__MSG_MAX_ADDRESSES, &n); item != NULL && f->code == MESH_OK; item = mesh__json_next(item)) {
		char *address = mesh__field_item(f, "addresses", item, MESH__TEXT_ADDRESS);
		if (address != NULL) {
			instance->addresses[instance->n_addresses++] = address;
		}
	}
	instance->version = mesh__field_text(f, "version", MESH__TEXT_TAG, MESH__OPTIONAL);
	instance->zone = mesh__field_text(f, "zone", MESH__TEXT_TAG, MESH__OPTIONAL);
	instance->reason = mesh__field_text(f, "reason", MESH__TEXT_WORD, MESH__OPTIONAL);
}

void mesh__msg_instance_encode(const struct mesh__msg_instance *msg, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__instance_put(&json, NULL, msg);
}

int mesh__msg_instance_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_instance *out, struct mesh__err *err)
{
	struct mesh__json *root;
	struct mesh__fields f;

	*out = (struct mesh__msg_instance){.instance = NULL};
	if (mesh__fields_open(&f, mem, text, len, &root, err) == MESH_OK) {
		mesh__instance_take(&f, out);
		out->service = mesh__field_text(&f, "service", MESH__TEXT_SERVICE_KEY, MESH__OPTIONAL);
	}
	mesh__json_free(root);
	if (f.code != MESH_OK) {
		mesh__msg_instance_fini(out);
	}
	return f.code;
}

void mesh__msg_instance_fini(struct mesh__msg_instance *msg)
{
	mesh__free(msg->instance);
	for (size_t i = 0; i < msg->n_addresses; i++) {
		mesh__free(msg->addresses[i]);
	}
	mesh__free(msg->version);
	mesh__free(msg->zone);
	mesh__free(msg->reason);
	mesh__free(msg->service);
	*msg = (struct mesh__msg_instance){.instance = NULL};
}

/* True unless memory ran out; NULL copies to NULL. */
static bool copy(const struct mesh__mem *mem, const char *from, char **to)
{
	*to = mesh__strdup(mem, from);
	return *to != NULL || from == NULL;
}

bool mesh__msg_instance_copy(const struct mesh__mem *mem, const struct mesh__msg_instance *from, struct mesh__msg_instance *to)
{
	bool ok;

	*to = (struct mesh__msg_instance){.instance = NULL};
	ok = copy(mem, from->instance, &to->instance) && copy(mem, from->version, &to->version) && copy(mem, from->zone, &to->zone)
		&& copy(mem, from->reason, &to->reason);
	for (size_t i = 0; ok && i < from->n_addresses; i++) {
		ok = copy(mem, from->addresses[i], &to->addresses[i]);
		to->n_addresses += ok;
	}
	if (!ok) {
		mesh__msg_instance_fini(to);
	}
	return ok;
}
