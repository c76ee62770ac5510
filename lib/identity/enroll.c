#include "identity/enroll.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wire/message.h"

enum { STEP_TIMEOUT_MS = 10000, ANSWER_MAX_BYTES = 256 * 1024 };

struct mesh__enroll {
	struct mesh__enroll_options options;
	const struct mesh__env *env;
	struct mesh__multi *multi;       /* a new one each step: no step uses a connection of another */
	struct mesh__transfer *transfer; /* NULL once it is done */
	struct mesh__post post;          /* to leave a transfer's callback before its multi goes */
	bool posted, freed;
	struct mesh__join_key *key;      /* NULL: not needed yet */
	char *root_pem;
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1];
	/* the outcome, until it is told */
	int code;
	bool final;
	struct mesh__svid *svid;
	struct mesh__err err;
};

static void free_now(struct mesh__enroll *e)
{
	mesh__multi_free(e->multi);
	mesh__join_key_free(e->key);
	mesh__free(e->root_pem);
	mesh__svid_unref(e->svid);
	mesh__free(e);
}

static void send_request(void *arg);

/* Runs `next` outside the transfer's callback: there the multi of the step that is over may go. */
static void go_on(struct mesh__enroll *e, mesh__loop_fn next)
{
	e->posted = true;
	mesh__loop_post(e->options.loop, &e->post, next, e);
}

static void tell(void *arg)
{
	struct mesh__enroll *e = arg;
	struct mesh__svid *svid = e->svid;

	e->posted = false;
	if (e->freed) {
		free_now(e);
		return;
	}
	e->svid = NULL;
	e->options.done(e->options.arg, e->code, svid, e->final, &e->err);
}

static void fail(struct mesh__enroll *e, int code, bool final)
{
	char server[320];

	mesh__servers_format(e->options.servers, server);
	(void)mesh__wrap(&e->err, "%s with %s", e->options.token != NULL ? "joining" : "renewing", server);
	e->code = code;
	e->final = final;
	go_on(e, tell);
}

/* A refusal of the server into an error; true when it is final. */
static bool refusal(struct mesh__enroll *e, const struct mesh__client_response *response)
{
	static const char *const final_codes[] = {"token-spent", "token-expired", "token-unknown", "denied", "invalid", "revoked"};
	struct mesh__msg_refusal said = {0};
	bool final = false;

	if (mesh__msg_refusal_decode(&e->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &said, NULL) != MESH_OK) {
		(void)mesh__fail_at(&e->err, MESH__ORIGIN_CONTROL, MESH_E_CONTROL, "it answered %d", response->status);
		return false;
	}
	for (size_t i = 0; i < MESH__COUNT(final_codes); i++) {
		final = final || mesh__str_eq(said.code, final_codes[i]);
	}
	(void)mesh__fail_at(&e->err, MESH__ORIGIN_CONTROL, final ? MESH_E_DENIED : MESH_E_CONTROL, "refused (%s): %s", said.code, said.message);
	mesh__msg_refusal_fini(&said);
	return final;
}

static int take_certificate(struct mesh__enroll *e, const struct mesh__client_response *response)
{
	struct mesh__msg_certificate msg;
	int code = mesh__msg_certificate_decode(&e->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &msg, &e->err);

	if (code != MESH_OK) {
		return code;
	}
	code = mesh__svid_new(e->env, e->key->key_pem, msg.chain_pem, msg.roots_pem, &e->svid, &e->err);
	mesh__msg_certificate_fini(&msg);
	if (code == MESH_OK && e->options.service != NULL &&
	    (strcmp(e->svid->leaf.name.service, e->options.service) != 0 || strcmp(e->svid->leaf.name.ns, e->options.ns) != 0)) {
		code = mesh__fail(&e->err, MESH_E_DENIED, "the certificate is for %s, not for service %s in namespace %s",
			e->svid->leaf.spiffe, e->options.service, e->options.ns);
		mesh__svid_unref(e->svid);
		e->svid = NULL;
	}
	return code;
}

