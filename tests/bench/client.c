/*
 * The load of the benchmarks: threads that each make the same request, one after the other, over one or several ways in turn, so that what
 * changes on the machine changes for all of them. Each round of a way has connections of its own, and is warmed up before its clock starts, until
 * --warm-ms pass without another connection.
 *
 *	client --way NAME=KIND:TO[,PID...] [--way ...] --certificate F --key F --bundle F [--endpoints F] [--endpoints2 F]
 *	       [--host NAME] [--path /1k] [--bytes 1024] [--callers 1] [--handles 1] [--rounds 5] [--round-ms 500 | --calls N] [--warm-ms 50] [--since NS] [--parts 1]
 *
 *	client --libcurl      what libcurl says of itself
 *
 * KIND is one of way.h, TO an address, or for mesh and join a service. The PIDs are the processes that answer: their CPU is counted too. Prints one
 * JSON object: each round of each way, and each way's medians over the rounds. Latencies and CPU a call are in microseconds. `first` is the time, in
 * milliseconds, from opening the way to its first answer, or from --since, a moment of the monotonic clock; memory is then not looked at. With --parts each round has
 * in how many samples of its time the client's process, and those that answer, were found at what (parts.h), where that may be seen.
 */
#include <curl/curl.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"
#include "parts.h"
#include "way.h"

#define WAYS_MAX 8
#define PEERS_MAX 32
#define ROUNDS_MAX 1000
#define CALLERS_MAX 512
#define WARM_UPS_MAX 40

struct named_way {
	char *name, *kind, *to;
	clockid_t peers[PEERS_MAX];
	pid_t pids[PEERS_MAX]; /* theirs */
	int n_peers;
};

/* What one round of one way gave. CPU is in microseconds a call. */
struct round {
	double calls_per_second, p50, p90, p99, max, client_cpu, peer_cpu, first;
	double seconds;
	unsigned long calls, failed, resumed;
	int warm_ups;
	int connections_before, connections_after; /* the measured part */
	long rss_before_kb, rss_after_kb;
	long mbed_before_kb, mbed_after_kb; /* of that, pages of mbedTLS's libraries */
	unsigned long client_parts[PARTS], peer_parts[PARTS];
};

struct caller {
	pthread_t thread;
	int number;
	unsigned long calls, failed;
	struct latency latency;
};

static struct {
	struct target target;
	struct named_way ways[WAYS_MAX];
	int n_ways, rounds;
	long round_ms, warm_ms, calls;
	struct round *results; /* [way][round] */
	struct caller *callers;
	pthread_barrier_t step; /* the callers and main: begin and end of what `work` says */
	enum work { WORK_WARM_UP, WORK_MEASURE, WORK_OVER } work; /* these two change only while the callers wait to begin */
	struct way *open;
	uint64_t since_ns;
	bool parts;
	struct latency sum;
} g = {.target = {.host = "payments.default.mesh.local", .path = "/1k", .bytes = 1024, .callers = 1, .handles = 1}, .rounds = 5, .round_ms = 500, .warm_ms = 50};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : 0;
}

/* ---- the callers ---- */

/* Calls until the time is over or its number is reached: at least once. */
static void call_for(struct caller *c, uint64_t time_ns, unsigned long calls)
{
	uint64_t began = now_ns(CLOCK_MONOTONIC), t0 = began, t1;

	latency_clear(&c->latency);
	c->calls = c->failed = 0;
	do {
		bool ok = way_call(g.open, c->number);

		t1 = now_ns(CLOCK_MONOTONIC);
		latency_record(&c->latency, t1 - t0);
		c->calls++;
		c->failed += !ok;
		t0 = t1;
	} while (calls > 0 ? c->calls < calls : t1 - began < time_ns);
}

/* The first caller flies for all of them. */
struct flight {
	struct caller *c;
	uint64_t until_ns;
	unsigned long left; /* to be started, where there is a number */
	bool counted;
};

