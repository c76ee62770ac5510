#include "fault_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LISTENERS = 2, HEADER_BYTES = 5, BUFFER_BYTES = 16384, BACKLOG = 1024 };

/* One direction of a connection. */
struct way {
	unsigned char buffer[BUFFER_BYTES]; /* read and not passed yet */
	size_t len;
	bool ended;          /* the sender has: no more will come */
	bool told;           /* and the receiver has heard */
	bool deaf;           /* what comes is thrown away */
	uint64_t read;       /* bytes, of which the buffer has the last */
	uint64_t passed;
	int64_t hold_ms;     /* nothing passes before this time */
	long drip_bytes, drip_ms;
	uint64_t lot_end;    /* of the drip */
	unsigned char header[HEADER_BYTES];
	size_t header_len;
	uint64_t record_end; /* of the record at hand */
	int n_records, n_data;
};

struct link {
	struct link *next;
	int fd[FAULT_WAYS]; /* of the client, which sends the request; of the target, which sends the answer */
	struct way way[FAULT_WAYS];
	bool stalled, over;
	struct fault faults[FAULTS_MAX];
	size_t n_faults;
	uint64_t place[FAULTS_MAX]; /* UINT64_MAX: not known yet */
	bool fired[FAULTS_MAX];
	long number;
	long era;
};

struct fault_proxy {
	struct mesh__addr target, addresses[LISTENERS];
	int listeners[LISTENERS];
	int wake;
	pthread_t thread;
	pthread_mutex_t mu;     /* guards all below but `links` */
	pthread_cond_t changed;
	bool stopping;
	bool drop;              /* the thread is to end every link */
	struct fault faults[FAULTS_MAX];
	size_t n_faults;
	long era;               /* of the plan */
	long n_accepted, n_open;
	struct fault_seen seen[FAULT_CONNS_SEEN];
	struct link *links;     /* the thread's alone */
};

