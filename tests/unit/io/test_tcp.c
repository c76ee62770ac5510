#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/tcp.h"

/* One listener on the test's own thread, one client socket that the kernel connects without anybody's help. */
struct desk {
	struct mesh__env env;
	struct mesh__loop *loop;
	struct mesh__listener *listener;
	struct mesh__addr addr;
	struct mesh__tcp *tcp;
	struct mesh__timer *limit;
	struct mesh__buf got;
	size_t want; /* bytes in `got` that end the loop */
	int n_accepted;
	int end_code;
	int n_ends;
	bool drained;
};

static void on_data(void *arg, const char *bytes, size_t len)
{
	struct desk *d = arg;

	mesh__buf_add(&d->got, bytes, len);
	if (d->got.len >= d->want) {
		mesh__loop_stop(d->loop);
	}
}

static void on_end(void *arg, int code)
{
	struct desk *d = arg;

	d->end_code = code;
	d->n_ends++;
	mesh__loop_stop(d->loop);
}

static void on_drained(void *arg)
{
	struct desk *d = arg;

	d->drained = true;
	mesh__loop_stop(d->loop);
}

static const struct mesh__tcp_events events = {on_data, on_end, on_drained};

static void on_accept(void *arg, const struct mesh__arrival *arrival)
{
	struct desk *d = arg;
	struct mesh__tcp *tcp = mesh__tcp_new(d->loop, arrival);

	assert_non_null(tcp);

	d->n_accepted++;
	if (d->tcp == NULL) {
		d->tcp = tcp;
		mesh__tcp_start(tcp, &events, d);
	} else {
		mesh__tcp_close(tcp, false);
	}
	mesh__loop_stop(d->loop);
}

static void stop_now(void *arg)
{
	mesh__loop_stop(((struct desk *)arg)->loop);
}

static void too_long(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for ten seconds");
}

static int set_up(void **state)
{
	static struct desk d;
	struct mesh__addr any;

	memset(&d, 0, sizeof(d));
	mesh__env_init(&d.env);
	mesh__buf_init(&d.got, &d.env.mem, 1 << 26);
	d.want = SIZE_MAX;
	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &any, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&d.env, &d.loop, NULL), MESH_OK);
	assert_int_equal(mesh__timer_new(d.loop, too_long, &d, &d.limit), MESH_OK);
	mesh__timer_start(d.limit, 10000, 0);
	assert_int_equal(mesh__listener_new(d.loop, &any, 16, on_accept, &d, &d.listener, NULL), MESH_OK);
	mesh__listener_address(d.listener, &d.addr);
	*state = &d;
	return 0;
}

static int tear_down(void **state)
{
	struct desk *d = *state;

	mesh__tcp_close(d->tcp, false);
	mesh__listener_free(d->listener);
	mesh__timer_free(d->limit);
	mesh__loop_free(d->loop);
	mesh__buf_fini(&d->got);
	return 0;
}

static int dial(const struct desk *d)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(d->addr.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int dial_and_accept(struct desk *d)
{
	int fd = dial(d);

	mesh__loop_run(d->loop);
	assert_non_null(d->tcp);
	return fd;
}

static void tells_its_true_address_and_the_peers(void **state)
{
	struct desk *d = *state;
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	struct mesh__addr peer;
	int fd = dial_and_accept(d);

	assert_int_not_equal(d->addr.port, 0);
	assert_string_equal(d->addr.ip, "127.0.0.1");
	mesh__tcp_peer(d->tcp, &peer);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(peer.port, ntohs(sa.sin_port));
	assert_string_equal(peer.ip, "127.0.0.1");
	(void)close(fd);
}

static void says_which_address_is_in_use(void **state)
{
	struct desk *d = *state;
	struct mesh__listener *second = NULL;
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__listener_new(d->loop, &d->addr, 16, on_accept, d, &second, &err), MESH_E_IO);
	assert_null(second);
	assert_non_null(strstr(err.message, "127.0.0.1:"));
	assert_non_null(strstr(err.message, "in use"));
}

static void reads_what_comes_and_hears_the_orderly_end(void **state)
{
	struct desk *d = *state;
	int fd = dial_and_accept(d);

	d->want = 5;
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	mesh__loop_run(d->loop);
	assert_string_equal(d->got.data, "hello");
	(void)close(fd);
	mesh__loop_run(d->loop);
	assert_int_equal(d->n_ends, 1);
	assert_int_equal(d->end_code, MESH_OK);
}

static void tells_a_reset_from_an_orderly_end(void **state)
{
	const struct linger now = {1, 0};
	struct desk *d = *state;
	int fd = dial_and_accept(d);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	(void)close(fd);
	mesh__loop_run(d->loop);
	assert_int_equal(d->end_code, MESH_E_RESET);
	assert_int_equal(mesh__tcp_write(d->tcp, "x", 1), MESH_E_RESET);
}