static bool more(void *arg)
{
	struct flight *f = arg;

	if (!f->counted) {
		return now_ns(CLOCK_MONOTONIC) < f->until_ns;
	}
	f->left -= f->left > 0;
	return f->left > 0;
}

static void landed(void *arg, uint64_t ns, bool ok)
{
	struct flight *f = arg;

	latency_record(&f->c->latency, ns);
	f->c->calls++;
	f->c->failed += !ok;
}

static void fly_for(struct caller *c, uint64_t time_ns, unsigned long calls)
{
	/* As many as fly at the end come beside `left`. */
	struct flight f = {.c = c, .until_ns = now_ns(CLOCK_MONOTONIC) + time_ns, .counted = calls > 0, .left = calls - (calls > 0 ? (unsigned long)g.target.callers : 0) + 1};
	struct flying flying = {.more = more, .landed = landed, .arg = &f};

	latency_clear(&c->latency);
	c->calls = c->failed = 0;
	if (c->number == 0) {
		way_fly(g.open, g.target.callers, &flying);
	}
}

static void work_for(struct caller *c, uint64_t time_ns, unsigned long calls)
{
	if (way_flies(g.open)) {
		fly_for(c, time_ns, calls > 0 ? (unsigned long)g.calls : 0);
	} else {
		call_for(c, time_ns, calls);
	}
}

/* One, for the time that it takes from opening the way. */
static bool call_first(void)
{
	struct caller *c = &g.callers[0];

	if (!way_flies(g.open)) {
		return way_call(g.open, 0);
	}
	c->failed = 0;
	way_fly(g.open, 1, &(struct flying){.more = more, .landed = landed, .arg = &(struct flight){.c = c, .counted = true}});
	return c->failed == 0;
}

static void *caller_main(void *arg)
{
	struct caller *c = arg;
	unsigned long share = (unsigned long)(g.calls / g.target.callers + (c->number < g.calls % g.target.callers));

	for (;;) {
		pthread_barrier_wait(&g.step);
		switch (g.work) {
		case WORK_WARM_UP: work_for(c, (uint64_t)g.warm_ms * 1000000u, 0); break;
		case WORK_MEASURE: work_for(c, (uint64_t)g.round_ms * 1000000u, share); break;
		case WORK_OVER: return NULL;
		}
		pthread_barrier_wait(&g.step);
	}
}

/* ---- a round ---- */

static uint64_t own_cpu_ns(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000u + ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
}

static uint64_t peers_cpu_ns(const struct named_way *w)
{
	uint64_t sum = 0;

	for (int i = 0; i < w->n_peers; i++) {
		sum += now_ns(w->peers[i]);
	}
	return sum;
}

/* Memory of this process, of which *mbed_kb are pages of mbedTLS's libraries. */
static long rss_kb(long *mbed_kb)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool mbed = false;
	long kb = 0, sum = 0;
	char line[4200];

	*mbed_kb = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		/* A mapping begins with its addresses, the fields of it with a capital letter. */
		if (line[0] < 'A' || line[0] > 'Z') {
			mbed = strstr(line, "/libmbed") != NULL;
		} else if (sscanf(line, "Rss: %ld kB", &kb) == 1) {
			sum += kb;
			*mbed_kb += mbed ? kb : 0;
		}
	}
	if (f != NULL) {
		fclose(f);
	}
	return sum;
}

/* TCP connections of this process. */
static int connections(void)
{
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	while (fds != NULL && (entry = readdir(fds)) != NULL) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);

		n += getpeername((int)strtol(entry->d_name, NULL, 10), (struct sockaddr *)&peer, &len) == 0 && (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
	}
	if (fds != NULL) {
		closedir(fds);
	}
	return n;
}

static void have_callers_do(enum work work)
{
	g.work = work;
	pthread_barrier_wait(&g.step);
	if (work != WORK_OVER) {
		pthread_barrier_wait(&g.step);
	}
}

static void warm_up(struct round *r)
{
	int before;

	do {
		before = connections();
		have_callers_do(WORK_WARM_UP);
		r->warm_ups++;
	} while (connections() > before && r->warm_ups < WARM_UPS_MAX);
}

