#include "meshctl/upstream_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READY_EVERY_MS = 3000, AGAIN_MS = 100, ABSENT_EVERY_MS = 500, PATIENCE_MS = 3000, FAILURES = 2 };

struct ctl_check {
	struct mesh__loop *loop;
	const struct mesh__target *target;
	ctl_check_fn changed;
	void *arg;
	struct ctl_health health;
	bool told;                   /* that it is not ready yet */
	struct mesh__timer *timer;   /* the next look, or the end of patience with the one at hand */
	int fd;                      /* of the look at hand; -1: none */
	struct mesh__watch *watch;
};

/* ---- The rule ---- */

bool ctl_health_note(struct ctl_health *h, bool taken)
{
	bool was = h->ready;

	h->failures = taken ? 0 : h->failures + 1;
	h->ready = taken || (was && h->failures < FAILURES);
	return h->ready != was;
}

int64_t ctl_health_next_ms(const struct ctl_health *h)
{
	if (h->failures == 0) {
		return READY_EVERY_MS;
	}
	return h->ready ? AGAIN_MS : ABSENT_EVERY_MS;
}

/* ---- One look ---- */

static void close_look(struct ctl_check *c)
{
	mesh__watch_free(c->watch);
	c->watch = NULL;
	if (c->fd >= 0) {
		(void)close(c->fd);
		c->fd = -1;
	}
}

/* `error`: an errno, 0 for a connection that was taken. */
static void note(struct ctl_check *c, int error)
{
	bool changed = ctl_health_note(&c->health, error == 0);

	close_look(c);
	mesh__timer_start(c->timer, ctl_health_next_ms(&c->health), 0);
	if (changed || (!c->health.ready && !c->told)) {
		c->told = true;
		c->changed(c->arg, error == 0 ? NULL : strerror(error));
	}
}

static void on_connected(void *arg, int fd, int events)
{
	struct ctl_check *c = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
		error = errno;
	}
	note(c, error);
}

static socklen_t sockaddr_of(const struct mesh__target *target, struct sockaddr_storage *out)
{
	struct sockaddr_un *un = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;
	struct sockaddr_in *in = (void *)out;

	memset(out, 0, sizeof(*out));
	if (target->unix_path[0] != '\0') {
		un->sun_family = AF_UNIX;
		(void)snprintf(un->sun_path, sizeof(un->sun_path), "%s", target->unix_path);
		return sizeof(*un);
	}
	if (target->address.v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(target->address.port);
		(void)inet_pton(AF_INET6, target->address.ip, &in6->sin6_addr);
		return sizeof(*in6);
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(target->address.port);
	(void)inet_pton(AF_INET, target->address.ip, &in->sin_addr);
	return sizeof(*in);
}

static void look(struct ctl_check *c)
{
	struct sockaddr_storage address;
	socklen_t len = sockaddr_of(c->target, &address);

	c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		note(c, errno);
	} else if (connect(c->fd, (struct sockaddr *)&address, len) == 0) {
		note(c, 0);
	} else if (errno != EINPROGRESS) {
		note(c, errno);
	} else if (mesh__watch_new(c->loop, c->fd, on_connected, c, &c->watch, NULL) != MESH_OK || mesh__watch_set(c->watch, MESH__WRITABLE) != MESH_OK) {
		note(c, ENOMEM);
	} else {
		mesh__timer_start(c->timer, PATIENCE_MS, 0);
	}
}

static void on_time(void *arg)
{
	struct ctl_check *c = arg;

	if (c->fd >= 0) {
		note(c, ETIMEDOUT);
	} else {
		look(c);
	}
}

/* ---- Life ---- */

void ctl_check_soon(struct ctl_check *c)
{
	if (c->fd < 0) {
		mesh__timer_start(c->timer, 0, 0);
	}
}

int ctl_check_new(struct mesh__loop *loop, const struct mesh__target *target, ctl_check_fn changed, void *arg, struct ctl_check **out, struct mesh__err *err)
{
	struct ctl_check *c = mesh__alloc(&mesh__loop_env(loop)->mem, sizeof(*c));

	*out = NULL;
	if (c == NULL) {
		return mesh__fail_memory(err);
	}
	*c = (struct ctl_check){.loop = loop, .target = target, .changed = changed, .arg = arg, .fd = -1};
	if (mesh__timer_new(loop, on_time, c, &c->timer) != MESH_OK) {
		mesh__free(c);
		return mesh__fail_memory(err);
	}
	mesh__timer_start(c->timer, 0, 0);
	*out = c;
	return MESH_OK;
}

void ctl_check_free(struct ctl_check *c)
{
	if (c != NULL) {
		close_look(c);
		mesh__timer_free(c->timer);
		mesh__free(c);
	}
}