static void on_certificate(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh__enroll *e = arg;
	bool final = false;

	(void)result;
	e->transfer = NULL;
	if (code != MESH_OK) {
		e->err = *err;
	} else if (response->status != 200) {
		final = refusal(e, response);
		code = e->err.code;
	} else {
		code = take_certificate(e, response);
		final = code == MESH_E_DENIED;
	}
	if (code != MESH_OK) {
		fail(e, code, final);
		return;
	}
	e->code = MESH_OK;
	go_on(e, tell);
}

/* Keeps the root whose key has the token's pin. Everything about it came over a connection that anybody may have answered: the pin alone decides. */
static int keep_pinned_root(struct mesh__enroll *e, const struct mesh__msg_bundle *bundle)
{
	int code = mesh__svid_pinned_root(e->env, bundle->roots_pem, e->options.token->pin, &e->root_pem, &e->err);

	if (code == MESH_E_NOT_FOUND) {
		return mesh__fail_at(&e->err, MESH__ORIGIN_TLS, MESH_E_IDENTITY,
			"no root of this server has the key that the token pins: the token is of another mesh, or somebody answers in meshd's place");
	}
	if (code != MESH_OK) {
		return code;
	}
	(void)snprintf(e->trust_domain, sizeof(e->trust_domain), "%s", bundle->trust_domain);
	return MESH_OK;
}

static void on_bundle(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh__enroll *e = arg;
	struct mesh__msg_bundle bundle;

	(void)result;
	e->transfer = NULL;
	if (code != MESH_OK) {
		e->err = *err;
	} else if (response->status != 200) {
		code = mesh__fail_at(&e->err, MESH__ORIGIN_CONTROL, MESH_E_CONTROL, "it answered %d to the request for its roots; is it a meshd?", response->status);
	} else {
		code = mesh__msg_bundle_decode(&e->env->mem, response->body.data == NULL ? "" : response->body.data, response->body.len, &bundle, &e->err);
		if (code == MESH_OK) {
			code = keep_pinned_root(e, &bundle);
			mesh__msg_bundle_fini(&bundle);
		}
	}
	if (code != MESH_OK) {
		fail(e, code, false);
		return;
	}
	go_on(e, send_request);
}

static int start_step(struct mesh__enroll *e, struct mesh__creds *creds, struct mesh__transfer_options *t)
{
	struct mesh__multi *old = e->multi;
	int code;

	e->multi = NULL;
	mesh__multi_free(old);
	code = mesh__multi_new(e->options.loop, creds, &e->multi, &e->err);
	if (code != MESH_OK) {
		return code;
	}
	t->request.max_response_bytes = ANSWER_MAX_BYTES;
	t->timeout_ms = STEP_TIMEOUT_MS;
	t->arg = e;
	return mesh__transfer_start(e->multi, t, &e->transfer, &e->err);
}

static int fetch_bundle(struct mesh__enroll *e)
{
	struct mesh__transfer_options t = {.verify = MESH__VERIFY_NOTHING, .request = {.method = "GET", .target = "/v1/bundle"}, .done = on_bundle};

	mesh__servers_address(e->options.servers, NULL, &t);
	return start_step(e, NULL, &t);
}

static int make_key(struct mesh__enroll *e)
{
	e->key = e->options.prepared(e->options.arg);
	return e->key != NULL ? MESH_OK : mesh__join_key_new(e->env, &e->key, &e->err);
}

