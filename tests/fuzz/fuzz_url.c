/* Addresses, URLs and paths: what is taken is canonical, and encodings undo each other. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/addr.h"
#include "wire/path.h"
#include "wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addr(const char *text)
{
	struct mesh__addr addr, again;
	char first[MESH__ADDR_TEXT], second[MESH__ADDR_TEXT];

	if (mesh__addr_parse("address", text, true, &addr, NULL) == MESH_OK) {
		mesh__addr_format(&addr, first);
		if (mesh__addr_parse("address", first, true, &again, NULL) != MESH_OK) {
			abort();
		}
		mesh__addr_format(&again, second);
		if (strcmp(first, second) != 0 || (mesh__addr_is_loopback(&addr) && strchr("1:", addr.ip[0]) == NULL)) {
			abort();
		}
	}
}

static void check_origin(const char *text)
{
	struct mesh__origin_url url, again;
	char canonical[300];

	if (mesh__origin_url_parse("control", text, true, &url, NULL) == MESH_OK) {
		(void)snprintf(canonical, sizeof(canonical), url.v6 ? "%s://[%s]:%u" : "%s://%s:%u", url.tls ? "https" : "http", url.host, (unsigned)url.port);
		if (mesh__origin_url_parse("control", canonical, true, &again, NULL) != MESH_OK || strcmp(url.host, again.host) != 0
			|| url.port != again.port || url.port == 0) {
			abort();
		}
	}
}

static void check_encoding(const char *text)
{
	size_t cap = 3 * strlen(text) + 1;
	char *query = mesh__alloc(mesh__mem_libc(), cap + 2), *back = mesh__alloc(mesh__mem_libc(), cap);

	if (query == NULL || back == NULL) {
		goto out;
	}
	memcpy(query, "k=", 2);
	if (!mesh__percent_encode(text, query + 2, cap) || mesh__query_get(query, "k", back, cap) != MESH__QUERY_GIVEN || strcmp(back, text) != 0) {
		abort();
	}
	(void)mesh__query_get(text, "k", back, cap);
out:
	mesh__free(query);
	mesh__free(back);
}

/* What is normalised is a path still, no longer than it was, has nothing left in it that a server might resolve, and is its own spelling. */
static void check_path(const char *text)
{
	char *path = mesh__strdup(mesh__mem_libc(), text), *again = NULL;

	if (path == NULL || !mesh__target_valid(path, strlen(path)) || !mesh__path_normalise(path)) {
		goto out;
	}
	if (strlen(path) > strlen(text) || !mesh__target_valid(path, strlen(path)) || strstr(path, "//") != NULL || strstr(path, "/./") != NULL || strstr(path, "/../") != NULL || strchr(path, '\\') != NULL
		|| strstr(path, "%2F") != NULL || strstr(path, "%2E") != NULL || strstr(path, "%00") != NULL) {
		abort();
	}
	again = mesh__strdup(mesh__mem_libc(), path);
	if (again != NULL && (!mesh__path_normalise(again) || strcmp(again, path) != 0)) {
		abort();
	}
out:
	mesh__free(again);
	mesh__free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, size);
	check_addr(text);
	check_origin(text);
	check_encoding(text);
	check_path(text);
	(void)mesh__method_valid(text);
	(void)mesh__field_is_hop((const char *)data, size);
	(void)mesh__field_is_mesh((const char *)data, size);
	(void)mesh__field_is_claim((const char *)data, size);
	if ((mesh__target_valid((const char *)data, size) || mesh__field_name_valid((const char *)data, size)) && memchr(data, '\r', size) != NULL) {
		abort();
	}
	if (mesh__field_value_valid((const char *)data, size) && size > 0 && (memchr(data, '\n', size) != NULL || memchr(data, '\0', size) != NULL)) {
		abort();
	}
	mesh__free(text);
	return 0;
}
