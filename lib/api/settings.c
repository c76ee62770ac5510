#include "api/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "inbound/loops.h"
#include "inbound/workers.h"
#include "wire/name.h"

enum { MAX_VALUE = 65536, MAX_BODY_BYTES = 1 << 30 };

static const struct {
	const char *key, *variable, *preset;
} table[] = {
#define X(name, key, variable, preset) {key, variable, preset},
	MESH__SETTINGS(X)
#undef X
};

static int check_number(const char *key, const char *value, uint64_t min, uint64_t max, uint64_t *out, struct mesh__err *err)
{
	uint64_t n;

	if (!mesh__str_u64(value, strlen(value), max, &n) || n < min) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%.40s\": it must be a number from %llu to %llu", key, value, (unsigned long long)min, (unsigned long long)max);
	}
	*out = n;
	return MESH_OK;
}

static int check_printable(const char *key, const char *value, size_t max, struct mesh__err *err)
{
	size_t len = strlen(value);

	if (len == 0 || len > max || !mesh__str_utf8(value, len)) {
		return mesh__fail(err, MESH_E_INVALID, "%s: it must be 1 to %zu bytes of UTF-8", key, max);
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
			return mesh__fail(err, MESH_E_INVALID, "%s: it has a control character at byte %zu", key, i);
		}
	}
	return MESH_OK;
}

static int check_tls_version(const char *key, const char *value, struct mesh__err *err)
{
	bool known = strcmp(value, "1.2") == 0 || strcmp(value, "1.3") == 0;

	return known ? MESH_OK : mesh__fail(err, MESH_E_INVALID, "%s \"%.40s\": it must be 1.2 or 1.3", key, value);
}

static int check_log(const char *value, struct mesh__err *err)
{
	enum mesh__log_level level;

	return mesh__log_level_parse(value, &level) ? MESH_OK : mesh__fail(err, MESH_E_INVALID, "log \"%.40s\": it must be debug, info, warn, error or off", value);
}

int mesh__setting_check(enum mesh__setting setting, const char *value, struct mesh__err *err)
{
	const char *key = table[setting].key;
	struct mesh__servers servers;
	struct mesh__token token;
	struct mesh__addr addr;
	struct mesh__env env;
	uint64_t n;
	int code;

	switch (setting) {
	case MESH__SETTING_CONTROL:
		mesh__env_init(&env);
		return mesh__servers_parse(&env, value, &servers, err);
	case MESH__SETTING_TOKEN:
		code = mesh__token_parse(value, &token, err);
		mesh__wipe(&token, sizeof(token));
		return code;
	case MESH__SETTING_SERVICE:
	case MESH__SETTING_NAMESPACE:
	case MESH__SETTING_INSTANCE:
		return mesh__label_check(key, value, err);
	case MESH__SETTING_VERSION:
	case MESH__SETTING_ZONE:
		return check_printable(key, value, MESH__LABEL_MAX, err);
	case MESH__SETTING_LISTEN:
	case MESH__SETTING_PROBE_LISTEN:
		return mesh__addr_parse(key, value, true, &addr, err);
	case MESH__SETTING_ADVERTISE:
		return mesh__addr_parse(key, value, false, &addr, err);
	case MESH__SETTING_PROBE_METRICS:
		return check_number(key, value, 0, 1, &n, err);
	case MESH__SETTING_WORKERS:
		return check_number(key, value, 1, MESH__WORKERS_MAX, &n, err);
	case MESH__SETTING_LOOPS:
		return check_number(key, value, 1, MESH__LOOPS_MAX, &n, err);
	case MESH__SETTING_TLS_MAX_VERSION:
		return check_tls_version(key, value, err);
	case MESH__SETTING_MAX_BODY:
		return check_number(key, value, 0, MAX_BODY_BYTES, &n, err);
	case MESH__SETTING_REQUEST_BODIES:
		return strcmp(value, "whole") == 0 || strcmp(value, "streamed") == 0 ? MESH_OK : mesh__fail(err, MESH_E_INVALID, "%s \"%.40s\": it must be \"whole\" or \"streamed\"", key, value);
	case MESH__SETTING_LOG:
		return check_log(value, err);
	case MESH__SETTING_STATE_DIR:
	case MESH__SETTING_CERTIFICATE:
	case MESH__SETTING_KEY:
	case MESH__SETTING_BUNDLE:
	case MESH__SETTING_ENDPOINTS:
		return check_printable(key, value, 4096, err);
	case MESH__N_SETTINGS:
		break;
	}
	return mesh__fail(err, MESH_E_INTERNAL, "no such setting");
}

