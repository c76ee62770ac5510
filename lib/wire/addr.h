/* Endpoint addresses: an IP literal with a port, "127.0.0.1:80" or "[::1]:80". No names, no zone ids, no leading zeros. */
#ifndef MESH__WIRE_ADDR_H
#define MESH__WIRE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { MESH__ADDR_TEXT = 56 };

struct mesh__addr {
	char ip[46];   /* canonical text (RFC 5952 for IPv6), no brackets */
	bool v6;
	uint16_t port; /* 0 only where allowed */
};

/* `what` names the thing in messages. Port 0 is refused unless allow_zero. */
int mesh__addr_parse(const char *what, const char *text, bool allow_zero, struct mesh__addr *out, struct mesh__err *err) MESH__MUST_USE;

/* "ip:port" or "[ip]:port" into out[MESH__ADDR_TEXT]. */
void mesh__addr_format(const struct mesh__addr *addr, char *out);

/* 127.0.0.0/8 or ::1. */
bool mesh__addr_is_loopback(const struct mesh__addr *addr);

#endif
