#include "meshctl/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wire/url.h"

enum { ANSWER_MAX_BYTES = 64 * 1024 * 1024, CONNECT_MS = 3000, ANSWER_MS = 30000, VALUE_MAX = 1024 };

int ctl_admin_exit(int code)
{
	switch (code) {
	case MESH_OK:
		return CTL_OK;
	case MESH_E_INVALID:
		return CTL_USAGE;
	case MESH_E_DENIED:
		return CTL_DENIED;
	case MESH_E_NO_MEMORY:
		return CTL_FAILED;
	default:
		return CTL_UNREACHABLE;
	}
}

int ctl_admin_try(struct ctl *ctl, struct ctl_admin *admin, struct mesh__err *err)
{
	struct mesh__pool_options options;
	char host[MESH__ADDR_TEXT];

	memset(admin, 0, sizeof(*admin));
	admin->ctl = ctl;
	mesh__client_response_init(&admin->response, &ctl->env, ANSWER_MAX_BYTES);
	if (ctl_locate(ctl, &admin->place, err) != MESH_OK) {
		return err->code;
	}
	mesh__pool_options_default(&options);
	memset(&options.target, 0, sizeof(options.target));
	options.target.address = admin->place.address;
	options.target.insecure_plaintext = true; /* on the loopback alone: ctl_locate() refuses any other address */
	mesh__addr_format(&admin->place.address, host);
	(void)snprintf(options.target.host, sizeof(options.target.host), "%s", host);
	options.creds = NULL;
	return mesh__pool_new(&ctl->env, &options, &admin->pool, err);
}

int ctl_admin_open(struct ctl *ctl, struct ctl_admin *admin)
{
	struct mesh__err err = MESH__NO_ERR;
	int code = ctl_admin_try(ctl, admin, &err);

	return code == MESH_OK ? CTL_OK : ctl_fail_err(ctl, ctl_admin_exit(code), &err);
}

void ctl_admin_close(struct ctl_admin *admin)
{
	mesh__pool_unref(admin->pool);
	admin->pool = NULL;
	mesh__client_response_fini(&admin->response);
	mesh__wipe(admin->place.token, sizeof(admin->place.token));
}

/* MESH_E_CONTROL whatever broke: the caller's remedy is the same. */
static int unreachable(const struct ctl_admin *admin, struct mesh__err *err)
{
	const char *data = admin->place.data, *url = admin->place.admin;
	char why[sizeof(err->message)] = "nothing listens there";

	if (err->code != MESH_E_CONNECT) {
		(void)snprintf(why, sizeof(why), "%s", err->message);
	}
	if (data[0] != '\0') {
		return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_CONTROL,
			"cannot reach meshd at %s: %s; start it with `meshd --data %s`", url, why, data);
	}
	return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_CONTROL,
		"cannot reach meshd at %s: %s; is it running, and is MESH_ADMIN its address?", url, why);
}

/* The admin token is one for all; the history of the configuration also shows who used it. */
static const char *operator_name(void)
{
	static const char *const names[] = {"MESH_OPERATOR", "SUDO_USER", "LOGNAME", "USER"};
	const char *name = NULL;

	for (size_t i = 0; i < MESH__COUNT(names) && name == NULL; i++) {
		name = ctl_env(names[i]);
		name = name != NULL && mesh__field_value_valid(name, strlen(name)) ? name : NULL;
	}
	return name;
}

int ctl_admin_exchange(struct ctl_admin *admin, const char *method, const char *target, const struct mesh__buf *body,
	struct mesh__err *err)
{
	char bearer[CTL_ADMIN_TOKEN_MAX + 8];
	const char *operator = operator_name();
	struct mesh__client_field fields[3] = {{"authorization", bearer}};
	struct mesh__client_request request = {0};
	struct mesh__client_result result;
	struct mesh__client_wait wait = {.deadline_us = mesh__mono_us(&admin->ctl->env) + (int64_t)ANSWER_MS * 1000};
	int code;

	(void)snprintf(bearer, sizeof(bearer), "Bearer %s", admin->place.token);
	request.method = method;
	request.target = target;
	request.fields = fields;
	request.n_fields = 1;
	if (body != NULL) {
		fields[request.n_fields++] = (struct mesh__client_field){"content-type", "application/json"};
	}
	if (operator != NULL) {
		fields[request.n_fields++] = (struct mesh__client_field){"x-mesh-operator", operator};
	}
	request.body = body != NULL ? body->data : NULL;
	request.body_len = body != NULL ? body->len : 0;
	request.has_body = body != NULL;
	request.max_response_bytes = ANSWER_MAX_BYTES;
	mesh__client_response_clear(&admin->response);
	code = mesh__pool_exchange(admin->pool, &request, CONNECT_MS, &wait, &admin->response, &result, err);
	mesh__wipe(bearer, sizeof(bearer));
	return code == MESH_OK ? MESH_OK : unreachable(admin, err);
}

