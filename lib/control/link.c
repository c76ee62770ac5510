#include "control/link.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum {
	FIRST_BACKOFF_MS = 100,
	SHORT_BACKOFF_MS = 1000, /* for an outage of seconds: back within one */
	LONG_BACKOFF_MS = 10000, /* for one that lasts: ten thousand clients must not hammer */
	PATIENT_AFTER = 30,      /* failures in a row */
	DEFAULT_HEARTBEAT_MS = 3000,
	HELLO_TIMEOUT_MS = 10000,
	POST_TIMEOUT_MS = 10000,
	POST_TIMEOUT_MIN_MS = 3000, /* a busy meshd is not one out of reach */
	ANSWER_MAX_BYTES = 64 * 1024,
	SESSION_TEXT = 129
};

/* X(NAME, "path"): the small POSTs, sent one at a time, in the order in which they stand here when several are due. */
#define POSTS(X)                                                                                                       \
	X(SUBSCRIBE, "subscribe")                                                                                      \
	X(REGISTER, "register")                                                                                        \
	X(DEREGISTER, "deregister")                                                                                    \
	X(HEARTBEAT, "heartbeat")                                                                                      \
	X(ACK, "ack")                                                                                                  \
	X(REPORT, "report")

#define X(name, path) POST_##name,
enum post { POSTS(X) N_POSTS };
#undef X

/* A verdict that meshd is to hear by itself: a configuration taken, or anything refused. */
struct verdict {
	struct verdict *next;
	struct mesh__msg_ack ack;
};

struct mesh__link {
	struct mesh__loop *loop;
	const struct mesh__env *env;
	struct mesh__servers servers;
	struct mesh__link_events events;
	struct mesh__creds *creds;
	struct mesh__multi *multi;
	struct mesh__transfer *watch, *posting;
	struct mesh__timer *backoff, *heartbeat;
	struct mesh__post restart;         /* leaves a transfer's callback before its multi goes */
	bool restart_posted, freed;
	bool given_up;                     /* the session at hand: when the restart comes another may have taken its place */
	int failures;                      /* in a row */
	bool open;                         /* HELLO has come */
	bool unreported;                   /* this meshd takes no reports */
	char session[SESSION_TEXT];
	int64_t lease_ms;                  /* as HELLO told it */
	struct mesh__buf line;             /* the unfinished line of the stream */
	uint64_t sequence;                 /* of the last record */
	uint64_t acked;                    /* of those without a verdict of their own */
	struct verdict *verdicts, **last_verdict;
	bool due[N_POSTS];
	enum post sending;
	struct mesh__msg_instance instance; /* what we serve; instance NULL: nothing */
	mesh__loop_fn left;                 /* of a deregistration */
	void *left_arg;
	bool leaving;
	bool withdrawing;                   /* `instance` is being deregistered, and the link goes on */
};

static void pump(struct mesh__link *l);
static void start_watch(void *arg);

static void drop_verdicts(struct mesh__link *l)
{
	while (l->verdicts != NULL) {
		struct verdict *v = l->verdicts;
		l->verdicts = v->next;
		mesh__msg_ack_fini(&v->ack);
		mesh__free(v);
	}
	l->last_verdict = &l->verdicts;
}

/* Nothing registers it again, whatever a heartbeat says. */
static void forget_instance(struct mesh__link *l)
{
	mesh__msg_instance_fini(&l->instance);
	memset(&l->instance, 0, sizeof(l->instance));
	l->withdrawing = false;
}

static void close_session(struct mesh__link *l)
{
	if (l->withdrawing) {
		forget_instance(l); /* what could not be told, the lease's end tells */
	}
	if (l->watch != NULL) {
		mesh__transfer_cancel(l->watch);
		l->watch = NULL;
	}
	if (l->posting != NULL) {
		mesh__transfer_cancel(l->posting);
		l->posting = NULL;
	}
	l->open = l->given_up = l->unreported = false;
	l->session[0] = '\0';
	l->sequence = l->acked = 0;
	memset(l->due, 0, sizeof(l->due));
	drop_verdicts(l);
	mesh__buf_clear(&l->line);
	mesh__timer_stop(l->heartbeat);
}