static void keeps_back_what_the_kernel_does_not_take_and_tells_when_it_has(void **state)
{
	static char block[8 * 1024 * 1024], back[65536];
	struct desk *d = *state;
	int fd = dial_and_accept(d);
	size_t total = 0;
	ssize_t n;

	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] = (char)(i * 31 + i / 4096);
	}
	assert_int_equal(mesh__tcp_write(d->tcp, block, sizeof(block)), MESH_OK);
	assert_true(mesh__tcp_queued(d->tcp) > 0);
	mesh__tcp_shutdown(d->tcp); /* after all of it */
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (;;) {
		n = recv(fd, back, sizeof(back), 0);
		if (n == 0) {
			break;
		}
		if (n > 0) {
			assert_memory_equal(back, block + total, (size_t)n);
			total += (size_t)n;
		} else {
			struct mesh__post post;

			mesh__loop_post(d->loop, &post, stop_now, d);
			mesh__loop_run(d->loop);
		}
	}
	assert_int_equal(total, sizeof(block));
	assert_true(d->drained);
	assert_int_equal(mesh__tcp_queued(d->tcp), 0);
	(void)close(fd);
}

/* What waits to be written to it goes nowhere any more, and whoever made it is to stop. */
static void who_has_ended_its_side_and_then_goes_is_heard_of_twice(void **state)
{
	static char block[8 * 1024 * 1024];
	struct desk *d = *state;

	for (int at_once = 0; at_once < 2; at_once++) {
		int fd = dial_and_accept(d);

		d->n_ends = 0;
		assert_int_equal(mesh__tcp_write(d->tcp, block, sizeof(block)), MESH_OK);
		assert_true(mesh__tcp_queued(d->tcp) > 0);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		if (!at_once) {
			mesh__loop_run(d->loop);
			assert_int_equal(d->n_ends, 1);
			assert_int_equal(d->end_code, MESH_OK);
		}
		(void)close(fd);
		while (d->n_ends == 0 || d->end_code == MESH_OK) {
			mesh__loop_run(d->loop);
		}
		assert_int_equal(d->end_code, MESH_E_RESET);
		assert_true(d->n_ends <= 2);
		mesh__tcp_close(d->tcp, true);
		d->tcp = NULL;
	}
}

static void reads_nothing_while_paused(void **state)
{
	struct desk *d = *state;
	struct mesh__post post;
	int fd = dial_and_accept(d);

	mesh__tcp_pause(d->tcp, true);
	assert_int_equal(send(fd, "later", 5, 0), 5);
	mesh__loop_post(d->loop, &post, stop_now, d);
	mesh__loop_run(d->loop);
	assert_int_equal(d->got.len, 0);
	d->want = 5;
	mesh__tcp_pause(d->tcp, false);
	mesh__loop_run(d->loop);
	assert_string_equal(d->got.data, "later");
	(void)close(fd);
}

/* With SIGPIPE at its default, a write into a dead connection must not end the process; so it is a child that tries. */
static void a_write_to_a_dead_peer_raises_no_signal(void **state)
{
	struct desk *d = *state;
	int status, fd = dial_and_accept(d);
	pid_t pid;

	(void)close(fd);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sigset_t none;
		int rc = MESH_OK;

		(void)sigemptyset(&none);
		(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
		(void)signal(SIGPIPE, SIG_DFL);
		for (int i = 0; rc == MESH_OK && i < 1000; i++) {
			rc = mesh__tcp_write(d->tcp, "x", 1);
		}
		_exit(rc == MESH_E_RESET ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void close_may_reset(void **state)
{
	struct desk *d = *state;
	char byte;
	int fd = dial_and_accept(d);

	mesh__tcp_close(d->tcp, true);
	d->tcp = NULL;
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	(void)close(fd);
}

static void accepting_waits_for_a_free_descriptor_and_goes_on(void **state)
{
	struct desk *d = *state;
	struct rlimit before, low;
	struct mesh__timer *pause;
	int fd = dial(d);
	int spare, second;
	char byte;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(spare >= 0);
	(void)close(spare);
	low = (struct rlimit){(rlim_t)spare, before.rlim_max}; /* no new descriptor fits below it */
	assert_int_equal(mesh__timer_new(d->loop, stop_now, d, &pause), MESH_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	mesh__timer_start(pause, 10, 0);
	mesh__loop_run(d->loop);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(d->n_accepted, 0);
	second = dial(d);
	mesh__loop_run(d->loop);
	/* Valgrind plays the limit by closing what the kernel has accepted; else the first has waited. */
	assert_int_equal(d->n_accepted, recv(fd, &byte, 1, MSG_DONTWAIT) == 0 && d->n_accepted == 1 ? 1 : 2);
	mesh__timer_free(pause);
	(void)close(second);
	(void)close(fd);
}

static void a_childs_abandon_does_not_end_the_parents_connection(void **state)
{
	struct desk *d = *state;
	int status, fd = dial_and_accept(d);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		mesh__loop_abandon(d->loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	d->want = 5;
	assert_int_equal(send(fd, "alive", 5, 0), 5);
	mesh__loop_run(d->loop);
	assert_string_equal(d->got.data, "alive");
	assert_int_equal(d->n_ends, 0);
	(void)close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tells_its_true_address_and_the_peers),
		TEST(says_which_address_is_in_use),
		TEST(reads_what_comes_and_hears_the_orderly_end),
		TEST(tells_a_reset_from_an_orderly_end),
		TEST(keeps_back_what_the_kernel_does_not_take_and_tells_when_it_has),
		TEST(who_has_ended_its_side_and_then_goes_is_heard_of_twice),
		TEST(reads_nothing_while_paused),
		TEST(a_write_to_a_dead_peer_raises_no_signal),
		TEST(close_may_reset),
		TEST(accepting_waits_for_a_free_descriptor_and_goes_on),
		TEST(a_childs_abandon_does_not_end_the_parents_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
