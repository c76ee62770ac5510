#include "meshd/ca.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "meshd/child.h"

enum {
	FRAME_HEAD = 4,
	FRAME_MAX = 64 * 1024,
	OPEN_MAX_REQUESTS = 4096,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
	ANSWER_MS = 15000 /* a CA that is silent for longer is killed */
};

/* One request that is not answered yet. Without `fn` it is the question for info. */
struct request {
	struct request *next;
	uint64_t id;
	meshd_signed_fn fn;
	void *user;
};

struct meshd_ca {
	struct mesh__loop *loop;
	const struct mesh__env *env;
	struct mesh__timer *restart;
	struct mesh__timer *silence;
	struct mesh__watch *watch;
	struct meshd_child child;
	char *program, *dir, *trust_domain, *run_as, *log_level;
	int64_t max_ttl_ms;
	meshd_ca_up_fn up_fn;
	void *user;
	struct mesh__buf in, out;
	struct request *first, **last; /* in the order asked, which is that of the answers */
	size_t n_open;
	uint64_t next_id;
	struct meshd_ca_info info;
	bool up;
	int64_t backoff_ms;
	int failed_starts;
};

static void start_child(void *arg);

static void free_info(struct meshd_ca_info *info)
{
	mesh__free(info->roots_pem);
	*info = (struct meshd_ca_info){.roots_pem = NULL};
}

/* ---- The child's end: everything open fails, and it is started again. ---- */

static void fail_open(struct meshd_ca *ca, int code, const char *why)
{
	struct request *request = ca->first;

	ca->first = NULL;
	ca->last = &ca->first;
	ca->n_open = 0;
	while (request != NULL) {
		struct request *next = request->next;
		struct mesh__err err = MESH__NO_ERR;

		(void)mesh__fail(&err, code, "the CA ended while it was asked (%s); try again", why);
		if (request->fn != NULL) {
			request->fn(request->user, NULL, &err);
		}
		mesh__free(request);
		request = next;
	}
}

static void end_child(struct meshd_ca *ca, bool kill_now)
{
	mesh__watch_free(ca->watch);
	ca->watch = NULL;
	meshd_child_end(&ca->child, kill_now);
	mesh__timer_stop(ca->silence);
	mesh__buf_clear(&ca->in);
	mesh__buf_clear(&ca->out);
}

static void child_died(struct meshd_ca *ca, const char *why)
{
	mesh__log(ca->env, MESH__LOG_ERROR, "the CA ended", "reason", why, (char *)NULL);
	end_child(ca, true);
	ca->failed_starts += ca->up ? 0 : 1;
	ca->up = false;
	mesh__timer_start(ca->restart, ca->backoff_ms, 0);
	ca->backoff_ms = ca->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ca->backoff_ms * 2;
	fail_open(ca, MESH_E_CONTROL, why);
}

static void was_silent(void *arg)
{
	child_died(arg, "it was silent for too long");
}

/* ---- Sending. ---- */

/* Hands the kernel what it takes; false when the child has gone. */
static bool flush(struct meshd_ca *ca)
{
	while (ca->out.len > 0) {
		ssize_t n = send(ca->child.fd, ca->out.data, ca->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return mesh__watch_set(ca->watch, MESH__READABLE | MESH__WRITABLE) == MESH_OK;
		}
		if (n < 0) {
			return false;
		}
		mesh__buf_consume(&ca->out, (size_t)n);
	}
	return mesh__watch_set(ca->watch, MESH__READABLE) == MESH_OK;
}

/* Appends the frame around `body` and remembers whom the answer is for. */
static int ask(struct meshd_ca *ca, const struct mesh__buf *body, uint64_t id, meshd_signed_fn fn, void *user, struct mesh__err *err)
{
	struct request *request;
	unsigned char head[FRAME_HEAD];
	size_t before = ca->out.len;

	if (mesh__buf_error(body, "the CA's request", err) != MESH_OK) {
		return err == NULL ? MESH_E_TOO_LARGE : err->code;
	}
	request = mesh__alloc(&ca->env->mem, sizeof(*request));
	if (request == NULL) {
		return mesh__fail_memory(err);
	}
	for (int i = 0; i < FRAME_HEAD; i++) {
		head[i] = (unsigned char)(body->len >> (8 * (FRAME_HEAD - 1 - i)));
	}
	mesh__buf_add(&ca->out, head, sizeof(head));
	mesh__buf_add(&ca->out, body->data, body->len);
	if (ca->out.error != MESH_OK) {
		ca->out.error = MESH_OK;
		ca->out.len = before; /* no half frame may stand there */
		mesh__free(request);
		return mesh__fail_memory(err);
	}
	*request = (struct request){.id = id, .fn = fn, .user = user};
	*ca->last = request;
	ca->last = &request->next;
	if (ca->n_open++ == 0) {
		mesh__timer_start(ca->silence, ANSWER_MS, 0);
	}
	return MESH_OK;
}

