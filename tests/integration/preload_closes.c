/*
 * Before a program under ThreadSanitizer: libuv closes its descriptors by syscall(), past the runtime, which then takes the next descriptor of that number, another thread's, for the old one and reports a race. Here they
 * become calls of close(), which it sees.
 *
 *   LD_PRELOAD=preload_closes.so program
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARGUMENTS = 6 };

typedef long syscall_fn(long number, ...);

long syscall(long number, ...)
{
	static syscall_fn *_Atomic next;
	long a[ARGUMENTS];
	va_list list;

	va_start(list, number);
	for (size_t i = 0; i < ARGUMENTS; i++) {
		a[i] = va_arg(list, long);
	}
	va_end(list);
	if (number == SYS_close) {
		return close((int)a[0]);
	}
	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	}
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
