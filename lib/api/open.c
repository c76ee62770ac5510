#include <stdio.h>
#include <string.h>

#include "api/handle.h"
#include "base/file.h"
#include "base/str.h"
#include "base/wait.h"

enum { SWEEP_MS = 5000, INSTANCE_DIGITS = 12 };

/* ---- The environment ---- */

/* How deep this thread is in log sinks: there nothing may wait for the one who logs. */
static _Thread_local int in_sinks;

bool mesh__log_sink_is_current(void)
{
	return in_sinks > 0;
}

static void log_to_sink(void *user, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields)
{
	struct mesh__opened *m = user;
	struct mesh__buf line;

	if (m->log_sink == NULL) {
		mesh__log_stderr(&m->log_lost, level, what, fields, n_fields);
		return;
	}
	mesh__buf_init(&line, mesh__mem_libc(), MESH__LOG_LINE_MAX);
	mesh__buf_chr(&line, '{');
	mesh__log_put(&line, what, fields, n_fields);
	mesh__buf_chr(&line, '}');
	if (line.error == MESH_OK) {
		in_sinks++;
		m->log_sink(m->log_user, (int32_t)level, line.data);
		in_sinks--;
	}
	mesh__buf_fini(&line);
}

/* The environment's one user pointer serves all its functions: these hand on to the application's own. */
struct hooks {
	mesh_clock_fn mono_us, wall_ms;
	void *clock_user;
	mesh_dice_fn dice;
	void *dice_user;
};

struct mesh__opened_and_hooks {
	struct mesh__opened opened; /* first: the environment's user is both */
	struct hooks hooks;
};

static const struct hooks *hooks_of(void *user)
{
	return &((struct mesh__opened_and_hooks *)user)->hooks;
}

static int64_t hooked_mono_us(void *user)
{
	return hooks_of(user)->mono_us(hooks_of(user)->clock_user);
}

static int64_t hooked_wall_ms(void *user)
{
	return hooks_of(user)->wall_ms(hooks_of(user)->clock_user);
}

static uint64_t hooked_dice(void *user)
{
	return hooks_of(user)->dice(hooks_of(user)->dice_user);
}

static struct mesh__opened *allocate(const struct mesh_options *o)
{
	struct mesh__mem mem = *mesh__mem_libc();
	struct mesh__opened_and_hooks *both;
	struct mesh__opened *m;

	if (o != NULL && o->alloc != NULL && o->resize != NULL && o->release != NULL) {
		mem = (struct mesh__mem){.alloc = o->alloc, .resize = o->resize, .release = o->release, .user = o->alloc_user};
	}
	both = mem.alloc(mem.user, sizeof(*both)); /* not by mesh__alloc(): a block that holds its own allocator could not be freed by it */
	if (both == NULL) {
		return NULL;
	}
	memset(both, 0, sizeof(*both));
	m = &both->opened;
	mesh__env_init(&m->env);
	m->env.mem = mem;
	m->env.user = m;
	if (o != NULL) {
		both->hooks = (struct hooks){o->mono_us, o->wall_ms, o->clock_user, o->dice, o->dice_user};
		m->env.mono_us = o->mono_us != NULL ? hooked_mono_us : m->env.mono_us;
		m->env.wall_ms = o->wall_ms != NULL ? hooked_wall_ms : m->env.wall_ms;
		m->env.dice = o->dice != NULL ? hooked_dice : NULL;
		m->log_sink = o->log_sink;
		m->log_user = o->log_user;
	}
	atomic_init(&m->refs, 1);
	mesh__fork_mark_init(&m->fork_mark);
	return m;
}

static void set_log(struct mesh__opened *m)
{
	m->env.log = log_to_sink;
	m->env.log_level = m->settings.values[MESH__SETTING_LOG] != NULL ? m->settings.log_level : m->log_sink != NULL ? MESH__LOG_INFO : MESH__LOG_OFF;
}

/* ---- What the rooms tell each other ---- */

static void count_identity(struct mesh__opened *m, const char *outcome)
{
	mesh__count(mesh__metrics_counter(m->metrics, "mesh_identity_total", "Identities gained (loaded, enrolled, renewed) and attempts that failed, by outcome.", "outcome", outcome), 1);
}

static void on_svid(void *arg, struct mesh__svid *svid)
{
	struct mesh__opened *m = arg;

	count_identity(m, "ok");
	mesh__control_svid(m->control, svid);
}

static void on_identity_failed(void *arg, const struct mesh__err *err, bool final)
{
	struct mesh__opened *m = arg;

	count_identity(m, final ? "refused" : "failed");
	mesh__control_identity_failed(m->control, err, final);
}

static int on_credentials(void *arg, struct mesh__creds *creds, struct mesh__err *err)
{
	struct mesh__opened *m = arg;
	struct mesh__creds *old = NULL;
	int code;

	(void)pthread_mutex_lock(&m->mu);
	code = m->server == NULL ? MESH_OK : mesh__serving_rotate(m->server, creds, err);
	if (code == MESH_OK) {
		old = m->creds;
		m->creds = mesh__creds_ref(creds);
	}
	(void)pthread_mutex_unlock(&m->mu);
	mesh__creds_unref(old);
	if (code == MESH_OK) {
		mesh__identity_use(m->identity, creds);
	}
	return code;
}

