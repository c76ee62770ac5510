/*
 * What a mesh waits for by itself. Tests of a whole one make calls by the built-in policy, whose connectTimeout of a second a sanitized handshake, and any under valgrind, may miss on a busy machine; and fifty at once may miss the
 * ten seconds that a server gives them. Such tests are linked with --wrap=mesh__service_policy_default and --wrap=mesh__http_limits_default, which lead here; the tests of policies and of limits are not.
 */
#include "http/server.h"
#include "policy/document.h"
#include "support/patience.h"

void __real_mesh__service_policy_default(struct mesh__service_policy *policy);
void __wrap_mesh__service_policy_default(struct mesh__service_policy *policy);
void __real_mesh__http_limits_default(struct mesh__http_limits *limits);
void __wrap_mesh__http_limits_default(struct mesh__http_limits *limits);

void __wrap_mesh__service_policy_default(struct mesh__service_policy *policy)
{
	__real_mesh__service_policy_default(policy);
	if (slowed_down()) {
		policy->timeout_ms = patience(policy->timeout_ms);
		policy->connect_timeout_ms = under_valgrind() ? policy->timeout_ms : patience(policy->connect_timeout_ms);
	}
}

void __wrap_mesh__http_limits_default(struct mesh__http_limits *limits)
{
	__real_mesh__http_limits_default(limits);
	limits->handshake_ms = patience(limits->handshake_ms);
	limits->header_ms = patience(limits->header_ms);
}
