/*
 * Tests of a whole mesh make calls by the built-in policy, whose connectTimeout of a second a sanitized handshake, and any under valgrind, may miss on a busy machine. Such tests are linked with --wrap=mesh__service_policy_default,
 * which leads here; the policy's own tests are not.
 */
#include "policy/document.h"
#include "support/patience.h"

void __real_mesh__service_policy_default(struct mesh__service_policy *policy);
void __wrap_mesh__service_policy_default(struct mesh__service_policy *policy);

void __wrap_mesh__service_policy_default(struct mesh__service_policy *policy)
{
	__real_mesh__service_policy_default(policy);
	if (slowed_down()) {
		policy->timeout_ms = patience(policy->timeout_ms);
		policy->connect_timeout_ms = under_valgrind() ? policy->timeout_ms : patience(policy->connect_timeout_ms);
	}
}
