/*
 * Before a program: a disk that fails, or a process that dies, at a call of the test's choosing.
 *
 *   LD_PRELOAD=preload_disk.so TEST_DISK=FILE TEST_DISK_UNDER=DIR TEST_DISK_PROGRAM=NAME program
 *
 * FILE is a struct plan, mapped and shared: the test fills it in while the program runs and reads from it how far things went. Only the program of that name
 * counts (its children inherit the library), and only calls on files whose path begins with DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum what { NOTHING, KILL_BEFORE, KILL_HALFWAY, KILL_AFTER, FAIL_WRITES, FAIL_SYNCS, SHORT_WRITES };

struct plan {
	_Atomic int32_t what;  /* enum what */
	_Atomic int32_t at;    /* the n-th call from now on, from 1; for the FAIL ones that and all later ones */
	_Atomic int32_t calls; /* how many there were */
	_Atomic int32_t error; /* errno of the FAIL ones */
	_Atomic int32_t hits;  /* how many calls failed */
};

static struct plan *plan;
static char under[4096];
static size_t under_len;

__attribute__((constructor)) static void map_the_plan(void)
{
	const char *path = getenv("TEST_DISK"), *program = getenv("TEST_DISK_PROGRAM"), *dir = getenv("TEST_DISK_UNDER");
	int fd;
	void *map;

	if (path == NULL || program == NULL || dir == NULL || strcmp(program, program_invocation_short_name) != 0) {
		return;
	}
	under_len = strlen(dir);
	if (under_len >= sizeof(under)) {
		abort();
	}
	memcpy(under, dir, under_len + 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		abort(); /* a test that believes in a fault that never comes proves nothing */
	}
	close(fd);
	plan = map;
}

static int on_the_disk(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	if (plan == NULL || plan->what == NOTHING) {
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n >= (ssize_t)under_len && memcmp(path, under, under_len) == 0;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	pause();
}

static ssize_t fail(void)
{
	plan->hits++;
	errno = plan->error;
	return -1;
}

/* This call's turn: counts it and says what is to become of it. */
static enum what turn(void)
{
	int32_t n = ++plan->calls;
	enum what what = (enum what)plan->what;

	if (what == FAIL_WRITES || what == FAIL_SYNCS || what == SHORT_WRITES) {
		return n >= plan->at ? what : NOTHING;
	}
	return n == plan->at ? what : NOTHING;
}

static ssize_t do_write(int fd, const void *bytes, size_t len, off_t at)
{
	return at < 0 ? syscall(SYS_write, fd, bytes, len) : syscall(SYS_pwrite64, fd, bytes, len, at);
}

static ssize_t judged_write(int fd, const void *bytes, size_t len, off_t at)
{
	enum what what = on_the_disk(fd) ? turn() : NOTHING;
	ssize_t n;

	if (what == FAIL_WRITES) {
		return fail();
	}
	if (what == KILL_BEFORE) {
		die();
	}
	if (what == KILL_HALFWAY || what == SHORT_WRITES) {
		len = len > 1 ? len / 2 : len;
	}
	n = do_write(fd, bytes, len, at);
	if (what == KILL_HALFWAY || what == KILL_AFTER) {
		die();
	}
	return n;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	return judged_write(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return judged_write(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return judged_write(fd, bytes, len, at);
}

/* The calls that change a file, but carry no bytes: before or after them, and failing. */
#define JUDGED(counts, fails_with, call)                     \
	do {                                                 \
		enum what what = (counts) ? turn() : NOTHING; \
		int rc;                                      \
		if (what == (fails_with)) {                  \
			return (int)fail();                  \
		}                                            \
		if (what == KILL_BEFORE) {                   \
			die();                               \
		}                                            \
		rc = (int)(call);                            \
		if (what == KILL_HALFWAY || what == KILL_AFTER) { \
			die();                               \
		}                                            \
		return rc;                                   \
	} while (0)

int fsync(int fd)
{
	JUDGED(on_the_disk(fd), FAIL_SYNCS, syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
	JUDGED(on_the_disk(fd), FAIL_SYNCS, syscall(SYS_fdatasync, fd));
}

int ftruncate(int fd, off_t len)
{
	JUDGED(on_the_disk(fd), FAIL_WRITES, syscall(SYS_ftruncate, fd, len));
}

int ftruncate64(int fd, off64_t len)
{
	JUDGED(on_the_disk(fd), FAIL_WRITES, syscall(SYS_ftruncate, fd, len));
}

static int named_on_the_disk(const char *path)
{
	return plan != NULL && plan->what != NOTHING && strncmp(path, under, under_len) == 0;
}

int rename(const char *from, const char *to)
{
	JUDGED(named_on_the_disk(to), FAIL_WRITES, syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}