static void open_request(struct meshd_ca *ca, struct mesh__buf *body, struct mesh__json_out *json, uint64_t id, const char *op)
{
	mesh__buf_init(body, &ca->env->mem, FRAME_MAX);
	*json = (struct mesh__json_out){.buf = body};
	mesh__json_open(json, NULL, '{');
	mesh__json_put_u64(json, "id", id);
	mesh__json_put_text(json, "op", op);
}

void meshd_ca_sign(struct meshd_ca *ca, const struct mesh__name *name, const char *csr_pem, int64_t ttl_ms, meshd_signed_fn fn, void *user)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json_out json;
	struct mesh__buf body;
	uint64_t id = ca->next_id++;
	int code = MESH_OK;

	open_request(ca, &body, &json, id, "sign");
	mesh__json_put_text(&json, "csr", csr_pem);
	mesh__json_put_text(&json, "service", name->service);
	mesh__json_put_text(&json, "namespace", name->ns);
	mesh__json_put_u64(&json, "ttlMs", (uint64_t)(ttl_ms > ca->max_ttl_ms ? ca->max_ttl_ms : ttl_ms));
	mesh__json_close(&json, '}');
	if (!ca->up) {
		code = mesh__fail(&err, MESH_E_CONTROL, "the CA is not up at present; try again");
	} else if (ca->n_open >= OPEN_MAX_REQUESTS) {
		code = mesh__fail(&err, MESH_E_OVERLOADED, "too many certificates are asked for at once; try again");
	} else {
		code = ask(ca, &body, id, fn, user, &err);
	}
	mesh__buf_fini(&body);
	if (code != MESH_OK) {
		fn(user, NULL, &err);
	} else if (!flush(ca)) {
		child_died(ca, "its end of the socket is closed");
	}
}

/* ---- Receiving. ---- */

static int64_t time_of(const struct mesh__json *answer, const char *key)
{
	int64_t ms = 0;

	(void)mesh__json_i64(mesh__json_get(answer, key), 0, INT64_MAX, &ms);
	return ms;
}

static void copy_text(const struct mesh__json *answer, const char *key, char *out, size_t cap)
{
	const char *text = mesh__json_text(mesh__json_get(answer, key));

	(void)snprintf(out, cap, "%s", text == NULL ? "" : text);
}

/* Takes what the CA says of itself; false when that is not what was expected. */
static bool take_info(struct meshd_ca *ca, const struct mesh__json *answer)
{
	const char *roots = mesh__json_text(mesh__json_get(answer, "roots"));
	const char *domain = mesh__json_text(mesh__json_get(answer, "trustDomain"));
	struct meshd_ca_info info = {.roots_pem = mesh__strdup(&ca->env->mem, roots)};

	copy_text(answer, "rootPin", info.root_pin, sizeof(info.root_pin));
	info.root_not_after_ms = time_of(answer, "rootNotAfter");
	info.issuer_not_after_ms = time_of(answer, "issuerNotAfter");
	if (info.roots_pem == NULL || strlen(info.root_pin) != 64 || !mesh__str_eq(domain, ca->trust_domain)) {
		free_info(&info);
		return false;
	}
	free_info(&ca->info);
	ca->info = info;
	ca->up = true;
	ca->failed_starts = 0;
	ca->backoff_ms = BACKOFF_MIN_MS;
	ca->up_fn(ca->user, &ca->info);
	return true;
}

/* How the CA's words for a refusal are ours. */
static int code_of(const char *word)
{
	static const struct {
		const char *word;
		int code;
	} codes[] = {{"rate-limited", MESH_E_OVERLOADED}, {"unavailable", MESH_E_CONTROL}, {"internal", MESH_E_CONTROL}, {"wrong-name", MESH_E_DENIED}};

	for (size_t i = 0; i < MESH__COUNT(codes); i++) {
		if (mesh__str_eq(word, codes[i].word)) {
			return codes[i].code;
		}
	}
	return MESH_E_INVALID;
}

