/*
 * Many clients of one meshd in one process. Each is a process's own control side (lib/control): its session, its subscription, its model and its credentials, over TLS connections of its own. They share one key and
 * certificate, joined for with TOKEN: to meshd, who knows clients by their sessions, that is no less work.
 *
 *	clients [-l LOOPS] [-s] CONTROL TOKEN CLIENTS SERVICE
 *
 * CONTROL is meshd's https://host:port, SERVICE the key (payments.default) that each subscribes to. -s: they resume each other's TLS sessions, so that they connect in a tenth of the time. Prints lines of JSON, in which times are
 * microseconds of the monotonic clock:
 *
 *	{"sessions": [WHEN...], "broken": N}                 all have a session: when each got its own; how many were lost, or could not be had, since the last such line
 *	{"generation": G, "had": [WHEN...], "acked": [WHEN...]}   all have acknowledged generation G: when the snapshot of each had it, and when meshd had answered its acknowledgement
 *
 * A generation that another follows before all have it is passed over. Why the first few sessions were lost, stderr says. From SIGUSR1 on, and until the next, each finds every second that the health of
 * all of SERVICE's endpoints has changed, and so reports that. Ends with SIGTERM.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "control/control.h"
#include "control/link.h"
#include "http/client.h"
#include "http/curl_share.h"
#include "identity/enroll.h"
#include "io/pki.h"
#include "outbound/endpoint.h"

enum { LOOPS_MAX = 8, CLIENTS_MAX = 20000, LINE_MAX_BYTES = 2 * 24 * CLIENTS_MAX, REASONS_MAX = 20 };

struct worker {
	struct mesh__loop *loop;
	struct mesh__map links;         /* a link's address -> its client */
	struct mesh__post post;
	size_t first, next;             /* its clients: from the first in steps of n_workers */
};

struct client {
	struct worker *worker;
	struct mesh__control *control;
	struct mesh__link_events events; /* control's, behind ours */
	struct mesh__transfer_options ack; /* the link's, behind ours: of the acknowledgement under way */
	uint64_t acking;
	/* Under `mu`. */
	bool open;
	uint64_t acked;
	int64_t open_us, had_us, acked_us;
};

static struct mesh__env env;
static struct mesh__servers servers;
static struct mesh__metrics *metrics;
static struct mesh__endpoint_list endpoints;
static struct mesh__endpoint_source source;
static struct mesh__svid *svid;
static const char *service;
static bool share_sessions;
static struct worker workers[LOOPS_MAX];
static size_t n_workers = 1;
static struct client *clients;
static size_t n_clients;
static _Thread_local struct client *making; /* whose link is being made on this thread */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and what the clients say is under it */
static size_t n_open, n_broken, n_newest, n_reasons;
static uint64_t newest;          /* generation: acknowledged by n_newest of them */
static struct mesh__share *share; /* with share_sessions: everybody's */

static void die(const char *what, const struct mesh__err *err)
{
	(void)fprintf(stderr, "clients: %s: %s\n", what, err->message);
	exit(1);
}

/* ---- What is told ---- */

static void put_times(struct mesh__buf *line, const char *name, size_t offset)
{
	mesh__buf_printf(line, "\"%s\": [", name);
	for (size_t i = 0; i < n_clients; i++) {
		mesh__buf_printf(line, "%s%lld", i == 0 ? "" : ", ", (long long)*(const int64_t *)(const void *)((const char *)&clients[i] + offset));
	}
	mesh__buf_str(line, "]");
}

static void say(struct mesh__buf *line)
{
	(void)puts(line->data);
	(void)fflush(stdout);
	mesh__buf_fini(line);
}

static void tell_sessions_locked(void)
{
	struct mesh__buf line;

	mesh__buf_init(&line, &env.mem, LINE_MAX_BYTES);
	mesh__buf_str(&line, "{");
	put_times(&line, "sessions", offsetof(struct client, open_us));
	mesh__buf_printf(&line, ", \"broken\": %zu}", n_broken);
	n_broken = 0;
	say(&line);
}

