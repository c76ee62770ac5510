#include "server_core.h"

#include <string.h>

struct core core;

void core_open(struct mesh__http_options *options)
{
	memset(&core, 0, sizeof(core));
	fake_env_init(&core.fake);
	fail_mem_init(&core.mem);
	core.fake.env.mem = core.mem.mem;
	core.metrics = mesh__metrics_new(&core.fake.env);
	options->metrics = core.metrics;
	options->limits.drain_grace_ms = 1000;
	options->address = (struct mesh__addr){.ip = "127.0.0.1", .port = 80};
	CHECK(mesh__loop_new(&core.fake.env, &core.loop, NULL) == MESH_OK);
	CHECK(mesh__http_server_new(core.loop, options, &core.server, NULL) == MESH_OK);
}

void core_close(void)
{
	mesh__loop_free(core.loop);
	mesh__metrics_free(core.metrics);
	CHECK(core.mem.live == 0);
}

static void on_drained(void *arg)
{
	(void)arg;
	core.n_drained++;
}

void core_drain(void)
{
	if (!core.draining) {
		core.draining = true;
		mesh__http_server_drain(core.server, 5000, on_drained, NULL);
	}
}

void core_outlast(int hours, void (*run)(void))
{
	for (int i = 0; i < hours; i++) {
		fake_env_advance_ms(&core.fake, 3600000);
		run();
	}
	CHECK(io_n_open(core.loop) == 0);
	CHECK(core.n_drained == (int)core.draining);
}

size_t core_link_of(const struct mesh__exchange *x, size_t n)
{
	struct mesh__addr addr;

	mesh__exchange_address(x, &addr);
	CHECK(addr.port >= 1 && addr.port <= n);
	return addr.port - 1U;
}

void *core_place(void *places, size_t n, size_t size, void *otherwise)
{
	char *place = places;

	for (size_t i = 0; i < n; i++, place += size) {
		if (*(struct mesh__exchange **)(void *)place == NULL) {
			return place;
		}
	}
	return otherwise;
}
