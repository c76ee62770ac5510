#include "inbound/authenticate.h"

int mesh__authenticate_conf(const struct mesh__env *env, struct mesh__creds *creds, bool tls12, const struct mesh__tls_conf *old, struct mesh__tls_conf **out, struct mesh__err *err)
{
	struct mesh__tls_conf_options options = {.chain_pem = mesh__creds_chain(creds), .key_pem = mesh__creds_key(creds), .trust = mesh__creds_trust(creds), .http2 = true, .tls12 = tls12};
	int code;

	*out = NULL;
	options.sessions = mesh__tls_conf_sessions(env, old, options.trust);
	code = options.sessions == NULL ? mesh__fail_memory(err) : mesh__tls_conf_new(env, &options, out, err);
	mesh__sessions_unref(options.sessions);
	return code;
}
