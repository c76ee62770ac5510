/*
 * Calls that are ended while they wait, from the public header alone:
 *
 *	cancel N cancel     N threads call "payments"; at a line on the standard input each is cancelled, twice, from the main thread; prints each result; then one more cancel, and close
 *	cancel N close      the same, but at the line the mesh is closed under them, without any drain
 *	cancel N drain      the same with a drain of a minute: they may finish
 *
 * One line of JSON a call: {"code", "mayBeProcessed", "tries", "ms"}, ms from the line read to the call's end. Everything else comes from the environment (MESH_…).
 */
#include <meshlib/mesh.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "integration/check.h"

enum { CALLS_MAX = 64, CALL_MS = 60000 };

struct call {
	pthread_t thread;
	mesh_request *request;
	int32_t code;
	int64_t ended_ms;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *make_call(void *arg)
{
	struct call *c = arg;

	c->code = mesh_call(c->request);
	c->ended_ms = now_ms();
	return NULL;
}

static void print_call(const struct call *c, int64_t began_ms)
{
	const mesh_error *error = mesh_request_error(c->request);

	printf("{\"code\":\"%s\",\"mayBeProcessed\":%d,\"tries\":%d,\"ms\":%lld}\n", mesh_code_name(c->code), error == NULL ? 0 : (int)mesh_error_may_be_processed(error),
		(int)mesh_request_tries(c->request), (long long)(c->ended_ms - began_ms));
}

/* One request serves one call at a time: a second one is refused and does not disturb the first. */
static void check_busy(struct call *first)
{
	CHECK_CODE(mesh_call(first->request), MESH_E_STATE);
}

int main(int argc, char **argv)
{
	struct call calls[CALLS_MAX];
	int n = argc == 3 ? (int)strtol(argv[1], NULL, 10) : 0;
	int64_t began_ms;
	char line[16];
	mesh *m;

	if (n < 1 || n > CALLS_MAX || mesh_open(NULL, &m, NULL) != MESH_OK) {
		fprintf(stderr, "cancel N cancel|close|drain\n");
		return 2;
	}
	for (int i = 0; i < n; i++) {
		calls[i].request = mesh_request_new(m, "payments", "POST", "/");
		CHECK_CODE(mesh_request_timeout(calls[i].request, CALL_MS), MESH_OK);
		CHECK(pthread_create(&calls[i].thread, NULL, make_call, &calls[i]) == 0);
	}
	CHECK(fgets(line, sizeof(line), stdin) != NULL);
	if (n == 1) {
		check_busy(&calls[0]); /* of one call the stage tells that it is under way; of several not that the first is */
	}
	began_ms = now_ms();
	if (strcmp(argv[2], "cancel") == 0) {
		for (int i = 0; i < 2 * n; i++) {
			mesh_cancel(calls[i % n].request);
		}
	} else {
		printf("{\"close\":\"%s\"}\n", mesh_code_name(mesh_close(m, strcmp(argv[2], "drain") == 0 ? 60000 : 0)));
	}
	for (int i = 0; i < n; i++) {
		CHECK(pthread_join(calls[i].thread, NULL) == 0);
		print_call(&calls[i], began_ms);
		mesh_request_free(calls[i].request);
	}
	if (strcmp(argv[2], "cancel") == 0) {
		CHECK_CODE(mesh_close(m, 0), MESH_OK);
	}
	return atomic_load(&check_failed) != 0;
}
