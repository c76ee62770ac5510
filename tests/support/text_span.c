#include "support/text_span.h"

#include <string.h>
#include <strings.h>

bool text_line(const char *bytes, size_t len, size_t *at, struct text_span *line)
{
	const char *end = *at < len ? memmem(bytes + *at, len - *at, "\r\n", 2) : NULL;

	if (end == NULL) {
		return false;
	}
	*line = (struct text_span){bytes + *at, (size_t)(end - bytes) - *at};
	*at += line->len + 2;
	return true;
}

bool text_cut(struct text_span text, char c, struct text_span *before, struct text_span *after)
{
	const char *mark = text.len > 0 ? memchr(text.at, c, text.len) : NULL;

	*before = text;
	*after = (struct text_span){text.at + text.len, 0};
	if (mark != NULL) {
		before->len = (size_t)(mark - text.at);
		*after = (struct text_span){mark + 1, text.len - before->len - 1};
	}
	return mark != NULL;
}

struct text_span text_trimmed(struct text_span text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t')) {
		text.len--;
	}
	return text;
}

bool text_same(struct text_span text, const char *string)
{
	return text.len == strlen(string) && memcmp(text.at, string, text.len) == 0;
}

bool text_same_nocase(struct text_span text, const char *string)
{
	return text.len == strlen(string) && strncasecmp(text.at, string, text.len) == 0;
}

bool text_all_of(struct text_span text, const char *set)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\0' || strchr(set, text.at[i]) == NULL) {
			return false;
		}
	}
	return text.len > 0;
}

bool text_has(struct text_span text, char c)
{
	return text.len > 0 && memchr(text.at, c, text.len) != NULL;
}

bool text_has_control(struct text_span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return true;
		}
	}
	return false;
}
