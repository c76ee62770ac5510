#include "meshd/control.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/enroll.h"
#include "meshd/reply.h"
#include "meshd/report.h"
#include "meshd/trust.h"
#include "wire/json.h"
#include "wire/message.h"

/* ---- GET /v1/bundle ---- */

static void bundle(struct meshd *meshd, struct mesh__exchange *x)
{
	/* Borrowed: an encoder only reads. */
	struct mesh__msg_bundle msg = {.trust_domain = (char *)(uintptr_t)meshd->options->trust_domain, .roots_pem = (char *)(uintptr_t)mesh__trust_roots(meshd->trust)};
	struct mesh__buf body;

	mesh__buf_init(&body, &meshd->env->mem, MESH__MSG_MAX_BYTES);
	mesh__msg_bundle_encode(&msg, &body);
	meshd_reply_json(x, 200, &body);
}

/* ---- GET /v1/watch: the exchange is the session's sink. ---- */

struct stream {
	struct mesh__exchange *x;
	struct meshd_session *session; /* NULL while it is being opened */
	bool gone;
};

static bool stream_write(void *user, const void *bytes, size_t len)
{
	struct stream *stream = user;

	return !stream->gone && mesh__stream_write(stream->x, bytes, len);
}

static size_t stream_room(void *user)
{
	struct stream *stream = user;

	return mesh__stream_room(stream->x);
}

static void stream_writable(void *arg)
{
	struct stream *stream = arg;

	if (stream->session != NULL) {
		meshd_watch_drained(stream->session);
	}
}

static void stream_close(void *user)
{
	struct stream *stream = user;

	mesh__stream_end(stream->x);
	mesh__free(stream);
}

static void stream_gone(void *arg)
{
	struct stream *stream = arg;

	stream->gone = true;
	if (stream->session != NULL) {
		meshd_watch_gone(stream->session);
	}
}

static void watch(struct meshd *meshd, struct mesh__exchange *x)
{
	static const struct mesh__field_text fields[] = {{"Content-Type", "application/x-ndjson"}, {"Cache-Control", "no-store"}};
	static const struct mesh__exchange_events events = {.writable = stream_writable};
	const char *protocol = mesh__exchange_header(x, "mesh-protocol");
	struct mesh__err err = MESH__NO_ERR;
	struct stream *stream;
	struct meshd_sink sink;
	char address[MESH__ADDR_TEXT];
	struct meshd_session *session;

	if (!mesh__str_eq(protocol, "1")) {
		meshd_refuse(x, 400, "invalid", "this meshd speaks mesh-protocol 1; the request's header mesh-protocol says otherwise, or is missing");
		return;
	}
	if (meshd_watch_n_sessions(meshd->watch) >= MESHD_SESSIONS_MAX || meshd->stopping) {
		meshd_refuse(x, 503, "unavailable", meshd->stopping ? "meshd is stopping" : "there are too many sessions; try again");
		return;
	}
	stream = mesh__alloc(&meshd->env->mem, sizeof(*stream));
	if (stream == NULL) {
		meshd_refuse(x, 503, "unavailable", "out of memory");
		return;
	}
	stream->x = x;
	meshd_peer_address(x, address);
	if (!mesh__stream_begin(x, 200, fields, MESH__COUNT(fields), stream_gone, stream)) {
		stream_close(stream);
		return;
	}
	mesh__exchange_watch(x, &events, stream);
	sink = (struct meshd_sink){.write = stream_write, .room = stream_room, .close = stream_close, .user = stream};
	if (meshd_watch_open(meshd->watch, mesh__exchange_peer(x), address, &sink, &session, &err) == MESH_OK) {
		stream->session = session;
		mesh__log(meshd->env, MESH__LOG_INFO, "session", "session", session->id, "peer", session->peer.spiffe, "address", address, (char *)NULL);
	}
}

/* ---- POST /v1/session/{id}/… ---- */

