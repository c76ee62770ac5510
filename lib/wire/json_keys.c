#include "wire/json_keys.h"

#include <string.h>

#include "base/str.h"

enum { FIRST_CAP = 32 };

/* ---- a key as what it means ---- */

/* Reads a key as UTF-8, escapes resolved. */
struct reader {
	const unsigned char *p, *end;
	unsigned char pending[4]; /* the rest of an escape's UTF-8, last byte first */
	size_t n_pending;
};

static struct reader reader_of(const struct mesh__json_keys *keys, const struct mesh__json_key *key)
{
	const unsigned char *p = (const unsigned char *)keys->text + key->at;

	return (struct reader){.p = p, .end = p + key->len};
}

/* Takes "\uXXXX", which the scan has found valid. */
static uint32_t take_unit(struct reader *r)
{
	unsigned char bytes[2] = {0, 0};

	(void)mesh__str_unhex((const char *)r->p + 2, 4, bytes, 2);
	r->p += 6;
	return (uint32_t)bytes[0] << 8 | bytes[1];
}

static void push_utf8(struct reader *r, uint32_t point)
{
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

	for (size_t i = 0; i + 1 < n; i++) {
		r->pending[r->n_pending++] = (unsigned char)(0x80 | (point & 0x3f));
		point >>= 6;
	}
	r->pending[r->n_pending++] = (unsigned char)(lead[n] | point);
}

/* -1 at the end. */
static int next_byte(struct reader *r)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *simple;
	uint32_t unit;

	if (r->n_pending > 0) {
		return r->pending[--r->n_pending];
	}
	if (r->p == r->end) {
		return -1;
	}
	if (*r->p != '\\') {
		return *r->p++;
	}
	if (r->p[1] != 'u') {
		simple = strchr(from, r->p[1]);
		r->p += 2;
		return simple == NULL ? r->p[-1] : to[simple - from];
	}
	unit = take_unit(r);
	if (unit >= 0xd800 && unit <= 0xdbff) {
		unit = 0x10000 + ((unit - 0xd800) << 10);
		unit += take_unit(r) - 0xdc00;
	}
	push_utf8(r, unit);
	return r->pending[--r->n_pending];
}

static int compare(const struct mesh__json_keys *keys, const struct mesh__json_key *a, const struct mesh__json_key *b)
{
	struct reader x = reader_of(keys, a), y = reader_of(keys, b);
	int c, d;

	do {
		c = next_byte(&x);
		d = next_byte(&y);
	} while (c == d && c >= 0);
	return c - d;
}

/* ---- heapsort: in place, and no order of keys makes it quadratic, which qsort() does not promise ---- */

static void swap(struct mesh__json_key *a, struct mesh__json_key *b)
{
	struct mesh__json_key kept = *a;

	*a = *b;
	*b = kept;
}

static void sift_down(const struct mesh__json_keys *keys, struct mesh__json_key *heap, size_t root, size_t n)
{
	size_t child;

	while ((child = 2 * root + 1) < n) {
		if (child + 1 < n && compare(keys, &heap[child], &heap[child + 1]) < 0) {
			child++;
		}
		if (compare(keys, &heap[root], &heap[child]) >= 0) {
			return;
		}
		swap(&heap[root], &heap[child]);
		root = child;
	}
}

static void sort(const struct mesh__json_keys *keys, struct mesh__json_key *list, size_t n)
{
	for (size_t root = n / 2; root-- > 0;) {
		sift_down(keys, list, root, n);
	}
	for (size_t end = n; end-- > 1;) {
		swap(&list[0], &list[end]);
		sift_down(keys, list, 0, end);
	}
}

/* ---- the keys of open objects ---- */

void mesh__json_keys_fini(struct mesh__json_keys *keys)
{
	mesh__free(keys->list);
	keys->list = NULL;
	keys->n = keys->cap = 0;
}

bool mesh__json_keys_add(struct mesh__json_keys *keys, struct mesh__json_key key)
{
	if (keys->n == keys->cap) {
		size_t cap = keys->cap == 0 ? FIRST_CAP : keys->cap * 2;
		struct mesh__json_key *grown = mesh__resize(keys->mem, keys->list, cap * sizeof(*grown));
		if (grown == NULL) {
			return false;
		}
		keys->list = grown;
		keys->cap = cap;
	}
	keys->list[keys->n++] = key;
	return true;
}

bool mesh__json_keys_settle(struct mesh__json_keys *keys, size_t first, size_t *at)
{
	struct mesh__json_key *list = keys->list + first;
	size_t n = keys->n - first;

	keys->n = first;
	sort(keys, list, n);
	for (size_t i = 1; i < n; i++) {
		if (compare(keys, &list[i - 1], &list[i]) == 0) {
			*at = list[i].at > list[i - 1].at ? list[i].at : list[i - 1].at;
			return false;
		}
	}
	return true;
}
