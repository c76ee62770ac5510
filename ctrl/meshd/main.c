#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meshd/admin.h"
#include "meshd/control.h"
#include "meshd/enroll.h"
#include "meshd/faults.h"
#include "meshd/identity.h"
#include "meshd/meshd.h"
#include "meshd/notify.h"
#include "meshd/trust.h"

enum { EXIT_USAGE = 2, DRAIN_MS = 2000, CA_START_TRIES = 3, CA_START_MS = 30000 };

/* One run of the program: meshd and what only its beginning and end need. */
struct run {
	struct meshd meshd;
	struct mesh__signal *term, *interrupt;
	char meshca[MESHD_PATH_MAX], ca_dir[MESHD_PATH_MAX];
	int draining;         /* listeners that have not drained yet */
	struct mesh__err err; /* why it ends, when not as asked */
};

static void fail_run(struct run *run, const struct mesh__err *err)
{
	if (run->err.code == MESH_OK) {
		run->err = *err;
	}
	mesh__loop_stop(run->meshd.loop);
}

/* ---- Serving: once identity and trust are there. ---- */

static void url_of(const struct mesh__http_server *server, const char *scheme, char *out, size_t cap)
{
	struct mesh__addr addr;
	char text[MESH__ADDR_TEXT];

	mesh__http_server_address(server, &addr);
	if (strcmp(addr.ip, "0.0.0.0") == 0 || strcmp(addr.ip, "::") == 0) {
		(void)snprintf(addr.ip, sizeof(addr.ip), "%s", addr.v6 ? "::1" : "127.0.0.1"); /* "everywhere" is no place to call; this one always works from here */
	}
	mesh__addr_format(&addr, text);
	(void)snprintf(out, cap, "%s://%s", scheme, text);
}

static int listen_control(struct meshd *meshd, struct mesh__err *err)
{
	struct mesh__http_options options = {.address = meshd->options->listen, .name = "control", .tls = meshd->tls, .handler = meshd_control_handle, .user = meshd,
		.metrics = meshd->metrics};
	int code;

	mesh__http_limits_default(&options.limits);
	options.limits.max_body_bytes = MESH__MSG_MAX_BYTES;
	options.limits.max_stranger_body_bytes = MESHD_ENROLL_MAX_BYTES; /* they can do no more than ask to be let in */
	options.limits.max_connections = 2 * MESHD_SESSIONS_MAX; /* a client has its watch and a connection for its calls */
	code = mesh__http_server_new(meshd->loop, &options, &meshd->control, err);
	if (code == MESH_OK) {
		url_of(meshd->control, "https", meshd->control_url, sizeof(meshd->control_url));
	}
	return code;
}

static int listen_admin(struct meshd *meshd, struct mesh__err *err)
{
	struct mesh__http_options options = {.address = meshd->options->admin, .name = "admin", .handler = meshd_admin_handle, .user = meshd, .metrics = meshd->metrics};
	int code;

	mesh__http_limits_default(&options.limits);
	options.limits.max_body_bytes = MESHD_ADMIN_BODY_MAX;
	options.limits.max_connections = 256;
	code = mesh__http_server_new(meshd->loop, &options, &meshd->admin, err);
	if (code == MESH_OK) {
		url_of(meshd->admin, "http", meshd->admin_url, sizeof(meshd->admin_url));
	}
	return code;
}

static void serve(struct meshd *meshd)
{
	struct run *run = (struct run *)meshd; /* its first member */
	struct mesh__err err = MESH__NO_ERR;
	int code = MESH_OK;

	if (meshd->serving || meshd->stopping) {
		return;
	}
	code = listen_control(meshd, &err);
	code = code == MESH_OK ? listen_admin(meshd, &err) : code;
	meshd->serving = code == MESH_OK;
	code = code == MESH_OK ? meshd_datadir_announce(&meshd->dir, meshd->control_url, meshd->admin_url, meshd->options->trust_domain, &err) : code;
	if (code != MESH_OK) {
		fail_run(run, &err);
		return;
	}
	meshd_notify("READY=1");
	mesh__log(meshd->env, MESH__LOG_INFO, "ready", "control", meshd->control_url, "admin", meshd->admin_url, "trustDomain", meshd->options->trust_domain,
		"data", meshd->dir.path, (char *)NULL);
}

