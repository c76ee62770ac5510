#include "wire/field.h"

#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "wire/addr.h"
#include "wire/message.h"
#include "wire/name.h"

/* ---- the rules of texts ---- */

static bool only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

/* C0 and C1 controls and DEL: none belongs into a log or a terminal. `but` are the exceptions. The text is valid UTF-8. */
static bool without_controls(const char *text, const char *but)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (((*p < 0x20 || *p == 0x7f) && strchr(but, *p) == NULL) || (p[0] == 0xc2 && p[1] < 0xa0)) {
			return false;
		}
	}
	return true;
}

static bool pem_valid(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((*p < ' ' || *p > '~') && strchr("\r\n\t", *p) == NULL) {
			return false;
		}
	}
	return true;
}

static bool service_key_valid(const char *text)
{
	struct mesh__name name;

	return strchr(text, '.') != NULL && mesh__service_parse(text, "", &name, NULL) == MESH_OK;
}

static bool address_valid(const char *text)
{
	struct mesh__addr addr;

	return mesh__addr_parse("address", text, false, &addr, NULL) == MESH_OK;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"

static bool text_valid(const char *text, enum mesh__text kind)
{
	switch (kind) {
	case MESH__TEXT_LABEL:
		return mesh__label_valid(text, strlen(text));
	case MESH__TEXT_SERVICE_KEY:
		return service_key_valid(text);
	case MESH__TEXT_TRUST_DOMAIN:
		return mesh__trust_domain_valid(text, strlen(text));
	case MESH__TEXT_ADDRESS:
		return address_valid(text);
	case MESH__TEXT_ENDPOINT:
		return mesh__label_valid(text, strlen(text)) || address_valid(text);
	case MESH__TEXT_ID:
		return only(text, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	case MESH__TEXT_SERIAL:
		return text[0] != '0' && only(text, "0123456789abcdef");
	case MESH__TEXT_WORD:
		return text[0] != '-' && only(text, LOWER "-");
	case MESH__TEXT_PEM:
	case MESH__TEXT_CSR:
		return pem_valid(text);
	case MESH__TEXT_TAG:
	case MESH__TEXT_LINE:
		return without_controls(text, "");
	case MESH__TEXT_DOCUMENT:
		return without_controls(text, "\t\r\n");
	}
	return false;
}

/* Tells the code of the first failure, and only that one. */
static void refuse(struct mesh__fields *f, int code, const char *key, const char *why)
{
	if (f->code == MESH_OK) {
		f->code = mesh__fail(f->err, code, "field \"%s\" %s", key, why);
	}
}

static void out_of_memory(struct mesh__fields *f)
{
	if (f->code == MESH_OK) {
		f->code = mesh__fail_memory(f->err);
	}
}

static char *copy_text(struct mesh__fields *f, const char *key, const char *text, enum mesh__text kind)
{
	static const size_t max[] = {
#define X(name, bytes) [MESH__TEXT_##name] = bytes,
		MESH__TEXTS(X)
#undef X
	};
	char *copy;

	if (strlen(text) > max[kind]) {
		refuse(f, MESH_E_TOO_LARGE, key, "is over its bound");
		return NULL;
	}
	if (!text_valid(text, kind)) {
		refuse(f, MESH_E_INVALID, key, "has a malformed value");
		return NULL;
	}
	copy = mesh__strdup(f->mem, text);
	if (copy == NULL) {
		out_of_memory(f);
	}
	return copy;
}

/* ---- reading ---- */

int mesh__fields_open(struct mesh__fields *f, const struct mesh__mem *mem, const char *text, size_t len, struct mesh__json **root, struct mesh__err *err)
{
	*f = (struct mesh__fields){.mem = mem, .err = err};
	f->code = mesh__json_parse(mem, text, len, MESH__MSG_MAX_BYTES, root, err);
	if (f->code == MESH_OK && !mesh__json_is_object(*root)) {
		f->code = mesh__fail(err, MESH_E_INVALID, "the message is no JSON object");
	}
	f->object = *root;
	return f->code;
}

struct mesh__fields mesh__fields_of(struct mesh__fields *f, const struct mesh__json *member, const char *key)
{
	if (!mesh__json_is_object(member)) {
		refuse(f, MESH_E_INVALID, key, "holds something that is no object");
	}
	return (struct mesh__fields){.mem = f->mem, .object = member, .code = f->code, .err = f->err};
}

void mesh__fields_join(struct mesh__fields *f, const struct mesh__fields *inner)
{
	if (f->code == MESH_OK) {
		f->code = inner->code;
	}
}

char *mesh__field_text(struct mesh__fields *f, const char *key, enum mesh__text kind, enum mesh__presence presence)
{
	const struct mesh__json *v = mesh__json_get(f->object, key);
	const char *text = mesh__json_text(v);

	if (f->code != MESH_OK) {
		return NULL;
	}
	if (v != NULL && text == NULL && !mesh__json_is_null(v)) {
		refuse(f, MESH_E_INVALID, key, "is no string");
		return NULL;
	}
	if (text == NULL || text[0] == '\0') {
		if (presence == MESH__REQUIRED) {
			refuse(f, MESH_E_INVALID, key, "is missing");
		}
		return NULL;
	}
	return copy_text(f, key, text, kind);
}

uint64_t mesh__field_u64(struct mesh__fields *f, const char *key, enum mesh__presence presence)
{
	const struct mesh__json *v = mesh__json_get(f->object, key);
	uint64_t value = 0;

	if (v == NULL ? presence == MESH__REQUIRED : !mesh__json_u64(v, &value)) {
		refuse(f, MESH_E_INVALID, key, v == NULL ? "is missing" : "is no unsigned integer of 64 bits");
	}
	return value;
}

int64_t mesh__field_i64(struct mesh__fields *f, const char *key, int64_t min, int64_t max)
{
	const struct mesh__json *v = mesh__json_get(f->object, key);
	int64_t value = 0;

	if (!mesh__json_i64(v, min, max, &value)) {
		refuse(f, MESH_E_INVALID, key, v == NULL ? "is missing" : "is no integer, or out of range");
	}
	return value;
}

bool mesh__field_bool(struct mesh__fields *f, const char *key, bool otherwise)
{
	const struct mesh__json *v = mesh__json_get(f->object, key);
	bool value = otherwise;

	if (v != NULL && !mesh__json_bool(v, &value)) {
		refuse(f, MESH_E_INVALID, key, "is neither true nor false");
	}
	return value;
}

const struct mesh__json *mesh__field_array(struct mesh__fields *f, const char *key, size_t max, size_t *n)
{
	const struct mesh__json *v = mesh__json_get(f->object, key);

	*n = 0;
	if (f->code != MESH_OK || v == NULL || mesh__json_is_null(v)) {
		return NULL;
	}
	if (!mesh__json_is_array(v)) {
		refuse(f, MESH_E_INVALID, key, "is no array");
		return NULL;
	}
	*n = mesh__json_count(v);
	if (*n > max) {
		*n = 0;
		refuse(f, MESH_E_TOO_LARGE, key, "has too many members");
		return NULL;
	}
	return mesh__json_first(v);
}

char *mesh__field_item(struct mesh__fields *f, const char *key, const struct mesh__json *item, enum mesh__text kind)
{
	const char *text = mesh__json_text(item);

	if (f->code != MESH_OK) {
		return NULL;
	}
	if (text == NULL || text[0] == '\0') {
		refuse(f, MESH_E_INVALID, key, "holds something that is no text");
		return NULL;
	}
	return copy_text(f, key, text, kind);
}

void *mesh__field_room(struct mesh__fields *f, size_t count, size_t size)
{
	void *room;

	if (f->code != MESH_OK || count == 0) {
		return NULL;
	}
	room = mesh__alloc_array(f->mem, count, size);
	if (room == NULL) {
		out_of_memory(f);
	}
	return room;
}

char **mesh__field_texts(struct mesh__fields *f, const char *key, enum mesh__text kind, size_t max, size_t *n)
{
	size_t count, done = 0;
	const struct mesh__json *item = mesh__field_array(f, key, max, &count);
	char **texts = mesh__field_room(f, count, sizeof(*texts));

	*n = 0;
	for (; texts != NULL && item != NULL; item = mesh__json_next(item)) {
		texts[done] = mesh__field_item(f, key, item, kind);
		if (texts[done] == NULL) {
			mesh__field_texts_free(texts, done);
			return NULL;
		}
		done++;
	}
	*n = done;
	return texts;
}

void mesh__field_texts_free(char **texts, size_t n)
{
	for (size_t i = 0; texts != NULL && i < n; i++) {
		mesh__free(texts[i]);
	}
	mesh__free(texts);
}
