#include "policy/split.h"

#include <math.h>
#include <string.h>

#include "policy/hash.h"
#include "wire/url.h"

size_t mesh__split_draw(const struct mesh__side *sides, size_t n, uint64_t turn)
{
	uint64_t total = 0, point;
	size_t i = 0;

	for (size_t k = 0; k < n; k++) {
		total += sides[k].weight;
	}
	point = (mesh__spread(turn) >> 32) * total >> 32; /* in [0, total), which is less than 2^32 */
	while (i + 1 < n && point >= sides[i].weight) {
		point -= sides[i].weight;
		i++;
	}
	return i;
}

/* A side by what it is, not by where it stands in the list. */
static uint64_t seed_of(const struct mesh__side *side)
{
	const char *name = side->subset != NULL ? side->subset : side->service != NULL ? side->service : "";

	return mesh__hash(name, strlen(name), side->service != NULL);
}

/* Of sides that draw -ln(u)/weight each, u uniform, the smallest is a side's as often as its weight says; and with another weight its draw is larger or smaller for all keys alike. */
static double score(const struct mesh__side *side, const char *key, size_t len)
{
	double u = ((double)(mesh__hash(key, len, seed_of(side)) >> 11) + 1) * 0x1p-53; /* in (0, 1] */

	return -log(u) / side->weight;
}

size_t mesh__split_sticky(const struct mesh__side *sides, size_t n, const char *key, size_t len)
{
	double least = INFINITY;
	size_t best = 0;

	for (size_t i = 0; n > 1 && i < n; i++) {
		double mine = sides[i].weight == 0 ? INFINITY : score(&sides[i], key, len);
		if (mine < least) {
			least = mine;
			best = i;
		}
	}
	return best;
}

/* The value of cookie `name` in one Cookie field (RFC 6265 section 4.2.1); NULL: it is not there. */
static const char *cookie(const char *field, const char *name, size_t *len)
{
	size_t name_len = strlen(name);

	while (*field != '\0') {
		field += strspn(field, " \t;");
		*len = strcspn(field, ";");
		if (*len > name_len && field[name_len] == '=' && memcmp(field, name, name_len) == 0) {
			field += name_len + 1;
			*len -= name_len + 1;
			while (*len > 0 && (field[*len - 1] == ' ' || field[*len - 1] == '\t')) {
				(*len)--;
			}
			return field;
		}
		field += *len;
	}
	return NULL;
}

static const char *find_cookie(const struct mesh__request_view *view, const char *name, size_t *len)
{
	const char *field, *value = NULL;

	for (size_t at = 0; value == NULL && (field = view->header(view->ctx, "cookie", &at)) != NULL;) {
		value = cookie(field, name, len);
	}
	return value;
}

const char *mesh__sticky_key(const struct mesh__sticky *sticky, const struct mesh__request_view *view, char *room, size_t cap, size_t *len)
{
	const char *key = NULL, *query = view->query;
	size_t at = 0;

	if (sticky->on == MESH__STICKY_COOKIE) {
		key = find_cookie(view, sticky->name, len);
		return key == NULL || *len == 0 ? NULL : key;
	}
	switch (sticky->on) {
	case MESH__STICKY_HEADER:
		key = view->header(view->ctx, sticky->name, &at);
		break;
	case MESH__STICKY_QUERY:
		key = mesh__query_next(&query, sticky->name, room, cap) ? room : NULL;
		break;
	case MESH__STICKY_SOURCE:
		key = view->instance;
		break;
	case MESH__STICKY_COOKIE:
	case MESH__STICKY_NONE:
		break;
	}
	*len = key == NULL ? 0 : strlen(key);
	return *len == 0 ? NULL : key;
}