static void finish_sign(struct request *request, const struct mesh__json *answer, bool ok)
{
	struct meshd_signed leaf = {.chain_pem = mesh__json_text(mesh__json_get(answer, "certificate"))};
	struct mesh__err err = MESH__NO_ERR;
	const char *message = mesh__json_text(mesh__json_get(answer, "message"));

	if (!ok) {
		(void)mesh__fail(&err, code_of(mesh__json_text(mesh__json_get(answer, "error"))), "%s", message == NULL ? "the CA refused" : message);
		request->fn(request->user, NULL, &err);
		return;
	}
	copy_text(answer, "serial", leaf.serial, sizeof(leaf.serial));
	copy_text(answer, "spiffeId", leaf.spiffe, sizeof(leaf.spiffe));
	leaf.not_before_ms = time_of(answer, "notBefore");
	leaf.not_after_ms = time_of(answer, "notAfter");
	if (leaf.chain_pem == NULL || leaf.serial[0] == '\0' || leaf.not_after_ms == 0) {
		(void)mesh__fail(&err, MESH_E_PROTOCOL, "the CA's answer lacks a certificate");
		request->fn(request->user, NULL, &err);
		return;
	}
	request->fn(request->user, &leaf, NULL);
}

/* One answer; false when it is not the one that was to come. */
static bool take_answer(struct meshd_ca *ca, const struct mesh__json *answer)
{
	struct request *request = ca->first;
	bool ok = false;
	uint64_t id;
	bool good = true;

	if (request == NULL || !mesh__json_u64(mesh__json_get(answer, "id"), &id) || id != request->id || !mesh__json_bool(mesh__json_get(answer, "ok"), &ok)) {
		return false;
	}
	ca->first = request->next;
	ca->last = ca->first == NULL ? &ca->first : ca->last;
	ca->n_open--;
	if (ca->n_open == 0) {
		mesh__timer_stop(ca->silence);
	} else {
		mesh__timer_start(ca->silence, ANSWER_MS, 0);
	}
	if (request->fn == NULL) {
		good = ok && take_info(ca, answer);
	} else {
		finish_sign(request, answer, ok);
	}
	mesh__free(request);
	return good;
}

/* Takes the first whole frame out of ca->in. 1: one was taken, 0: there is none yet, -1: nonsense. */
static int take_frame(struct meshd_ca *ca)
{
	const unsigned char *head = (const unsigned char *)ca->in.data;
	struct mesh__json *answer = NULL;
	size_t len = 0;
	bool good;

	if (ca->in.len < FRAME_HEAD) {
		return 0;
	}
	for (int i = 0; i < FRAME_HEAD; i++) {
		len = len << 8 | head[i];
	}
	if (len > FRAME_MAX) {
		return -1;
	}
	if (ca->in.len < FRAME_HEAD + len) {
		return 0;
	}
	good = mesh__json_parse(&ca->env->mem, ca->in.data + FRAME_HEAD, len, FRAME_MAX, &answer, NULL) == MESH_OK;
	mesh__buf_consume(&ca->in, FRAME_HEAD + len);
	good = good && take_answer(ca, answer);
	mesh__json_free(answer);
	return good ? 1 : -1;
}

static void on_ready(void *arg, int fd, int events)
{
	struct meshd_ca *ca = arg;
	char *room;
	ssize_t n;
	int taken;

	if ((events & MESH__WRITABLE) != 0 && !flush(ca)) {
		child_died(ca, "its end of the socket is closed");
		return;
	}
	room = mesh__buf_reserve(&ca->in, FRAME_MAX);
	n = room == NULL ? -1 : recv(fd, room, FRAME_MAX, MSG_DONTWAIT);
	if (n < 0 && room != NULL && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		child_died(ca, n == 0 ? "it left" : "its socket is broken");
		return;
	}
	ca->in.len += (size_t)n;
	/* An answer's receiver may ask again, and that may find the child dead. */
	while (ca->child.fd == fd && (taken = take_frame(ca)) != 0) {
		if (taken < 0) {
			child_died(ca, "its answer is not what was asked for");
			return;
		}
	}
}

/* ---- Starting. ---- */