/* The CA is up, for the first time or again. */
static void on_ca_up(void *user, const struct meshd_ca_info *info)
{
	struct run *run = user;
	struct meshd *meshd = &run->meshd;
	struct mesh__err err = MESH__NO_ERR;
	bool first = meshd->trust == NULL;
	int code;

	(void)info;
	code = first || strcmp(mesh__trust_roots(meshd->trust), info->roots_pem) != 0 ? meshd_trust_reload(meshd, &err) : MESH_OK;
	if (code == MESH_OK && first) {
		code = meshd_identity_start(meshd, serve, &err);
	}
	if (code != MESH_OK && first) {
		fail_run(run, &err);
	} else if (code != MESH_OK) {
		mesh__log(meshd->env, MESH__LOG_ERROR, "the CA's roots cannot be taken", "reason", err.message, (char *)NULL);
	}
}

/* ---- What happens by time. ---- */

static void lease_ended(void *user, const char *key, const char *instance)
{
	struct meshd *meshd = user;
	struct mesh__err err = MESH__NO_ERR;

	mesh__log(meshd->env, MESH__LOG_WARN, "lease ended", "service", key, "instance", instance, (char *)NULL);
	(void)(meshd_audit_allowed(meshd->audit, &err, "endpoint-removed", "lease", "service", key, "instance", instance, (char *)NULL) == MESH_OK);
}

static void tick(void *arg)
{
	struct run *run = arg;
	struct meshd *meshd = &run->meshd;
	struct mesh__err err = MESH__NO_ERR;

	meshd_registry_expire(meshd->registry, lease_ended, meshd);
	meshd_faults_expire(meshd);
	if (meshd->trust_stale && meshd->trust != NULL) {
		meshd->trust_stale = meshd_trust_reload(meshd, &err) != MESH_OK;
		err = (struct mesh__err)MESH__NO_ERR;
	}
	if (meshd->trust == NULL && (meshd_ca_failed_starts(meshd->ca) >= CA_START_TRIES || mesh__mono_ms(meshd->env) - meshd->started_ms > CA_START_MS)) {
		(void)mesh__fail(&err, MESH_E_NOT_READY, "the CA (%s) does not start; what it says stands above", run->meshca);
		fail_run(run, &err);
	}
}

static void ping(void *arg)
{
	struct meshd *meshd = arg;

	meshd_watch_ping(meshd->watch);
}

static int start_timers(struct run *run)
{
	struct meshd *meshd = &run->meshd;
	int64_t tick_ms = meshd->options->lease.lease_ms / 20;

	if (mesh__timer_new(meshd->loop, tick, run, &meshd->tick) != MESH_OK || mesh__timer_new(meshd->loop, ping, meshd, &meshd->ping) != MESH_OK) {
		return MESH_E_NO_MEMORY;
	}
	tick_ms = tick_ms < 10 ? 10 : tick_ms > 500 ? 500 : tick_ms;
	mesh__timer_start(meshd->tick, tick_ms, tick_ms);
	mesh__timer_start(meshd->ping, meshd->options->lease.heartbeat_ms, meshd->options->lease.heartbeat_ms);
	return MESH_OK;
}

/* ---- The end. ---- */

static void drained(void *arg)
{
	struct run *run = arg;

	if (--run->draining == 0) {
		mesh__loop_stop(run->meshd.loop);
	}
}

