/*
 * Many calls under way at once from one thread, from the public header alone, its settings from the environment (MESH_…):
 *
 *	in_flight CALLS SERVICE [CANCEL]
 *
 * Makes one call, says so in a line, and reads one. Starts CALLS calls of SERVICE, says in a line how many are under way, cancels every CANCEL-th, and takes the events in a poll(2) loop of its own. Prints one line of JSON: how
 * many were answered with what they asked for, cancelled, and failed; the most connections seen, and by how many KiB the process grew.
 */
#include <meshlib/mesh.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 64, PATIENCE_MS = 100000, LIMIT_S = 1000 };

static long answered, cancelled, failed, connections;

/* The number behind `label` at the beginning of a line of `text`; 0 where there is none. */
static long number_of(const char *text, const char *label)
{
	const char *at = text == NULL ? NULL : strstr(text, label);

	return at == NULL ? 0 : strtol(at + strlen(label), NULL, 10);
}

static long metric(mesh *m, const char *name, const char *service)
{
	char label[160], *text = mesh_metrics(m);
	long value;

	(void)snprintf(label, sizeof(label), "\n%s{service=\"%s\"} ", name, service);
	value = number_of(text, label);
	mesh_string_free(text);
	return value;
}

static long peak_kib(void)
{
	char text[4096] = "";
	FILE *f = fopen("/proc/self/status", "r");

	if (f != NULL) {
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		(void)fclose(f);
	}
	return number_of(text, "VmHWM:");
}

static void say(const char *what, long n)
{
	printf("%s %ld\n", what, n);
	(void)fflush(stdout);
}

static mesh_request *ask(mesh *m, const char *service, long i)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/call-%ld-", i);
	return mesh_request_new(m, service, "GET", path);
}

static void take(const mesh_event *e)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/call-%ld-\"", (long)(intptr_t)e->user);
	if (e->code == MESH_OK && mesh_response_status(e->request) == 200 && strstr(mesh_response_body(e->request, NULL), path) != NULL) {
		answered++;
	} else if (e->code == MESH_E_CANCELLED) {
		cancelled++;
	} else if (failed++ == 0) {
		fprintf(stderr, "in_flight: %s %d: %s\n", mesh_code_name(e->code), (int)mesh_response_status(e->request),
			e->code == MESH_OK ? mesh_response_body(e->request, NULL) : mesh_error_message(mesh_request_error(e->request)));
	}
	mesh_request_free(e->request);
}

static void take_all(mesh *m, const char *service_key, long n)
{
	struct pollfd ready = {.fd = mesh_event_fd(m), .events = POLLIN};
	mesh_event events[AT_ONCE];
	long taken = 0;

	for (long turn = 0; taken < n && poll(&ready, 1, PATIENCE_MS) == 1; turn++) {
		int32_t got = mesh_poll(m, events, AT_ONCE, 0);

		for (int32_t i = 0; i < got; i++) {
			take(&events[i]);
		}
		taken += got > 0 ? got : 0;
		if (turn % 16 == 0) {
			long now = metric(m, "mesh_circuit_connections", service_key);
			connections = now > connections ? now : connections;
		}
	}
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? strtol(argv[1], NULL, 10) : 0, every = argc > 3 ? strtol(argv[3], NULL, 10) : 0, before;
	mesh_request **requests = calloc((size_t)n + 1, sizeof(mesh_request *)), *first;
	char key[128];
	mesh *m;

	(void)alarm(LIMIT_S);
	if (n < 1 || requests == NULL || mesh_open(NULL, &m, NULL) != MESH_OK) {
		return 2;
	}
	(void)snprintf(key, sizeof(key), "%s.default", argv[2]);
	first = ask(m, argv[2], -1); /* with it the mesh is joined, and the service known */
	if (mesh_call_start(first, NULL, NULL) != MESH_OK || mesh_call_wait(first) != MESH_OK) {
		fprintf(stderr, "in_flight: %s\n", mesh_error_message(mesh_request_error(first)));
		return 1;
	}
	mesh_request_free(first);
	say("joined", 1);
	if (getchar() == EOF) {
		return 1;
	}
	before = peak_kib();
	for (long i = 0; i < n; i++) {
		requests[i] = ask(m, argv[2], i);
		if (requests[i] == NULL || mesh_call_start(requests[i], NULL, (void *)(intptr_t)i) != MESH_OK) {
			return 1;
		}
	}
	while (metric(m, "mesh_circuit_requests", key) < n) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event: the last has come to the call thread */
	}
	say("underway", metric(m, "mesh_circuit_requests", key));
	for (long i = 0; every > 0 && i < n; i += every) {
		mesh_cancel(requests[i]);
	}
	take_all(m, key, n);
	printf("{\"answered\": %ld, \"cancelled\": %ld, \"failed\": %ld, \"connections\": %ld, \"grownKiB\": %ld}\n", answered, cancelled, failed, connections, peak_kib() - before);
	free(requests);
	return mesh_close(m, 10000) == MESH_OK && failed == 0 ? 0 : 1;
}