/* The value in force, checked; *out is a heap copy or NULL. An empty environment variable counts as unset. */
static int load_one(const struct mesh__env *env, const struct mesh_options *options, enum mesh__setting setting, char **out, struct mesh__err *err)
{
	const char *value = options == NULL ? NULL : options->values[setting];
	bool from_environment = false;
	int code;

	if (value == NULL) {
		value = getenv(table[setting].variable);
		from_environment = value != NULL && *value != '\0';
		value = from_environment ? value : table[setting].preset;
	}
	if (value == NULL) {
		return MESH_OK;
	}
	code = mesh__setting_check(setting, value, err);
	if (code != MESH_OK) {
		return from_environment ? mesh__wrap(err, "%s", table[setting].variable) : code;
	}
	*out = mesh__strdup(&env->mem, value);
	return *out == NULL ? mesh__fail_memory(err) : MESH_OK;
}

static void parse_all(const struct mesh__env *env, struct mesh__settings *s)
{
	char *const *v = s->values;
	uint64_t n = 0;

	(void)!mesh__servers_parse(env, v[MESH__SETTING_CONTROL], &s->servers, NULL);
	s->has_token = v[MESH__SETTING_TOKEN] != NULL && mesh__token_parse(v[MESH__SETTING_TOKEN], &s->token, NULL) == MESH_OK;
	s->has_listen = v[MESH__SETTING_LISTEN] != NULL && mesh__addr_parse("listen", v[MESH__SETTING_LISTEN], true, &s->listen, NULL) == MESH_OK;
	s->has_probe = v[MESH__SETTING_PROBE_LISTEN] != NULL && mesh__addr_parse("probe_listen", v[MESH__SETTING_PROBE_LISTEN], true, &s->probe, NULL) == MESH_OK;
	s->probe_metrics = strcmp(v[MESH__SETTING_PROBE_METRICS], "1") == 0;
	(void)mesh__str_u64(v[MESH__SETTING_WORKERS], strlen(v[MESH__SETTING_WORKERS]), UINT64_MAX, &n);
	s->workers = (int32_t)n;
	n = 0;
	if (v[MESH__SETTING_LOOPS] != NULL) {
		(void)mesh__str_u64(v[MESH__SETTING_LOOPS], strlen(v[MESH__SETTING_LOOPS]), UINT64_MAX, &n);
	}
	s->loops = (int32_t)n;
	s->tls12 = strcmp(v[MESH__SETTING_TLS_MAX_VERSION], "1.2") == 0;
	(void)mesh__str_u64(v[MESH__SETTING_MAX_BODY], strlen(v[MESH__SETTING_MAX_BODY]), UINT64_MAX, &n);
	s->max_body_bytes = (size_t)n;
	s->stream_bodies = strcmp(v[MESH__SETTING_REQUEST_BODIES], "streamed") == 0;
	s->log_level = MESH__LOG_OFF;
	if (v[MESH__SETTING_LOG] != NULL) {
		(void)mesh__log_level_parse(v[MESH__SETTING_LOG], &s->log_level);
	}
}

/* How they fit: an identity must come from somewhere, and what belongs together must be there together. */
static int check_together(const struct mesh__settings *s, struct mesh__err *err)
{
	char *const *v = s->values;
	bool cert = v[MESH__SETTING_CERTIFICATE] != NULL, key = v[MESH__SETTING_KEY] != NULL, bundle = v[MESH__SETTING_BUNDLE] != NULL;

	if (cert != key || key != bundle) {
		return mesh__fail(err, MESH_E_INVALID, "certificate, key and bundle belong together: %s is not set", !cert ? "certificate" : !key ? "key" : "bundle");
	}
	if (v[MESH__SETTING_STATE_DIR] != NULL && v[MESH__SETTING_SERVICE] == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "state_dir needs service (MESH_SERVICE): what is kept is kept by service");
	}
	if (cert) {
		return MESH_OK;
	}
	if (s->servers.n == 0) {
		return mesh__fail(err, MESH_E_INVALID, "control is not set: give the URL of meshd (MESH_CONTROL=https://host:7440), or certificate, key and bundle for an identity from elsewhere");
	}
	if (!s->has_token && v[MESH__SETTING_STATE_DIR] == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "token is not set: give a join token (MESH_TOKEN; `meshctl token create --service NAME` prints one)");
	}
	return MESH_OK;
}

