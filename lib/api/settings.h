/* The settings of a mesh: in code, else environment, else default; checked here, all of them, with the name of the setting in each message. */
#ifndef MESH__API_SETTINGS_H
#define MESH__API_SETTINGS_H

#include <meshlib/mesh.h>

#include "base/env.h"
#include "base/error.h"
#include "identity/servers.h"
#include "wire/addr.h"
#include "wire/token.h"

/* X(NAME, key, environment variable, default or NULL) */
#define MESH__SETTINGS(X)                                                                                              \
	X(CONTROL, "control", "MESH_CONTROL", NULL)                                                                    \
	X(TOKEN, "token", "MESH_TOKEN", NULL)                                                                          \
	X(SERVICE, "service", "MESH_SERVICE", NULL)                                                                    \
	X(NAMESPACE, "namespace", "MESH_NAMESPACE", "default")                                                         \
	X(INSTANCE, "instance", "MESH_INSTANCE", NULL)                                                                 \
	X(VERSION, "version", "MESH_VERSION", NULL)                                                                    \
	X(ZONE, "zone", "MESH_ZONE", NULL)                                                                             \
	X(LISTEN, "listen", "MESH_LISTEN", NULL)                                                                       \
	X(ADVERTISE, "advertise", "MESH_ADVERTISE", NULL)                                                              \
	X(PROBE_LISTEN, "probe_listen", "MESH_PROBE_LISTEN", NULL)                                                     \
	X(PROBE_METRICS, "probe_metrics", "MESH_PROBE_METRICS", "0")                                                   \
	X(STATE_DIR, "state_dir", "MESH_STATE_DIR", NULL)                                                              \
	X(LOG, "log", "MESH_LOG", NULL)                                                                                \
	X(WORKERS, "workers", "MESH_WORKERS", "16")                                                                    \
	X(LOOPS, "loops", "MESH_LOOPS", NULL)                                                                          \
	X(TLS_MAX_VERSION, "tls_max_version", "MESH_TLS_MAX_VERSION", "1.3")                                            \
	X(MAX_BODY, "max_body", "MESH_MAX_BODY", "16777216")                                                           \
	X(REQUEST_BODIES, "request_bodies", "MESH_REQUEST_BODIES", "whole")                                              \
	X(CERTIFICATE, "certificate", "MESH_CERTIFICATE", NULL)                                                        \
	X(KEY, "key", "MESH_KEY", NULL)                                                                                \
	X(BUNDLE, "bundle", "MESH_BUNDLE", NULL)                                                                       \
	X(ENDPOINTS, "endpoints", "MESH_ENDPOINTS", NULL)

#define X(name, key, variable, preset) MESH__SETTING_##name,
enum mesh__setting { MESH__SETTINGS(X) MESH__N_SETTINGS };
#undef X

struct mesh_options {
	struct mesh__mem mem;
	char *values[MESH__N_SETTINGS]; /* set in code; else NULL */
	struct mesh__err err;           /* of the last refusal */
	mesh_log_fn log_sink;
	void *log_user;
	mesh_alloc_fn alloc;
	mesh_resize_fn resize;
	mesh_release_fn release;
	void *alloc_user;
	mesh_clock_fn mono_us, wall_ms;
	void *clock_user;
	mesh_dice_fn dice;
	void *dice_user;
};

/* The settings in force, parsed. */
struct mesh__settings {
	char *values[MESH__N_SETTINGS]; /* heap, or NULL */
	struct mesh__servers servers;
	bool has_token;
	struct mesh__token token;
	bool has_listen, has_probe;
	struct mesh__addr listen, probe;
	bool probe_metrics;
	int32_t workers;
	int32_t loops; /* 0: one a CPU */
	bool tls12;    /* TLS 1.2 is the most that is served */
	size_t max_body_bytes;
	bool stream_bodies;
	enum mesh__log_level log_level;
};

/* Checks one value by itself. */
int mesh__setting_check(enum mesh__setting setting, const char *value, struct mesh__err *err) MESH__MUST_USE;

/* Takes options (NULL: none) and environment together, checks each and how they fit. */
int mesh__settings_load(const struct mesh__env *env, const struct mesh_options *options, struct mesh__settings *out, struct mesh__err *err) MESH__MUST_USE;
void mesh__settings_fini(struct mesh__settings *settings);

#endif
