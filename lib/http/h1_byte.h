/* Classes of bytes in HTTP/1.1 (RFC 9110 section 5.6.2, RFC 9112 section 5), for the scanners. */
#ifndef MESH__HTTP_H1_BYTE_H
#define MESH__HTTP_H1_BYTE_H

#include <stdbool.h>
#include <string.h>

static inline bool mesh__byte_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool mesh__byte_is_token(char c)
{
	return mesh__byte_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static inline bool mesh__byte_is_visible(char c)
{
	return c > ' ' && c < 0x7f;
}

/* A byte of a field's value; obs-text included. */
static inline bool mesh__byte_is_value(char c)
{
	return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static inline bool mesh__byte_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

#endif
