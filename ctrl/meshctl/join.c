#include "meshctl/join.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/signals.h"
#include "meshctl/token.h"
#include "wire/name.h"

enum { TOKEN_TTL_MS = 600 * 1000, SLICE_MS = 250 };

/* What is on its way to mesh_open(). */
struct join {
	struct ctl *ctl;
	mesh_options *options;
	struct mesh__name name; /* service "" when it is left to the token */
};

static int set(struct join *j, const char *key, const char *value)
{
	if (value != NULL && mesh_options_set(j->options, key, value) != MESH_OK) {
		return ctl_fail(j->ctl, CTL_USAGE, "%s", mesh_options_message(j->options));
	}
	return CTL_OK;
}

static int set_name(struct join *j, const char *service)
{
	struct mesh__err err = MESH__NO_ERR;
	int code = CTL_OK;

	(void)snprintf(j->name.ns, sizeof(j->name.ns), "%s", ctl_namespace(j->ctl));
	if (service == NULL) {
		return CTL_OK;
	}
	if (mesh__service_parse(service, ctl_namespace(j->ctl), &j->name, &err) != MESH_OK) {
		return ctl_fail_err(j->ctl, CTL_USAGE, &err);
	}
	code = set(j, "service", j->name.service);
	return code != CTL_OK ? code : set(j, "namespace", j->name.ns);
}

/* Options of the command line win over the environment, which the library reads by itself. */
static int set_options(struct join *j, const char *service)
{
	static const char *const keys[] = {"version", "zone", "listen", "advertise"};
	int code = set_name(j, service);

	for (size_t i = 0; i < MESH__COUNT(keys) && code == CTL_OK; i++) {
		code = set(j, keys[i], ctl_text(&j->ctl->args, keys[i]));
	}
	if (code == CTL_OK && ctl_text(&j->ctl->args, "upstream") != NULL) {
		code = set(j, "request_bodies", "streamed");
	}
	if (code == CTL_OK && ctl_env("MESH_LOG") == NULL) {
		code = set(j, "log", j->ctl->command == &ctl_serve ? "warn" : "error"); /* what a call meets is told with its result */
	}
	return code;
}

/* Found by MESH_ADMIN there is no meshd.json to look into, but meshd itself can be asked. */
static int ask_control(struct join *j, struct ctl_admin *admin)
{
	struct mesh__json *status = NULL;
	int code = CTL_OK;

	if (ctl_env("MESH_CONTROL") != NULL) {
		return CTL_OK;
	}
	if (admin->place.control[0] != '\0') {
		return set(j, "control", admin->place.control);
	}
	code = ctl_admin_call(admin, "GET", "/v1/status", NULL, &status);
	if (code == CTL_OK) {
		code = set(j, "control", mesh__json_text(mesh__json_get(status, "control")));
	}
	mesh__json_free(status);
	return code;
}

static int mint(struct join *j, struct ctl_admin *admin)
{
	struct ctl_token_order order = {j->name.service, j->name.ns, TOKEN_TTL_MS, 1};
	struct mesh__json *answer = NULL;
	int code;

	if (j->name.service[0] == '\0') {
		return ctl_fail(j->ctl, CTL_USAGE, "which service to join as? Name it (`meshctl %s --help`), or set MESH_SERVICE or MESH_TOKEN", j->ctl->command->name);
	}
	code = ctl_token_mint(admin, &order, &answer);
	if (code == CTL_OK) {
		code = set(j, "token", mesh__json_text(mesh__json_get(answer, "token")));
	}
	mesh__json_free(answer);
	return code;
}

/* meshd is down or out of reach; what its files told of it may do all the same. */
static int use_known_control(struct join *j, const struct ctl_admin *admin)
{
	return admin->place.control[0] != '\0' && ctl_env("MESH_CONTROL") == NULL ? set(j, "control", admin->place.control) : CTL_OK;
}

