/*
 * What must not be done on the mesh's own threads, and what a fork may and may not do, from the public header alone:
 *
 *	own_threads inline|pool|fork DIRECTORY
 *	own_threads look DIRECTORY     exit code 1 when it was given a connection by whoever started it
 *
 * DIRECTORY holds the identities payments/ and cart/ (cert.pem, key.pem, bundle.pem); static.yaml is written there. No control plane is needed.
 */
#include <meshlib/mesh.h>

#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "integration/check.h"

enum { READY_MS = 60000, CALLS = 20, FDS_MAX = 1024 };

struct both {
	mesh *server, *client;
};

static mesh *open_as(const char *directory, const char *service, const char *endpoints)
{
	static const char *const files[][2] = {{"certificate", "cert.pem"}, {"key", "key.pem"}, {"bundle", "bundle.pem"}};
	mesh_options *o = mesh_options_new();
	mesh_error *error = NULL;
	char path[512];
	mesh *m;

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", directory, service, files[i][1]);
		CHECK_CODE(mesh_options_set(o, files[i][0], path), MESH_OK);
	}
	CHECK_CODE(mesh_options_set(o, "listen", "127.0.0.1:0"), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "endpoints", endpoints), MESH_OK);
	if (mesh_open(o, &m, &error) != MESH_OK) {
		fprintf(stderr, "%s: %s\n", service, mesh_error_message(error));
		exit(1);
	}
	mesh_options_free(o);
	return m;
}

static void write_endpoints(const char *path, mesh_server *server)
{
	char *address = mesh_server_address(server);
	FILE *f = fopen(path, "w");

	CHECK(address != NULL && f != NULL);
	fprintf(f, "apiVersion: mesh/v1\nkind: Endpoints\nname: payments\nendpoints:\n- address: \"%s\"\n", address);
	fclose(f);
	mesh_string_free(address);
}

static void call_ok(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/");

	CHECK_CODE(mesh_call(r), MESH_OK);
	CHECK(mesh_response_status(r) == 200);
	mesh_request_free(r);
}

/* On the loop's thread: nothing there may wait, and the request is not spoilt by having tried. */
static void on_loop(void *user, mesh_inbound *in)
{
	struct both *b = user;
	mesh_request *r = mesh_request_new(b->server, "payments", "GET", "/");
	mesh_error *error = NULL;

	CHECK_CODE(mesh_call(r), MESH_E_WOULD_BLOCK);
	CHECK_CODE(mesh_error_code(mesh_request_error(r)), MESH_E_WOULD_BLOCK);
	CHECK(mesh_error_may_be_processed(mesh_request_error(r)) == 0);
	mesh_request_free(r);
	CHECK_CODE(mesh_wait_ready(b->server, 1000, &error), MESH_E_WOULD_BLOCK);
	CHECK(error != NULL);
	mesh_error_free(error);
	CHECK_CODE(mesh_close(b->server, 1000), MESH_E_WOULD_BLOCK);
	CHECK_CODE(mesh_reply(in, 200, "ok", 2), MESH_OK);
}

/* On a worker: closing would wait for itself; waiting for other things is what workers are for. */
static void on_worker(void *user, mesh_inbound *in)
{
	struct both *b = user;

	CHECK_CODE(mesh_close(b->server, 1000), MESH_E_WOULD_BLOCK);
	CHECK_CODE(mesh_wait_ready(b->server, READY_MS, NULL), MESH_OK);
	CHECK_CODE(mesh_reply(in, 200, "ok", 2), MESH_OK);
}

/* Every handle is the parent's; each says so, and can be freed. */
static int child(struct both *b, mesh_request *before)
{
	mesh_request *r = mesh_request_new(b->client, "payments", "GET", "/");
	mesh_server *server = NULL;
	mesh_error *error = NULL;

	atomic_store(&check_failed, 0);
	CHECK_CODE(mesh_call(before), MESH_E_FORKED);
	if (r != NULL) {
		CHECK_CODE(mesh_call(r), MESH_E_FORKED);
		mesh_cancel(r);
		mesh_request_free(r);
	}
	CHECK_CODE(mesh_wait_ready(b->client, 1000, &error), MESH_E_FORKED);
	mesh_error_free(error);
	CHECK_CODE(mesh_serve(b->client, "pool", on_worker, b, &server, NULL), MESH_E_FORKED);
	mesh_request_free(before);
	CHECK_CODE(mesh_close(b->client, 1000), MESH_E_FORKED);
	CHECK_CODE(mesh_close(b->server, 1000), MESH_E_FORKED);
	return atomic_load(&check_failed) != 0;
}

/* A child that uses, frees and exits; one that just exits; one that goes on as another program: the parent's connections live through all of it. */
static void fork_three(struct both *b, mesh_request *held)
{
	for (int kind = 0; kind < 3; kind++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			if (kind == 0) {
				_exit(child(b, held)); /* what libuv has is left to the end of the process: a leak checker at exit would not know that it is meant */
			}
			if (kind == 1) {
				exit(0);
			}
			execl("/proc/self/exe", "own_threads", "look", ".", (char *)NULL);
			_exit(99);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		if (status != 0) {
			fprintf(stderr, "child %d ended with %#x\n", kind, (unsigned)status);
			atomic_fetch_add(&check_failed, 1);
		}
		call_ok(b->client);
	}
}

/* In a program that the application has started: libcurl's wake-up pairs (AF_UNIX) may be here, a connection may not. */
static int look_for_connections(void)
{
	int found = 0;

	for (int fd = 3; fd < FDS_MAX; fd++) {
		int domain = 0;
		socklen_t len = sizeof(domain);
		found += getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain != AF_UNIX;
	}
	return found != 0;
}

static long connections(mesh *m)
{
	char *text = mesh_metrics(m), *at = text == NULL ? NULL : strstr(text, "\nmesh_connections_total{listener=\"inbound\"} ");
	long n = at == NULL ? -1 : strtol(strchr(at, ' '), NULL, 10);

	mesh_string_free(text);
	return n;
}

int main(int argc, char **argv)
{
	struct both b = {0};
	mesh_request *held;
	mesh_server *server;
	char endpoints[512];
	bool is_inline;

	if (argc != 3) {
		fprintf(stderr, "own_threads inline|pool|fork DIRECTORY\n");
		return 2;
	}
	if (strcmp(argv[1], "look") == 0) {
		return look_for_connections();
	}
	is_inline = strcmp(argv[1], "inline") == 0;
	(void)snprintf(endpoints, sizeof(endpoints), "%s/static.yaml", argv[2]);
	b.server = open_as(argv[2], "payments", NULL);
	CHECK_CODE(mesh_serve(b.server, is_inline ? "inline" : "pool", is_inline ? on_loop : on_worker, &b, &server, NULL), MESH_OK);
	CHECK_CODE(mesh_wait_ready(b.server, READY_MS, NULL), MESH_OK);
	write_endpoints(endpoints, server);
	b.client = open_as(argv[2], "cart", endpoints);
	for (int i = 0; i < CALLS; i++) {
		call_ok(b.client);
	}
	if (strcmp(argv[1], "fork") == 0) {
		held = mesh_request_new(b.client, "payments", "GET", "/");
		fork_three(&b, held);
		CHECK_CODE(mesh_call(held), MESH_OK);
		mesh_request_free(held);
		CHECK(connections(b.server) == 1); /* the very first one still serves */
	}
	CHECK_CODE(mesh_close(b.client, 5000), MESH_OK);
	CHECK_CODE(mesh_close(b.server, 5000), MESH_OK);
	return atomic_load(&check_failed) != 0;
}