static int make_request(struct mesh__enroll *e, struct mesh__buf *body)
{
	char token[MESH__TOKEN_TEXT] = "", spiffe[MESH__SPIFFE_MAX] = "";
	struct mesh__msg_enroll msg = {0};
	struct mesh__name name;
	int code;

	memset(&name, 0, sizeof(name));
	if (e->options.service != NULL) {
		(void)snprintf(name.trust_domain, sizeof(name.trust_domain), "%s", e->trust_domain);
		(void)snprintf(name.ns, sizeof(name.ns), "%s", e->options.ns);
		(void)snprintf(name.service, sizeof(name.service), "%s", e->options.service);
		mesh__spiffe_format(&name, spiffe);
	}
	code = make_key(e);
	if (code == MESH_OK) {
		code = mesh__join_key_request(e->env, e->key, spiffe[0] == '\0' ? NULL : spiffe, &e->err);
	}
	if (code != MESH_OK) {
		return code;
	}
	if (e->options.token != NULL) {
		mesh__token_format(e->options.token, token);
		msg.token = token;
	}
	msg.csr_pem = e->key->csr_pem;
	msg.instance = (char *)(uintptr_t)e->options.instance;
	mesh__msg_enroll_encode(&msg, body);
	mesh__wipe(token, sizeof(token));
	return mesh__buf_error(body, "the enrolment request", &e->err);
}

static int try_send(struct mesh__enroll *e)
{
	static const struct mesh__client_field json = {"Content-Type", "application/json"};
	struct mesh__transfer_options t = {.verify = MESH__VERIFY_PEER, .done = on_certificate};
	struct mesh__trust *trust = NULL;
	struct mesh__buf body;
	int code;

	mesh__buf_init(&body, &e->env->mem, MESH__MSG_MAX_BYTES);
	code = make_request(e, &body);
	if (code == MESH_OK && e->options.creds == NULL) {
		code = mesh__trust_new(e->env, e->trust_domain, e->root_pem, NULL, 0, &trust, &e->err);
	}
	if (code == MESH_OK) {
		mesh__servers_address(e->options.servers, e->trust_domain, &t);
		t.trust = trust;
		t.request = (struct mesh__client_request){.method = "POST", .target = e->options.token != NULL ? "/v1/enroll" : "/v1/renew",
			.fields = &json, .n_fields = 1, .body = body.data, .body_len = body.len, .has_body = true};
		code = start_step(e, e->options.creds, &t);
	}
	mesh__buf_fini_secret(&body);
	mesh__trust_unref(trust);
	return code;
}

static void send_request(void *arg)
{
	struct mesh__enroll *e = arg;
	int code;

	e->posted = false;
	if (e->freed) {
		free_now(e);
		return;
	}
	code = try_send(e);
	if (code != MESH_OK) {
		fail(e, code, false);
	}
}

int mesh__enroll_start(const struct mesh__enroll_options *options, struct mesh__enroll **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(options->loop);
	struct mesh__enroll *e = mesh__alloc(&env->mem, sizeof(*e));
	int code;

	*out = NULL;
	if (e == NULL) {
		return mesh__fail_memory(err);
	}
	e->options = *options;
	e->env = env;
	if (options->creds != NULL) {
		(void)snprintf(e->trust_domain, sizeof(e->trust_domain), "%s", mesh__trust_domain(mesh__creds_trust(options->creds)));
		code = try_send(e);
	} else {
		code = fetch_bundle(e);
	}
	if (code != MESH_OK) {
		if (err != NULL) {
			*err = e->err;
		}
		free_now(e);
		return code;
	}
	*out = e;
	return MESH_OK;
}

void mesh__enroll_free(struct mesh__enroll *enroll)
{
	if (enroll == NULL) {
		return;
	}
	if (enroll->posted) {
		enroll->freed = true; /* its turn in the loop's queue frees it */
		return;
	}
	if (enroll->transfer != NULL) {
		mesh__transfer_cancel(enroll->transfer);
	}
	free_now(enroll);
}

void mesh__enroll_abandon(struct mesh__enroll *enroll)
{
	if (enroll != NULL && enroll->multi != NULL) {
		mesh__multi_abandon(enroll->multi);
	}
}
