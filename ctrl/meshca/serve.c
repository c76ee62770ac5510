#include "meshca/serve.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "meshca/frame.h"
#include "meshca/harden.h"
#include "meshca/make.h"
#include "meshca/request.h"
#include "wire/utc.h"

enum {
	RATE = 200,
	LOCK_WAIT_MS = 3000, /* meshd was killed and is back before our predecessor has seen the end of file */
	TTL_MAX_MS = 48 * 3600 * 1000
};

struct server {
	const struct mesh__env *env;
	struct mesh__log_lost log_lost;
	struct meshca_dir dir;
	int lock_fd;
	struct meshca_channel channel;
	struct meshca_keystore store;
	struct meshca_issuelog log;
	struct meshca_signer signer;
};

/* --- answering --- */

static void log_refusal(const struct server *s, const struct meshca_request *request, enum meshca_error refused, const char *message)
{
	mesh__log(s->env, refused == MESHCA_ERROR_UNAVAILABLE || refused == MESHCA_ERROR_INTERNAL ? MESH__LOG_ERROR : MESH__LOG_WARN, "ca refused", "error", meshca_error_text(refused), "reason", message,
		"service", request->ask.service, "namespace", request->ask.ns, (char *)NULL);
}

static void answer(struct server *s, const struct mesh__buf *frame, struct mesh__buf *out)
{
	struct meshca_request request;
	struct meshca_issued issued = {0};
	struct mesh__err err = MESH__NO_ERR;
	enum meshca_error refused = meshca_request_decode(&s->env->mem, frame->data, frame->len, &request, &err);

	if (refused == MESHCA_ERROR_NONE && request.op == MESHCA_OP_SIGN) {
		refused = meshca_sign(&s->signer, &request.ask, &issued, &err);
	}
	if (refused != MESHCA_ERROR_NONE) {
		log_refusal(s, &request, refused, err.message);
		meshca_answer_refused(out, request.id, refused, err.message);
	} else if (request.op == MESHCA_OP_SIGN) {
		meshca_answer_issued(out, request.id, &issued);
	} else {
		meshca_answer_info(out, request.id, &s->store);
	}
	meshca_issued_fini(&issued);
	meshca_request_fini(&request);
}

static void renew_if_due(struct server *s)
{
	struct mesh__err err = MESH__NO_ERR;
	char until[MESH__UTC_TEXT];
	bool renewed;

	if (meshca_keystore_renew(&s->store, &renewed, &err) != MESH_OK) {
		mesh__log(s->env, MESH__LOG_ERROR, "ca intermediate not renewed", "reason", err.message, (char *)NULL);
	} else if (renewed) {
		mesh__utc_format(s->store.issuer.not_after_ms, until);
		mesh__log(s->env, MESH__LOG_INFO, "ca intermediate renewed", "serial", s->store.issuer.serial, "notAfter", until, (char *)NULL);
	}
}

/* A frame whose end is unknown: says so, as a courtesy, before the stream is given up. */
static void answer_lost(const struct server *s, struct mesh__buf *out, const char *reason)
{
	meshca_answer_refused(out, "", MESHCA_ERROR_REQUEST, reason);
	if (out->error == MESH_OK && meshca_frame_send(&s->channel, out->data, out->len, NULL) != MESH_OK) {
		mesh__log(s->env, MESH__LOG_WARN, "ca answer lost", "reason", reason, (char *)NULL);
	}
}

/* One frame in, one out. */
static int exchange(struct server *s, struct mesh__buf *frame, struct mesh__buf *out, struct mesh__err *err)
{
	int code = meshca_frame_receive(&s->channel, frame, err);

	mesh__buf_clear(out);
	if (code == MESH_E_TOO_LARGE) {
		answer_lost(s, out, err->message);
	}
	if (code != MESH_OK) {
		return code;
	}
	renew_if_due(s);
	answer(s, frame, out);
	code = mesh__buf_error(out, "an answer", err);
	return code == MESH_OK ? meshca_frame_send(&s->channel, out->data, out->len, err) : code;
}

static int run(struct server *s)
{
	struct mesh__buf frame, out;
	struct mesh__err err = MESH__NO_ERR;
	int code = MESH_OK;

	mesh__buf_init(&frame, &s->env->mem, MESHCA_FRAME_MAX_BYTES);
	mesh__buf_init(&out, &s->env->mem, MESHCA_FRAME_MAX_BYTES);
	while (code == MESH_OK) {
		code = exchange(s, &frame, &out, &err);
	}
	mesh__buf_fini(&frame);
	mesh__buf_fini(&out);
	if (code == MESH_E_CLOSED || code == MESH_E_CANCELLED) {
		mesh__log(s->env, MESH__LOG_INFO, "ca stopped", "reason", err.message, (char *)NULL);
		return 0;
	}
	mesh__log(s->env, MESH__LOG_ERROR, "ca stopped", "reason", err.message, (char *)NULL);
	return 1;
}

