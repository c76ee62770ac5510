#include "meshctl/load.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/wait.h"
#include "meshctl/signals.h"

enum { STACK_BYTES = 512 * 1024 };

struct run {
	const struct ctl_load *load;
	int64_t begun_us;
	int64_t *times_us;          /* one a call */
	_Atomic int64_t next;       /* the next call's index */
	_Atomic int64_t left;       /* threads that have not ended */
	_Atomic bool no_memory;
	_Atomic int told;           /* failures */
	int ended;                  /* eventfd: the last thread has ended */
	pthread_mutex_t stop_mu;    /* guards stop */
	pthread_cond_t stop_cv;
	bool stop;
};

struct worker {
	struct run *run;
	struct ctl_stats stats;
	pthread_t thread;
};

int64_t ctl_load_due_us(int64_t index, int64_t rate_thousandths)
{
	return rate_thousandths > 0 ? (int64_t)((double)index * 1e9 / (double)rate_thousandths) : 0;
}

static bool stopped(struct run *run)
{
	bool stop;

	(void)pthread_mutex_lock(&run->stop_mu);
	stop = run->stop;
	(void)pthread_mutex_unlock(&run->stop_mu);
	return stop;
}

/* Waits until the monotonic clock shows `at_us`; false when the run was stopped. */
static bool wait_until(struct run *run, int64_t at_us)
{
	bool stop;

	(void)pthread_mutex_lock(&run->stop_mu);
	while (!run->stop && mesh__cond_wait_until(&run->stop_cv, &run->stop_mu, run->load->env, at_us)) {
	}
	stop = run->stop;
	(void)pthread_mutex_unlock(&run->stop_mu);
	return !stop;
}

static void one_call(struct worker *w, mesh_request *request, int64_t index, int64_t due_us)
{
	const struct mesh__env *env = w->run->load->env;
	struct ctl_outcome outcome;
	int64_t elapsed_us, from_us = w->run->load->rate_thousandths > 0 ? due_us : mesh__mono_us(env);

	outcome.code = mesh_call(request);
	elapsed_us = mesh__mono_us(env) - from_us;
	w->run->times_us[index] = elapsed_us > 0 ? elapsed_us : 1; /* 0 stands for a call that was not made */
	outcome.status = mesh_response_status(request);
	outcome.tries = mesh_request_tries(request);
	outcome.instance = mesh_response_instance(request);
	outcome.version = mesh_response_version(request);
	if (!ctl_stats_add(&w->stats, &outcome)) {
		w->run->no_memory = true;
	}
	if (outcome.code != MESH_OK && w->run->told < CTL_LOAD_TOLD_MAX && atomic_fetch_add(&w->run->told, 1) < CTL_LOAD_TOLD_MAX) {
		w->run->load->failed(w->run->load->user, mesh_request_error(request));
	}
}

static void *work(void *arg)
{
	static const uint64_t one = 1;
	struct worker *w = arg;
	struct run *run = w->run;
	mesh_request *request = run->load->make(run->load->user);

	if (request == NULL) {
		run->no_memory = true;
	}
	while (request != NULL && !stopped(run)) {
		int64_t index = atomic_fetch_add(&run->next, 1);
		int64_t due_us = run->begun_us + ctl_load_due_us(index, run->load->rate_thousandths);
		if (index >= run->load->calls || (run->load->rate_thousandths > 0 && !wait_until(run, due_us))) {
			break;
		}
		one_call(w, request, index, due_us);
	}
	mesh_request_free(request);
	if (atomic_fetch_sub(&run->left, 1) == 1) {
		(void)!write(run->ended, &one, sizeof(one));
	}
	return NULL;
}

static void stop_all(struct run *run)
{
	(void)pthread_mutex_lock(&run->stop_mu);
	run->stop = true;
	(void)pthread_cond_broadcast(&run->stop_cv);
	(void)pthread_mutex_unlock(&run->stop_mu);
}

