/* A service: takes payments. Run it with MESH_CONTROL and MESH_TOKEN set; stop it with Ctrl-C. */
#include <meshlib/mesh.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void on_payment(void *user, mesh_inbound *in)
{
	size_t len;
	const char *amount = mesh_inbound_body(in, &len);
	char answer[256];
	int n;

	(void)user;
	if (strcmp(mesh_inbound_path(in), "/make-payment") != 0 || strcmp(mesh_inbound_method(in), "POST") != 0) {
		mesh_reply(in, 404, "only POST /make-payment\n", 24);
		return;
	}
	n = snprintf(answer, sizeof(answer), "paid %.*s for %s\n", (int)(len < 64 ? len : 64), amount, mesh_inbound_peer_service(in));
	mesh_reply_header(in, "Content-Type", "text/plain");
	mesh_reply(in, 200, answer, (size_t)n);
}

int main(void)
{
	mesh_error *error = NULL;
	mesh_server *server;
	sigset_t stop;
	mesh *m;
	int sig;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);

	if (mesh_open(NULL, &m, &error) != MESH_OK) {
		fprintf(stderr, "payments: %s\n", mesh_error_message(error));
		mesh_error_free(error);
		return 1;
	}
	if (mesh_serve(m, "pool", on_payment, NULL, &server, &error) != MESH_OK || mesh_wait_ready(m, 10000, &error) != MESH_OK) {
		fprintf(stderr, "payments: %s\n", mesh_error_message(error));
		mesh_error_free(error);
		mesh_close(m, 0);
		return 1;
	}
	puts("payments: serving");
	fflush(stdout);
	sigwait(&stop, &sig);
	return mesh_close(m, 5000) == MESH_OK ? 0 : 1;
}