/* --- starting --- */

static int check_socket(int fd, struct mesh__err *err)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM) {
		return mesh__fail(err, MESH_E_INVALID, "--fd %d: is not a stream socket; meshd starts this with one end of a socket pair", fd);
	}
	return MESH_OK;
}

/* The parent decides when this process ends, by closing the socket: a ^C in its terminal goes to both. */
static int take_signals(int *stop_fd, struct mesh__err *err)
{
	sigset_t term;

	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &term, NULL) != 0 || (*stop_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
		return mesh__fail(err, MESH_E_IO, "signalfd: %s", strerror(errno));
	}
	return MESH_OK;
}

/* Lock first: a second server must change nothing, not even an owner. */
static int enter(struct server *s, const struct meshca_options *options, const struct meshca_owner *owner, struct mesh__err *err)
{
	int code = meshca_dir_open(options->dir, MESHCA_DIR_CREATE | MESHCA_DIR_PRIVATE, &s->dir, err);

	if (code == MESH_OK) {
		code = meshca_dir_lock(&s->dir, LOCK_WAIT_MS, &s->lock_fd, err);
	}
	if (code == MESH_OK && fchdir(s->dir.fd) != 0) {
		code = mesh__fail(err, MESH_E_IO, "%s: %s", options->dir, strerror(errno));
	}
	return code == MESH_OK ? meshca_owner_become(owner, &s->dir, err) : code;
}

static int give_up_rights(struct server *s, const struct meshca_options *options, struct mesh__err *err)
{
	struct meshca_owner owner;
	int code = check_socket((int)options->fd, err);

	(void)umask(077);
	if (code == MESH_OK) {
		code = meshca_owner_choose(options->user, &owner, err);
	}
	if (code == MESH_OK) {
		code = meshca_harden_descriptors((int)options->fd, err);
	}
	if (code == MESH_OK) {
		code = meshca_harden_process(err);
	}
	if (code == MESH_OK) {
		code = take_signals(&s->channel.stop_fd, err);
	}
	return code == MESH_OK ? enter(s, options, &owner, err) : code;
}

static int start(struct server *s, const struct meshca_options *options, struct mesh__err *err)
{
	int code = give_up_rights(s, options, err);

	if (code == MESH_OK) {
		code = mesh__pki_init(err);
	}
	if (code == MESH_OK) {
		code = meshca_keystore_open(s->env, &s->dir, options->trust_domain, true, &s->store, err);
	}
	if (code == MESH_OK) {
		code = meshca_issuelog_open(&s->dir, &s->log, err);
	}
	s->signer = (struct meshca_signer){.env = s->env, .store = &s->store, .log = &s->log, .how = "serve"};
	s->signer.ttl_max_ms = options->ttl_max_ms != 0 ? options->ttl_max_ms : TTL_MAX_MS;
	meshca_limit_init(&s->signer.limit, options->rate != 0 ? options->rate : RATE, mesh__mono_us(s->env));
	return code;
}

static void announce(const struct server *s)
{
	char uid[24], pin[65], until[MESH__UTC_TEXT];

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	mesh__str_hex(s->store.root.pin, sizeof(s->store.root.pin), pin);
	mesh__utc_format(s->store.issuer.not_after_ms, until);
	if (geteuid() == 0) {
		mesh__log(s->env, MESH__LOG_WARN, "ca runs as root", "remedy", "leave out meshd's --ca-user, or name one that is not root", (char *)NULL);
	}
	mesh__log(s->env, MESH__LOG_INFO, "ca ready", "dir", s->dir.path, "trustDomain", s->store.trust_domain, "rootPin", pin, "issuerNotAfter", until, "uid", uid,
		"rootKey", meshca_dir_has(&s->dir, MESHCA_ROOT_KEY) ? "here" : "elsewhere", (char *)NULL);
}

int meshca_serve(struct mesh__env *env, const struct meshca_options *options)
{
	struct server s = {.env = env, .dir = {.fd = -1}, .lock_fd = -1, .channel = {(int)options->fd, -1}, .log = {.fd = -1}};
	struct mesh__err err = MESH__NO_ERR;
	int result = 1;

	env->log = mesh__log_stderr;
	env->user = &s.log_lost;
	if (options->log_level != NULL) {
		(void)mesh__log_level_parse(options->log_level, &env->log_level); /* checked with the options */
	}
	if (start(&s, options, &err) != MESH_OK) {
		mesh__log(env, MESH__LOG_ERROR, "ca cannot start", "reason", err.message, (char *)NULL);
	} else {
		announce(&s);
		result = run(&s);
	}
	meshca_keystore_fini(&s.store);
	meshca_issuelog_close(&s.log);
	meshca_dir_close(&s.dir);
	if (s.lock_fd >= 0) {
		(void)close(s.lock_fd);
	}
	return result;
}
