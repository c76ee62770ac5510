#include "meshctl/upstream_target.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "wire/url.h"

static int resolve(const char *url, const struct mesh__origin_url *parsed, struct mesh__addr *out, struct mesh__err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
	char ip[NI_MAXHOST], text[NI_MAXHOST + 16];
	int failed = getaddrinfo(parsed->host, NULL, &hints, &found);

	if (failed == 0) {
		failed = getnameinfo(found->ai_addr, found->ai_addrlen, ip, sizeof(ip), NULL, 0, NI_NUMERICHOST);
		(void)snprintf(text, sizeof(text), !failed && found->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
			failed ? "" : ip, (unsigned)parsed->port);
		freeaddrinfo(found);
	}
	if (failed != 0) {
		return mesh__fail(err, MESH_E_CONNECT, "--upstream \"%s\": %s", url, gai_strerror(failed));
	}
	return mesh__addr_parse("--upstream", text, false, out, err);
}

static int unix_target(const char *url, const char *path, struct mesh__target *out, struct mesh__err *err)
{
	if (mesh__str_starts(path, "//")) {
		path += 2; /* an empty authority */
	}
	if (path[0] != '/' || path[1] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "--upstream \"%s\": a socket is named by its absolute path, as in unix:/run/app.sock", url);
	}
	if (strlen(path) >= sizeof(out->unix_path)) {
		return mesh__fail(err, MESH_E_INVALID, "--upstream \"%s\": the path of a socket has at most %zu bytes", url, sizeof(out->unix_path) - 1);
	}
	(void)snprintf(out->unix_path, sizeof(out->unix_path), "%s", path);
	(void)snprintf(out->host, sizeof(out->host), "localhost");
	return MESH_OK;
}

int ctl_upstream_target(const char *url, struct mesh__target *out, struct mesh__err *err)
{
	struct mesh__origin_url parsed;

	*out = (struct mesh__target){.insecure_plaintext = true}; /* the server behind is unchanged: it has no identity to show */
	if (mesh__str_starts(url, "unix:")) {
		return unix_target(url, url + strlen("unix:"), out, err);
	}
	if (mesh__origin_url_parse("--upstream", url, true, &parsed, err) != MESH_OK) {
		return err->code;
	}
	if (parsed.tls) {
		return mesh__fail(err, MESH_E_INVALID, "--upstream \"%s\": the server behind is reached by plain http", url);
	}
	if (strlen(parsed.host) + sizeof("[]:65535") > sizeof(out->host)) {
		return mesh__fail(err, MESH_E_INVALID, "--upstream \"%.40s…\": the name is too long", url);
	}
	(void)snprintf(out->host, sizeof(out->host), parsed.v6 ? "[%s]:%u" : "%s:%u", parsed.host, (unsigned)parsed.port);
	return resolve(url, &parsed, &out->address, err);
}
