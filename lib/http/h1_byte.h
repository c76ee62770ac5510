/* Classes of bytes in HTTP/1.1 (RFC 9110 section 5.6.2, RFC 9112 section 5), for the scanners. */
#ifndef MESH__HTTP_H1_BYTE_H
#define MESH__HTTP_H1_BYTE_H

#include <stdbool.h>

static inline bool mesh__byte_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bits of mesh__byte_classes. LINE: of a request line, its spaces included; VALUE: of a field's value, obs-text included. */
enum { MESH__BYTE_TOKEN = 1, MESH__BYTE_VALUE = 2, MESH__BYTE_LINE = 4 };

extern const unsigned char mesh__byte_classes[256];

static inline bool mesh__byte_is(char c, int classes)
{
	return (mesh__byte_classes[(unsigned char)c] & classes) != 0;
}

static inline bool mesh__byte_is_token(char c)
{
	return mesh__byte_is(c, MESH__BYTE_TOKEN);
}

/* A byte of a field's value; obs-text included. */
static inline bool mesh__byte_is_value(char c)
{
	return mesh__byte_is(c, MESH__BYTE_VALUE);
}

static inline bool mesh__byte_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

#endif
