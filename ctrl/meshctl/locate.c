#include "meshctl/locate.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/files.h"
#include "wire/json.h"
#include "wire/url.h"

enum { FILE_MAX_BYTES = 16384 };

/* The admin listener is loopback HTTP; "localhost" stands for 127.0.0.1, and no name is looked up. */
static int take_admin(struct ctl_place *place, const char *what, const char *url, struct mesh__err *err)
{
	struct mesh__origin_url parsed;
	char text[MESH__ADDR_TEXT];

	if (mesh__origin_url_parse(what, url, true, &parsed, err) != MESH_OK) {
		return err->code;
	}
	if (parsed.tls) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%s\": the admin listener speaks plain http on the loopback", what, url);
	}
	(void)snprintf(text, sizeof(text), parsed.v6 ? "[%.45s]:%u" : "%.48s:%u",
		strcmp(parsed.host, "localhost") == 0 ? "127.0.0.1" : parsed.host, (unsigned)parsed.port);
	(void)snprintf(place->admin, sizeof(place->admin), "%s", url);
	if (mesh__addr_parse(what, text, false, &place->address, err) != MESH_OK) {
		return err->code;
	}
	if (!mesh__addr_is_loopback(&place->address)) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%s\": the token would cross the network in the clear; "
			"use a loopback address (ssh -L reaches a distant meshd)", what, url);
	}
	return MESH_OK;
}

static int take_token(struct ctl_place *place, const char *text, struct mesh__err *err)
{
	size_t len = strcspn(text, "\r\n");

	if (len == 0 || len >= sizeof(place->token)) {
		return mesh__fail(err, MESH_E_DENIED, "the admin token is %s", len == 0 ? "empty" : "too long");
	}
	memcpy(place->token, text, len);
	place->token[len] = '\0';
	return MESH_OK;
}

static int read_token(const struct ctl *ctl, struct ctl_place *place, struct mesh__err *err)
{
	char path[PATH_MAX];
	struct mesh__buf text;
	int code;

	if (!ctl_file_path(place->data, "admin.token", path, sizeof(path))) {
		return mesh__fail(err, MESH_E_INVALID, "%s: the path is too long", place->data);
	}
	mesh__buf_init(&text, &ctl->env.mem, FILE_MAX_BYTES);
	code = ctl_file_read(path, &text, err);
	if (code != MESH_OK) {
		err->code = MESH_E_DENIED;
		code = mesh__wrap(err, "no admin token (run this as the user that meshd runs as)");
	} else {
		code = take_token(place, text.data != NULL ? text.data : "", err);
	}
	mesh__buf_fini_secret(&text);
	return code;
}

static int parse_state(const struct ctl *ctl, struct ctl_place *place, const char *path, const struct mesh__buf *text,
	struct mesh__err *err)
{
	struct mesh__json *json = NULL;
	const char *admin, *control;
	int code = mesh__json_parse(&ctl->env.mem, text->data != NULL ? text->data : "", text->len, FILE_MAX_BYTES, &json, err);

	if (code != MESH_OK) {
		return mesh__wrap(err, "%s", path);
	}
	admin = mesh__json_text(mesh__json_get(json, "admin"));
	control = mesh__json_text(mesh__json_get(json, "control"));
	if (admin == NULL) {
		code = mesh__fail(err, MESH_E_INVALID, "%s: it has no \"admin\"", path);
	} else {
		code = take_admin(place, path, admin, err);
	}
	if (code == MESH_OK && control != NULL) {
		(void)snprintf(place->control, sizeof(place->control), "%s", control);
	}
	mesh__json_free(json);
	return code;
}

/* meshd.json says where meshd of this directory listens; it is there while meshd is ready. */
static int read_state(const struct ctl *ctl, struct ctl_place *place, struct mesh__err *err)
{
	char path[PATH_MAX];
	struct mesh__buf text;
	int code;

	if (!ctl_file_path(place->data, "meshd.json", path, sizeof(path))) {
		return mesh__fail(err, MESH_E_INVALID, "%s: the path is too long", place->data);
	}
	mesh__buf_init(&text, &ctl->env.mem, FILE_MAX_BYTES);
	code = ctl_file_read(path, &text, err);
	if (code == MESH_E_NOT_FOUND) {
		(void)mesh__fail(err, code, "no meshd runs on %s (there is no %s); start it with `meshd --data %s`",
			place->data, path, place->data);
	} else if (code == MESH_OK) {
		code = parse_state(ctl, place, path, &text, err);
	}
	mesh__buf_fini(&text);
	return code;
}

static int locate_by_environment(const struct ctl *ctl, const char *admin, struct ctl_place *out, struct mesh__err *err)
{
	const char *token = ctl_env("MESH_ADMIN_TOKEN");

	if (take_admin(out, "MESH_ADMIN", admin, err) != MESH_OK) {
		return err->code;
	}
	if (token != NULL) {
		return take_token(out, token, err);
	}
	if (out->data[0] == '\0') {
		return mesh__fail(err, MESH_E_DENIED, "MESH_ADMIN is set, but MESH_ADMIN_TOKEN is not; "
			"its value is in admin.token in meshd's data directory");
	}
	return read_token(ctl, out, err);
}

int ctl_locate(const struct ctl *ctl, struct ctl_place *out, struct mesh__err *err)
{
	const char *flag = ctl_text(&ctl->args, "data");
	const char *admin = ctl_env("MESH_ADMIN");
	const char *data = flag != NULL ? flag : ctl_env("MESH_DATA");
	int code;

	memset(out, 0, sizeof(*out));
	if (data != NULL && strlen(data) >= sizeof(out->data)) {
		return mesh__fail(err, MESH_E_INVALID, "--data: the path is too long");
	}
	(void)snprintf(out->data, sizeof(out->data), "%s", data != NULL ? data : "");
	if (flag == NULL && admin != NULL) {
		return locate_by_environment(ctl, admin, out, err);
	}
	if (data == NULL) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "nothing says where meshd is: "
			"give --data DIR with its data directory, or set MESH_ADMIN and MESH_ADMIN_TOKEN");
	}
	code = read_state(ctl, out, err);
	return code == MESH_OK ? read_token(ctl, out, err) : code;
}