static int64_t backoff_ms(const struct mesh__link *l)
{
	int64_t longest = l->failures < PATIENT_AFTER ? SHORT_BACKOFF_MS : LONG_BACKOFF_MS, ceiling = FIRST_BACKOFF_MS;

	for (int i = 1; i < l->failures && ceiling < longest; i++) {
		ceiling *= 2;
	}
	return 1 + (int64_t)mesh__dice_below(l->env, (uint64_t)(ceiling < longest ? ceiling : longest));
}

static void finish_leaving(struct mesh__link *l)
{
	mesh__loop_fn left = l->left;

	l->leaving = false;
	l->left = NULL;
	forget_instance(l);
	if (left != NULL) {
		left(l->left_arg);
	}
}

static void broken(struct mesh__link *l, const struct mesh__err *err)
{
	char server[320];
	struct mesh__err told = *err;

	mesh__servers_format(&l->servers, server);
	(void)mesh__wrap(&told, "the control link with %s", server);
	l->failures++;
	close_session(l);
	mesh__servers_advance(&l->servers);
	mesh__log(l->env, l->failures == 1 ? MESH__LOG_WARN : MESH__LOG_DEBUG, "control link broken", "reason", told.message, "code", mesh__code_name(told.code), (char *)NULL);
	l->events.state(l->events.arg, &told);
	if (l->leaving) {
		finish_leaving(l);
	} else {
		mesh__timer_start(l->backoff, backoff_ms(l), 0);
	}
}

/* ---- The stream ---- */

static void on_hello(struct mesh__link *l, const struct mesh__record *hello)
{
	int64_t every = hello->heartbeat_ms >= 50 && hello->heartbeat_ms <= 60000 ? hello->heartbeat_ms : DEFAULT_HEARTBEAT_MS;

	(void)snprintf(l->session, sizeof(l->session), "%s", hello->session);
	l->lease_ms = hello->lease_ms;
	l->open = true;
	l->failures = 0;
	l->due[POST_SUBSCRIBE] = true;
	l->due[POST_REGISTER] = l->instance.instance != NULL && !l->leaving;
	mesh__timer_start(l->heartbeat, every, every);
	l->events.state(l->events.arg, NULL);
}

static void add_verdict(struct mesh__link *l, const struct mesh__record *record, uint64_t sequence, const struct mesh__err *refusal)
{
	const struct mesh__mem *mem = &l->env->mem;
	struct verdict *v = mesh__alloc(mem, sizeof(*v));

	if (v == NULL) {
		return; /* meshd shows this record as not acknowledged, which is true */
	}
	v->ack.sequence = sequence;
	if (record != NULL && record->type == MESH__RECORD_CONFIG) {
		v->ack.generation = record->version;
	}
	v->ack.service = record == NULL ? NULL : mesh__strdup(mem, record->service);
	v->ack.refused = refusal == NULL ? NULL : mesh__strdup(mem, refusal->message);
	*l->last_verdict = v;
	l->last_verdict = &v->next;
}

/* False: there was no memory for it. It is no fault of the record's, and meshd would not say it again: a new session asks for it with the versions that we have. */
static bool judge(struct mesh__link *l, const struct mesh__record *record)
{
	struct mesh__err err = MESH__NO_ERR;

	if (record->type == MESH__RECORD_UNKNOWN) {
		(void)mesh__fail(&err, MESH_E_UNSUPPORTED, "this client does not know the record's type");
	} else if (l->events.record(l->events.arg, record, &err) == MESH_OK) {
		if (record->type == MESH__RECORD_CONFIG) {
			add_verdict(l, record, record->sequence, NULL);
		} else {
			l->acked = record->sequence;
		}
		l->due[POST_ACK] = true;
		return true;
	}
	mesh__log(l->env, MESH__LOG_WARN, "record refused", "reason", err.message, "service", record->service, (char *)NULL);
	if (err.code == MESH_E_NO_MEMORY) {
		return false;
	}
	add_verdict(l, record, record->sequence, &err);
	l->due[POST_ACK] = true;
	return true;
}

