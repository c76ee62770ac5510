#include "outbound/choose.h"
#include "outbound/destination.h"
#include "outbound/failover.h"
#include "outbound/steps.h"

/* What is wrong at home. */
static void tell_home(struct mesh_request *r)
{
	const struct mesh__service *s = r->home.service;
	const struct mesh__group *group = r->home.group;

	if (!s->known) {
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_SERVICE, "no service %s: none has ever registered; is the name right, is its namespace?", s->key);
	} else if (group->n > 0) { /* there is no panic where it is switched off */
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, MESH_E_NO_ENDPOINT, "none of the %zu endpoints of %s%s%s is healthy", group->n, group->subset == NULL ? "" : group->subset, group->subset == NULL ? "" : " of ", s->key);
	} else if (group->subset == NULL) {
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "service %s has no endpoint at present", s->key);
	} else if (r->route == NULL) { /* a mirror's copy */
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "subset %s of service %s, to which a mirror leads, has no endpoint at present: none of %zu has its labels", group->subset, s->key, s->n);
	} else {
		(void)mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "subset %s of service %s, to which route %s leads, has no endpoint at present: none of %zu has its labels", group->subset, s->key,
			r->route->name, s->n);
	}
}

/* Those of a zone for a first try. Of a retry mesh__choose() knows better which zone. */
static struct mesh__candidates candidates_of(const struct mesh_request *r, const struct mesh__lead *lead)
{
	const struct mesh__group *group = r->group;

	if (r->tries > 0 || (!lead->whole && lead->panic)) {
		return (struct mesh__candidates){.from = 0, .n = group->n, .unhealthy_too = !lead->whole && lead->panic};
	}
	if (lead->whole) {
		return (struct mesh__candidates){.from = 0, .n = group->n_near > 0 ? group->n_near : group->n};
	}
	return mesh__levels_draw(&lead->levels, r->outbound->env);
}

/* True: an ejected endpoint of the group is due, and this try is its probe. A first try is: a retry is to have the best chance that there is, and a mirror's copy decides nothing for calls. */
static bool probes(struct mesh_request *r, struct mesh__service *service, struct mesh__group *group)
{
	if (!mesh__outlier_is_due(&service->destination->outlier, r->now_us) || r->tries > 0 || r->copy.of != NULL) {
		return false;
	}
	r->probes = mesh__outlier_claim(service->destination, group, r->now_us);
	if (r->probes == NULL) {
		return false;
	}
	r->service = service;
	r->group = group;
	r->endpoint = r->probes;
	return true;
}

int mesh__step_pick(struct mesh_request *r)
{
	struct mesh__candidates candidates;
	struct mesh__lead lead;

	mesh__checks_note(&r->outbound->checks, r->home.service); /* also while others stand in for it: so it comes back */
	if (probes(r, r->home.service, r->home.group)) { /* likewise */
		return MESH_OK;
	}
	mesh__failover_lead(r, &lead);
	if (r->service == NULL) {
		return MESH_OK; /* it waits */
	}
	if (r->group != r->home.group && probes(r, r->service, r->group)) {
		return MESH_OK;
	}
	if (!lead.whole && lead.healthy == 0 && !lead.panic) {
		tell_home(r);
		mesh__failover_explain(r);
		return r->err.code;
	}
	candidates = candidates_of(r, &lead);
	r->endpoint = r->group->endpoints[mesh__choose(r, &candidates)]; /* the call's snapshot keeps it */
	return MESH_OK;
}
