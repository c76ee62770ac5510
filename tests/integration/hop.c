/*
 * One hop of a chain, from the public header alone, its settings from the environment (MESH_…):
 *
 *	hop DIRECTORY [NEXT]
 *
 * Serves, and says in a line where. Each request that its handler is given is told in a line: "entered MICROSECONDS TRY REMAINING PATH". With NEXT it calls that service with the same method and path for it, and answers what it was answered (502:
 * nothing). Without, it answers 503 while there is a file "failing" in DIRECTORY, else 200. Where it goes by NAME, a request of /hold/NAME waits first for a line in DIRECTORY/NAME, a pipe that it makes.
 */
#include <meshlib/mesh.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READY_MS = 60000, PATH = 512 };

struct hop {
	mesh *m;
	const char *next, *name;
	char failing[PATH], pipe[PATH];
	int released; /* the pipe */
};

static void tell(const mesh_inbound *in)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	printf("entered %lld %d %lld %s\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000, (int)mesh_inbound_try(in), (long long)mesh_inbound_remaining_ms(in), mesh_inbound_path(in));
	(void)fflush(stdout);
}

static void pass_on(struct hop *h, mesh_inbound *in)
{
	mesh_request *r = mesh_request_new(h->m, h->next, mesh_inbound_method(in), mesh_inbound_path(in));
	int32_t code = r == NULL ? MESH_E_NO_MEMORY : mesh_request_parent(r, in);
	const char *body = "";
	size_t len = 0;

	code = code == MESH_OK ? mesh_call(r) : code;
	if (code != MESH_OK) {
		printf("failed %s %d %s\n", mesh_code_name(code), (int)mesh_request_tries(r), mesh_error_message(mesh_request_error(r)));
		(void)fflush(stdout);
	} else {
		body = mesh_response_body(r, &len);
	}
	(void)mesh_reply(in, code == MESH_OK ? mesh_response_status(r) : 502, body, len);
	mesh_request_free(r);
}

static void on_request(void *user, mesh_inbound *in)
{
	struct hop *h = user;
	const char *path = mesh_inbound_path(in);

	tell(in);
	if (strncmp(path, "/hold/", 6) == 0 && strcmp(path + 6, h->name) == 0) {
		char c;
		while (read(h->released, &c, 1) == 1 && c != '\n') {
		}
	}
	if (h->next != NULL) {
		pass_on(h, in);
	} else {
		(void)mesh_reply(in, access(h->failing, F_OK) == 0 ? 503 : 200, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	struct hop h = {.next = argc > 2 ? argv[2] : NULL, .name = getenv("MESH_SERVICE")};
	mesh_error *error = NULL;
	mesh_server *server;
	char *address;

	if (argc < 2 || h.name == NULL) {
		fprintf(stderr, "hop DIRECTORY [NEXT], and MESH_SERVICE\n");
		return 2;
	}
	(void)snprintf(h.failing, sizeof(h.failing), "%s/failing", argv[1]);
	(void)snprintf(h.pipe, sizeof(h.pipe), "%s/%s", argv[1], h.name);
	h.released = mkfifo(h.pipe, 0600) == 0 ? open(h.pipe, O_RDWR | O_CLOEXEC) : -1; /* for writing too: it never ends */
	if (h.released < 0 || mesh_open(NULL, &h.m, &error) != MESH_OK || mesh_serve(h.m, "pool", on_request, &h, &server, &error) != MESH_OK || mesh_wait_ready(h.m, READY_MS, &error) != MESH_OK) {
		fprintf(stderr, "hop: %s\n", error != NULL ? mesh_error_message(error) : h.pipe);
		return 1;
	}
	address = mesh_server_address(server);
	printf("serving %s\n", address);
	(void)fflush(stdout);
	mesh_string_free(address);
	for (;;) {
		(void)pause();
	}
}