/* A stream begins with one HELLO in our own version of the protocol. */
static bool may_come(const struct mesh__link *l, const struct mesh__record *record)
{
	if ((record->type == MESH__RECORD_HELLO) == l->open) {
		return false;
	}
	if (record->type == MESH__RECORD_HELLO && record->protocol != MESH__PROTOCOL_VERSION) {
		mesh__log(l->env, MESH__LOG_ERROR, "meshd speaks another version of the control protocol", (char *)NULL);
		return false;
	}
	return true;
}

static bool on_line(struct mesh__link *l, const char *text, size_t len)
{
	struct mesh__record record;
	struct mesh__err err = MESH__NO_ERR;
	bool fine = true;

	if (mesh__record_decode(&l->env->mem, text, len, &record, &err) != MESH_OK) {
		if (!l->open || err.code == MESH_E_NO_MEMORY) {
			return false;
		}
		l->sequence++;
		mesh__log(l->env, MESH__LOG_WARN, "record refused", "reason", err.message, (char *)NULL);
		add_verdict(l, NULL, l->sequence, &err);
		l->due[POST_ACK] = true;
		return true;
	}
	l->sequence = record.sequence;
	if (!may_come(l, &record)) {
		mesh__record_fini(&record);
		return false;
	}
	if (record.type == MESH__RECORD_HELLO) {
		on_hello(l, &record);
	} else if (record.type != MESH__RECORD_PING) {
		fine = judge(l, &record);
	}
	mesh__record_fini(&record);
	return fine;
}

static bool on_head(void *arg, int status)
{
	(void)arg;
	return status == 200;
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__link *l = arg;
	size_t done = 0;
	const char *end;

	mesh__buf_add(&l->line, bytes, len);
	if (l->line.error != MESH_OK) {
		return false;
	}
	while ((end = memchr(l->line.data + done, '\n', l->line.len - done)) != NULL) {
		size_t n = (size_t)(end - (l->line.data + done));
		if (n > 0 && !on_line(l, l->line.data + done, n)) {
			return false;
		}
		done += n + 1;
	}
	mesh__buf_consume(&l->line, done);
	pump(l);
	return true;
}

static void after_break(void *arg)
{
	struct mesh__link *l = arg;
	struct mesh__err err = MESH__NO_ERR;

	l->restart_posted = false;
	if (l->freed) {
		mesh__link_free(l);
		return;
	}
	if (l->given_up) {
		(void)mesh__fail(&err, MESH_E_CONTROL, "the session was given up");
		broken(l, &err);
	}
}

/* Leaves the callback of a POST before the session that it belongs to is taken down. */
static void give_up_session(struct mesh__link *l)
{
	l->given_up = true;
	if (!l->restart_posted) {
		l->restart_posted = true;
		mesh__loop_post(l->loop, &l->restart, after_break, l);
	}
}

static void on_watch_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh__link *l = arg;
	struct mesh__err why = *err;

	(void)result;
	l->watch = NULL;
	if (response->status != 0 && response->status != 200) {
		(void)mesh__fail_at(&why, MESH__ORIGIN_CONTROL, MESH_E_CONTROL, "the watch was answered %d", response->status);
	} else if (code == MESH_OK) {
		(void)mesh__fail_at(&why, MESH__ORIGIN_CONTROL, MESH_E_CONTROL, "meshd ended the stream");
	}
	broken(l, &why);
}

static int try_watch(struct mesh__link *l, struct mesh__err *err)
{
	static const struct mesh__client_field fields[] = {{"mesh-protocol", "1"}};
	struct mesh__transfer_options t = {.verify = MESH__VERIFY_PEER, .head = on_head, .data = on_data, .done = on_watch_done, .arg = l,
		.silence_ms = HELLO_TIMEOUT_MS, .request = {.method = "GET", .target = "/v1/watch", .fields = fields, .n_fields = 1}};
	int code = l->multi != NULL ? MESH_OK : mesh__multi_new(l->loop, l->creds, &l->multi, err);

	if (code != MESH_OK) {
		return code;
	}
	mesh__servers_address(&l->servers, mesh__trust_domain(mesh__creds_trust(l->creds)), &t);
	return mesh__transfer_start(l->multi, &t, &l->watch, err);
}