static void die(const char *what)
{
	perror(what);
	abort();
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- Where TLS records end ---- */

/* A record's end is known as soon as its header has come, before any of its bytes pass. */
static void begin_record(struct link *l, enum fault_way w, struct fault_seen *seen)
{
	struct way *way = &l->way[w];
	int type = way->header[0];

	way->n_records++;
	way->n_data += type == FAULT_DATA_RECORD;
	if (seen != NULL) {
		seen->n_records[w] = way->n_records;
		if (way->n_records <= FAULT_RECORDS_SEEN) {
			seen->records[w][way->n_records - 1] = (struct fault_record){type, way->record_end};
		}
	}
	for (size_t i = 0; i < l->n_faults; i++) {
		const struct fault *f = &l->faults[i];
		if (f->way == w && ((f->unit == FAULT_RECORDS && f->n == way->n_records) || (f->unit == FAULT_DATA && type == FAULT_DATA_RECORD && f->n == way->n_data))) {
			l->place[i] = way->record_end + (uint64_t)f->at;
		}
	}
}

static void scan(struct link *l, enum fault_way w, const unsigned char *bytes, size_t len, struct fault_seen *seen)
{
	struct way *way = &l->way[w];

	for (size_t i = 0; i < len;) {
		uint64_t left = way->record_end > way->read ? way->record_end - way->read : 0, step = left < len - i ? left : len - i;
		if (step == 0) {
			way->header[way->header_len++] = bytes[i];
			step = 1;
		}
		way->read += step;
		i += step;
		if (way->header_len == HEADER_BYTES) {
			way->header_len = 0;
			way->record_end = way->read + ((uint64_t)way->header[3] << 8 | way->header[4]);
			begin_record(l, w, seen);
		}
	}
}

/* ---- What goes wrong ---- */

static void end_link(struct link *l, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	for (int i = 0; i < FAULT_WAYS && !l->over; i++) {
		if (reset) {
			(void)setsockopt(l->fd[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		}
		(void)close(l->fd[i]);
	}
	l->over = true;
}

/* Who the way leads to hears its end; what still comes is thrown away. */
static void end_way(struct link *l, enum fault_way w)
{
	struct way *way = &l->way[w];

	way->len = 0;
	way->deaf = true;
	if (!way->told) {
		way->told = true;
		(void)shutdown(l->fd[!w], SHUT_WR);
	}
}

static void act(struct link *l, const struct fault *f)
{
	struct way *way = &l->way[f->way];

	switch (f->action) {
	case FAULT_DELAY:
		way->hold_ms = now_ms() + f->ms + 1; /* the clock's part of a millisecond: never early */
		break;
	case FAULT_DRIP:
		way->drip_bytes = f->bytes;
		way->drip_ms = f->ms;
		way->lot_end = way->passed + (uint64_t)f->bytes;
		break;
	case FAULT_STALL:
		l->stalled = true;
		break;
	case FAULT_CUT:
		end_way(l, FAULT_REQUEST);
		end_way(l, FAULT_ANSWER);
		break;
	case FAULT_HALF_CLOSE:
		end_way(l, f->way);
		break;
	case FAULT_RESET:
		end_link(l, true);
		break;
	case FAULT_N_ACTIONS:
		break;
	}
}

static struct fault_seen *seen_locked(struct fault_proxy *p, const struct link *l)
{
	return l->era == p->era && l->number <= FAULT_CONNS_SEEN ? &p->seen[l->number - 1] : NULL;
}

static void fire_what_is_due(struct fault_proxy *p, struct link *l, enum fault_way w)
{
	for (size_t i = 0; i < l->n_faults && !l->over; i++) {
		struct fault_seen *seen;
		if (l->faults[i].way != w || l->fired[i] || l->place[i] > l->way[w].passed) {
			continue;
		}
		l->fired[i] = true;
		(void)pthread_mutex_lock(&p->mu);
		seen = seen_locked(p, l);
		if (seen != NULL) {
			seen->fired = (int)i + 1;
		}
		(void)pthread_cond_broadcast(&p->changed);
		(void)pthread_mutex_unlock(&p->mu);
		act(l, &l->faults[i]);
	}
}

/* ---- Passing on ---- */

/* How many bytes may pass now: up to the next place, and what the drip lets through. */
static size_t may_pass(const struct link *l, enum fault_way w)
{
	const struct way *way = &l->way[w];
	uint64_t n = way->len;

	if (l->stalled || way->deaf || (way->hold_ms != 0 && now_ms() < way->hold_ms)) {
		return 0;
	}
	for (size_t i = 0; i < l->n_faults; i++) {
		if (l->faults[i].way == w && !l->fired[i] && l->place[i] - way->passed < n) {
			n = l->place[i] - way->passed;
		}
	}
	if (way->drip_bytes > 0 && way->lot_end - way->passed < n) {
		n = way->lot_end - way->passed;
	}
	return (size_t)n;
}

static void count_passed(struct fault_proxy *p, const struct link *l, enum fault_way w)
{
	struct fault_seen *seen;

	(void)pthread_mutex_lock(&p->mu);
	seen = seen_locked(p, l);
	if (seen != NULL) {
		seen->passed[w] = l->way[w].passed;
	}
	(void)pthread_mutex_unlock(&p->mu);
}

static void pass_on(struct fault_proxy *p, struct link *l, enum fault_way w)
{
	struct way *way = &l->way[w];
	size_t n;

	fire_what_is_due(p, l, w);
	while (!l->over && (n = may_pass(l, w)) > 0) {
		ssize_t sent = send(l->fd[!w], way->buffer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN) {
			end_link(l, true);
		}
		if (sent <= 0) {
			return;
		}
		memmove(way->buffer, way->buffer + sent, way->len - (size_t)sent);
		way->len -= (size_t)sent;
		way->passed += (uint64_t)sent;
		count_passed(p, l, w);
		if (way->drip_bytes > 0 && way->passed == way->lot_end) {
			way->hold_ms = now_ms() + way->drip_ms;
			way->lot_end += (uint64_t)way->drip_bytes;
		}
		fire_what_is_due(p, l, w);
	}
	if (!l->over && way->ended && !way->told && way->len == 0 && !l->stalled) {
		way->told = true;
		(void)shutdown(l->fd[!w], SHUT_WR);
	}
}

static void take(struct fault_proxy *p, struct link *l, enum fault_way w)
{
	struct way *way = &l->way[w];
	ssize_t n;

	if (way->len == sizeof(way->buffer)) {
		return;
	}
	n = recv(l->fd[w], way->buffer + way->len, sizeof(way->buffer) - way->len, MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end_link(l, true); /* a reset on one side is a reset on the other */
	} else if (n == 0) {
		way->ended = true;
	} else if (n > 0 && !way->deaf) {
		(void)pthread_mutex_lock(&p->mu);
		scan(l, w, way->buffer + way->len, (size_t)n, seen_locked(p, l));
		(void)pthread_mutex_unlock(&p->mu);
		way->len += (size_t)n;
	}
}

static void serve(struct fault_proxy *p, struct link *l, const struct pollfd fds[FAULT_WAYS])
{
	for (int w = 0; w < FAULT_WAYS && !l->over; w++) {
		if (fds[w].revents & (POLLIN | POLLHUP | POLLERR)) {
			take(p, l, (enum fault_way)w);
		}
	}
	for (int w = 0; w < FAULT_WAYS && !l->over; w++) {
		pass_on(p, l, (enum fault_way)w);
	}
	if (!l->over && l->way[0].ended && l->way[1].ended && l->way[0].told && l->way[1].told) {
		end_link(l, false);
	}
}

/* ---- Connections ---- */

static int dial(const struct mesh__addr *target)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)target->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (inet_pton(AF_INET, target->ip, &in.sin_addr) != 1 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static void make_link(struct fault_proxy *p, int client, int target)
{
	struct link *l = calloc(1, sizeof(*l));
	int one = 1;

	if (l == NULL) {
		die("calloc");
	}
	l->fd[FAULT_REQUEST] = client;
	l->fd[FAULT_ANSWER] = target;
	for (int w = 0; w < FAULT_WAYS; w++) {
		(void)setsockopt(l->fd[w], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	(void)pthread_mutex_lock(&p->mu);
	l->era = p->era;
	l->number = ++p->n_accepted;
	p->n_open++;
	for (size_t i = 0; i < p->n_faults; i++) {
		if (p->faults[i].connection == 0 || p->faults[i].connection == l->number) {
			l->faults[l->n_faults] = p->faults[i];
			l->place[l->n_faults++] = p->faults[i].unit == FAULT_BYTES ? (uint64_t)p->faults[i].at : UINT64_MAX;
		}
	}
	if (l->number <= FAULT_CONNS_SEEN) {
		p->seen[l->number - 1] = (struct fault_seen){.open = true};
	}
	(void)pthread_mutex_unlock(&p->mu);
	l->next = p->links;
	p->links = l;
	pass_on(p, l, FAULT_REQUEST);
	pass_on(p, l, FAULT_ANSWER);
}

static void accept_one(struct fault_proxy *p, int listener)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int target = client >= 0 && p->n_open < FAULT_LINKS_MAX ? dial(&p->target) : -1;

	if (target >= 0) {
		make_link(p, client, target);
	} else if (client >= 0) { /* as refused as can be */
		(void)setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		(void)close(client);
	}
}

static void forget_links(struct fault_proxy *p)
{
	struct link **at = &p->links;

	while (*at != NULL) {
		struct link *l = *at;
		struct fault_seen *seen;
		if (!l->over) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		(void)pthread_mutex_lock(&p->mu);
		p->n_open--;
		seen = seen_locked(p, l);
		if (seen != NULL) {
			seen->open = false;
		}
		(void)pthread_mutex_unlock(&p->mu);
		free(l);
	}
}

/* The kernel closes once the other side has acknowledged the end, at the latest after a second. */
static void end_link_heard(struct link *l)
{
	static const struct linger heard = {.l_onoff = 1, .l_linger = 1};

	for (int w = 0; w < FAULT_WAYS && !l->over; w++) {
		(void)shutdown(l->fd[w], SHUT_WR);
	}
	for (int w = 0; w < FAULT_WAYS && !l->over; w++) {
		(void)setsockopt(l->fd[w], SOL_SOCKET, SO_LINGER, &heard, sizeof(heard));
		(void)close(l->fd[w]);
	}
	l->over = true;
}

static void drop_links(struct fault_proxy *p)
{
	for (struct link *l = p->links; l != NULL; l = l->next) {
		end_link_heard(l);
	}
	forget_links(p);
}

/* False when it is over. */
static bool obey(struct fault_proxy *p)
{
	eventfd_t n;
	bool drop, stopping;

	(void)eventfd_read(p->wake, &n);
	(void)pthread_mutex_lock(&p->mu);
	drop = p->drop;
	stopping = p->stopping;
	(void)pthread_mutex_unlock(&p->mu);
	if (drop || stopping) {
		drop_links(p);
		(void)pthread_mutex_lock(&p->mu);
		p->drop = false;
		(void)pthread_cond_broadcast(&p->changed);
		(void)pthread_mutex_unlock(&p->mu);
	}
	return !stopping;
}

/* ---- The thread ---- */

static short wishes(const struct link *l, enum fault_way w)
{
	const struct way *in = &l->way[w], *out = &l->way[!w];
	short events = 0;

	if (!l->stalled && !in->ended && in->len < sizeof(in->buffer)) {
		events |= POLLIN;
	}
	if (may_pass(l, (enum fault_way)!w) > 0 && out->len > 0) {
		events |= POLLOUT;
	}
	return events;
}

/* Until the first delay is over; -1: nobody waits. */
static int timeout_ms(const struct link *links)
{
	int64_t first = -1, now = now_ms();

	for (const struct link *l = links; l != NULL; l = l->next) {
		for (int w = 0; w < FAULT_WAYS && !l->stalled; w++) {
			int64_t left = l->way[w].hold_ms - now;
			if (left > 0 && l->way[w].len > 0 && (first < 0 || left < first)) {
				first = left;
			}
		}
	}
	return (int)first;
}

static size_t watch(struct fault_proxy *p, struct pollfd *fds)
{
	size_t n = 0;

	fds[n++] = (struct pollfd){.fd = p->wake, .events = POLLIN};
	for (int i = 0; i < LISTENERS; i++) {
		fds[n++] = (struct pollfd){.fd = p->listeners[i], .events = POLLIN};
	}
	for (struct link *l = p->links; l != NULL; l = l->next) {
		for (int w = 0; w < FAULT_WAYS; w++) {
			short events = wishes(l, (enum fault_way)w);
			/* poll() tells of a hang-up unasked: who has no wish is not asked. */
			fds[n++] = (struct pollfd){.fd = events != 0 ? l->fd[w] : -1, .events = events};
		}
	}
	return n;
}

static void *run(void *arg)
{
	static const size_t most = 1 + LISTENERS + FAULT_WAYS * (FAULT_LINKS_MAX + 1);
	struct fault_proxy *p = arg;
	struct pollfd *fds = calloc(most, sizeof(*fds));
	bool on = fds != NULL;

	while (on) {
		size_t n = watch(p, fds), at = 1 + LISTENERS;
		if (poll(fds, n, timeout_ms(p->links)) < 0) {
			continue;
		}
		for (struct link *l = p->links; l != NULL; l = l->next, at += FAULT_WAYS) {
			serve(p, l, fds + at);
		}
		forget_links(p);
		/* A plan comes before the connections that are made after it. */
		on = obey(p);
		for (int i = 0; on && i < LISTENERS; i++) {
			if (fds[1 + i].revents & POLLIN) {
				accept_one(p, p->listeners[i]);
			}
		}
	}
	free(fds);
	return NULL;
}

/* ---- For the test ---- */

static int listen_on(const char *ip, uint32_t port, uint32_t *bound)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)inet_pton(AF_INET, ip, &in.sin_addr);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&in, &len) != 0) {
		if (fd >= 0) {
			(void)close(fd);
		}
		return -1;
	}
	*bound = ntohs(in.sin_port);
	return fd;
}

