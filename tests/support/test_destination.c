#include "test_destination.h"

struct mesh__destination *test_destination_new(const struct mesh__mem *mem)
{
	struct mesh__destination *d = mesh__alloc(mem, sizeof(*d));

	if (d != NULL) {
		atomic_init(&d->refs, 1);
	}
	return d;
}

void test_destination_ref(struct mesh__destination *d)
{
	atomic_fetch_add(&d->refs, 1);
}

void test_destination_unref(struct mesh__destination *d)
{
	if (d != NULL && atomic_fetch_sub(&d->refs, 1) == 1) {
		mesh__free(d);
	}
}

void test_destination_tune(struct mesh__destination *d, const struct mesh__service_policy *policy)
{
	d->policy = *policy;
	d->tuned++;
}

uint32_t test_destination_health_epoch(const struct mesh__destination *d)
{
	(void)d;
	return 0;
}

void test_destination_view(const struct mesh__endpoint *endpoint, struct mesh__endpoint_view *out)
{
	(void)endpoint;
	*out = (struct mesh__endpoint_view){.instance = "a"};
}