static void tell_generation_locked(void)
{
	struct mesh__buf line;

	mesh__buf_init(&line, &env.mem, LINE_MAX_BYTES);
	mesh__buf_printf(&line, "{\"generation\": %llu, ", (unsigned long long)newest);
	put_times(&line, "had", offsetof(struct client, had_us));
	mesh__buf_str(&line, ", ");
	put_times(&line, "acked", offsetof(struct client, acked_us));
	mesh__buf_str(&line, "}");
	say(&line);
}

static void acked(struct client *c)
{
	(void)pthread_mutex_lock(&mu);
	c->acked_us = mesh__mono_us(&env);
	if (c->acking > newest) {
		newest = c->acking;
		n_newest = 0;
	}
	n_newest += c->acking == newest && c->acked != newest;
	c->acked = c->acking;
	if (c->acked == newest && n_newest == n_clients) {
		tell_generation_locked();
	}
	(void)pthread_mutex_unlock(&mu);
}

/* ---- Between a link and its control: what comes in ---- */

static int on_record(void *arg, const struct mesh__record *record, struct mesh__err *err)
{
	struct client *c = arg;
	int code = c->events.record(c->events.arg, record, err);

	if (code == MESH_OK && record->type == MESH__RECORD_CONFIG) {
		(void)pthread_mutex_lock(&mu);
		c->had_us = mesh__mono_us(&env);
		(void)pthread_mutex_unlock(&mu);
	}
	return code;
}

static int on_interests(void *arg, struct mesh__msg_subscribe *out, struct mesh__err *err)
{
	struct client *c = arg;

	return c->events.interests(c->events.arg, out, err);
}

static void on_registered(void *arg, bool yes, const struct mesh__err *err)
{
	struct client *c = arg;

	c->events.registered(c->events.arg, yes, err);
}

static void on_report(void *arg, struct mesh__buf *out)
{
	struct client *c = arg;

	c->events.report(c->events.arg, out);
}

static void on_report_refused(void *arg)
{
	struct client *c = arg;

	c->events.report_refused(c->events.arg);
}

static void on_state(void *arg, const struct mesh__err *err)
{
	struct client *c = arg;

	(void)pthread_mutex_lock(&mu);
	if (err != NULL) {
		n_open -= c->open;
		n_broken++;
		if (n_reasons++ < REASONS_MAX) {
			(void)fprintf(stderr, "clients: %s\n", err->message);
		}
		c->open = false;
	} else {
		c->open = true;
		c->open_us = mesh__mono_us(&env);
		if (++n_open == n_clients) {
			tell_sessions_locked();
		}
	}
	(void)pthread_mutex_unlock(&mu);
	c->events.state(c->events.arg, err);
}

static void key_of(const struct mesh__link *link, char key[32])
{
	(void)snprintf(key, 32, "%p", (const void *)link);
}

int __real_mesh__link_new(struct mesh__loop *loop, const struct mesh__servers *to, const struct mesh__link_events *events, struct mesh__link **out, struct mesh__err *err);
int __wrap_mesh__link_new(struct mesh__loop *loop, const struct mesh__servers *to, const struct mesh__link_events *events, struct mesh__link **out, struct mesh__err *err);
int __wrap_mesh__link_new(struct mesh__loop *loop, const struct mesh__servers *to, const struct mesh__link_events *events, struct mesh__link **out, struct mesh__err *err)
{
	struct client *c = making;
	struct mesh__link_events ours = {.record = on_record, .interests = on_interests, .registered = on_registered, .report = on_report, .report_refused = on_report_refused, .state = on_state, .arg = c};
	char key[32];
	int code;

	c->events = *events;
	code = __real_mesh__link_new(loop, to, &ours, out, err);
	key_of(*out, key);
	return code == MESH_OK && !mesh__map_put(&c->worker->links, key, c, NULL) ? mesh__fail_memory(err) : code;
}

/* ---- Between a link and its multi: what goes out ---- */

static void on_ack_answered(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct client *c = arg;

	if (code == MESH_OK && response->status == 200) {
		acked(c);
	}
	c->ack.done(c->ack.arg, code, response, result, err);
}

static struct client *client_of(const struct mesh__link *link)
{
	struct client *c = NULL;
	char key[32];