static void start_watch(void *arg)
{
	struct mesh__link *l = arg;
	struct mesh__err err = MESH__NO_ERR;

	if (l->watch == NULL && l->creds != NULL && try_watch(l, &err) != MESH_OK) {
		broken(l, &err);
	}
}

/* ---- The POSTs ---- */

static const char *path_of(enum post post)
{
	static const char *const paths[] = {
#define X(name, path) path,
		POSTS(X)
#undef X
	};

	return paths[post];
}

static void told_of_registration(struct mesh__link *l, int status, const struct mesh__client_response *response)
{
	struct mesh__msg_refusal said = {0};
	struct mesh__err err = MESH__NO_ERR;

	if (status == 200) {
		l->events.registered(l->events.arg, true, NULL);
		return;
	}
	if (mesh__msg_refusal_decode(&l->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &said, NULL) == MESH_OK) {
		(void)mesh__fail_at(&err, MESH__ORIGIN_CONTROL, MESH_E_DENIED, "the registration was refused (%s): %s", said.code, said.message);
		mesh__msg_refusal_fini(&said);
	} else {
		(void)mesh__fail_at(&err, MESH__ORIGIN_CONTROL, MESH_E_CONTROL, "the registration was answered %d", status);
	}
	l->events.registered(l->events.arg, false, &err);
}

static void told_of_heartbeat(struct mesh__link *l, const struct mesh__client_response *response)
{
	struct mesh__msg_heartbeat said;

	if (mesh__msg_heartbeat_decode(&l->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &said, NULL) == MESH_OK) {
		if (!said.registered && l->instance.instance != NULL && !l->leaving && !l->withdrawing) {
			l->due[POST_REGISTER] = true;
		}
		mesh__msg_heartbeat_fini(&said);
	}
}

/* An older meshd does not know the call: that is no reason to look for another session. */
static bool is_unknown_call(struct mesh__link *l, const struct mesh__client_response *response)
{
	struct mesh__msg_refusal said = {0};
	bool unknown = false;

	if (mesh__msg_refusal_decode(&l->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &said, NULL) == MESH_OK) {
		unknown = strcmp(said.code, "no-session") != 0;
		mesh__msg_refusal_fini(&said);
	}
	return unknown;
}

static void told_of_report(struct mesh__link *l, int status)
{
	l->unreported = l->unreported || status == 404;
	if (status != 200) {
		mesh__log(l->env, MESH__LOG_DEBUG, "report refused", (char *)NULL);
		l->events.report_refused(l->events.arg);
	}
}

/* It may have been registered anew meanwhile. */
static void told_of_deregistration(struct mesh__link *l)
{
	if (l->leaving) {
		finish_leaving(l);
	} else if (l->withdrawing) {
		forget_instance(l);
	}
}

static void on_posted(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh__link *l = arg;
	enum post post = l->sending;

	(void)result;
	l->posting = NULL;
	if (code != MESH_OK || (response->status == 404 && !(post == POST_REPORT && is_unknown_call(l, response)))) {
		mesh__log(l->env, MESH__LOG_DEBUG, "control post failed", "post", path_of(post), "reason", code == MESH_OK ? "no session" : err->message, (char *)NULL);
		give_up_session(l);
		return;
	}
	if (post == POST_REGISTER) {
		told_of_registration(l, response->status, response);
	} else if (post == POST_HEARTBEAT && response->status == 200) {
		told_of_heartbeat(l, response);
	} else if (post == POST_DEREGISTER) {
		told_of_deregistration(l);
	} else if (post == POST_REPORT) {
		told_of_report(l, response->status);
	} else if (response->status != 200) {
		mesh__log(l->env, MESH__LOG_WARN, "control post refused", "post", path_of(post), (char *)NULL);
	}
	pump(l);
}