static void on_signal(void *arg)
{
	struct run *run = arg;
	struct meshd *meshd = &run->meshd;

	if (meshd->stopping || !meshd->serving) {
		mesh__loop_stop(meshd->loop);
		return;
	}
	meshd->stopping = true;
	meshd_notify("STOPPING=1");
	meshd_datadir_withdraw(&meshd->dir);
	mesh__log(meshd->env, MESH__LOG_INFO, "stopping", (char *)NULL);
	meshd_watch_end_all(meshd->watch);
	run->draining = 2;
	mesh__http_server_drain(meshd->control, DRAIN_MS, drained, run);
	mesh__http_server_drain(meshd->admin, DRAIN_MS, drained, run);
}

/* ---- Making and unmaking. ---- */

/* The trust domain is in every identity that was ever issued: a store belongs to one. */
static int settle_trust_domain(struct meshd *meshd, struct mesh__err *err)
{
	char recorded[MESHD_TEXT_MAX];
	int code = meshd_store_setting(meshd->store, "trust-domain", recorded, err);

	if (code == MESH_E_NOT_FOUND) {
		return meshd_store_set(meshd->store, "trust-domain", meshd->options->trust_domain, err);
	}
	if (code == MESH_OK && strcmp(recorded, meshd->options->trust_domain) != 0) {
		return mesh__fail(err, MESH_E_INVALID, "the mesh in %s is \"%s\", not \"%s\"; say --trust-domain %s, or use another --data",
			meshd->dir.path, recorded, meshd->options->trust_domain, recorded);
	}
	return code;
}

static void service_changed(void *user, const char *key)
{
	struct meshd *meshd = user;

	meshd_watch_service_changed(meshd->watch, key);
}

static void config_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	struct meshd *meshd = user;

	meshd_watch_config_changed(meshd->watch, kind, name);
	if (kind == MESH__KIND_FAULT) {
		meshd_faults_changed(meshd);
	}
}

static int trust_record(void *user, struct mesh__record *record, struct mesh__err *err)
{
	return meshd_trust_record(user, record, err);
}

static int open_state(struct meshd *meshd, struct mesh__err *err)
{
	struct meshd_registry_options registry = {.rules = meshd->options->lease, .changed = service_changed, .user = meshd};
	struct meshd_watch_options watch = {.loop = meshd->loop, .rules = meshd->options->lease, .metrics = meshd->metrics, .trust_record = trust_record, .user = meshd};
	char path[MESHD_PATH_MAX];
	int code;

	meshd_datadir_file(&meshd->dir, "meshd.db", path);
	code = meshd_store_open(meshd->env, path, &meshd->store, err);
	code = code == MESH_OK ? settle_trust_domain(meshd, err) : code;
	meshd_datadir_file(&meshd->dir, "audit.log", path);
	code = code == MESH_OK ? meshd_audit_open(meshd->env, path, &meshd->audit, err) : code;
	code = code == MESH_OK ? meshd_watch_new(&watch, &meshd->watch, err) : code;
	code = code == MESH_OK ? meshd_registry_new(meshd->env, meshd->store, &registry, &meshd->registry, err) : code;
	code = code == MESH_OK ? meshd_config_new(meshd->env, meshd->store, config_changed, meshd, &meshd->config, err) : code;
	if (code == MESH_OK) {
		meshd_watch_sources(meshd->watch, meshd->registry, meshd->config);
		meshd_faults_changed(meshd);
	}
	return code;
}

/* Beside our own executable, where both were built or installed together; else wherever PATH says. */
static void find_meshca(struct run *run)
{
	char path[MESHD_PATH_MAX - 16];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	(void)snprintf(run->meshca, sizeof(run->meshca), "%s", run->meshd.options->meshca[0] == '\0' ? "meshca" : run->meshd.options->meshca);
	if (n <= 0 || run->meshd.options->meshca[0] != '\0') {
		return;
	}
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		*slash = '\0';
		(void)snprintf(run->meshca, sizeof(run->meshca), "%s/meshca", path);
		if (access(run->meshca, X_OK) != 0) {
			(void)snprintf(run->meshca, sizeof(run->meshca), "meshca");
		}
	}
}

