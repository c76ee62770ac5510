/* The client of meshd's admin API (docs/ADMIN-API.md): one request, one JSON answer, on the calling thread. */
#ifndef MESHCTL_ADMIN_H
#define MESHCTL_ADMIN_H

#include "base/buf.h"
#include "http/client.h"
#include "meshctl/command.h"
#include "meshctl/locate.h"
#include "wire/json.h"

struct ctl_admin {
	struct ctl *ctl;
	struct ctl_place place;
	struct mesh__pool *pool;
	struct mesh__client_response response; /* of the last call */
};

/* Finds meshd; connects to nothing yet. CTL_OK, or the exit code, its message given. ctl_admin_close() it in either case. */
int ctl_admin_open(struct ctl *ctl, struct ctl_admin *admin) MESH__MUST_USE;

/* The same, quietly: the reason goes to *err. */
int ctl_admin_try(struct ctl *ctl, struct ctl_admin *admin, struct mesh__err *err) MESH__MUST_USE;
void ctl_admin_close(struct ctl_admin *admin);

/*
 * One exchange: status and body are in admin->response. MESH_OK for any status; else the reason why meshd cannot be
 * reached. `body` may be NULL.
 */
int ctl_admin_exchange(struct ctl_admin *admin, const char *method, const char *target, const struct mesh__buf *body,
	struct mesh__err *err) MESH__MUST_USE;

/* One call: *out is the parsed answer, to be freed. CTL_OK, or the exit code that fits the refusal, its message given. */
int ctl_admin_call(struct ctl_admin *admin, const char *method, const char *target, const struct mesh__buf *body,
	struct mesh__json **out) MESH__MUST_USE;

/* A GET of what may be missing: then *out is NULL, CTL_OK, and nothing is told. */
int ctl_admin_look(struct ctl_admin *admin, const char *target, struct mesh__json **out) MESH__MUST_USE;

/* Opens, calls, closes: for commands that make one call. */
int ctl_admin_once(struct ctl *ctl, const char *method, const char *target, const struct mesh__buf *body,
	struct mesh__json **out) MESH__MUST_USE;

/* The exit code of an error that ctl_locate or an exchange gave. */
int ctl_admin_exit(int code);

/*
 * Begins or goes on with a request target: "/v1/endpoints", then "?service=…" and "&…", each value percent-encoded; a
 * NULL value adds nothing.
 */
void ctl_target_query(struct mesh__buf *target, const char *key, const char *value);

#endif