static int encode_subscription(struct mesh__link *l, struct mesh__buf *body, struct mesh__err *err)
{
	struct mesh__msg_subscribe msg = {.replace = true};
	int code = l->events.interests(l->events.arg, &msg, err);

	if (code == MESH_OK) {
		mesh__msg_subscribe_encode(&msg, body);
		mesh__free(msg.services);
	}
	return code;
}

static void encode_ack(struct mesh__link *l, struct mesh__buf *body)
{
	struct verdict *v = l->verdicts;
	struct mesh__msg_ack plain = {.sequence = l->acked};

	if (v == NULL) {
		mesh__msg_ack_encode(&plain, body);
		l->acked = 0;
		return;
	}
	mesh__msg_ack_encode(&v->ack, body);
	l->verdicts = v->next;
	if (l->verdicts == NULL) {
		l->last_verdict = &l->verdicts;
	}
	mesh__msg_ack_fini(&v->ack);
	mesh__free(v);
	l->due[POST_ACK] = l->verdicts != NULL || l->acked != 0;
}

static int encode(struct mesh__link *l, enum post post, struct mesh__buf *body, struct mesh__err *err)
{
	l->due[post] = false;
	switch (post) {
	case POST_SUBSCRIBE:
		return encode_subscription(l, body, err);
	case POST_REGISTER:
	case POST_DEREGISTER:
		mesh__msg_instance_encode(&l->instance, body);
		break;
	case POST_ACK:
		encode_ack(l, body);
		break;
	case POST_REPORT:
		l->events.report(l->events.arg, body);
		break;
	case POST_HEARTBEAT:
	case N_POSTS:
		mesh__buf_str(body, "{}");
		break;
	}
	return mesh__buf_error(body, path_of(post), err);
}

/* A registration lives by its heartbeats, which wait for the POST at hand: where that stalls, the next session must be there before the lease ends. */
static int64_t post_timeout_ms(const struct mesh__link *l)
{
	int64_t ms = l->lease_ms / 2;

	if (l->instance.instance == NULL || ms <= 0 || ms > POST_TIMEOUT_MS) {
		return POST_TIMEOUT_MS;
	}
	return ms < POST_TIMEOUT_MIN_MS ? POST_TIMEOUT_MIN_MS : ms;
}

static int send_post(struct mesh__link *l, enum post post, struct mesh__err *err)
{
	static const struct mesh__client_field json = {"Content-Type", "application/json"};
	struct mesh__transfer_options t = {.verify = MESH__VERIFY_PEER, .done = on_posted, .arg = l, .timeout_ms = post_timeout_ms(l)};
	char target[SESSION_TEXT + 64];
	struct mesh__buf body;
	int code;

	mesh__buf_init(&body, &l->env->mem, MESH__MSG_MAX_BYTES);
	code = encode(l, post, &body, err);
	if (code == MESH_OK) {
		(void)snprintf(target, sizeof(target), "/v1/session/%s/%s", l->session, path_of(post));
		mesh__servers_address(&l->servers, mesh__trust_domain(mesh__creds_trust(l->creds)), &t);
		t.request = (struct mesh__client_request){.method = "POST", .target = target, .fields = &json, .n_fields = 1,
			.body = body.data, .body_len = body.len, .has_body = true, .max_response_bytes = ANSWER_MAX_BYTES};
		l->sending = post;
		code = mesh__transfer_start(l->multi, &t, &l->posting, err);
	}
	mesh__buf_fini(&body);
	return code;
}

/* Sends what is due next, if nothing is under way. */
static void pump(struct mesh__link *l)
{
	struct mesh__err err = MESH__NO_ERR;

	for (int post = 0; l->open && l->posting == NULL && post < N_POSTS; post++) {
		if (l->due[post] && send_post(l, (enum post)post, &err) != MESH_OK) {
			mesh__log(l->env, MESH__LOG_WARN, "control post not sent", "reason", err.message, (char *)NULL);
			give_up_session(l);
			return;
		}
	}
}

static void on_heartbeat(void *arg)
{
	struct mesh__link *l = arg;

	l->due[POST_HEARTBEAT] = true;
	pump(l);
}

