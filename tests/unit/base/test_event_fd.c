#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>

#include "base/event_fd.h"

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void it_is_readable_while_it_is_raised(void **state)
{
	struct mesh__event_fd e;
	int fd;

	(void)state;
	mesh__event_fd_init(&e);
	fd = mesh__event_fd_get(&e, NULL);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		assert_false(readable(fd));
		mesh__event_fd_set(&e, true);
		mesh__event_fd_set(&e, true);
		assert_true(readable(fd));
		mesh__event_fd_set(&e, false);
		mesh__event_fd_set(&e, false);
	}
	assert_int_equal(mesh__event_fd_get(&e, NULL), fd);
	mesh__event_fd_fini(&e);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	mesh__event_fd_fini(&e);
}

static void it_costs_no_descriptor_before_somebody_asks_and_then_tells_of_what_was_before(void **state)
{
	struct mesh__event_fd e;

	(void)state;
	mesh__event_fd_init(&e);
	mesh__event_fd_set(&e, true);
	assert_int_equal(e.fd, -1);
	assert_true(readable(mesh__event_fd_get(&e, NULL)));
	mesh__event_fd_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_readable_while_it_is_raised),
		cmocka_unit_test(it_costs_no_descriptor_before_somebody_asks_and_then_tells_of_what_was_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