static void sum_up(struct round *r, uint64_t wall_ns, uint64_t own_ns, uint64_t peers_ns)
{
	latency_clear(&g.sum);
	for (int i = 0; i < g.target.callers; i++) {
		latency_add(&g.sum, &g.callers[i].latency);
		r->calls += g.callers[i].calls;
		r->failed += g.callers[i].failed;
	}
	r->seconds = (double)wall_ns / 1e9;
	r->calls_per_second = (double)r->calls / r->seconds;
	r->p50 = latency_us(&g.sum, 0.5);
	r->p90 = latency_us(&g.sum, 0.9);
	r->p99 = latency_us(&g.sum, 0.99);
	r->max = latency_us(&g.sum, 1);
	r->client_cpu = (double)own_ns / 1000 / (double)r->calls;
	r->peer_cpu = (double)peers_ns / 1000 / (double)r->calls;
}

static void count_parts(const struct named_way *w, struct round *r)
{
	parts_count(getpid(), r->client_parts);
	for (int i = 0; i < w->n_peers; i++) {
		parts_count(w->pids[i], r->peer_parts);
	}
}

static bool run_round(const struct named_way *w, struct round *r)
{
	uint64_t wall, own, peers;

	/* A start is timed from outside, and counting the pages takes a millisecond and a half. */
	r->rss_before_kb = g.since_ns > 0 ? 0 : rss_kb(&r->mbed_before_kb);
	wall = g.since_ns > 0 ? g.since_ns : now_ns(CLOCK_MONOTONIC);
	g.open = way_open(w->kind, w->to, &g.target);
	if (g.open == NULL) {
		return false;
	}
	r->failed = !call_first();
	r->first = (double)(now_ns(CLOCK_MONOTONIC) - wall) / 1e6;
	warm_up(r);
	r->resumed = way_resumed(g.open);
	r->connections_before = connections();
	wall = now_ns(CLOCK_MONOTONIC);
	own = own_cpu_ns();
	peers = peers_cpu_ns(w);
	parts_begin();
	have_callers_do(WORK_MEASURE);
	parts_end();
	own = own_cpu_ns() - own;
	peers = peers_cpu_ns(w) - peers;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	count_parts(w, r);
	sum_up(r, wall, own, peers);
	r->connections_after = connections();
	r->resumed = way_resumed(g.open) - r->resumed;
	r->rss_after_kb = g.since_ns > 0 ? 0 : rss_kb(&r->mbed_after_kb);
	way_close(g.open);
	return true;
}

static bool run(void)
{
	bool ok = true;

	for (int round = 0; ok && round < g.rounds; round++) {
		for (int i = 0; ok && i < g.n_ways; i++) {
			/* There and back, so that none always comes after the same other. */
			int way = round % 2 == 0 ? i : g.n_ways - 1 - i;

			ok = run_round(&g.ways[way], &g.results[way * g.rounds + round]);
		}
	}
	have_callers_do(WORK_OVER);
	for (int i = 0; i < g.target.callers; i++) {
		pthread_join(g.callers[i].thread, NULL);
	}
	return ok;
}

static bool start_callers(void)
{
	g.results = calloc((size_t)g.n_ways * (size_t)g.rounds, sizeof(*g.results));
	g.callers = calloc((size_t)g.target.callers, sizeof(*g.callers));
	if (g.results == NULL || g.callers == NULL || pthread_barrier_init(&g.step, NULL, (unsigned)g.target.callers + 1) != 0) {
		return false;
	}
	for (int i = 0; i < g.target.callers; i++) {
		g.callers[i].number = i;
		/* Touched, so that it is no growth later. */
		memset(&g.callers[i].latency, 1, sizeof(g.callers[i].latency));
		if (pthread_create(&g.callers[i].thread, NULL, caller_main, &g.callers[i]) != 0) {
			return false;
		}
	}
	return true;
}

