#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/handle.h"
#include "control/status.h"

/* Our address on the way to one peer: a datagram socket learns it from the routes, and sends nothing. */
static bool local_towards(const struct addrinfo *peer, struct mesh__addr *out)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	int fd = socket(peer->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, peer->ai_addr, peer->ai_addrlen) == 0 && getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
		getnameinfo((struct sockaddr *)&own, len, out->ip, sizeof(out->ip), NULL, 0, NI_NUMERICHOST) == 0;

	if (fd >= 0) {
		(void)close(fd);
	}
	out->v6 = peer->ai_family == AF_INET6;
	out->port = 0;
	return ok;
}

/* The address that the control server is reached from: where `listen` is unset. */
static int default_listen(struct mesh__opened *m, struct mesh__addr *out, struct mesh__err *err)
{
	const struct mesh__servers *servers = &m->settings.servers;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
	char port[8];
	int result;
	bool ok = false;

	if (servers->n == 0) {
		return mesh__fail(err, MESH_E_INVALID, "listen is not set (MESH_LISTEN=ip:port), and without a control server there is no default for it");
	}
	(void)snprintf(port, sizeof(port), "%u", servers->list[servers->next].port);
	result = getaddrinfo(servers->list[servers->next].host, port, &hints, &found);
	for (struct addrinfo *a = found; result == 0 && a != NULL && !ok; a = a->ai_next) {
		ok = local_towards(a, out);
	}
	if (found != NULL) {
		freeaddrinfo(found);
	}
	if (!ok) {
		return mesh__fail(err, MESH_E_IO, "listen is not set, and no way to the control server %s was found to take the address from (%s); set MESH_LISTEN",
			servers->list[servers->next].host, result != 0 ? gai_strerror(result) : "no route");
	}
	return MESH_OK;
}

static bool is_any(const struct mesh__addr *addr)
{
	return strcmp(addr->ip, "0.0.0.0") == 0 || strcmp(addr->ip, "::") == 0;
}

static void on_server_gone(void *arg)
{
	mesh__opened_unref(arg);
}

static int fill_mode(const char *mode, struct mesh__serving_options *o, struct mesh__err *err)
{
	if (!mesh__serving_mode_parse(mode, &o->mode)) {
		return mesh__fail(err, MESH_E_INVALID, "mode \"%.40s\": it must be \"pool\", \"inline\" or \"pull\"", mode);
	}
	if (o->mode == MESH__SERVE_PULL && o->handler != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "a handler with mode \"pull\", in which none is called: mesh_server_next() gives the requests");
	}
	return o->mode == MESH__SERVE_PULL || o->handler != NULL ? MESH_OK : mesh__fail(err, MESH_E_INVALID, "no handler");
}

static int fill_options(struct mesh__opened *m, struct mesh__serving_options *o, struct mesh__err *err)
{
	char *const *v = m->settings.values;
	const char *advertise = v[MESH__SETTING_ADVERTISE];
	int code = MESH_OK;

	if (m->settings.has_listen) {
		o->listen = m->settings.listen;
	} else {
		code = default_listen(m, &o->listen, err);
	}
	if (code == MESH_OK && is_any(&o->listen) && advertise == NULL) {
		code = mesh__fail(err, MESH_E_INVALID, "listen %s takes calls at any address, so others must be told which: set advertise (MESH_ADVERTISE=ip:port)", o->listen.ip);
	}
	(void)snprintf(o->advertise, sizeof(o->advertise), "%s", advertise == NULL ? "" : advertise);
	o->env = &m->env;
	o->metrics = m->metrics;
	o->control = m->control;
	o->instance = m->instance;
	o->version = v[MESH__SETTING_VERSION];
	o->zone = v[MESH__SETTING_ZONE];
	o->max_body_bytes = m->settings.max_body_bytes;
	o->stream_bodies = m->settings.stream_bodies;
	o->workers = m->settings.workers;
	o->loops = m->settings.loops;
	o->tls12 = m->settings.tls12;
	o->threads = &m->outbound.own_threads;
	o->gone = on_server_gone;
	o->gone_arg = m;
	return code;
}

static int start_serving(struct mesh__opened *m, struct mesh__serving_options *o, struct mesh__err *err)
{
	int code;

	(void)pthread_mutex_lock(&m->mu);
	o->creds = m->creds;
	if (m->closing) {
		code = mesh__fail(err, MESH_E_CLOSED, "the mesh is closing");
	} else if (m->server != NULL) {
		code = mesh__fail(err, MESH_E_STATE, "this mesh serves already");
	} else {
		code = mesh__serving_new(o, &m->server, err);
		if (code == MESH_OK) {
			mesh__opened_ref(m); /* requests that a handler has kept need it until they are replied to */
		}
	}
	(void)pthread_mutex_unlock(&m->mu);
	return code;
}

