/* A destination for tests of what lies below outbound/: it counts its references and keeps the policy that it was told last. One thread at a time, but for the references. */
#ifndef TESTS_SUPPORT_TEST_DESTINATION_H
#define TESTS_SUPPORT_TEST_DESTINATION_H

#include <stdatomic.h>

#include "base/mem.h"
#include "control/snapshot.h"
#include "policy/document.h"

/* Of a test's own, as the endpoint is: what outbound/ makes of it is outbound's affair. */
struct mesh__destination {
	_Atomic int refs;
	struct mesh__service_policy policy;
	int tuned; /* so often */
};

/* One reference; NULL when out of memory. */
struct mesh__destination *test_destination_new(const struct mesh__mem *mem);
void test_destination_ref(struct mesh__destination *d);
void test_destination_unref(struct mesh__destination *d);
void test_destination_tune(struct mesh__destination *d, const struct mesh__service_policy *policy);

/* No endpoint's health has changed; of no endpoint is anything known. */
uint32_t test_destination_health_epoch(const struct mesh__destination *d);
void test_destination_view(const struct mesh__endpoint *endpoint, struct mesh__endpoint_view *out);

/* The members of a struct mesh__endpoint_source, `make` being the test's. */
#define TEST_DESTINATION(make_it)                                                                                      \
	.destination = (make_it), .destination_ref = test_destination_ref, .destination_unref = test_destination_unref, .tune = test_destination_tune,    \
	.view = test_destination_view, .health_epoch = test_destination_health_epoch

#endif
