#include "identity/servers.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 3000, URL_MAX = 300 };

int mesh__servers_parse(const struct mesh__env *env, const char *text, struct mesh__servers *out, struct mesh__err *err)
{
	memset(out, 0, sizeof(*out));
	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, ",");
		char url[URL_MAX + 1];
		int code;

		if (out->n == MESH__SERVERS_MAX) {
			return mesh__fail(err, MESH_E_INVALID, "control: more than %d servers", MESH__SERVERS_MAX);
		}
		if (len > URL_MAX) {
			return mesh__fail(err, MESH_E_INVALID, "control: a URL is longer than %d bytes", URL_MAX);
		}
		memcpy(url, text, len);
		url[len] = '\0';
		code = mesh__origin_url_parse("control", url, false, &out->list[out->n], err);
		if (code != MESH_OK) {
			return code;
		}
		out->n++;
		text += len;
		text += *text == ',';
	}
	out->next = (size_t)mesh__dice_below(env, out->n);
	return MESH_OK;
}

void mesh__servers_advance(struct mesh__servers *servers)
{
	servers->next = servers->n == 0 ? 0 : (servers->next + 1) % servers->n;
}

void mesh__servers_format(const struct mesh__servers *servers, char *out)
{
	const struct mesh__origin_url *url = &servers->list[servers->next];

	(void)snprintf(out, 320, url->v6 ? "[%s]:%u" : "%s:%u", url->host, url->port);
}

void mesh__servers_address(const struct mesh__servers *servers, const char *trust_domain, struct mesh__transfer_options *options)
{
	const struct mesh__origin_url *url = &servers->list[servers->next];
	struct mesh__name meshd = {.ns = "mesh-system", .service = "meshd"};

	(void)snprintf(options->connect_host, sizeof(options->connect_host), "%s", url->host);
	options->connect_port = url->port;
	options->connect_timeout_ms = CONNECT_TIMEOUT_MS;
	if (trust_domain == NULL) {
		(void)snprintf(options->host, sizeof(options->host), "meshd");
		return;
	}
	(void)snprintf(meshd.trust_domain, sizeof(meshd.trust_domain), "%s", trust_domain);
	mesh__dns_format(&meshd, options->host);
	mesh__spiffe_format(&meshd, options->spiffe);
}
