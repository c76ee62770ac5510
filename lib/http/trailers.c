#include "http/trailers.h"

#include <string.h>

#include "http/h1_byte.h"
#include "wire/url.h"

void mesh__trailers_init(struct mesh__trailers *t, const struct mesh__mem *mem)
{
	t->n = 0;
	mesh__buf_init(&t->text, mem, MESH__TRAILERS_MAX_BYTES);
}

void mesh__trailers_fini(struct mesh__trailers *t)
{
	t->n = 0;
	mesh__buf_fini(&t->text);
}

void mesh__trailers_clear(struct mesh__trailers *t)
{
	t->n = 0;
	mesh__buf_clear(&t->text);
}

bool mesh__trailers_add(struct mesh__trailers *t, const char *name, size_t name_len, const char *value, size_t value_len)
{
	size_t at = t->text.len;

	if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, value_len) || !mesh__field_may_trail(name, name_len)) {
		return true;
	}
	if (t->n == MESH__TRAILERS_MAX) {
		return false;
	}
	mesh__buf_add(&t->text, name, name_len);
	mesh__buf_chr(&t->text, '\0');
	mesh__buf_add(&t->text, value, value_len);
	mesh__buf_chr(&t->text, '\0');
	if (t->text.error != MESH_OK) {
		return false;
	}
	for (char *c = t->text.data + at; *c != '\0'; c++) {
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
	}
	t->n++;
	return true;
}

bool mesh__trailers_add_lines(struct mesh__trailers *t, const char *lines, size_t len)
{
	const char *end = lines + len;
	bool fits = true;

	while (fits && lines < end) {
		const char *line_end = memchr(lines, '\n', (size_t)(end - lines));
		const char *name_end = memchr(lines, ':', (size_t)(line_end - lines));
		const char *value = name_end + 1, *value_end = line_end;

		while (value < value_end && mesh__byte_is_blank(*value)) {
			value++;
		}
		while (value_end > value && mesh__byte_is_blank(value_end[-1])) {
			value_end--;
		}
		fits = mesh__trailers_add(t, lines, (size_t)(name_end - lines), value, (size_t)(value_end - value));
		lines = line_end + 1;
	}
	return fits;
}

struct mesh__field_text mesh__trailers_at(const struct mesh__trailers *t, size_t index)
{
	struct mesh__field_text f = {"", ""};
	const char *at = t->text.data;

	for (size_t i = 0; i <= index && index < t->n; i++) {
		f.name = at;
		f.value = f.name + strlen(f.name) + 1;
		at = f.value + strlen(f.value) + 1;
	}
	return f;
}
