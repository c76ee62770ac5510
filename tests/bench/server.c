/*
 * What is measured on the serving side: an application that answers GET /0, /1k, /10k and /1m with as many bytes. Everything but the mode comes from
 * the environment (MESH_…). Prints its address once it is ready; ends at SIGTERM.
 *
 *	server inline|pool
 */
#include <meshlib/mesh.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static char body[1 << 20];

static void on_request(void *user, mesh_inbound *in)
{
	static const struct {
		const char *path;
		size_t bytes;
	} sizes[] = {{"/0", 0}, {"/1k", 1 << 10}, {"/10k", 10 << 10}, {"/1m", 1 << 20}};
	const char *path = mesh_inbound_path(in);

	(void)user;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (strcmp(path, sizes[i].path) == 0) {
			(void)mesh_reply_header(in, "Content-Type", "application/octet-stream");
			(void)mesh_reply(in, 200, body, sizes[i].bytes);
			return;
		}
	}
	(void)mesh_reply(in, 404, NULL, 0);
}

static int fail(mesh_error *error)
{
	fprintf(stderr, "server: %s\n", mesh_error_message(error));
	mesh_error_free(error);
	return 1;
}

int main(int argc, char **argv)
{
	mesh_error *error = NULL;
	mesh_server *server;
	char *address;
	sigset_t stop;
	mesh *m;
	int sig;

	if (argc != 2) {
		fprintf(stderr, "usage: server inline|pool\n");
		return 2;
	}
	memset(body, 'x', sizeof(body));
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (mesh_open(NULL, &m, &error) != MESH_OK) {
		return fail(error);
	}
	if (mesh_serve(m, argv[1], on_request, NULL, &server, &error) != MESH_OK || mesh_wait_ready(m, 10000, &error) != MESH_OK) {
		(void)mesh_close(m, 0);
		return fail(error);
	}
	address = mesh_server_address(server);
	printf("%s\n", address != NULL ? address : "");
	fflush(stdout);
	mesh_string_free(address);
	sigwait(&stop, &sig);
	return mesh_close(m, 1000) == MESH_OK ? 0 : 1;
}