static int serve(struct mesh__opened *m, const char *mode, struct mesh__serving_options *o, struct mesh__err *err)
{
	int code = fill_mode(mode, o, err);

	if (code == MESH_OK) {
		code = fill_options(m, o, err);
	}
	return code == MESH_OK ? start_serving(m, o, err) : code;
}

int32_t mesh_serve(mesh *handle, const char *mode, mesh_handler_fn handler, void *user, mesh_server **out, mesh_error **error)
{
	struct mesh__serving_options o = {.handler = handler, .user = user};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m = mesh__opened_enter(handle, &err);
	int code = err.code;

	if (out != NULL) {
		*out = NULL;
	}
	if (error != NULL) {
		*error = NULL;
	}
	if (m != NULL) {
		code = serve(m, mode, &o, &err);
		if (code == MESH_OK && out != NULL) {
			*out = (mesh_server *)handle; /* one server a mesh: the mesh's handle names it too, and is as safe after the close */
		}
		mesh__opened_leave(m);
	}
	return mesh__error_give(mesh__mem_libc(), code, &err, error);
}

int32_t mesh_set_ready(mesh *handle, int32_t ready, const char *reason)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m;
	char line[MESH__UNABLE_MAX];

	if (ready != 0 && ready != 1) {
		return MESH_E_INVALID;
	}
	m = mesh__opened_enter(handle, &err);
	if (m == NULL) {
		return err.code;
	}
	(void)snprintf(line, sizeof(line), "%s", reason != NULL ? reason : "not ready");
	for (char *c = line; *c != '\0'; c++) {
		*c = (unsigned char)*c < ' ' ? ' ' : *c;
	}
	mesh__control_able(m->control, ready ? NULL : line);
	mesh__opened_leave(m);
	return MESH_OK;
}

char *mesh_server_address(mesh_server *server)
{
	struct mesh__opened *m = mesh__opened_enter((mesh *)server, NULL);
	char text[MESH__ADDR_TEXT] = "";

	if (m == NULL) {
		return NULL;
	}
	(void)pthread_mutex_lock(&m->mu);
	if (m->server != NULL) {
		mesh__addr_format(&m->server->address, text);
	}
	(void)pthread_mutex_unlock(&m->mu);
	mesh__opened_leave(m);
	return text[0] == '\0' ? NULL : mesh__strdup(mesh__mem_libc(), text);
}

/* ---- Pulling ---- */

/* The server whose requests are pulled, entered: it stays until mesh__pull_leave(). */
static struct mesh_server *enter_pull(struct mesh__opened *m, int *code)
{
	struct mesh_server *server;

	(void)pthread_mutex_lock(&m->mu);
	server = m->server;
	*code = server != NULL && server->mode == MESH__SERVE_PULL ? MESH_OK : server == NULL && m->closing ? MESH_E_CLOSED : MESH_E_STATE;
	if (*code == MESH_OK) {
		mesh__pull_enter(&server->pull);
	}
	(void)pthread_mutex_unlock(&m->mu);
	return *code == MESH_OK ? server : NULL;
}

static int next_request(struct mesh__opened *m, mesh_inbound **out, int64_t timeout_ms)
{
	int code;
	struct mesh_server *server = enter_pull(m, &code);

	if (server != NULL) {
		code = mesh__dispatch_next(server, mesh__mono_us(&m->env) + mesh__sensible_ms(timeout_ms) * 1000, out);
		mesh__pull_leave(&server->pull);
	}
	return code == MESH_E_TIMEOUT && timeout_ms <= 0 ? MESH_E_WOULD_BLOCK : code;
}

int32_t mesh_server_next(mesh_server *server, mesh_inbound **out, int64_t timeout_ms)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m;
	int code;

	if (out == NULL) {
		return MESH_E_INVALID;
	}
	*out = NULL;
	m = mesh__opened_enter((mesh *)server, &err);
	if (m == NULL) {
		return err.code;
	}
	code = timeout_ms > 0 && mesh__opened_on_loop(m) ? MESH_E_WOULD_BLOCK : next_request(m, out, timeout_ms);
	mesh__opened_leave(m);
	return code;
}

int32_t mesh_server_event_fd(mesh_server *server)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m = mesh__opened_enter((mesh *)server, &err);
	struct mesh_server *entered;
	int code, fd = -1;

	if (m == NULL) {
		return -err.code;
	}
	entered = enter_pull(m, &code);
	if (entered != NULL) {
		fd = mesh__pull_event_fd(&entered->pull, NULL);
		mesh__pull_leave(&entered->pull);
	}
	mesh__opened_leave(m);
	return entered != NULL ? fd : -code;
}