/* ---- The owner's side ---- */

int mesh__link_new(struct mesh__loop *loop, const struct mesh__servers *servers, const struct mesh__link_events *events, struct mesh__link **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct mesh__link *l = mesh__alloc(&env->mem, sizeof(*l));

	*out = NULL;
	if (l == NULL) {
		return mesh__fail_memory(err);
	}
	l->loop = loop;
	l->env = env;
	l->servers = *servers;
	l->events = *events;
	l->last_verdict = &l->verdicts;
	mesh__buf_init(&l->line, &env->mem, MESH__MSG_MAX_BYTES);
	if (mesh__timer_new(loop, start_watch, l, &l->backoff) != MESH_OK || mesh__timer_new(loop, on_heartbeat, l, &l->heartbeat) != MESH_OK) {
		mesh__link_free(l);
		return mesh__fail_memory(err);
	}
	*out = l;
	return MESH_OK;
}

static void fini(struct mesh__link *l)
{
	if (l->creds != NULL) {
		mesh__creds_unref(l->creds);
	}
	drop_verdicts(l);
	mesh__buf_fini(&l->line);
	mesh__msg_instance_fini(&l->instance);
	mesh__free(l);
}

void mesh__link_free(struct mesh__link *l)
{
	if (l == NULL) {
		return;
	}
	if (l->heartbeat != NULL) {
		close_session(l);
	}
	mesh__timer_free(l->backoff);
	mesh__timer_free(l->heartbeat);
	l->backoff = l->heartbeat = NULL;
	mesh__multi_free(l->multi);
	l->multi = NULL;
	if (l->restart_posted) {
		l->freed = true; /* its turn in the loop's queue frees it */
		return;
	}
	fini(l);
}

void mesh__link_use(struct mesh__link *l, struct mesh__creds *creds)
{
	struct mesh__creds *old = l->creds;

	close_session(l);
	mesh__timer_stop(l->backoff);
	mesh__multi_free(l->multi);
	l->multi = NULL;
	l->creds = mesh__creds_ref(creds);
	if (old != NULL) {
		mesh__creds_unref(old);
	}
	start_watch(l);
}

void mesh__link_subscribe(struct mesh__link *l)
{
	l->due[POST_SUBSCRIBE] = l->open;
	pump(l);
}

void mesh__link_report(struct mesh__link *l)
{
	l->due[POST_REPORT] = l->open && !l->unreported;
	pump(l);
}

int mesh__link_register(struct mesh__link *l, const struct mesh__msg_instance *instance, struct mesh__err *err)
{
	mesh__msg_instance_fini(&l->instance);
	if (!mesh__msg_instance_copy(&l->env->mem, instance, &l->instance)) {
		memset(&l->instance, 0, sizeof(l->instance));
		return mesh__fail_memory(err);
	}
	l->withdrawing = false;
	l->due[POST_DEREGISTER] = false;
	l->due[POST_REGISTER] = l->open;
	pump(l);
	return MESH_OK;
}

static void deregister(struct mesh__link *l)
{
	static const char reason[] = "deregistered";

	mesh__free(l->instance.reason);
	l->instance.reason = mesh__strdup(&l->env->mem, reason);
	l->due[POST_REGISTER] = false;
	l->due[POST_DEREGISTER] = true;
	pump(l);
}

void mesh__link_withdraw(struct mesh__link *l)
{
	if (l->leaving || l->instance.instance == NULL) {
		return;
	}
	if (!l->open) {
		forget_instance(l);
		return;
	}
	l->withdrawing = true;
	deregister(l);
}

void mesh__link_deregister(struct mesh__link *l, mesh__loop_fn done, void *arg)
{
	l->left = done;
	l->left_arg = arg;
	if (!l->open || l->instance.instance == NULL) {
		finish_leaving(l);
		return;
	}
	l->leaving = true;
	l->withdrawing = false;
	deregister(l);
}

void mesh__link_abandon(struct mesh__link *l)
{
	if (l != NULL && l->multi != NULL) {
		mesh__multi_abandon(l->multi);
	}
}