/* ---- telling ---- */

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of one figure over a way's rounds; `offset` is that of a double in struct round. */
static double median(const struct round *rounds, size_t offset)
{
	static double values[ROUNDS_MAX];

	for (int i = 0; i < g.rounds; i++) {
		memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof(values[i]));
	}
	qsort(values, (size_t)g.rounds, sizeof(values[0]), by_value);
	return (values[(g.rounds - 1) / 2] + values[g.rounds / 2]) / 2;
}

static void print_median(const struct round *rounds, const char *name, size_t offset, const char *after)
{
	printf("\"%s\":%.2f%s", name, median(rounds, offset), after);
}

static void print_parts(const char *name, const unsigned long counts[PARTS])
{
	printf(",\"%s\":{", name);
	for (int i = 0; i < PARTS; i++) {
		printf("%s\"%s\":%lu", i > 0 ? "," : "", part_names[i], counts[i]);
	}
	printf("}");
}

static void print_way(int way)
{
	const struct round *rounds = &g.results[way * g.rounds];

	printf("\"%s\":{\"median\":{", g.ways[way].name);
	print_median(rounds, "callsPerSecond", offsetof(struct round, calls_per_second), ",");
	print_median(rounds, "p50", offsetof(struct round, p50), ",");
	print_median(rounds, "p90", offsetof(struct round, p90), ",");
	print_median(rounds, "p99", offsetof(struct round, p99), ",");
	print_median(rounds, "max", offsetof(struct round, max), ",");
	print_median(rounds, "clientCpu", offsetof(struct round, client_cpu), ",");
	print_median(rounds, "peerCpu", offsetof(struct round, peer_cpu), ",");
	print_median(rounds, "first", offsetof(struct round, first), "},\n\"rounds\":[");
	for (int i = 0; i < g.rounds; i++) {
		const struct round *r = &rounds[i];

		printf("%s\n{\"calls\":%lu,\"failed\":%lu,\"seconds\":%.4f,\"callsPerSecond\":%.1f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.2f,"
		       "\"clientCpu\":%.2f,\"peerCpu\":%.2f,\"first\":%.2f,\"resumed\":%lu,\"warmUps\":%d,\"connectionsBefore\":%d,\"connectionsAfter\":%d,\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld,\"mbedGrowthKb\":%ld",
			i == 0 ? "" : ",", r->calls, r->failed, r->seconds, r->calls_per_second, r->p50, r->p90, r->p99, r->max, r->client_cpu, r->peer_cpu, r->first, r->resumed, r->warm_ups, r->connections_before, r->connections_after, r->rss_before_kb,
			r->rss_after_kb, r->mbed_after_kb - r->mbed_before_kb);
		if (g.parts) {
			print_parts("clientParts", r->client_parts);
			print_parts("peerParts", r->peer_parts);
		}
		printf("}");
	}
	printf("]}");
}

static void print_all(void)
{
	printf("{\"callers\":%d,\"path\":\"%s\",\"bytes\":%zu,\"ways\":{\n", g.target.callers, g.target.path, g.target.bytes);
	for (int i = 0; i < g.n_ways; i++) {
		print_way(i);
		printf("%s\n", i + 1 < g.n_ways ? "," : "");
	}
	printf("}}\n");
}

/* ---- options ---- */

/* NAME=KIND:TO[,PID...], in place. */
static bool add_way(char *text)
{
	struct named_way *w = &g.ways[g.n_ways];
	char *pid;

	if (g.n_ways == WAYS_MAX) {
		return false;
	}
	w->name = strsep(&text, "=");
	w->kind = strsep(&text, ":");
	w->to = strsep(&text, ",");
	if (w->to == NULL || !way_kind_known(w->kind)) {
		return false;
	}
	while ((pid = strsep(&text, ",")) != NULL) {
		if (w->n_peers == PEERS_MAX || clock_getcpuclockid((pid_t)strtol(pid, NULL, 10), &w->peers[w->n_peers]) != 0) {
			fprintf(stderr, "client: the CPU of process %s cannot be read\n", pid);
			return false;
		}
		w->pids[w->n_peers] = (pid_t)strtol(pid, NULL, 10);
		w->n_peers++;
	}
	g.n_ways++;
	return true;
}

