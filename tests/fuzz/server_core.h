/* The real server core on the loop without a kernel (server_io.h), with a clock and memory under the fuzzer's hand. */
#ifndef TESTS_FUZZ_SERVER_CORE_H
#define TESTS_FUZZ_SERVER_CORE_H

#include "http/server.h"
#include "check.h"
#include "server_io.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

extern struct core {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__metrics *metrics;
	struct mesh__loop *loop;
	struct mesh__http_server *server;
	bool draining; /* core_drain() was called */
	int n_drained;
} core;

/* Of the options all but the metrics and the address, and of the limits the grace of a drain, which are the core's own. */
void core_open(struct mesh__http_options *options);

/* Frees what is left once the server is freed; nothing of it may be. */
void core_close(void);

void core_drain(void);

/* So many hours pass, with `run` after each; then no connection is open, and a drain is over. */
void core_outlast(int hours, void (*run)(void));

/* The number, from 0, of the connection that an exchange is of; `n` there are. */
size_t core_link_of(const struct mesh__exchange *x, size_t n);

/* The first of `n` places, `size` bytes each and each beginning with its exchange, that has none; `otherwise` where all have. */
void *core_place(void *places, size_t n, size_t size, void *otherwise);

#endif