static int start_ca(struct run *run, struct mesh__err *err)
{
	struct meshd *meshd = &run->meshd;
	struct meshd_ca_options options = {.program = run->meshca, .dir = run->ca_dir, .trust_domain = meshd->options->trust_domain, .max_ttl_ms = meshd->options->leaf_ttl_ms,
		.user = meshd->options->ca_user, .log_level = mesh__log_level_name(meshd->options->log_level)};

	find_meshca(run);
	meshd_datadir_file(&meshd->dir, "ca", run->ca_dir);
	return meshd_ca_new(meshd->loop, &options, on_ca_up, run, &meshd->ca, err);
}

static int start(struct run *run, const struct meshd_options *options, struct mesh__err *err)
{
	struct meshd *meshd = &run->meshd;
	int code = mesh__pki_init(err);

	code = code == MESH_OK ? meshd_datadir_open(&meshd->dir, meshd->env, options->data, err) : code;
	if (code != MESH_OK) {
		return code;
	}
	meshd_datadir_withdraw(&meshd->dir); /* what a killed one left behind */
	code = mesh__loop_new(meshd->env, &meshd->loop, err);
	if (code != MESH_OK) {
		return code;
	}
	meshd->metrics = mesh__metrics_new(meshd->env);
	if (meshd->metrics == NULL) {
		return mesh__fail_memory(err);
	}
	code = mesh__signal_new(meshd->loop, SIGTERM, on_signal, run, &run->term, err);
	code = code == MESH_OK ? mesh__signal_new(meshd->loop, SIGINT, on_signal, run, &run->interrupt, err) : code;
	code = code == MESH_OK ? open_state(meshd, err) : code;
	code = code == MESH_OK ? start_ca(run, err) : code;
	if (code == MESH_OK && start_timers(run) != MESH_OK) {
		code = mesh__fail_memory(err);
	}
	return code;
}

static void finish(struct run *run)
{
	struct meshd *meshd = &run->meshd;

	if (meshd->dir.lock_fd >= 0) {
		meshd_datadir_withdraw(&meshd->dir);
	}
	meshd->stopping = true;
	meshd_ca_free(meshd->ca);
	meshd_identity_fini(meshd);
	mesh__timer_free(meshd->tick);
	mesh__timer_free(meshd->ping);
	mesh__signal_free(run->term);
	mesh__signal_free(run->interrupt);
	mesh__http_server_free(meshd->control);
	mesh__http_server_free(meshd->admin);
	mesh__loop_free(meshd->loop);
	meshd_watch_free(meshd->watch);
	meshd_registry_free(meshd->registry);
	meshd_config_free(meshd->config);
	meshd_audit_close(meshd->audit);
	meshd_store_close(meshd->store);
	mesh__tls_conf_unref(meshd->tls);
	mesh__trust_unref(meshd->trust);
	mesh__metrics_free(meshd->metrics);
	meshd_datadir_close(&meshd->dir);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct run run = {.err = MESH__NO_ERR};
	struct meshd_options options;
	struct mesh__log_lost log_lost = {0};
	struct mesh__env env;
	struct mesh__err err = MESH__NO_ERR;

	if (meshd_options_read(&options, argc, argv, getenv, &err) != MESH_OK) {
		(void)fprintf(stderr, "meshd: %s\n", err.message);
		return EXIT_USAGE;
	}
	if (options.help || options.version) {
		(void)fputs(options.help ? meshd_options_help : "meshd " MESHD_VERSION "\n", stdout);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077); /* the store holds hashes of secrets */
	raise_descriptor_limit();
	mesh__env_init(&env);
	env.log = mesh__log_stderr;
	env.user = &log_lost;
	env.log_level = options.log_level;
	run.meshd = (struct meshd){.env = &env, .options = &options, .dir = {.lock_fd = -1}, .started_ms = mesh__mono_ms(&env)};
	if (start(&run, &options, &err) == MESH_OK) {
		mesh__loop_run(run.meshd.loop);
		err = run.err;
	}
	finish(&run);
	if (err.code != MESH_OK) {
		(void)fprintf(stderr, "meshd: %s\n", err.message);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
