/* A pool whose target is a UNIX socket: reuse, a kept connection that has died, a socket that is not there, and never TLS. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cast.h"

/* Serves `per_conn` requests on each connection, then closes it: `n_conns` connections in all. */
struct server {
	struct sockaddr_un address;
	char dir[64];
	int fd, n_conns, per_conn;
	pthread_t thread;
	sem_t closed;
	char request[4096]; /* the last */
};

static void serve_one(struct server *s, int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlocal";
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && (n == 0 || strstr(s->request, "\r\n\r\n") == NULL)) {
		got = read(fd, s->request + n, sizeof(s->request) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
		s->request[n] = '\0';
	}
	assert_true(got > 0);
	assert_int_equal(send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL), sizeof(answer) - 1);
}

static void *run(void *arg)
{
	struct server *s = arg;

	for (int i = 0; i < s->n_conns; i++) {
		int fd = accept(s->fd, NULL, NULL);
		for (int j = 0; j < s->per_conn; j++) {
			serve_one(s, fd);
		}
		(void)close(fd);
		(void)sem_post(&s->closed);
	}
	return NULL;
}

static void server_init(struct server *s, int n_conns, int per_conn)
{
	*s = (struct server){.address = {.sun_family = AF_UNIX}, .dir = "/tmp/mesh-unix-XXXXXX", .n_conns = n_conns, .per_conn = per_conn};
	assert_non_null(mkdtemp(s->dir));
	(void)snprintf(s->address.sun_path, sizeof(s->address.sun_path), "%s/socket", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(sem_init(&s->closed, 0, 0), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void server_fini(struct server *s)
{
	(void)pthread_join(s->thread, NULL);
	(void)close(s->fd);
	(void)sem_destroy(&s->closed);
	(void)unlink(s->address.sun_path);
	(void)rmdir(s->dir);
}

static struct mesh__pool *pool_to(const char *path, bool plaintext)
{
	struct mesh__pool_options options;

	mesh__pool_options_default(&options);
	memset(&options.target, 0, sizeof(options.target));
	(void)snprintf(options.target.host, sizeof(options.target.host), "localhost");
	(void)snprintf(options.target.unix_path, sizeof(options.target.unix_path), "%s", path);
	options.target.insecure_plaintext = plaintext;
	return cast_pool(&cast.env, &options);
}

static int call(struct mesh__pool *pool, struct mesh__client_result *result, struct mesh__err *err)
{
	struct mesh__client_request request = {.method = "GET", .target = "/a?b", .max_response_bytes = 100};
	struct mesh__client_wait wait = {.deadline_us = mesh__mono_us(&cast.env) + 20000000};
	struct mesh__client_response response;
	int code;

	mesh__client_response_init(&response, &cast.env, 100);
	code = mesh__pool_exchange(pool, &request, 2000, &wait, &response, result, err);
	if (code == MESH_OK) {
		assert_int_equal(response.status, 200);
		assert_string_equal(response.body.data, "local");
	}
	mesh__client_response_fini(&response);
	return code;
}

static void it_serves_and_its_connection_is_kept(void **state)
{
	struct mesh__client_result result;
	struct server server;
	struct mesh__pool *pool;

	(void)state;
	server_init(&server, 1, 2);
	pool = pool_to(server.address.sun_path, true);
	assert_int_equal(call(pool, &result, NULL), MESH_OK);
	assert_false(result.reused);
	assert_int_equal(call(pool, &result, NULL), MESH_OK);
	assert_true(result.reused);
	mesh__pool_unref(pool);
	server_fini(&server);
	assert_ptr_equal(strstr(server.request, "GET /a?b HTTP/1.1\r\nHost: localhost\r\n"), server.request);
}

static void a_kept_connection_that_died_is_dialled_anew(void **state)
{
	struct mesh__client_result result;
	struct server server;
	struct mesh__pool *pool;

	(void)state;
	server_init(&server, 3, 1);
	pool = pool_to(server.address.sun_path, true);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(call(pool, &result, NULL), MESH_OK);
		assert_false(result.reused);
		while (sem_wait(&server.closed) != 0) { /* a signal */
		}
	}
	mesh__pool_unref(pool);
	server_fini(&server);
}

static void a_socket_that_is_not_there_is_told_by_its_path(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__client_result result;
	struct mesh__pool *pool = pool_to("/tmp/mesh-no-such-directory/socket", true);

	(void)state;
	assert_int_equal(call(pool, &result, &err), MESH_E_CONNECT);
	assert_int_equal(result.sent, MESH__SENT_NOTHING);
	assert_non_null(strstr(err.message, "unix:/tmp/mesh-no-such-directory/socket"));
	mesh__pool_unref(pool);
}

/* Nobody on a UNIX socket is judged, so nobody is taken for a mesh identity there. */
static void tls_is_not_spoken_there(void **state)
{
	struct mesh__client_result result;
	struct mesh__pool *pool = pool_to("/tmp/mesh-no-such-directory/socket", false);

	(void)state;
	assert_int_equal(call(pool, &result, NULL), MESH_E_INVALID);
	mesh__pool_unref(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_serves_and_its_connection_is_kept),
		cmocka_unit_test(a_kept_connection_that_died_is_dialled_anew),
		cmocka_unit_test(a_socket_that_is_not_there_is_told_by_its_path),
		cmocka_unit_test(tls_is_not_spoken_there),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
