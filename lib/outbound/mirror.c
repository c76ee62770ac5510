#include "outbound/mirror.h"

#include <string.h>

#include "outbound/destination.h"
#include "outbound/request.h"

static void leave_out(const struct mesh_request *r, const char *why)
{
	mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_mirror_left_out_total", "Calls that a mirror was to get a copy of and did not, by why.", "reason", why), 1);
}

static bool wants_copy(const struct mesh_request *r)
{
	int32_t share = r->route->mirror.share;

	return share > 0 && mesh__dice_below(r->outbound->env, MESH__WHOLE) < (uint64_t)share;
}

static struct mesh_request *copy_of(struct mesh_request *r)
{
	const struct mesh__side *to = &r->route->mirror.to;
	struct mesh_request *copy = mesh__request_copy(r, to->service != NULL ? to->service : r->key);

	if (copy != NULL) {
		copy->copy = (struct mesh__copy){.of = r->service->destination, .from = mesh__snapshot_ref(r->snapshot), .to = to};
		mesh__destination_ref(copy->copy.of);
	}
	return copy;
}

/* On the call thread. */
static void on_done(void *user, mesh_request *copy, int32_t code)
{
	(void)user;
	mesh__count(mesh__metrics_counter(copy->outbound->metrics, "mesh_mirror_total", "Copies that a mirror got, by result.", "result", code == MESH_OK ? "answered" : "failed"), 1);
	mesh__destination_end_copy(copy->copy.of, copy->body_len);
	mesh__request_free(copy);
}

void mesh__mirror_call(struct mesh_request *r)
{
	struct mesh__destination *d = r->service->destination;
	struct mesh_request *copy;

	if (r->tries > 0 || !wants_copy(r)) {
		return;
	}
	if (r->streamed != NULL && r->streamed->upload) {
		leave_out(r, "streamed");
		return;
	}
	if (!mesh__destination_begin_copy(d, r->body_len)) {
		leave_out(r, "limit");
		return;
	}
	copy = copy_of(r);
	if (copy == NULL || mesh__async_start(copy, on_done, NULL) != MESH_OK) {
		leave_out(r, "failed");
		mesh__destination_end_copy(d, r->body_len);
		mesh__request_free(copy);
	}
}

void mesh__mirror_let_go(struct mesh_request *r)
{
	mesh__destination_unref(r->copy.of);
	mesh__snapshot_unref(r->copy.from);
	memset(&r->copy, 0, sizeof(r->copy));
}
