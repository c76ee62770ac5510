#include "meshctl/bell.h"

void ctl_bell_init(struct ctl_bell *bell, struct mesh__loop *loop, void (*heard)(void *arg, unsigned what), void *arg)
{
	bell->loop = loop;
	bell->heard = heard;
	bell->arg = arg;
	atomic_init(&bell->rung, 0);
}

/* The post is free again once this has begun; who rings after the exchange posts anew. */
static void hear(void *arg)
{
	struct ctl_bell *bell = arg;

	bell->heard(bell->arg, atomic_exchange(&bell->rung, 0));
}

void ctl_bell_ring(struct ctl_bell *bell, unsigned what)
{
	if (atomic_fetch_or(&bell->rung, what) == 0) {
		mesh__loop_post(bell->loop, &bell->post, hear, bell);
	}
}