static void subscribe(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_subscribe msg;
	int code = mesh__msg_subscribe_decode(&meshd->env->mem, body, len, &msg, &err);

	if (code == MESH_OK) {
		code = meshd_watch_subscribe(session, &msg, &err);
		mesh__msg_subscribe_fini(&msg);
	}
	if (code != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	meshd_reply_done(x);
}

/* A name that a message claims is its sender's own; else it is denied and audited. */
static int check_claim(struct meshd *meshd, const struct meshd_session *session, const char *verb, const struct mesh__msg_instance *msg, struct mesh__err *err)
{
	if (msg->service == NULL || strcmp(msg->service, session->service) == 0) {
		return MESH_OK;
	}
	(void)mesh__fail(err, MESH_E_DENIED, "this session is of %s and speaks for no other service", session->service);
	meshd_audit_refused(meshd->audit, "session-refused", err->message, "spiffeId", session->peer.spiffe, "serial", session->peer.serial, "session", session->id, "call", verb,
		"service", msg->service, "instance", msg->instance, (char *)NULL);
	return MESH_E_DENIED;
}

static void register_instance(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_instance msg;
	bool taken = false;
	int code = mesh__msg_instance_decode(&meshd->env->mem, body, len, &msg, &err);

	if (code != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	code = check_claim(meshd, session, "register", &msg, &err);
	if (code == MESH_OK && session->instance[0] != '\0' && strcmp(session->instance, msg.instance) != 0) {
		code = mesh__fail(&err, MESH_E_INVALID, "this session has registered instance \"%s\"; deregister it first", session->instance);
	}
	/* The service is the peer's own name, whatever a message says. */
	code = code == MESH_OK ? meshd_registry_register(meshd->registry, &session->peer.name, &msg, session->id, &taken, &err) : code;
	if (code == MESH_OK) {
		(void)snprintf(session->instance, sizeof(session->instance), "%s", msg.instance);
		mesh__log(meshd->env, taken ? MESH__LOG_WARN : MESH__LOG_INFO, taken ? "instance taken over from another session" : "instance registered",
			"service", session->service, "instance", msg.instance, "address", msg.addresses[0], "session", session->id, (char *)NULL);
		meshd_reply_done(x);
	} else {
		meshd_refuse_err(x, &err);
	}
	mesh__msg_instance_fini(&msg);
}

static void deregister(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_instance msg;
	int code = mesh__msg_instance_decode(&meshd->env->mem, body, len, &msg, &err);

	if (code != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	code = check_claim(meshd, session, "deregister", &msg, &err);
	if (code == MESH_OK && meshd_registry_renew(meshd->registry, session->service, msg.instance, session->id)) {
		code = meshd_registry_remove(meshd->registry, session->service, msg.instance, "deregistered", &err);
		if (code == MESH_OK) {
			mesh__log(meshd->env, MESH__LOG_INFO, "instance deregistered", "service", session->service, "instance", msg.instance, (char *)NULL);
		}
	} /* else it is gone already, or another session's: nothing of this one is left */
	if (code == MESH_OK) {
		session->instance[0] = '\0';
		meshd_reply_done(x);
	} else {
		meshd_refuse_err(x, &err);
	}
	mesh__msg_instance_fini(&msg);
}

static void heartbeat(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__msg_heartbeat msg = {.registered = false};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *said;
	struct mesh__buf out;

	/* It says nothing yet, but what it says later goes through the same scan. */
	if (mesh__json_parse(&meshd->env->mem, body, len, MESH__MSG_MAX_BYTES, &said, &err) == MESH_OK && !mesh__json_is_object(said)) {
		(void)mesh__fail(&err, MESH_E_INVALID, "the message is no JSON object");
	}
	mesh__json_free(said);
	if (err.code != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	msg.registered = session->instance[0] != '\0' && meshd_registry_renew(meshd->registry, session->service, session->instance, session->id);
	if (!msg.registered) {
		session->instance[0] = '\0';
	}
	mesh__buf_init(&out, &meshd->env->mem, 1024);
	mesh__msg_heartbeat_encode(&msg, &out);
	meshd_reply_json(x, 200, &out);
}

static void ack(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_ack msg;

	if (mesh__msg_ack_decode(&meshd->env->mem, body, len, &msg, &err) != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	meshd_watch_ack(session, &msg);
	mesh__msg_ack_fini(&msg);
	meshd_reply_done(x);
}

static void count_report(struct meshd *meshd, const char *result)
{
	mesh__count(mesh__metrics_counter(meshd->metrics, "mesh_reports_total", "Reports of endpoints' states from their callers, by result.", "result", result), 1);
}

/* Before it is decoded: a flood of them costs no more than their bytes. */
static bool admit_report(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, size_t len)
{
	if (!meshd_report_admits(&session->report_due_us, mesh__mono_us(meshd->env))) {
		count_report(meshd, "rate-limited");
		meshd_refuse(x, 429, "rate-limited", "a session reports every second at most");
		return false;
	}
	if (len > MESH__REPORT_MAX_BYTES) {
		count_report(meshd, "refused");
		meshd_refuse(x, 413, "too-large", "a report has 128 KiB at most");
		return false;
	}
	return true;
}

static void report(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_report msg;
	int code;

	if (!admit_report(meshd, session, x, len)) {
		return;
	}
	code = mesh__msg_report_decode(&meshd->env->mem, body, len, &msg, &err);
	if (code == MESH_OK) {
		code = meshd_report_take(session, &msg, &err);
		mesh__msg_report_fini(&msg);
	}
	count_report(meshd, code == MESH_OK ? "taken" : "refused");
	if (code == MESH_E_DENIED) {
		meshd_audit_refused(meshd->audit, "session-refused", err.message, "spiffeId", session->peer.spiffe, "serial", session->peer.serial, "session", session->id, "call", "report", (char *)NULL);
	}
	if (code != MESH_OK) {
		meshd_refuse_err(x, &err);
		return;
	}
	session->reported_ms = mesh__wall_ms(meshd->env);
	meshd_reply_done(x);
}

static const struct {
	const char *verb;
	void (*run)(struct meshd *meshd, struct meshd_session *session, struct mesh__exchange *x, const char *body, size_t len);
} verbs[] = {
	{"subscribe", subscribe},
	{"register", register_instance},
	{"deregister", deregister},
	{"heartbeat", heartbeat},
	{"ack", ack},
	{"report", report},
};

/* The session that the path names, when it is the peer's own; else NULL, and the exchange is answered. */
static struct meshd_session *own_session(struct meshd *meshd, struct mesh__exchange *x, const char *rest)
{
	const struct mesh__leaf *peer = mesh__exchange_peer(x);
	char id[MESHD_SESSION_ID + 1] = "";
	struct meshd_session *session = NULL;

	if (strcspn(rest, "/") == MESHD_SESSION_ID) {
		memcpy(id, rest, MESHD_SESSION_ID);
		session = meshd_watch_find(meshd->watch, id);
	}
	if (session == NULL) {
		meshd_refuse(x, 404, "no-session", "there is no such session; open a new watch");
		return NULL;
	}
	if (strcmp(session->peer.spiffe, peer->spiffe) != 0) {
		meshd_audit_refused(meshd->audit, "session-refused", "the session belongs to another service", "spiffeId", peer->spiffe, "serial", peer->serial,
			"session", id, "owner", session->peer.spiffe, (char *)NULL);
		meshd_refuse(x, 403, "denied", "the session belongs to another service");
		return NULL;
	}
	/* The certificate that the process runs with now: its revocation must end this session too. */
	if (peer->not_after_ms > session->peer.not_after_ms) {
		session->peer = *peer;
	}
	return session;
}

static void session_call(struct meshd *meshd, struct mesh__exchange *x, const char *rest)
{
	const char *verb = strchr(rest, '/');
	struct meshd_session *session = own_session(meshd, x, rest);
	const char *body;
	size_t len;

	if (session == NULL) {
		return;
	}
	body = mesh__exchange_body(x, &len);
	for (size_t i = 0; verb != NULL && i < MESH__COUNT(verbs); i++) {
		if (strcmp(verb + 1, verbs[i].verb) == 0) {
			verbs[i].run(meshd, session, x, body, len);
			return;
		}
	}
	meshd_refuse(x, 404, "invalid", "there is no such call");
}

/* ---- Who may. ---- */

static void audit_call(struct meshd *meshd, const struct mesh__exchange *x, const char *event, const char *reason)
{
	const struct mesh__leaf *peer = mesh__exchange_peer(x);
	char address[MESH__ADDR_TEXT];

	meshd_peer_address(x, address);
	meshd_audit_refused(meshd->audit, event, reason, "method", mesh__exchange_method(x), "path", mesh__exchange_path(x), "address", address,
		"spiffeId", peer != NULL ? peer->spiffe : NULL, "serial", peer != NULL ? peer->serial : NULL, (char *)NULL);
}

/* True when the peer has a certificate that still counts; else the exchange is answered. */
static bool admit(struct meshd *meshd, struct mesh__exchange *x)
{
	const struct mesh__leaf *peer = mesh__exchange_peer(x);

	if (peer == NULL) {
		audit_call(meshd, x, "control-unauthorized", "the call needs a certificate of the mesh");
		meshd_refuse(x, 401, "denied", "this call needs a certificate of the mesh; join with a token first");
		return false;
	}
	if (mesh__trust_revoked(meshd->trust, peer->serial)) {
		meshd_audit_refused(meshd->audit, "session-refused", "the certificate was revoked", "spiffeId", peer->spiffe, "serial", peer->serial, (char *)NULL);
		meshd_refuse(x, 403, "revoked", "the certificate was revoked; join anew with a token");
		return false;
	}
	return true;
}

void meshd_control_handle(void *user, struct mesh__exchange *x)
{
	static const char session_prefix[] = "/v1/session/";
	struct meshd *meshd = user;
	const char *method = mesh__exchange_method(x);
	const char *path = mesh__exchange_path(x);
	bool get = strcmp(method, "GET") == 0;
	bool post = strcmp(method, "POST") == 0;

	if (get && strcmp(path, "/v1/bundle") == 0) {
		bundle(meshd, x);
	} else if (post && strcmp(path, "/v1/enroll") == 0) {
		meshd_enroll(meshd, x);
	} else if (!admit(meshd, x)) {
		return;
	} else if (post && strcmp(path, "/v1/renew") == 0) {
		meshd_renew(meshd, x);
	} else if (get && strcmp(path, "/v1/watch") == 0) {
		watch(meshd, x);
	} else if (post && mesh__str_starts(path, session_prefix)) {
		session_call(meshd, x, path + strlen(session_prefix));
	} else {
		audit_call(meshd, x, "control-refused", "there is no such call: a certificate of the mesh gives no right to those of the admin interface");
		meshd_refuse(x, 404, "invalid", "there is no such call");
	}
}
