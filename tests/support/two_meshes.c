#include "two_meshes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "support/patience.h"

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "two_meshes: %s\n", what);
		abort();
	}
}

static void path_of(const struct two_meshes *t, const char *service, const char *what, char path[160])
{
	(void)snprintf(path, 160, "%s/%s%s", t->dir, service, what);
}

static void write_file(struct two_meshes *t, const char *service, const char *what, const char *text)
{
	char path[160];

	path_of(t, service, what, path);
	must(mesh__file_write(path, text, strlen(text), 0600, false, NULL) == MESH_OK, path);
}

static void remove_files(struct two_meshes *t, const char *service)
{
	static const char *const whats[] = {".pem", ".key", ".roots", ".endpoints"};
	char path[160];

	for (size_t i = 0; i < sizeof(whats) / sizeof(whats[0]); i++) {
		path_of(t, service, whats[i], path);
		(void)unlink(path);
	}
}

static void set(mesh_options *o, const char *key, const char *value)
{
	must(mesh_options_set(o, key, value) == MESH_OK, mesh_options_message(o));
}

mesh_options *two_meshes_identity(struct two_meshes *t, const char *service)
{
	mesh_options *o = mesh_options_new();
	char *chain, *key, path[160];

	must(o != NULL, "out of memory");
	test_ca_leaf(&t->ca, service, &chain, &key);
	write_file(t, service, ".pem", chain);
	write_file(t, service, ".key", key);
	write_file(t, service, ".roots", t->ca.root);
	mesh__free(chain);
	mesh__free(key);
	set(o, "service", service);
	path_of(t, service, ".pem", path);
	set(o, "certificate", path);
	path_of(t, service, ".key", path);
	set(o, "key", path);
	path_of(t, service, ".roots", path);
	set(o, "bundle", path);
	return o;
}

mesh_options *two_meshes_options_with(struct two_meshes *t, const char *service, const struct mesh__addr *addresses, size_t n, const char *fields)
{
	mesh_options *o = two_meshes_identity(t, service);
	char text[4096], address[MESH__ADDR_TEXT], path[160];
	size_t len = (size_t)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: Endpoints\nname: payments\nendpoints:\n");

	for (size_t i = 0; i < n; i++) {
		mesh__addr_format(&addresses[i], address);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "- {address: \"%s\", labels: {version: v1}}\n", address);
		must(len < sizeof(text), "too many endpoints");
	}
	len += (size_t)snprintf(text + len, sizeof(text) - len, "---\napiVersion: mesh/v1\nkind: Service\nname: payments\n%s", fields);
	if (slowed_down() && strstr(fields, "connectTimeout") == NULL) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "connectTimeout: 20s\n"); /* a handshake takes longer than a second there */
	}
	must(len < sizeof(text), "too long a document");
	write_file(t, service, ".endpoints", text);
	path_of(t, service, ".endpoints", path);
	set(o, "endpoints", path);
	return o;
}

mesh_options *two_meshes_options_at(struct two_meshes *t, const char *service, const struct mesh__addr *addresses, size_t n, const char *connect_timeout)
{
	char fields[64] = "";

	if (connect_timeout != NULL) {
		must(snprintf(fields, sizeof(fields), "connectTimeout: %s\n", connect_timeout) < (int)sizeof(fields), "too long a timeout");
	}
	return two_meshes_options_with(t, service, addresses, n, fields);
}

void two_meshes_address(const struct two_meshes *t, struct mesh__addr *out)
{
	char *text = mesh_server_address(t->server);

	must(mesh__addr_parse("address", text, false, out, NULL) == MESH_OK, "payments has no address");
	mesh_string_free(text);
}

mesh_options *two_meshes_options(struct two_meshes *t, const char *service)
{
	struct mesh__addr address;

	two_meshes_address(t, &address);
	return two_meshes_options_at(t, service, &address, 1, NULL);
}

mesh_options *two_meshes_cart(struct two_meshes *t)
{
	mesh_options *o = two_meshes_options(t, "cart");

	mesh_options_allocator(o, t->mem.mem.alloc, t->mem.mem.resize, t->mem.mem.release, t->mem.mem.user);
	return o;
}

mesh_options *two_meshes_payments(struct two_meshes *t)
{
	mesh_options *o = two_meshes_identity(t, "payments");

	set(o, "listen", "127.0.0.1:0");
	return o;
}

void two_meshes_init(struct two_meshes *t, const char *mode, mesh_handler_fn handler, void *user)
{
	mesh_options *o;

	memset(t, 0, sizeof(*t));
	mesh__env_init(&t->env);
	fail_mem_init(&t->mem);
	test_ca_init(&t->ca, &t->env, "mesh.local");
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/two_meshes-XXXXXX");
	must(mkdtemp(t->dir) != NULL, "no directory");
	if (handler == NULL && mode == NULL) {
		return;
	}
	o = two_meshes_payments(t);
	must(mesh_open(o, &t->payments, NULL) == MESH_OK, "payments does not open");
	must(mesh_wait_ready(t->payments, patience(10000), NULL) == MESH_OK, "payments is not ready");
	must(mesh_serve(t->payments, mode, handler, user, &t->server, NULL) == MESH_OK, "payments does not serve");
	mesh_options_free(o);
}

void two_meshes_fini(struct two_meshes *t)
{
	(void)mesh_close(t->payments, 2000);
	remove_files(t, "payments");
	remove_files(t, "cart");
	(void)rmdir(t->dir);
	test_ca_fini(&t->ca);
}

mesh *two_meshes_open(mesh_options *options)
{
	mesh *m = NULL;

	must(mesh_open(options, &m, NULL) == MESH_OK && mesh_wait_ready(m, patience(10000), NULL) == MESH_OK, "a mesh does not open");
	mesh_options_free(options);
	return m;
}

mesh *two_meshes_open_cart(struct two_meshes *t, const char *fields)
{
	struct mesh__addr address;

	two_meshes_address(t, &address);
	return two_meshes_open(two_meshes_options_with(t, "cart", &address, 1, fields));
}

long two_meshes_connections(const struct two_meshes *t)
{
	static const char name[] = "\nmesh_connections_total{listener=\"inbound\"} ";
	char *text = mesh_metrics(t->payments), *at = text == NULL ? NULL : strstr(text, name);
	long n = at == NULL ? -1 : strtol(at + sizeof(name) - 1, NULL, 10);

	mesh_string_free(text);
	return n;
}