static void on_published(void *arg)
{
	struct mesh__opened *m = arg;

	mesh__checks_look(&m->outbound.checks);
}

static void on_sweep(void *arg)
{
	struct mesh__opened *m = arg;

	mesh__endpoint_list_sweep(&m->endpoints);
}

static void start(void *arg)
{
	struct mesh__opened *m = arg;

	mesh__identity_start(m->identity);
	mesh__timer_start(m->sweep, SWEEP_MS, SWEEP_MS);
}

/* ---- Opening ---- */

static int open_state(struct mesh__opened *m, struct mesh__err *err)
{
	char *const *v = m->settings.values;
	char made[INSTANCE_DIGITS + 1];
	int code = MESH_OK;

	if (v[MESH__SETTING_STATE_DIR] != NULL) {
		code = mesh__state_dir_open(&m->env, v[MESH__SETTING_STATE_DIR], v[MESH__SETTING_NAMESPACE], v[MESH__SETTING_SERVICE], &m->state, err);
	}
	if (code != MESH_OK) {
		return code;
	}
	if (v[MESH__SETTING_INSTANCE] != NULL) {
		m->instance = mesh__strdup(&m->env.mem, v[MESH__SETTING_INSTANCE]);
	} else if (m->state != NULL) {
		return mesh__state_dir_instance(m->state, &m->instance, err);
	} else {
		mesh__random_hex(&m->env, made, INSTANCE_DIGITS);
		m->instance = mesh__strdup(&m->env.mem, made);
	}
	return m->instance == NULL ? mesh__fail_memory(err) : MESH_OK;
}

static int read_endpoints(struct mesh__opened *m, struct mesh__err *err)
{
	const char *file = m->settings.values[MESH__SETTING_ENDPOINTS];
	char *text = NULL;
	size_t len = 0;
	int code;

	if (file == NULL) {
		return MESH_OK;
	}
	code = mesh__file_read(&m->env.mem, file, MESH__DOCUMENT_MAX_BYTES, &text, &len, err);
	if (code == MESH_OK) {
		code = mesh__documents_parse(&m->env.mem, file, text, len, m->settings.values[MESH__SETTING_NAMESPACE], &m->documents, NULL, NULL, err);
	}
	mesh__free(text);
	return code;
}

static int open_identity(struct mesh__opened *m, struct mesh__err *err)
{
	char *const *v = m->settings.values;
	struct mesh__identity_options options = {.loop = m->loop, .servers = &m->settings.servers, .state = m->state, .service = v[MESH__SETTING_SERVICE],
		.ns = v[MESH__SETTING_NAMESPACE], .instance = m->instance, .changed = on_svid, .failed = on_identity_failed, .arg = m};
	struct mesh__svid *fixed = NULL;
	int code = MESH_OK;

	options.token = m->settings.has_token ? &m->settings.token : NULL;
	if (v[MESH__SETTING_CERTIFICATE] != NULL) {
		code = mesh__svid_from_files(&m->env, v[MESH__SETTING_CERTIFICATE], v[MESH__SETTING_KEY], v[MESH__SETTING_BUNDLE], &fixed, err);
	}
	if (code == MESH_OK) {
		options.fixed = fixed;
		code = mesh__identity_new(&options, &m->identity, err);
	}
	mesh__svid_unref(fixed);
	return code;
}

static int open_control(struct mesh__opened *m, struct mesh__err *err)
{
	struct mesh__control_options options = {.loop = m->loop, .metrics = m->metrics, .servers = &m->settings.servers, .state = m->state, .source = &m->source,
		.documents = m->documents, .ns = m->settings.values[MESH__SETTING_NAMESPACE], .credentials = on_credentials, .published = on_published, .arg = m};

	m->source.zone = m->settings.values[MESH__SETTING_ZONE];
	return mesh__control_new(&options, &m->control, err);
}

