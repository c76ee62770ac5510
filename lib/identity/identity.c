#include "identity/identity.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "identity/enroll.h"

enum {
	FIRST_BACKOFF_MS = 100,
	LONGEST_BACKOFF_MS = 10000,
	REFUSED_BACKOFF_MS = 60000 /* after a final refusal, while there is a certificate */
};

struct mesh__identity {
	struct mesh__identity_options options;
	const struct mesh__env *env;
	struct mesh__servers servers;
	struct mesh__token token;
	char service[MESH__LABEL_MAX + 1], ns[MESH__LABEL_MAX + 1], instance[MESH__LABEL_MAX + 1];
	struct mesh__svid *svid;     /* the one in use; NULL before the first */
	struct mesh__creds *creds;   /* made of it */
	struct mesh__enroll *enroll; /* the attempt under way */
	struct mesh__timer *timer;   /* the next attempt */
	_Atomic(struct mesh__join_key *) prepared; /* for the first join */
	int failures;                /* in a row */
	bool looked;                 /* into the state directory: what is there is not passed over for want of memory or descriptors */
	struct mesh__err unkept;     /* why there was no identity in it */
};

/* The longest wait between attempts: a short-lived certificate must be tried for often enough to be had in time. */
static int64_t longest_backoff_ms(const struct mesh__identity *id)
{
	int64_t life = id->svid == NULL ? 0 : id->svid->leaf.not_after_ms - id->svid->leaf.not_before_ms;

	if (life > 0 && life / 20 < LONGEST_BACKOFF_MS) {
		return life / 20 < FIRST_BACKOFF_MS ? FIRST_BACKOFF_MS : life / 20;
	}
	return LONGEST_BACKOFF_MS;
}

static int64_t backoff_ms(struct mesh__identity *id)
{
	int64_t longest = longest_backoff_ms(id), ceiling = FIRST_BACKOFF_MS;

	for (int i = 1; i < id->failures && ceiling < longest; i++) {
		ceiling *= 2;
	}
	ceiling = ceiling < longest ? ceiling : longest;
	return 1 + (int64_t)mesh__dice_below(id->env, (uint64_t)ceiling);
}

static void take(struct mesh__identity *id, struct mesh__svid *svid)
{
	char expires[32];

	mesh__svid_unref(id->svid);
	id->svid = svid;
	(void)snprintf(expires, sizeof(expires), "%lld", (long long)svid->leaf.not_after_ms);
	mesh__log(id->env, MESH__LOG_INFO, "identity", "spiffeId", svid->leaf.spiffe, "serial", svid->leaf.serial, "notAfterMs", expires, (char *)NULL);
	if (id->options.fixed == NULL && id->servers.n > 0) {
		mesh__timer_start(id->timer, mesh__svid_renew_in_ms(&svid->leaf, mesh__wall_ms(id->env), mesh__dice(id->env)), 0);
	}
	id->options.changed(id->options.arg, svid);
}

static void keep(struct mesh__identity *id)
{
	struct mesh__err err = MESH__NO_ERR;

	if (id->options.state != NULL && mesh__state_dir_save_svid(id->options.state, id->svid, &err) != MESH_OK) {
		mesh__log(id->env, MESH__LOG_WARN, "identity not kept", "reason", err.message, (char *)NULL);
	}
}

static void on_failure(struct mesh__identity *id, const struct mesh__err *err, bool final)
{
	id->failures++;
	mesh__log(id->env, MESH__LOG_WARN, "no identity", "reason", err->message, "code", mesh__code_name(err->code), "final", final ? "true" : "false", (char *)NULL);
	if (!final) {
		mesh__servers_advance(&id->servers);
		mesh__timer_start(id->timer, backoff_ms(id), 0);
	} else if (id->svid != NULL) {
		/* What was final may pass: a wall clock that was set forward and back, a certificate that has expired and may be had anew with the token. */
		mesh__timer_start(id->timer, REFUSED_BACKOFF_MS / 2 + (int64_t)mesh__dice_below(id->env, REFUSED_BACKOFF_MS / 2), 0);
	}
	id->options.failed(id->options.arg, err, final);
}

