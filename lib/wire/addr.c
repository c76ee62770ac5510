#include "wire/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static int refuse(const char *what, const char *text, const char *why, struct mesh__err *err)
{
	return mesh__fail(err, MESH_E_INVALID, "%s \"%.100s\": %s; write ip:port or [ipv6]:port", what, text, why);
}

/* The text of an IP between two pointers into its canonical form. inet_pton() refuses zone ids, spaces and leading zeros of IPv4 parts, embedded ones too. */
static bool canonical_ip(const char *from, size_t len, bool v6, char *out, size_t cap)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char ip[INET6_ADDRSTRLEN];
	int family = v6 ? AF_INET6 : AF_INET;

	if (len >= sizeof(ip)) {
		return false;
	}
	memcpy(ip, from, len);
	ip[len] = '\0';
	return inet_pton(family, ip, bytes) == 1 && inet_ntop(family, bytes, out, (socklen_t)cap) != NULL;
}

static bool parse_port(const char *text, bool allow_zero, uint16_t *port)
{
	uint64_t value;

	if ((text[0] == '0' && text[1] != '\0') || !mesh__str_u64(text, strlen(text), UINT16_MAX, &value) || (value == 0 && !allow_zero)) {
		return false;
	}
	*port = (uint16_t)value;
	return true;
}

int mesh__addr_parse(const char *what, const char *text, bool allow_zero, struct mesh__addr *out, struct mesh__err *err)
{
	struct mesh__addr addr = {.v6 = false};
	const char *ip, *ip_end, *port;

	if (text == NULL || text[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "%s is missing; write ip:port or [ipv6]:port", what);
	}
	addr.v6 = text[0] == '[';
	ip = addr.v6 ? text + 1 : text;
	ip_end = strchr(ip, addr.v6 ? ']' : ':');
	if (ip_end == NULL) {
		return refuse(what, text, addr.v6 ? "the bracket is not closed" : "there is no port", err);
	}
	port = addr.v6 ? ip_end + 1 : ip_end;
	if (*port != ':') {
		return refuse(what, text, "there is no port", err);
	}
	port++;
	if (!addr.v6 && strchr(port, ':') != NULL) {
		return refuse(what, text, "an IPv6 address stands in brackets", err);
	}
	if (!canonical_ip(ip, (size_t)(ip_end - ip), addr.v6, addr.ip, sizeof(addr.ip))) {
		return refuse(what, text, addr.v6 ? "this is no IPv6 address" : "this is no IPv4 address", err);
	}
	if (!parse_port(port, allow_zero, &addr.port)) {
		return refuse(what, text, allow_zero ? "the port is no number from 0 to 65535" : "the port is no number from 1 to 65535", err);
	}
	*out = addr;
	return MESH_OK;
}

void mesh__addr_format(const struct mesh__addr *addr, char *out)
{
	(void)snprintf(out, MESH__ADDR_TEXT, addr->v6 ? "[%s]:%u" : "%s:%u", addr->ip, (unsigned)addr->port);
}

bool mesh__addr_is_loopback(const struct mesh__addr *addr)
{
	return addr->v6 ? strcmp(addr->ip, "::1") == 0 : mesh__str_starts(addr->ip, "127.");
}