/*
 * Whatever the environment gives already is not asked for. A state directory may hold an identity, so a meshd that is
 * down does not end the join there.
 */
static int set_credentials(struct join *j)
{
	struct mesh__err err = MESH__NO_ERR;
	struct ctl_admin admin;
	bool named = ctl_env("MESH_CERTIFICATE") != NULL; /* an identity from elsewhere needs no token */
	bool has_token = named || ctl_env("MESH_TOKEN") != NULL, may_do_without = has_token || ctl_env("MESH_STATE_DIR") != NULL;
	int code;

	if (has_token && (ctl_env("MESH_CONTROL") != NULL || (named && ctl_env("MESH_ENDPOINTS") != NULL))) {
		return CTL_OK;
	}
	code = ctl_admin_try(j->ctl, &admin, &err);
	if (code == MESH_OK && may_do_without) {
		code = ctl_admin_exchange(&admin, "GET", "/livez", NULL, &err);
	}
	if (code != MESH_OK && may_do_without) {
		code = use_known_control(j, &admin);
	} else if (code != MESH_OK) {
		code = ctl_fail(j->ctl, ctl_admin_exit(code), "cannot join without MESH_TOKEN: %s", err.message);
	} else {
		code = ask_control(j, &admin);
		if (code == CTL_OK && !has_token) {
			code = mint(j, &admin);
		}
	}
	ctl_admin_close(&admin);
	return code;
}

static int open_mesh(struct join *j, mesh **out)
{
	mesh_error *error = NULL;
	int32_t code = mesh_open(j->options, out, &error);
	int exit_code = CTL_OK;

	if (code != MESH_OK) {
		exit_code = ctl_fail(j->ctl, code == MESH_E_INVALID ? CTL_USAGE : CTL_FAILED, "%s",
			error != NULL ? mesh_error_message(error) : mesh_code_name(code));
	}
	mesh_error_free(error);
	return exit_code;
}

int ctl_join(struct ctl *ctl, const char *service, mesh **out)
{
	struct join j = {.ctl = ctl, .options = mesh_options_new()};
	int code;

	*out = NULL;
	if (j.options == NULL) {
		return ctl_fail_memory(ctl);
	}
	code = set_options(&j, service);
	if (code == CTL_OK) {
		code = set_credentials(&j);
	}
	if (code == CTL_OK) {
		code = open_mesh(&j, out);
	}
	mesh_options_free(j.options);
	return code;
}

static int ready_exit(int32_t code)
{
	return code == MESH_E_DENIED ? CTL_DENIED : code == MESH_E_TIMEOUT || code == MESH_E_CONTROL ? CTL_UNREACHABLE : CTL_FAILED;
}

/* In slices, because a signal does not wake mesh_wait_ready(). */
int ctl_join_wait(struct ctl *ctl, mesh *m, int64_t timeout_ms, int signals, bool *stopped)
{
	int64_t end_ms = mesh__mono_ms(&ctl->env) + timeout_ms;

	for (*stopped = false;;) {
		mesh_error *error = NULL;
		int64_t left_ms = end_ms - mesh__mono_ms(&ctl->env);
		int32_t code = mesh_wait_ready(m, left_ms < SLICE_MS ? (left_ms > 0 ? left_ms : 0) : SLICE_MS, &error);
		int exit_code = CTL_OK;

		*stopped = code == MESH_E_TIMEOUT && signals >= 0 && ctl_signals_wait(signals, -1, 0);
		if (code != MESH_OK && !*stopped && (code != MESH_E_TIMEOUT || left_ms <= SLICE_MS)) {
			exit_code = ctl_fail(ctl, ready_exit(code), "not joined: %s",
				error != NULL ? mesh_error_message(error) : mesh_code_name(code));
		}
		mesh_error_free(error);
		if (code == MESH_OK || *stopped || exit_code != CTL_OK) {
			return exit_code;
		}
	}
}