/* Faults of a configuration go out as they are, one a line: file:line:column: …, where editors find them. */
static int refuse_configuration(struct ctl *ctl, const struct mesh__json *answer)
{
	const struct mesh__json *faults = mesh__json_get(answer, "faults");
	const char *message = mesh__json_text(mesh__json_get(answer, "message"));

	for (const struct mesh__json *f = mesh__json_first(faults); f != NULL; f = mesh__json_next(f)) {
		const char *text = mesh__json_text(f);
		(void)fprintf(ctl->messages, "%s\n", text != NULL ? text : "");
	}
	if (mesh__json_count(faults) == 0) {
		return ctl_fail(ctl, CTL_INVALID, "%s", message != NULL ? message : "invalid configuration");
	}
	return ctl_fail(ctl, CTL_INVALID, "nothing was changed: %zu fault%s", mesh__json_count(faults),
		mesh__json_count(faults) == 1 ? "" : "s");
}

static int refusal_exit(int status)
{
	switch (status) {
	case 400:
		return CTL_USAGE;
	case 401:
	case 403:
		return CTL_DENIED;
	case 422:
		return CTL_INVALID;
	default:
		return CTL_FAILED;
	}
}

static int refuse(struct ctl_admin *admin, const struct mesh__json *answer)
{
	struct ctl *ctl = admin->ctl;
	int status = admin->response.status;
	const char *message = mesh__json_text(mesh__json_get(answer, "message"));

	if (status == 422) {
		return refuse_configuration(ctl, answer);
	}
	if (status == 401) {
		return ctl_fail(ctl, CTL_DENIED, "meshd at %s refused the admin token; it is in admin.token in its data directory", admin->place.admin);
	}
	if (message == NULL) {
		return ctl_fail(ctl, refusal_exit(status), "meshd at %s answered %d", admin->place.admin, status);
	}
	return ctl_fail(ctl, refusal_exit(status), "%s", message);
}

static int call(struct ctl_admin *admin, const char *method, const char *target, const struct mesh__buf *body, bool may_be_missing, struct mesh__json **out)
{
	struct ctl *ctl = admin->ctl;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *answer = NULL;
	int code, exit_code;

	*out = NULL;
	if (ctl_admin_exchange(admin, method, target, body, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_UNREACHABLE, &err);
	}
	if (may_be_missing && admin->response.status == 404) {
		return CTL_OK;
	}
	code = mesh__json_parse(&ctl->env.mem, admin->response.body.data != NULL ? admin->response.body.data : "",
		admin->response.body.len, ANSWER_MAX_BYTES, &answer, &err);
	if (admin->response.status != 200 && admin->response.status != 201) {
		exit_code = refuse(admin, answer);
		mesh__json_free(answer);
		return exit_code;
	}
	if (code != MESH_OK) {
		return ctl_fail(ctl, CTL_FAILED, "what meshd at %s answered is not JSON: %s", admin->place.admin, err.message);
	}
	*out = answer;
	return CTL_OK;
}

int ctl_admin_call(struct ctl_admin *admin, const char *method, const char *target, const struct mesh__buf *body,
	struct mesh__json **out)
{
	return call(admin, method, target, body, false, out);
}

int ctl_admin_look(struct ctl_admin *admin, const char *target, struct mesh__json **out)
{
	return call(admin, "GET", target, NULL, true, out);
}

int ctl_admin_once(struct ctl *ctl, const char *method, const char *target, const struct mesh__buf *body, struct mesh__json **out)
{
	struct ctl_admin admin;
	int code = ctl_admin_open(ctl, &admin);

	*out = NULL;
	if (code == CTL_OK) {
		code = ctl_admin_call(&admin, method, target, body, out);
	}
	ctl_admin_close(&admin);
	return code;
}

void ctl_target_query(struct mesh__buf *target, const char *key, const char *value)
{
	char encoded[3 * VALUE_MAX + 1];

	if (value == NULL) {
		return;
	}
	if (!mesh__percent_encode(value, encoded, sizeof(encoded))) {
		target->error = MESH_E_TOO_LARGE;
		return;
	}
	mesh__buf_chr(target, target->data != NULL && strchr(target->data, '?') != NULL ? '&' : '?');
	mesh__buf_printf(target, "%s=%s", key, encoded);
}
