/* A service with a loop of its own: it takes the requests when its poll() says so. Run it with MESH_CONTROL and MESH_TOKEN set; stop it with Ctrl-C. */
#include <meshlib/mesh.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

static void answer(mesh_inbound *in, int served)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "request %d, from %s\n", served, mesh_inbound_peer_service(in));

	mesh_reply_header(in, "Content-Type", "text/plain");
	mesh_reply(in, 200, text, (size_t)n);
}

static int fail(mesh *m, mesh_error *error)
{
	fprintf(stderr, "pull: %s\n", mesh_error_message(error));
	mesh_error_free(error);
	mesh_close(m, 0);
	return 1;
}

int main(void)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	mesh_error *error = NULL;
	mesh_server *server;
	mesh_inbound *in;
	sigset_t stop;
	mesh *m;
	int served = 0;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (mesh_open(NULL, &m, &error) != MESH_OK || mesh_serve(m, "pull", NULL, NULL, &server, &error) != MESH_OK || mesh_wait_ready(m, 10000, &error) != MESH_OK) {
		return fail(m, error);
	}
	fds[0].fd = mesh_server_event_fd(server);
	fds[1].fd = signalfd(-1, &stop, SFD_CLOEXEC);
	puts("pull: serving");
	fflush(stdout);
	while (poll(fds, 2, -1) >= 0 && fds[1].revents == 0) {
		while (mesh_server_next(server, &in, 0) == MESH_OK) {
			answer(in, ++served);
		}
	}
	return mesh_close(m, 5000) == MESH_OK ? 0 : 1;
}