static void on_enrolled(void *arg, int code, struct mesh__svid *svid, bool final, const struct mesh__err *err)
{
	struct mesh__err why = MESH__NO_ERR, other = MESH__NO_ERR;
	struct mesh__identity *id = arg;

	if (err != NULL) {
		why = *err; /* the attempt's own: it goes with the attempt */
	}
	mesh__enroll_free(id->enroll);
	id->enroll = NULL;
	if (code != MESH_OK) {
		on_failure(id, &why, final);
		return;
	}
	if (id->svid != NULL && strcmp(svid->leaf.spiffe, id->svid->leaf.spiffe) != 0) {
		(void)mesh__fail_at(&other, MESH__ORIGIN_CONTROL, MESH_E_IDENTITY, "the new certificate is for %s; this process is %s and stays so", svid->leaf.spiffe, id->svid->leaf.spiffe);
		mesh__svid_unref(svid);
		on_failure(id, &other, false);
		return;
	}
	id->failures = 0;
	take(id, svid);
	keep(id);
}

static struct mesh__join_key *take_prepared(void *arg)
{
	struct mesh__identity *id = arg;

	return atomic_exchange(&id->prepared, NULL);
}

/* Renewal while the certificate serves; the token when it does not, or there is none yet. */
static void attempt(void *arg)
{
	struct mesh__identity *id = arg;
	struct mesh__err err = MESH__NO_ERR;
	bool renew = id->svid != NULL && id->creds != NULL && mesh__wall_ms(id->env) < id->svid->leaf.not_after_ms;
	struct mesh__enroll_options options = {.loop = id->options.loop, .servers = &id->servers, .ns = id->ns, .instance = id->instance, .prepared = take_prepared, .done = on_enrolled, .arg = id,
		.service = id->service[0] == '\0' ? NULL : id->service};

	if (id->enroll != NULL) {
		return;
	}
	if (!id->looked) {
		mesh__identity_start(id);
		return;
	}
	if (renew) {
		options.creds = id->creds;
	} else if (id->options.token != NULL) {
		options.token = &id->token;
	} else {
		if (id->svid == NULL) {
			(void)mesh__fail_at(&err, MESH__ORIGIN_LOCAL, MESH_E_IDENTITY, "there is no token to join with, and none of use in the state directory (%s); set MESH_TOKEN and restart", id->unkept.message);
		} else {
			(void)mesh__fail_at(&err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the certificate of %s has expired and there is no token to join with again; set MESH_TOKEN and restart", id->svid->leaf.spiffe);
		}
		on_failure(id, &err, true);
		return;
	}
	if (mesh__enroll_start(&options, &id->enroll, &err) != MESH_OK) {
		on_failure(id, &err, false);
	}
}

int mesh__identity_new(const struct mesh__identity_options *options, struct mesh__identity **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(options->loop);
	struct mesh__identity *id = mesh__alloc(&env->mem, sizeof(*id));

	*out = NULL;
	if (id == NULL) {
		return mesh__fail_memory(err);
	}
	id->options = *options;
	id->env = env;
	id->servers = *options->servers;
	if (options->token != NULL) {
		id->token = *options->token;
	}
	if (options->fixed != NULL) {
		id->options.fixed = mesh__svid_ref(options->fixed);
	}
	(void)snprintf(id->service, sizeof(id->service), "%s", options->service == NULL ? "" : options->service);
	(void)snprintf(id->ns, sizeof(id->ns), "%s", options->ns);
	(void)snprintf(id->instance, sizeof(id->instance), "%s", options->instance);
	if (mesh__timer_new(options->loop, attempt, id, &id->timer) != MESH_OK) {
		mesh__identity_free(id);
		return mesh__fail_memory(err);
	}
	*out = id;
	return MESH_OK;
}

/* The identity in the state directory, if it is ours: a directory that was copied from another service's must not make this process that service. */
/* Whether what is kept is what this process is to be: the service that is set, in the mesh whose root the token pins. */
static int judge_kept(struct mesh__identity *id, const struct mesh__svid *svid, struct mesh__err *err)
{
	char *root = NULL;
	int code;

	if (strcmp(svid->leaf.name.service, id->service) != 0 || strcmp(svid->leaf.name.ns, id->ns) != 0) {
		return mesh__fail(err, MESH_E_IDENTITY, "the identity in the state directory is %s, not service %s in namespace %s", svid->leaf.spiffe, id->service, id->ns);
	}
	if (id->options.token == NULL) {
		return MESH_OK;
	}
	code = mesh__svid_pinned_root(id->env, svid->roots_pem, id->token.pin, &root, err);
	mesh__free(root);
	if (code == MESH_E_NOT_FOUND) {
		mesh__state_dir_forget_snapshot(id->options.state);
		return mesh__fail(err, MESH_E_IDENTITY, "the identity in the state directory is of another mesh than the token");
	}
	return code;
}

static int load_kept(struct mesh__identity *id, struct mesh__svid **out, struct mesh__err *err)
{
	int code = mesh__state_dir_load_svid(id->options.state, out, err);

	if (code == MESH_OK) {
		code = judge_kept(id, *out, err);
	}
	if (code != MESH_OK) {
		mesh__svid_unref(*out);
		*out = NULL;
	}
	return code;
}

void mesh__identity_start(struct mesh__identity *id)
{
	struct mesh__svid *kept = NULL;

	if (id->options.fixed != NULL) {
		id->looked = true;
		take(id, mesh__svid_ref(id->options.fixed));
		return;
	}
	if (id->options.state != NULL) {
		int code = load_kept(id, &kept, &id->unkept);
		if (code == MESH_OK) {
			id->looked = true;
			take(id, kept);
			return;
		}
		if (code == MESH_E_NO_MEMORY || (code == MESH_E_IO && id->options.token == NULL)) {
			on_failure(id, &id->unkept, false);
			return;
		}
		if (code != MESH_E_NOT_FOUND) {
			mesh__log(id->env, MESH__LOG_WARN, "kept identity not used", "reason", id->unkept.message, (char *)NULL);
		}
	}
	id->looked = true;
	attempt(id);
}

void mesh__identity_prepare(struct mesh__identity *id)
{
	struct mesh__join_key *key = NULL;

	/* Elsewhere it may well be that none is needed. */
	if (id->options.token == NULL || id->options.fixed != NULL || id->options.state != NULL) {
		return;
	}
	/* What fails here is tried again, and told, when it is needed. */
	if (mesh__join_key_new(id->env, &key, NULL) == MESH_OK && (id->service[0] != '\0' || mesh__join_key_request(id->env, key, NULL, NULL) == MESH_OK)) {
		key = atomic_exchange(&id->prepared, key);
	}
	mesh__join_key_free(key);
}

void mesh__identity_use(struct mesh__identity *id, struct mesh__creds *creds)
{
	struct mesh__creds *old = id->creds;

	id->creds = mesh__creds_ref(creds);
	if (old != NULL) {
		mesh__creds_unref(old);
	}
}

static void fini(struct mesh__identity *id)
{
	mesh__svid_unref(id->svid);
	mesh__svid_unref(id->options.fixed);
	mesh__join_key_free(atomic_load(&id->prepared));
	if (id->creds != NULL) {
		mesh__creds_unref(id->creds);
	}
	mesh__wipe(&id->token, sizeof(id->token));
	mesh__free(id);
}

void mesh__identity_free(struct mesh__identity *id)
{
	if (id != NULL) {
		mesh__enroll_free(id->enroll);
		mesh__timer_free(id->timer);
		fini(id);
	}
}

void mesh__identity_abandon(struct mesh__identity *id)
{
	if (id != NULL) {
		mesh__enroll_abandon(id->enroll);
		mesh__wipe(&id->token, sizeof(id->token));
	}
}
