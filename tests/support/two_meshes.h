/*
 * Two meshes without a control plane, in one process: "payments", which serves on loopback, and what "cart" needs to call it: identities in PEM files and a file of static endpoints. The calling side's allocator is under the
 * test's hand. Aborts where a test could not go on.
 */
#ifndef TESTS_SUPPORT_TWO_MESHES_H
#define TESTS_SUPPORT_TWO_MESHES_H

#include <meshlib/mesh.h>

#include "alloc_fail.h"
#include "test_ca.h"
#include "wire/addr.h"

struct two_meshes {
	struct mesh__env env;
	struct test_ca ca;
	char dir[64];         /* of the files */
	struct fail_mem mem;  /* of the calling side */
	mesh *payments;
	mesh_server *server;
};

/* `mode` and `handler` as in mesh_serve(); both NULL: payments is not opened yet. */
void two_meshes_init(struct two_meshes *t, const char *mode, mesh_handler_fn handler, void *user);

/* Closes payments, where the test has not (and then set it to NULL). */
void two_meshes_fini(struct two_meshes *t);

/* Options for `service` with an identity of its own and the static endpoints of payments; the allocator is libc's. */
mesh_options *two_meshes_options(struct two_meshes *t, const char *service);

/* The same, with these endpoints instead, whoever listens there, and a connect timeout other than the built-in one (NULL: as below). */
mesh_options *two_meshes_options_at(struct two_meshes *t, const char *service, const struct mesh__addr *addresses, size_t n, const char *connect_timeout);

/* The same, with these fields of the service's document: lines of YAML. A program that is slowed_down() has 20 s to connect and shake hands unless they say connectTimeout. */
mesh_options *two_meshes_options_with(struct two_meshes *t, const char *service, const struct mesh__addr *addresses, size_t n, const char *fields);

/* Where payments listens. */
void two_meshes_address(const struct two_meshes *t, struct mesh__addr *out);

/* Options for cart as two_meshes_options() gives them, with the allocator under the test's hand. */
mesh_options *two_meshes_cart(struct two_meshes *t);

/* Options for `service` with an identity of its own and nothing else. */
mesh_options *two_meshes_identity(struct two_meshes *t, const char *service);

/* Options for payments, which listens on a port of its own choice; the allocator is libc's. */
mesh_options *two_meshes_payments(struct two_meshes *t);

/* A mesh opened with `options`, which are freed, once it is ready. */
mesh *two_meshes_open(mesh_options *options);

/* cart, opened, with these fields of payments' document. */
mesh *two_meshes_open_cart(struct two_meshes *t, const char *fields);

/* How many connections payments has taken so far. */
long two_meshes_connections(const struct two_meshes *t);

#endif