/* A port that is free on the first address may be taken on the second: then another. */
static void open_listeners(struct fault_proxy *p, const struct mesh__addr *wish)
{
	const char *first = wish != NULL ? wish->ip : "127.0.0.1";
	const char *const ips[LISTENERS] = {first, strcmp(first, "127.0.0.2") != 0 ? "127.0.0.2" : "127.0.0.3"};
	uint32_t port = 0, same = 0;

	for (int tries = 0; tries < 16; tries++) {
		p->listeners[0] = listen_on(ips[0], wish != NULL ? wish->port : 0, &port);
		p->listeners[1] = p->listeners[0] >= 0 ? listen_on(ips[1], port, &same) : -1;
		if (p->listeners[1] >= 0) {
			for (int i = 0; i < LISTENERS; i++) {
				(void)snprintf(p->addresses[i].ip, sizeof(p->addresses[i].ip), "%s", ips[i]);
				p->addresses[i].port = (uint16_t)port;
			}
			return;
		}
		if (p->listeners[0] >= 0) {
			(void)close(p->listeners[0]);
		}
	}
	die("fault_proxy: listen");
}

struct fault_proxy *fault_proxy_new(const struct mesh__addr *target, const struct mesh__addr *listen)
{
	struct fault_proxy *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		die("calloc");
	}
	p->target = *target;
	open_listeners(p, listen);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&p->mu, NULL);
	(void)pthread_cond_init(&p->changed, NULL);
	if (p->wake < 0 || pthread_create(&p->thread, NULL, run, p) != 0) {
		die("fault_proxy");
	}
	return p;
}

