/* The echo: a handler that answers with what it saw, and misbehaves when asked to. */
#ifndef MESHCTL_ECHO_H
#define MESHCTL_ECHO_H

#include <stdint.h>

#include <meshlib/mesh.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"

struct ctl_echo;

struct ctl_echo_options {
	const char *service;     /* until there is an identity */
	const char *version;     /* NULL: none */
	int32_t status;          /* 0: 200, or 500 for those that fail */
	int64_t delay_ms;
	int64_t fail_thousandths; /* of a percent: 12500 is 12.5 % */
};

/* Borrows the options' strings and `env`. With a delay it has a thread of its own, so that no delayed reply holds up another. */
int ctl_echo_new(const struct mesh__env *env, const struct ctl_echo_options *options, struct ctl_echo **out,
	struct mesh__err *err) MESH__MUST_USE;

/* Once, before the first request. */
void ctl_echo_mesh(struct ctl_echo *echo, mesh *m);

/* The handler, for mesh_serve() "inline"; `user` is the echo. */
void ctl_echo_handle(void *user, mesh_inbound *inbound);

/* Replies to everything that is delayed now, and delays nothing from here on: so that a drain is short. */
void ctl_echo_hurry(struct ctl_echo *echo);

/* When no request can come any more. Accepts NULL. */
void ctl_echo_free(struct ctl_echo *echo);

/* The status that a request gets: `failed` says whether the dice chose it. Pure. */
int32_t ctl_echo_status(const struct ctl_echo_options *options, bool failed);

/* One field of the echo's "headers": names in lower case, several fields of one name joined by ", ". */
struct ctl_echo_field {
	const char *name;
	const char *value;
};

/* What a request shows of itself. */
struct ctl_echo_request {
	const char *service;
	const char *version; /* NULL: none */
	const char *instance, *peer, *method, *path, *query;
	const struct ctl_echo_field *fields;
	size_t n_fields;
	int32_t try_number, http_version;
	const char *body;
	size_t body_len;
};

/* The answer's JSON. Pure. */
void ctl_echo_write(const struct ctl_echo_request *request, struct mesh__buf *out);

#endif
