/*
 * What it takes to decide one call (tests/support/decision.h), its exchange left out: with every balancer, all endpoints healthy or every tenth not, on one thread and on two at once. Arguments: rounds, and milliseconds of CPU in each; prints one
 * JSON object, nanoseconds of a thread's CPU a decision.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/service.h"
#include "support/decision.h"

enum { THREADS_MAX = 2, ROUNDS_MAX = 100, LAPS = 5 };

static const char *const balancers[] = {
#define X(name, text) text,
	MESH__BALANCERS(X)
#undef X
};

static struct static_mesh stage;

struct decider {
	pthread_t thread;
	pthread_barrier_t *together;
	double run_ns, ns; /* how long a round is, and what came of it; 0: a decision failed */
	struct mesh_request *requests[DECISION_ROUTES];
};

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Each route as often as any other. */
static bool lap(struct decider *d)
{
	bool ok = true;

	for (int i = 0; i < LAPS * DECISION_ROUTES; i++) {
		ok = decision_make(&stage, d->requests[i % DECISION_ROUTES], 0) && ok;
	}
	return ok;
}

static void *decide(void *arg)
{
	struct decider *d = arg;
	double began, passed = 0;
	long laps = 0;
	bool ok = lap(d);

	(void)pthread_barrier_wait(d->together);
	began = cpu_ns();
	while (ok && passed < d->run_ns) {
		ok = lap(d);
		laps++;
		passed = cpu_ns() - began;
	}
	d->ns = ok ? passed / (double)(laps * LAPS * DECISION_ROUTES) : 0;
	return NULL;
}

/* A round on so many threads: the mean over them; 0: it failed. */
static double measure(struct decider *deciders, unsigned n, double run_ns)
{
	pthread_barrier_t together;
	double sum = 0;
	bool ok = pthread_barrier_init(&together, NULL, n) == 0;

	for (unsigned i = 0; ok && i < n; i++) {
		deciders[i].together = &together;
		deciders[i].run_ns = run_ns;
		if (pthread_create(&deciders[i].thread, NULL, decide, &deciders[i]) != 0) {
			abort(); /* those that have begun wait for it */
		}
	}
	for (unsigned i = 0; ok && i < n; i++) {
		(void)pthread_join(deciders[i].thread, NULL);
		ok = deciders[i].ns > 0;
		sum += deciders[i].ns;
	}
	(void)pthread_barrier_destroy(&together);
	return ok ? sum / n : 0;
}

/* The clock and the dice of a process that calls. */
static void open_stage(const char *balancer, struct decider *deciders)
{
	struct mesh__env real;

	mesh__env_init(&real);
	decision_open(&stage, balancer);
	stage.fake.env.mono_us = real.mono_us;
	stage.fake.env.dice = NULL;
	stage.fake.env.log = NULL;
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		for (unsigned k = 0; k < DECISION_ROUTES; k++) {
			deciders[i].requests[k] = decision_request(&stage, k);
		}
	}
}

static void close_stage(struct decider *deciders)
{
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		for (unsigned k = 0; k < DECISION_ROUTES; k++) {
			mesh__request_free(deciders[i].requests[k]);
		}
	}
	static_mesh_close(&stage);
}

static bool cell(const char *balancer, unsigned unhealthy, long rounds, double run_ns, const char *before)
{
	static struct decider deciders[THREADS_MAX];
	double found[THREADS_MAX][ROUNDS_MAX];
	bool ok = true;

	open_stage(balancer, deciders);
	for (unsigned i = 0; i < unhealthy; i++) {
		(void)mesh__endpoint_mark(decision_endpoint(&stage, i * DECISION_ENDPOINTS / unhealthy), MESH__UNHEALTHY_CHECK, true);
	}
	for (long i = 0; i < rounds; i++) {
		for (unsigned n = 1; n <= THREADS_MAX; n++) { /* in turn: what else the machine does falls on both */
			found[n - 1][i] = measure(deciders, n, run_ns);
			ok = ok && found[n - 1][i] > 0;
		}
	}
	close_stage(deciders);
	for (unsigned n = 1; n <= THREADS_MAX; n++) {
		printf("%s{\"balancer\": \"%s\", \"unhealthy\": %u, \"threads\": %u, \"rounds\": [", n == 1 ? before : ", ", balancer, unhealthy, n);
		for (long i = 0; i < rounds; i++) {
			printf("%s%.1f", i == 0 ? "" : ", ", found[n - 1][i]);
		}
		printf("]}");
	}
	return ok;
}

int main(int argc, char **argv)
{
	long rounds = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
	double run_ns = argc == 3 ? strtod(argv[2], NULL) * 1e6 : 0;
	bool ok = true;

	if (rounds < 1 || rounds > ROUNDS_MAX || run_ns <= 0) {
		fprintf(stderr, "usage: decide ROUNDS MILLISECONDS, at most %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	printf("{\"endpoints\": %d, \"routes\": %d, \"cells\": [", DECISION_ENDPOINTS, DECISION_ROUTES);
	for (size_t i = 0; i < sizeof(balancers) / sizeof(balancers[0]); i++) {
		ok = cell(balancers[i], 0, rounds, run_ns, i == 0 ? "" : ", ") && ok;
		ok = cell(balancers[i], DECISION_ENDPOINTS / 10, rounds, run_ns, ", ") && ok;
	}
	printf("]}\n");
	if (!ok) {
		fprintf(stderr, "decide: a call found no endpoint\n");
	}
	return ok ? 0 : 1;
}