static int spawn_child(struct meshd_ca *ca, struct mesh__err *err)
{
	char fd_text[12], ttl[24];
	char *argv[] = {"meshca", "serve", "--dir", ca->dir, "--fd", fd_text, "--trust-domain", ca->trust_domain, "--max-ttl", ttl, "--log-level", ca->log_level,
		ca->run_as[0] == '\0' ? NULL : "--user", ca->run_as, NULL};
	struct mesh__json_out json;
	struct mesh__buf body;
	uint64_t id = ca->next_id++;
	int code;

	(void)snprintf(fd_text, sizeof(fd_text), "%d", MESHD_CHILD_FD);
	mesh__duration_format(ca->max_ttl_ms, ttl);
	code = meshd_child_start(&ca->child, ca->program, argv, err);
	if (code != MESH_OK) {
		return code;
	}
	code = mesh__watch_new(ca->loop, ca->child.fd, on_ready, ca, &ca->watch, err);
	if (code == MESH_OK) {
		open_request(ca, &body, &json, id, "info");
		mesh__json_close(&json, '}');
		code = ask(ca, &body, id, NULL, NULL, err);
		mesh__buf_fini(&body);
	}
	if (code == MESH_OK && !flush(ca)) {
		code = mesh__fail(err, MESH_E_IO, "%s left at once", ca->program);
	}
	return code;
}

static void start_child(void *arg)
{
	struct meshd_ca *ca = arg;
	struct mesh__err err = MESH__NO_ERR;

	if (spawn_child(ca, &err) != MESH_OK) {
		child_died(ca, err.message);
	}
}

int meshd_ca_new(struct mesh__loop *loop, const struct meshd_ca_options *options, meshd_ca_up_fn up, void *user, struct meshd_ca **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct meshd_ca *ca = mesh__alloc(&env->mem, sizeof(*ca));
	int code;

	*out = NULL;
	if (ca == NULL) {
		return mesh__fail_memory(err);
	}
	ca->loop = loop;
	ca->env = env;
	ca->last = &ca->first;
	ca->child.fd = -1;
	ca->next_id = 1;
	ca->backoff_ms = BACKOFF_MIN_MS;
	ca->up_fn = up;
	ca->user = user;
	ca->max_ttl_ms = options->max_ttl_ms;
	ca->program = mesh__strdup(&env->mem, options->program);
	ca->dir = mesh__strdup(&env->mem, options->dir);
	ca->trust_domain = mesh__strdup(&env->mem, options->trust_domain);
	ca->run_as = mesh__strdup(&env->mem, options->user);
	ca->log_level = mesh__strdup(&env->mem, options->log_level);
	mesh__buf_init(&ca->in, &env->mem, 4 * FRAME_MAX);
	mesh__buf_init(&ca->out, &env->mem, (size_t)OPEN_MAX_REQUESTS * FRAME_MAX);
	if (ca->program == NULL || ca->dir == NULL || ca->trust_domain == NULL || ca->run_as == NULL || ca->log_level == NULL
		|| mesh__timer_new(loop, start_child, ca, &ca->restart) != MESH_OK
		|| mesh__timer_new(loop, was_silent, ca, &ca->silence) != MESH_OK) {
		code = mesh__fail_memory(err);
	} else {
		code = spawn_child(ca, err);
	}
	if (code != MESH_OK) {
		meshd_ca_free(ca);
		return code;
	}
	*out = ca;
	return MESH_OK;
}

void meshd_ca_free(struct meshd_ca *ca)
{
	if (ca == NULL) {
		return;
	}
	if (ca->silence != NULL) {
		end_child(ca, false);
	}
	fail_open(ca, MESH_E_CLOSED, "meshd is stopping");
	mesh__timer_free(ca->restart);
	mesh__timer_free(ca->silence);
	mesh__buf_fini(&ca->in);
	mesh__buf_fini(&ca->out);
	free_info(&ca->info);
	mesh__free(ca->program);
	mesh__free(ca->dir);
	mesh__free(ca->trust_domain);
	mesh__free(ca->run_as);
	mesh__free(ca->log_level);
	mesh__free(ca);
}

bool meshd_ca_is_up(const struct meshd_ca *ca)
{
	return ca->up;
}

int meshd_ca_failed_starts(const struct meshd_ca *ca)
{
	return ca->failed_starts;
}

const struct meshd_ca_info *meshd_ca_told(const struct meshd_ca *ca)
{
	return ca->info.roots_pem == NULL ? NULL : &ca->info;
}