void fault_proxy_free(struct fault_proxy *p)
{
	(void)pthread_mutex_lock(&p->mu);
	p->stopping = true;
	(void)pthread_mutex_unlock(&p->mu);
	(void)eventfd_write(p->wake, 1);
	(void)pthread_join(p->thread, NULL);
	for (int i = 0; i < LISTENERS; i++) {
		(void)close(p->listeners[i]);
	}
	(void)close(p->wake);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->mu);
	free(p);
}

void fault_proxy_addresses(const struct fault_proxy *p, struct mesh__addr out[2])
{
	memcpy(out, p->addresses, sizeof(p->addresses));
}

void fault_proxy_plan(struct fault_proxy *p, const struct fault *faults, size_t n, bool keep)
{
	if (n > FAULTS_MAX) {
		die("fault_proxy: too many faults");
	}
	(void)pthread_mutex_lock(&p->mu);
	if (n > 0) {
		memcpy(p->faults, faults, n * sizeof(*faults));
	}
	p->n_faults = n;
	p->era++;
	p->n_accepted = 0;
	memset(p->seen, 0, sizeof(p->seen));
	p->drop = !keep;
	(void)eventfd_write(p->wake, 1);
	while (p->drop) {
		(void)pthread_cond_wait(&p->changed, &p->mu);
	}
	(void)pthread_mutex_unlock(&p->mu);
}

