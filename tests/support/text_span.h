/* Pieces of a text that is not a string, for tests that read what a peer has said on their own terms. */
#ifndef TESTS_SUPPORT_TEXT_SPAN_H
#define TESTS_SUPPORT_TEXT_SPAN_H

#include <stdbool.h>
#include <stddef.h>

#define TEXT_DIGITS "0123456789"
#define TEXT_HEX TEXT_DIGITS "abcdefABCDEF"
#define TEXT_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TEXT_TOKEN TEXT_DIGITS TEXT_LETTERS "!#$%&'*+-.^_`|~"

struct text_span {
	const char *at;
	size_t len;
};

/* The line at bytes[*at] without its CR LF, and *at beyond it; false when no CR LF is left. */
bool text_line(const char *bytes, size_t len, size_t *at, struct text_span *line);

/* Cuts at the first `c`: false without one, and `before` is all. */
bool text_cut(struct text_span text, char c, struct text_span *before, struct text_span *after);

struct text_span text_trimmed(struct text_span text);         /* of spaces and tabs */
bool text_same(struct text_span text, const char *string);
bool text_same_nocase(struct text_span text, const char *string);
bool text_all_of(struct text_span text, const char *set);     /* and not empty */
bool text_has(struct text_span text, char c);
bool text_has_control(struct text_span text);                 /* a byte below space that is no tab, or DEL */

#endif
