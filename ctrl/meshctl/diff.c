#include "meshctl/diff.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct line {
	const char *text;
	size_t len;
};

struct lines {
	struct line *line;
	size_t n;
};

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (const char *at = text; *at != '\0'; n++) {
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	return n;
}

static bool split(const struct mesh__mem *mem, const char *text, struct lines *out)
{
	const char *at = text;

	out->n = count_lines(text);
	out->line = mesh__alloc_array(mem, out->n + 1, sizeof(*out->line));
	for (size_t i = 0; out->line != NULL && i < out->n; i++) {
		out->line[i].text = at;
		out->line[i].len = strcspn(at, "\n");
		at += out->line[i].len;
		at += *at == '\n';
	}
	return out->line != NULL;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void put(struct mesh__buf *out, char sign, const struct line *line)
{
	mesh__buf_chr(out, sign);
	mesh__buf_add(out, line->text, line->len);
	mesh__buf_chr(out, '\n');
}

/* common[i · (b->n + 1) + j]: the length of the longest common subsequence of a from i on and b from j on. */
static uint16_t *table(const struct mesh__mem *mem, const struct lines *a, const struct lines *b)
{
	size_t width = b->n + 1;
	uint16_t *common = mesh__alloc_array(mem, (a->n + 1) * width, sizeof(*common));

	for (size_t i = a->n; common != NULL && i-- > 0;) {
		for (size_t j = b->n; j-- > 0;) {
			uint16_t down = common[(i + 1) * width + j], right = common[i * width + j + 1];
			common[i * width + j] = same(&a->line[i], &b->line[j]) ? (uint16_t)(common[(i + 1) * width + j + 1] + 1)
				: down > right ? down : right;
		}
	}
	return common;
}

static void walk(const uint16_t *common, const struct lines *a, const struct lines *b, struct mesh__buf *out)
{
	size_t i = 0, j = 0, width = b->n + 1;

	while (i < a->n || j < b->n) {
		if (i < a->n && j < b->n && same(&a->line[i], &b->line[j])) {
			i++;
			j++;
		} else if (j == b->n || (i < a->n && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
			put(out, '-', &a->line[i++]);
		} else {
			put(out, '+', &b->line[j++]);
		}
	}
}

bool ctl_diff_lines(const struct mesh__mem *mem, const char *before, const char *after, struct mesh__buf *out)
{
	struct lines a = {NULL, 0}, b = {NULL, 0};
	uint16_t *common = NULL;
	bool done = false;

	if (!split(mem, before, &a) || !split(mem, after, &b)) {
		goto out;
	}
	if (a.n > CTL_DIFF_LINES_MAX || b.n > CTL_DIFF_LINES_MAX) {
		for (size_t i = 0; i < a.n; i++) {
			put(out, '-', &a.line[i]);
		}
		for (size_t i = 0; i < b.n; i++) {
			put(out, '+', &b.line[i]);
		}
		done = true;
		goto out;
	}
	common = table(mem, &a, &b);
	if (common != NULL) {
		walk(common, &a, &b, out);
		done = true;
	}
out:
	mesh__free(common);
	mesh__free(a.line);
	mesh__free(b.line);
	return done;
}