static int run_init(struct run *run, const struct ctl_load *load, struct mesh__err *err)
{
	memset(run, 0, sizeof(*run));
	run->load = load;
	(void)pthread_mutex_init(&run->stop_mu, NULL);
	mesh__cond_init(&run->stop_cv);
	run->times_us = mesh__alloc_array(&load->env->mem, (size_t)load->calls, sizeof(*run->times_us));
	run->ended = eventfd(0, EFD_CLOEXEC);
	if (run->times_us == NULL) {
		return mesh__fail_memory(err);
	}
	return run->ended >= 0 ? MESH_OK : mesh__fail(err, MESH_E_IO, "no descriptor left: %s", strerror(errno));
}

static void run_fini(struct run *run)
{
	mesh__free(run->times_us);
	if (run->ended >= 0) {
		(void)close(run->ended);
	}
	(void)pthread_cond_destroy(&run->stop_cv);
	(void)pthread_mutex_destroy(&run->stop_mu);
}

/* Starts the threads; *started of them run. */
static int start(struct run *run, struct worker *workers, int64_t n, int64_t *started, struct mesh__err *err)
{
	pthread_attr_t attr;
	int failed = 0;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	run->left = n;
	run->begun_us = mesh__mono_us(run->load->env);
	for (*started = 0; *started < n && failed == 0;) {
		struct worker *w = &workers[*started];
		w->run = run;
		failed = pthread_create(&w->thread, &attr, work, w);
		*started += failed == 0;
	}
	(void)pthread_attr_destroy(&attr);
	if (failed == 0) {
		return MESH_OK;
	}
	stop_all(run);
	return mesh__fail(err, MESH_E_IO, "only %lld of %lld threads could be started: %s", (long long)*started,
		(long long)n, strerror(failed));
}

static int finish(struct run *run, struct worker *workers, int64_t n, struct ctl_load_result *result, struct mesh__err *err)
{
	bool counted = true;

	for (int64_t i = 0; i < n; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		counted = ctl_stats_merge(&result->stats, &workers[i].stats) && counted;
	}
	result->seconds = (double)(mesh__mono_us(run->load->env) - run->begun_us) / 1e6;
	return counted && !run->no_memory ? MESH_OK : mesh__fail_memory(err);
}

/* A run that was stopped leaves holes where threads waited for their moment: the calls that were made are moved together. */
static size_t gather(int64_t *times_us, int64_t calls)
{
	size_t n = 0;

	for (int64_t i = 0; i < calls; i++) {
		if (times_us[i] > 0) {
			times_us[n++] = times_us[i];
		}
	}
	return n;
}

int ctl_load_run(const struct ctl_load *load, struct ctl_load_result *result, struct mesh__err *err)
{
	int64_t n = load->threads < load->calls ? load->threads : load->calls, started = 0;
	struct worker *workers = mesh__alloc_array(&load->env->mem, (size_t)n, sizeof(*workers));
	struct run run;
	int code;

	memset(result, 0, sizeof(*result));
	ctl_stats_init(&result->stats, load->env);
	code = run_init(&run, load, err);
	if (code == MESH_OK && workers == NULL) {
		code = mesh__fail_memory(err);
	}
	for (int64_t i = 0; i < n && workers != NULL; i++) {
		ctl_stats_init(&workers[i].stats, load->env);
	}
	if (code == MESH_OK) {
		code = start(&run, workers, n, &started, err);
	}
	if (code == MESH_OK && load->signals >= 0 && ctl_signals_wait(load->signals, run.ended, -1)) {
		result->stopped = true;
		stop_all(&run);
	}
	if (started > 0) {
		int ended = finish(&run, workers, started, result, code == MESH_OK ? err : NULL);
		code = code == MESH_OK ? ended : code;
		ctl_latency_of(run.times_us, gather(run.times_us, load->calls), &result->latency);
	}
	for (int64_t i = 0; i < n && workers != NULL; i++) {
		ctl_stats_fini(&workers[i].stats);
	}
	mesh__free(workers);
	run_fini(&run);
	return code;
}