long fault_proxy_accepted(struct fault_proxy *p)
{
	long n;

	(void)pthread_mutex_lock(&p->mu);
	n = p->n_accepted;
	(void)pthread_mutex_unlock(&p->mu);
	return n;
}

long fault_proxy_open(struct fault_proxy *p)
{
	long n;

	(void)pthread_mutex_lock(&p->mu);
	n = p->n_open;
	(void)pthread_mutex_unlock(&p->mu);
	return n;
}

void fault_proxy_seen(struct fault_proxy *p, long number, struct fault_seen *out)
{
	*out = (struct fault_seen){.fired = 0};
	(void)pthread_mutex_lock(&p->mu);
	if (number >= 1 && number <= FAULT_CONNS_SEEN) {
		*out = p->seen[number - 1];
	}
	(void)pthread_mutex_unlock(&p->mu);
}

bool fault_proxy_fired(struct fault_proxy *p, long number)
{
	struct timespec until;
	bool fired;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	(void)pthread_mutex_lock(&p->mu);
	while (p->seen[number - 1].fired == 0 && pthread_cond_timedwait(&p->changed, &p->mu, &until) == 0) {
	}
	fired = p->seen[number - 1].fired != 0;
	(void)pthread_mutex_unlock(&p->mu);
	return fired;
}