	key_of(link, key);
	for (size_t i = 0; c == NULL && i < n_workers; i++) {
		c = mesh__loop_is_current(workers[i].loop) ? mesh__map_get(&workers[i].links, key) : NULL;
	}
	return c;
}

/* The client whose acknowledgement of a configuration that it took this is, or NULL. */
static struct client *who_acknowledges(const struct mesh__transfer_options *options)
{
	const struct mesh__client_request *request = &options->request;
	struct mesh__err err = MESH__NO_ERR;
	struct client *c = NULL;
	struct mesh__msg_ack msg;

	if (strstr(request->target, "/ack") != NULL && mesh__msg_ack_decode(&env.mem, request->body, request->body_len, &msg, &err) == MESH_OK) {
		if (msg.generation > 0 && msg.refused == NULL) {
			c = client_of(options->arg);
			c->acking = msg.generation;
		}
		mesh__msg_ack_fini(&msg);
	}
	return c;
}

int __real_mesh__transfer_start(struct mesh__multi *multi, const struct mesh__transfer_options *options, struct mesh__transfer **out, struct mesh__err *err);
int __wrap_mesh__transfer_start(struct mesh__multi *multi, const struct mesh__transfer_options *options, struct mesh__transfer **out, struct mesh__err *err);
int __wrap_mesh__transfer_start(struct mesh__multi *multi, const struct mesh__transfer_options *options, struct mesh__transfer **out, struct mesh__err *err)
{
	struct mesh__transfer_options ours = *options;
	struct client *c = who_acknowledges(options);

	if (c != NULL) {
		c->ack = *options;
		ours.done = on_ack_answered;
		ours.arg = c;
	}
	return __real_mesh__transfer_start(multi, &ours, out, err);
}

int __real_mesh__share_new(const struct mesh__env *share_env, struct mesh__share **out, struct mesh__err *err);
int __wrap_mesh__share_new(const struct mesh__env *share_env, struct mesh__share **out, struct mesh__err *err);
int __wrap_mesh__share_new(const struct mesh__env *share_env, struct mesh__share **out, struct mesh__err *err)
{
	int code = MESH_OK;

	if (!share_sessions) {
		return __real_mesh__share_new(share_env, out, err);
	}
	(void)pthread_mutex_lock(&mu);
	if (share == NULL || !mesh__share_good(share)) {
		mesh__share_unref(share);
		code = __real_mesh__share_new(share_env, &share, err);
	}
	*out = share == NULL ? NULL : mesh__share_ref(share);
	(void)pthread_mutex_unlock(&mu);
	return code;
}

/* ---- Making them ---- */

static int on_credentials(void *arg, struct mesh__creds *creds, struct mesh__err *err)
{
	(void)arg;
	(void)creds;
	(void)err;
	return MESH_OK;
}

/* One a turn of the loop: those that are there already are served meanwhile. */
static void make_client(void *arg)
{
	struct worker *w = arg;
	struct client *c = &clients[w->next];
	struct mesh__control_options options = {.loop = w->loop, .metrics = metrics, .servers = &servers, .source = &source, .ns = svid->leaf.name.ns, .credentials = on_credentials};
	struct mesh__err err = MESH__NO_ERR;

	c->worker = w;
	making = c;
	if (mesh__control_new(&options, &c->control, &err) != MESH_OK || mesh__control_ask(c->control, service, &err) != MESH_OK) {
		die("a client", &err);
	}
	making = NULL;
	mesh__control_svid(c->control, svid);
	w->next += n_workers;
	if (w->next < n_clients) {
		mesh__loop_post(w->loop, &w->post, make_client, w);
	}
}

static struct mesh__join_key *no_key(void *arg)
{
	(void)arg;
	return NULL;
}

static void on_joined(void *arg, int code, struct mesh__svid *joined, bool final, const struct mesh__err *err)
{
	(void)arg;
	(void)final;
	if (code != MESH_OK) {
		die("joining", err);
	}
	svid = joined;
	mesh__loop_stop(workers[0].loop);
}

