/*
 * A service that is slow now and then, from the public header alone, its settings from the environment (MESH_…):
 *
 *	slow MILLISECONDS EVERY SLOW_MILLISECONDS
 *
 * Serves, and says so in a line. Answers each request after MILLISECONDS, but each EVERY-th after SLOW_MILLISECONDS; which of the two is told in a line, "fast TRY" or "slow TRY".
 */
#include <meshlib/mesh.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READY_MS = 60000 };

static struct {
	int ms, every, slow_ms;
	_Atomic int n;
} pace;

static void on_request(void *user, mesh_inbound *in)
{
	int is_slow = (atomic_fetch_add(&pace.n, 1) + 1) % pace.every == 0;

	(void)user;
	printf("%s %d\n", is_slow ? "slow" : "fast", (int)mesh_inbound_try(in));
	(void)fflush(stdout);
	(void)poll(NULL, 0, is_slow ? pace.slow_ms : pace.ms); /* its work */
	(void)mesh_reply(in, 200, NULL, 0);
}

int main(int argc, char **argv)
{
	mesh_error *error = NULL;
	mesh_server *server;
	mesh *m;

	if (argc != 4 || (pace.every = (int)strtol(argv[2], NULL, 10)) < 1) {
		fprintf(stderr, "slow MILLISECONDS EVERY SLOW_MILLISECONDS\n");
		return 2;
	}
	pace.ms = (int)strtol(argv[1], NULL, 10);
	pace.slow_ms = (int)strtol(argv[3], NULL, 10);
	if (mesh_open(NULL, &m, &error) != MESH_OK || mesh_serve(m, "pool", on_request, NULL, &server, &error) != MESH_OK || mesh_wait_ready(m, READY_MS, &error) != MESH_OK) {
		fprintf(stderr, "slow: %s\n", mesh_error_message(error));
		return 1;
	}
	puts("serving");
	(void)fflush(stdout);
	for (;;) {
		(void)pause();
	}
}