static void open_outbound(struct mesh__opened *m)
{
	struct mesh__outbound *o = &m->outbound;

	o->env = &m->env;
	o->loop = m->loop;
	o->control = m->control;
	o->async.control = m->control;
	o->async.endpoints = &m->endpoints;
	o->checks.loop = m->loop;
	o->checks.control = m->control;
	o->checks.passed = mesh__metrics_counter(m->metrics, "mesh_health_checks_total", "Health checks made, by result.", "result", "passed");
	o->checks.failed = mesh__metrics_counter(m->metrics, "mesh_health_checks_total", "Health checks made, by result.", "result", "failed");
	o->max_body_bytes = m->settings.max_body_bytes;
	o->metrics = m->metrics;
	(void)snprintf(o->ns, sizeof(o->ns), "%s", m->settings.values[MESH__SETTING_NAMESPACE]);
	o->instance = m->instance;
	o->labels = (struct mesh__labels){.version = m->settings.values[MESH__SETTING_VERSION], .zone = m->settings.values[MESH__SETTING_ZONE]};
	o->calls_ok = mesh__metrics_counter(m->metrics, "mesh_calls_total", "Calls made, by result.", "result", "answered");
	o->calls_failed = mesh__metrics_counter(m->metrics, "mesh_calls_total", "Calls made, by result.", "result", "failed");
	o->tries = mesh__metrics_counter(m->metrics, "mesh_tries_total", "Tries made, first ones and retries.", NULL, NULL);
	o->regex_given_up = mesh__metrics_counter(m->metrics, "mesh_regex_given_up_total", "Regular expressions of routes that were not decided within their bounds, and taken for no match.", NULL, NULL);
	o->retries = mesh__metrics_counter(m->metrics, "mesh_retries_total", "Tries after the first of a call, but for second tries beside it.", NULL, NULL);
#define X(name, text) o->hedges[MESH__HEDGE_END_##name] = mesh__metrics_counter(m->metrics, "mesh_hedges_total", "Second tries beside the first of a call, by what became of them.", "result", text);
	MESH__HEDGE_ENDS(X)
#undef X
#define X(name, text)                                                                                                  \
	o->hedges_refused[MESH__HEDGE_REFUSAL_##name] =                                                                 \
		mesh__metrics_counter(m->metrics, "mesh_hedges_refused_total", "Second tries that were due and were not made, by what forbade them.", "reason", text);
	MESH__HEDGE_REFUSALS(X)
#undef X
}

static int open_rooms(struct mesh__opened *m, struct mesh__err *err)
{
	int code = mesh__loop_new(&m->env, &m->loop, err);

	if (code == MESH_OK && (m->metrics = mesh__metrics_new(&m->env)) == NULL) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK) {
		mesh__destination_list_show(&m->endpoints.destinations, m->metrics);
		code = open_state(m, err);
	}
	if (code == MESH_OK) {
		code = read_endpoints(m, err);
	}
	if (code == MESH_OK) {
		code = open_control(m, err);
	}
	if (code == MESH_OK) {
		code = open_identity(m, err);
	}
	if (code == MESH_OK && mesh__timer_new(m->loop, on_sweep, m, &m->sweep) != MESH_OK) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK && m->settings.has_probe) {
		code = mesh__probe_open(&m->probe, m->loop, &m->settings.probe, m->control, m->metrics, m->settings.probe_metrics, err);
	}
	if (code == MESH_OK) {
		open_outbound(m);
		code = mesh__loop_start(m->loop, "mesh", err);
	}
	return code;
}

static int open_handle(struct mesh__opened *m, const mesh_options *options, struct mesh__err *err)
{
	int code = mesh__settings_load(&m->env, options, &m->settings, err);

	if (code == MESH_OK) {
		set_log(m);
		code = mesh__pki_init(err);
	}
	if (code == MESH_OK) {
		code = mesh__client_init(err);
	}
	if (code == MESH_OK) {
		code = mesh__at_exit_init(err);
	}
	if (code == MESH_OK && (m->handle = mesh__registry_add(m)) == NULL) {
		code = mesh__registry_exits() ? mesh__fail(err, MESH_E_CLOSED, "the process exits") :
			mesh__fail(err, MESH_E_STATE, "%d meshes are open in this process, and it takes no more", MESH__OPEN_MAX);
	}
	return code == MESH_OK ? open_rooms(m, err) : code;
}

static void init(struct mesh__opened *m)
{
	pthread_mutexattr_t attr;

	/* The exit asks for it on whatever thread, also on one that holds it. */
	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	(void)pthread_mutex_init(&m->mu, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	mesh__cond_init(&m->changed);
	mesh__running_init(&m->outbound.running);
	mesh__async_init(&m->outbound.async, &m->env);
	mesh__checks_init(&m->outbound.checks, &m->env);
	mesh__endpoint_list_init(&m->endpoints, &m->env);
	m->source = mesh__endpoint_source(&m->endpoints);
}

static int open_one(const mesh_options *options, mesh **out, struct mesh__err *err)
{
	struct mesh__opened *m = allocate(options);
	mesh *handle;
	int code;

	if (m == NULL) {
		return mesh__fail_memory(err);
	}
	init(m);
	code = open_handle(m, options, err);
	handle = m->handle;
	if (code != MESH_OK) {
		mesh__opened_unref(m);
		if (handle != NULL) {
			mesh__registry_remove(handle);
		}
		return code;
	}
	mesh__loop_post(m->loop, &m->start_post, start, m);
	mesh__identity_prepare(m->identity);
	*out = handle;
	mesh__registry_open(handle); /* from here on it may be parked, and another thread may close it */
	return MESH_OK;
}

int32_t mesh_open(const mesh_options *options, mesh **out, mesh_error **error)
{
	struct mesh__err err = MESH__NO_ERR;
	int code;

	if (error != NULL) {
		*error = NULL;
	}
	if (out == NULL) {
		code = mesh__fail(&err, MESH_E_INVALID, "nowhere to put the mesh: `out` is NULL");
	} else {
		*out = NULL;
		code = open_one(options, out, &err);
	}
	return mesh__error_give(mesh__mem_libc(), code, &err, error);
}