int mesh__settings_load(const struct mesh__env *env, const struct mesh_options *options, struct mesh__settings *out, struct mesh__err *err)
{
	int code = MESH_OK;

	memset(out, 0, sizeof(*out));
	for (int i = 0; code == MESH_OK && i < MESH__N_SETTINGS; i++) {
		code = load_one(env, options, (enum mesh__setting)i, &out->values[i], err);
	}
	if (code == MESH_OK) {
		parse_all(env, out);
		code = check_together(out, err);
	}
	if (code != MESH_OK) {
		mesh__settings_fini(out);
	}
	return code;
}

void mesh__settings_fini(struct mesh__settings *s)
{
	for (size_t i = 0; i < MESH__N_SETTINGS; i++) {
		mesh__free_secret(s->values[i]);
		s->values[i] = NULL;
	}
	mesh__wipe(&s->token, sizeof(s->token));
}

/* ---- mesh_options ---- */

mesh_options *mesh_options_new(void)
{
	struct mesh_options *o = mesh__alloc(mesh__mem_libc(), sizeof(*o));

	if (o != NULL) {
		o->mem = *mesh__mem_libc();
	}
	return o;
}

void mesh_options_free(mesh_options *o)
{
	if (o == NULL) {
		return;
	}
	for (size_t i = 0; i < MESH__N_SETTINGS; i++) {
		mesh__free_secret(o->values[i]);
	}
	mesh__free(o);
}

static int find_setting(const char *key)
{
	for (int i = 0; key != NULL && i < MESH__N_SETTINGS; i++) {
		if (strcmp(table[i].key, key) == 0) {
			return i;
		}
	}
	return -1;
}

static int unknown_option(struct mesh_options *o, const char *key)
{
	const char *keys[MESH__N_SETTINGS], *near;

	for (size_t i = 0; i < MESH__N_SETTINGS; i++) {
		keys[i] = table[i].key;
	}
	near = key == NULL ? NULL : mesh__str_nearest(key, keys, MESH__N_SETTINGS);
	return mesh__fail(&o->err, MESH_E_INVALID, "no option \"%.60s\"%s%s%s", key == NULL ? "" : key, near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

int32_t mesh_options_set(mesh_options *o, const char *key, const char *value)
{
	int setting = find_setting(key), code;
	char *copy = NULL;

	if (o == NULL) {
		return MESH_E_INVALID;
	}
	if (setting < 0) {
		return unknown_option(o, key);
	}
	if (value != NULL) {
		if (strnlen(value, MAX_VALUE) == MAX_VALUE) {
			return mesh__fail(&o->err, MESH_E_INVALID, "%s: longer than %d bytes", key, MAX_VALUE);
		}
		code = mesh__setting_check((enum mesh__setting)setting, value, &o->err);
		if (code != MESH_OK) {
			return code;
		}
		copy = mesh__strdup(&o->mem, value);
		if (copy == NULL) {
			return mesh__fail_memory(&o->err);
		}
	}
	mesh__free_secret(o->values[setting]);
	o->values[setting] = copy;
	return MESH_OK;
}

const char *mesh_options_get(const mesh_options *o, const char *key)
{
	int setting = find_setting(key);

	return o == NULL || setting < 0 ? NULL : o->values[setting];
}

const char *mesh_options_message(const mesh_options *o)
{
	return o == NULL ? "" : o->err.message;
}

void mesh_options_log(mesh_options *o, mesh_log_fn sink, void *user)
{
	if (o != NULL) {
		o->log_sink = sink;
		o->log_user = user;
	}
}

void mesh_options_allocator(mesh_options *o, mesh_alloc_fn alloc, mesh_resize_fn resize, mesh_release_fn release, void *user)
{
	if (o != NULL) {
		o->alloc = alloc;
		o->resize = resize;
		o->release = release;
		o->alloc_user = user;
	}
}

void mesh_options_clock(mesh_options *o, mesh_clock_fn monotonic_us, mesh_clock_fn wall_ms, void *user)
{
	if (o != NULL) {
		o->mono_us = monotonic_us;
		o->wall_ms = wall_ms;
		o->clock_user = user;
	}
}

void mesh_options_dice(mesh_options *o, mesh_dice_fn dice, void *user)
{
	if (o != NULL) {
		o->dice = dice;
		o->dice_user = user;
	}
}