static void join(const char *text)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__token token;
	struct mesh__enroll_options options = {.loop = workers[0].loop, .servers = &servers, .token = &token, .ns = "default", .prepared = no_key, .done = on_joined};
	struct mesh__enroll *enroll = NULL;

	if (mesh__token_parse(text, &token, &err) != MESH_OK || mesh__enroll_start(&options, &enroll, &err) != MESH_OK) {
		die("joining", &err);
	}
	mesh__loop_run(workers[0].loop);
	mesh__enroll_free(enroll);
}

static void make_worker(size_t i)
{
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__loop_new(&env, &workers[i].loop, &err) != MESH_OK) {
		die("a loop", &err);
	}
	workers[i].first = workers[i].next = i;
}

static void start_worker(struct worker *w)
{
	struct mesh__err err = MESH__NO_ERR;

	mesh__map_init(&w->links, &env);
	if (w->next < n_clients) {
		mesh__loop_post(w->loop, &w->post, make_client, w);
	}
	if (mesh__loop_start(w->loop, "clients", &err) != MESH_OK) {
		die("a loop", &err);
	}
}

static void stop_worker(struct worker *w)
{
	mesh__loop_stop(w->loop);
	mesh__loop_join(w->loop);
	for (size_t i = w->first; i < n_clients; i += n_workers) {
		mesh__control_free(clients[i].control);
	}
	mesh__loop_free(w->loop);
	mesh__map_fini(&w->links);
}

static void set_up(const char *control)
{
	struct mesh__err err = MESH__NO_ERR;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	mesh__env_init(&env);
	mesh__endpoint_list_init(&endpoints, &env);
	source = mesh__endpoint_source(&endpoints);
	metrics = mesh__metrics_new(&env);
	clients = mesh__alloc_array(&env.mem, n_clients, sizeof(*clients));
	if (clients == NULL || metrics == NULL || mesh__pki_init(&err) != MESH_OK || mesh__client_init(&err) != MESH_OK || mesh__servers_parse(&env, control, &servers, &err) != MESH_OK) {
		die("starting", &err);
	}
}

static void tear_down(void)
{
	mesh__share_unref(share);
	mesh__endpoint_list_fini(&endpoints);
	mesh__metrics_free(metrics);
	mesh__svid_unref(svid);
	mesh__free(clients);
}

static void change_health(bool unhealthy)
{
	(void)pthread_mutex_lock(&endpoints.mu);
	for (struct mesh__endpoint *e = endpoints.first; e != NULL; e = e->next) {
		(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_EJECTED, unhealthy);
	}
	(void)pthread_mutex_unlock(&endpoints.mu);
}

static void await_end(const sigset_t *signals)
{
	const struct timespec second = {.tv_sec = 1};
	bool changes = false, unhealthy = false;
	int number;

	while ((number = sigtimedwait(signals, NULL, &second)) != SIGTERM) {
		changes ^= number == SIGUSR1;
		unhealthy = changes && !unhealthy;
		change_health(unhealthy);
	}
}

int main(int argc, char **argv)
{
	int option;
	sigset_t signals;

	while ((option = getopt(argc, argv, "l:s")) != -1) {
		share_sessions = share_sessions || option == 's';
		n_workers = option == 'l' ? strtoul(optarg, NULL, 10) : n_workers;
	}
	n_clients = argc - optind == 4 ? strtoul(argv[optind + 2], NULL, 10) : 0;
	if (n_clients == 0 || n_clients > CLIENTS_MAX || n_workers == 0 || n_workers > LOOPS_MAX) {
		(void)fprintf(stderr, "usage: clients [-l LOOPS] [-s] CONTROL TOKEN CLIENTS SERVICE\n");
		return 2;
	}
	service = argv[optind + 3];
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	set_up(argv[optind]);
	make_worker(0);
	join(argv[optind + 1]);
	mesh__loop_free(workers[0].loop);
	for (size_t i = 0; i < n_workers; i++) {
		make_worker(i);
	}
	for (size_t i = 0; i < n_workers; i++) {
		start_worker(&workers[i]);
	}
	await_end(&signals);
	for (size_t i = 0; i < n_workers; i++) {
		stop_worker(&workers[i]);
	}
	tear_down();
	return 0;
}
