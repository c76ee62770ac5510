#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "meshd/notify.h"
#include "unit/meshd/scratch.h"

/* Binds a datagram socket at `name` ('@' first: the abstract name space), tells it something, and returns what came. */
static const char *told_to(const char *name, const char *state)
{
	static char got[64];
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	memcpy(addr.sun_path, name, len);
	if (name[0] == '@') {
		addr.sun_path[0] = '\0';
	}
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	meshd_notify(state);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	got[n < 0 ? 0 : n] = '\0';
	(void)close(fd);
	return got;
}

static void tells_the_service_manager_by_path_and_by_abstract_name(void **state)
{
	struct scratch scratch;
	char abstract[80];

	(void)state;
	assert_int_equal(scratch_init(&scratch), 0);
	assert_string_equal(told_to(scratch_path(&scratch, "notify"), "READY=1"), "READY=1");
	(void)snprintf(abstract, sizeof(abstract), "@meshd-test-%d", (int)getpid());
	assert_string_equal(told_to(abstract, "STOPPING=1"), "STOPPING=1");
	scratch_fini(&scratch);
}

static void says_nothing_where_nobody_asked(void **state)
{
	static const char *const names[] = {"", "relative/path", "/nowhere/at/all"};

	(void)state;
	meshd_notify("READY=1");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
		meshd_notify("READY=1");
	}
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_service_manager_by_path_and_by_abstract_name),
		cmocka_unit_test(says_nothing_where_nobody_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
