/*
 * A service that carries so much and no more, and a caller that asks it for more than that, from the public header alone, their settings from the environment (MESH_…):
 *
 *	capacity serve WORK_MS
 *	capacity press SERVICE CALLERS PHASE_MS CAPACITY...
 *
 * The first serves, and says so in a line. A request for /N takes WORK_MS if fewer than N are being done; else it is refused with 503 at once. Either is told how
 * much work was done so far, in microseconds, of all that were being done at once each by itself.
 * The second has CALLERS threads call without a pause, but for one where a limit held them back, each of the capacities for PHASE_MS. Prints a line of JSON a phase, of its later half: what share of the capacity was at
 * work, and the concurrency limit at its end; and the share of the whole phase.
 */
#include <meshlib/mesh.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READY_MS = 60000, CALLERS_MOST = 128, HELD_BACK_MS = 10, LIMIT_S = 300 };

static int64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int fail(const char *what, const mesh_error *error)
{
	fprintf(stderr, "capacity: %s: %s\n", what, mesh_error_message(error));
	return 1;
}

/* ---- The service ---- */

static int work_ms;

static struct {
	pthread_mutex_t mu; /* guards the others */
	int busy;
	int64_t at_us, worked_us;
} service = {.mu = PTHREAD_MUTEX_INITIALIZER};

/* The work that was done so far. */
static int64_t look(void)
{
	int64_t now = now_us();

	service.worked_us += service.busy * (now - service.at_us);
	service.at_us = now;
	return service.worked_us;
}

static int64_t begin(int capacity, int *takes)
{
	int64_t worked_us;

	(void)pthread_mutex_lock(&service.mu);
	worked_us = look();
	*takes = service.busy < capacity;
	service.busy += *takes;
	(void)pthread_mutex_unlock(&service.mu);
	return worked_us;
}

static int64_t end(void)
{
	int64_t worked_us;

	(void)pthread_mutex_lock(&service.mu);
	worked_us = look();
	service.busy--;
	(void)pthread_mutex_unlock(&service.mu);
	return worked_us;
}

static void on_request(void *user, mesh_inbound *in)
{
	int takes;
	int64_t worked_us = begin((int)strtol(mesh_inbound_path(in) + 1, NULL, 10), &takes);
	char worked[24];

	(void)user;
	if (takes) {
		(void)poll(NULL, 0, work_ms); /* its work */
		worked_us = end();
	}
	(void)snprintf(worked, sizeof(worked), "%lld", (long long)worked_us);
	(void)mesh_reply(in, takes ? 200 : 503, worked, strlen(worked));
}

static int serve(void)
{
	mesh_error *error = NULL;
	mesh_server *server;
	mesh *m;

	if (mesh_open(NULL, &m, &error) != MESH_OK || mesh_serve(m, "pool", on_request, NULL, &server, &error) != MESH_OK || mesh_wait_ready(m, READY_MS, &error) != MESH_OK) {
		return fail("serve", error);
	}
	puts("serving");
	(void)fflush(stdout);
	for (;;) {
		(void)pause();
	}
}

/* ---- The caller ---- */

static struct {
	mesh *m;
	const char *service;
	atomic_int capacity; /* 0: it is over */
	_Atomic int64_t worked_us;
} press;

static void heard(int64_t worked_us)
{
	int64_t before = atomic_load(&press.worked_us);

	while (worked_us > before && !atomic_compare_exchange_weak(&press.worked_us, &before, worked_us)) {
	}
}

static void *call(void *arg)
{
	int capacity;

	while ((capacity = atomic_load(&press.capacity)) != 0) {
		mesh_request *r;
		char path[16];
		int32_t code;

		(void)snprintf(path, sizeof(path), "/%d", capacity);
		r = mesh_request_new(press.m, press.service, "GET", path);
		code = mesh_call(r);
		if (code == MESH_OK && mesh_response_status(r) == 200) {
			heard(strtoll(mesh_response_body(r, NULL), NULL, 10));
		}
		mesh_request_free(r);
		if (code == MESH_E_OVERLOADED) {
			(void)poll(NULL, 0, HELD_BACK_MS); /* its rhythm */
		}
	}
	return arg;
}

static long limit(void)
{
	char label[160], *text = mesh_metrics(press.m);
	const char *at;
	long value;

	(void)snprintf(label, sizeof(label), "\nmesh_concurrency_limit{service=\"%s.default\"} ", press.service);
	at = text == NULL ? NULL : strstr(text, label);
	value = at == NULL ? 0 : strtol(at + strlen(label), NULL, 10);
	mesh_string_free(text);
	return value;
}

static double share(int capacity, int64_t since_us, int64_t worked_us)
{
	return (double)(atomic_load(&press.worked_us) - worked_us) / (double)(capacity * (now_us() - since_us));
}

static void phase(int capacity, int ms)
{
	int64_t begun_us = now_us(), before_us = atomic_load(&press.worked_us), half_us, half_worked_us;

	atomic_store(&press.capacity, capacity);
	(void)poll(NULL, 0, ms / 2);
	half_us = now_us();
	half_worked_us = atomic_load(&press.worked_us);
	(void)poll(NULL, 0, ms - ms / 2);
	printf("{\"capacity\": %d, \"share\": %.3f, \"limit\": %ld, \"whole\": %.3f}\n", capacity, share(capacity, half_us, half_worked_us), limit(), share(capacity, begun_us, before_us));
	(void)fflush(stdout);
}

static int press_on(int n_callers, int phase_ms, char **capacities)
{
	pthread_t callers[CALLERS_MOST];
	mesh_error *error = NULL;
	int n = 0;

	if (mesh_open(NULL, &press.m, &error) != MESH_OK || mesh_wait_ready(press.m, READY_MS, &error) != MESH_OK) {
		return fail("press", error);
	}
	atomic_store(&press.capacity, (int)strtol(capacities[0], NULL, 10));
	while (n < n_callers && n < CALLERS_MOST && pthread_create(&callers[n], NULL, call, NULL) == 0) {
		n++;
	}
	for (; *capacities != NULL; capacities++) {
		phase((int)strtol(*capacities, NULL, 10), phase_ms);
	}
	atomic_store(&press.capacity, 0);
	while (n > 0) {
		(void)pthread_join(callers[--n], NULL);
	}
	return mesh_close(press.m, READY_MS) == MESH_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	(void)alarm(LIMIT_S);
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		work_ms = (int)strtol(argv[2], NULL, 10);
		return serve();
	}
	if (argc > 5 && strcmp(argv[1], "press") == 0) {
		press.service = argv[2];
		return press_on((int)strtol(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10), argv + 5);
	}
	fprintf(stderr, "capacity serve WORK_MS | capacity press SERVICE CALLERS PHASE_MS CAPACITY...\n");
	return 2;
}