static bool number(const char *text, long low, long high, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *value >= low && *value <= high;
}

static bool take_option(char option, char *text)
{
	long n = 0;
	bool ok = true;

	switch (option) {
	case 'w': return add_way(text);
	case 'C': g.target.certificate = text; break;
	case 'K': g.target.key = text; break;
	case 'B': g.target.bundle = text; break;
	case 'E': g.target.endpoints = text; break;
	case '2': g.target.endpoints2 = text; break;
	case 'h': g.target.host = text; break;
	case 'p': g.target.path = text; break;
	case 'b': ok = number(text, 0, 1L << 30, &n); g.target.bytes = (size_t)n; break;
	case 'c': ok = number(text, 1, CALLERS_MAX, &n); g.target.callers = (int)n; break;
	case 'H': ok = number(text, 1, 4096, &n); g.target.handles = (int)n; break;
	case 'r': ok = number(text, 1, ROUNDS_MAX, &n); g.rounds = (int)n; break;
	case 'm': ok = number(text, 1, 3600000, &g.round_ms); break;
	case 'n': ok = number(text, 1, 1000000000, &g.calls); break;
	case 's': ok = number(text, 1, LONG_MAX, &n); g.since_ns = (uint64_t)n; break;
	case 'P': ok = number(text, 0, 1, &n); g.parts = n == 1; break;
	case 'W': ok = number(text, 1, 60000, &g.warm_ms); break;
	default: return false;
	}
	return ok;
}

static bool take_options(int argc, char **argv)
{
	static const struct option options[] = {{"way", 1, NULL, 'w'}, {"certificate", 1, NULL, 'C'}, {"key", 1, NULL, 'K'}, {"bundle", 1, NULL, 'B'}, {"endpoints", 1, NULL, 'E'}, {"endpoints2", 1, NULL, '2'},
		{"host", 1, NULL, 'h'}, {"path", 1, NULL, 'p'}, {"bytes", 1, NULL, 'b'}, {"callers", 1, NULL, 'c'}, {"rounds", 1, NULL, 'r'}, {"round-ms", 1, NULL, 'm'},
		{"calls", 1, NULL, 'n'}, {"warm-ms", 1, NULL, 'W'}, {"handles", 1, NULL, 'H'}, {"since", 1, NULL, 's'}, {"parts", 1, NULL, 'P'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?' || !take_option((char)option, optarg)) {
			return false;
		}
	}
	return optind == argc && g.n_ways > 0 && (g.calls == 0 || g.calls >= g.target.callers);
}

int main(int argc, char **argv)
{
	bool failed = false;

	if (argc == 2 && strcmp(argv[1], "--libcurl") == 0) {
		return puts(curl_version()) < 0;
	}
	if (!take_options(argc, argv)) {
		fprintf(stderr, "usage: client --way NAME=tls|tls2|plain|full|resumed|multi|multi2:ADDRESS[,PID...] | NAME=mesh|mesh2|async|async2|join:SERVICE[,PID...] [--way ...]\n       --certificate F --key F --bundle F [--endpoints F] [--endpoints2 F]\n"
				"       [--host NAME] [--path /1k] [--bytes 1024] [--callers 1] [--handles 1] [--rounds 5] [--round-ms 500 | --calls N]\n       [--warm-ms 50] [--since NS] [--parts 1]\n");
		return 2;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !start_callers()) {
		fprintf(stderr, "client: cannot start its callers\n");
		return 1;
	}
	g.parts = g.parts && parts_open();
	if (!run()) {
		return 1;
	}
	parts_close();
	print_all();
	for (int i = 0; i < g.n_ways * g.rounds; i++) {
		failed = failed || g.results[i].failed > 0;
	}
	free(g.results);
	free(g.callers);
	return failed;
}
