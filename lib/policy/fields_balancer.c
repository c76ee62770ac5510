/* How an endpoint is chosen: loadBalancer, of a Service, and of a Namespace and a Mesh for all of theirs. */
#include "policy/fields.h"

enum { HOUR_MS = 3600000 };

static const struct mesh__word balancers[] = {
#define X(name, text) {text, MESH__BALANCER_##name},
	MESH__BALANCERS(X)
#undef X
	{NULL, 0},
};

static const struct mesh__field_rule load_balancer_rules[] = {
	{.name = "policy", .type = MESH__FIELD_WORD, .words = balancers, MESH__AT(struct mesh__load_balancer, balancer), .says = "how an endpoint is chosen"},
	{.name = "slowStart", .type = MESH__FIELD_DURATION, .max = HOUR_MS, MESH__AT(struct mesh__load_balancer, slow_start_ms), .says = "over which a new endpoint's share grows"},
	{.name = "panicThreshold", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__load_balancer, panic_threshold), .says = "percent; with fewer healthy endpoints, and nobody to take over, all are used"},
	{.name = "hashOn", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_sticky, MESH__AT(struct mesh__load_balancer, hash_on), .says = "what is hashed"},
	{.name = "zoneAware", .type = MESH__FIELD_BOOL, MESH__AT(struct mesh__load_balancer, zone_aware), .says = "own zone first"},
};

static bool hashes(const struct mesh__load_balancer *how)
{
	return how->balancer == MESH__BALANCER_RING_HASH || how->balancer == MESH__BALANCER_MAGLEV;
}

/* What is hashed may stand in another layer's document. */
static void check_load_balancer(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__load_balancer *how = base;
	const struct mesh__node *policy = mesh__node_get(at->node, "policy");

	if (policy != NULL && hashes(how) && how->hash_on.on == MESH__STICKY_NONE) {
		struct mesh__place place = mesh__place_of(at, policy);
		mesh__reading_warn(r, &place, "nothing is hashed, and calls go anywhere, unless hashOn is said, here or in another document that the service inherits from");
	}
}

const struct mesh__fields mesh__fields_of_load_balancer = {MESH__RULES(load_balancer_rules), .check = check_load_balancer};
