#include "meshd/admin.h"

#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

enum { ROWS = 20 };

/* ---- The clients. ---- */

/* What a client is, as to a generation. */
static const char *state_of(const struct meshd_session *session, uint64_t generation)
{
	if (meshd_watch_generation(session) >= generation) {
		return "current";
	}
	return session->n_awaited > 0 || session->n_lacks > 0 ? "waiting" : "refused";
}

static void put_refusals(struct mesh__json_out *json, const struct meshd_session *session)
{
	mesh__json_open(json, "refused", '[');
	for (const struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		if (sub->refused != NULL) {
			mesh__json_open(json, NULL, '{');
			mesh__json_put_text(json, "service", meshd_watch_subscribed(sub));
			mesh__json_put_u64(json, "generation", sub->refused_generation);
			mesh__json_put_u64(json, "at", (uint64_t)sub->refused_ms);
			mesh__json_put_text(json, "reason", sub->refused);
			mesh__json_close(json, '}');
		}
	}
	mesh__json_close(json, ']');
}

static void put_waiting(struct mesh__json_out *json, const struct meshd_session *session)
{
	mesh__json_open(json, "waiting", '[');
	for (const struct meshd_subscription *sub = session->subscriptions; sub != NULL; sub = sub->next_of_session) {
		if (meshd_watch_owed(sub) != 0) {
			mesh__json_open(json, NULL, '{');
			mesh__json_put_text(json, "service", meshd_watch_subscribed(sub));
			mesh__json_put_u64(json, "generation", meshd_watch_owed(sub));
			mesh__json_put_u64(json, "since", (uint64_t)sub->awaited_ms);
			mesh__json_close(json, '}');
		}
	}
	mesh__json_close(json, ']');
}

static void put_client(struct mesh__json_out *json, const struct meshd_session *session, uint64_t generation)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "spiffeId", session->peer.spiffe);
	mesh__json_put_text(json, "instance", session->instance);
	mesh__json_put_text(json, "session", session->id);
	mesh__json_put_text(json, "state", state_of(session, generation));
	mesh__json_put_u64(json, "generation", meshd_watch_generation(session));
	mesh__json_put_u64(json, "taken", (uint64_t)session->taken_ms);
	put_waiting(json, session);
	put_refusals(json, session);
	mesh__json_close(json, '}');
}

/* ---- The generations. ---- */

static void put_ms(struct mesh__json_out *json, const char *key, int64_t us)
{
	mesh__json_put_double(json, key, (double)us / 1000, 3);
}

static void put_spread(struct mesh__json_out *json, const struct meshd_spread *spread)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_u64(json, "generation", spread->generation);
	mesh__json_put_u64(json, "at", (uint64_t)spread->at_ms);
	mesh__json_put_int(json, "told", spread->told);
	mesh__json_put_int(json, "acknowledged", spread->acknowledged);
	mesh__json_put_int(json, "refused", spread->refused);
	mesh__json_put_int(json, "waiting", meshd_spread_waiting(spread));
	mesh__json_put_int(json, "gone", spread->gone);
	mesh__json_put_int(json, "superseded", spread->superseded);
	if (spread->acknowledged > 0) {
		put_ms(json, "p50Ms", meshd_spread_percentile_us(spread, 50));
		put_ms(json, "p99Ms", meshd_spread_percentile_us(spread, 99));
		put_ms(json, "maxMs", spread->longest_us);
	}
	mesh__json_close(json, '}');
}

/* `wanted` alone, or with 0 the newest ones. */
static void put_spreads(struct mesh__json_out *json, const struct meshd_sync *sync, uint64_t wanted)
{
	mesh__json_open(json, "generations", '[');
	for (size_t i = 0; i < (wanted == 0 ? ROWS : 1); i++) {
		const struct meshd_spread *spread = wanted == 0 ? meshd_sync_nth(sync, i) : meshd_sync_find(sync, wanted);

		if (spread != NULL) {
			put_spread(json, spread);
		}
	}
	mesh__json_close(json, ']');
}

void meshd_admin_sync(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	uint64_t newest = meshd_config_generation(meshd->config), wanted = 0;
	struct mesh__json_out json;
	struct mesh__buf out;
	char text[24];

	(void)body;
	(void)rest;
	if (mesh__query_get(mesh__exchange_query(x), "generation", text, sizeof(text)) != MESH__QUERY_ABSENT && (!mesh__str_u64(text, strlen(text), newest, &wanted) || wanted == 0)) {
		mesh__exchange_refuse(x, 404, "not-found", "there is no such generation (yet)");
		return;
	}
	meshd_watch_flush(meshd->watch);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_u64(&json, "generation", wanted == 0 ? newest : wanted);
	mesh__json_open(&json, "clients", '[');
	for (const struct meshd_session *s = meshd_watch_sessions(meshd->watch); s != NULL; s = s->next) {
		if (!s->over) {
			put_client(&json, s, wanted == 0 ? newest : wanted);
		}
	}
	mesh__json_close(&json, ']');
	put_spreads(&json, meshd_watch_sync(meshd->watch), wanted);
	mesh__json_close(&json, '}');
	meshd_reply_json(x, 200, &out);
}

/* ---- The same as metrics. ---- */

static void set(struct meshd *meshd, const char *name, const char *help, const char *key, const char *value, int64_t number)
{
	mesh__gauge_set(mesh__metrics_gauge(meshd->metrics, name, help, key, value), number);
}

void meshd_admin_sync_metrics(struct meshd *meshd)
{
	static const char clients[] = "mesh_clients", clients_help[] = "Processes that watch, by whether they run the newest configuration that concerns them.";
	static const char spread_name[] = "mesh_config_propagation_us", spread_help[] = "From the commit of the newest generation that concerned anybody to its acknowledgements.";
	static const char *const states[] = {"current", "waiting", "refused"};
	const struct meshd_sync *sync = meshd_watch_sync(meshd->watch);
	int64_t n[MESH__COUNT(states)] = {0};
	const struct meshd_spread *spread = NULL;

	meshd_watch_flush(meshd->watch);
	for (const struct meshd_session *s = meshd_watch_sessions(meshd->watch); s != NULL; s = s->next) {
		const char *state = state_of(s, meshd_config_generation(meshd->config));

		for (size_t i = 0; i < MESH__COUNT(states) && !s->over; i++) {
			n[i] += strcmp(state, states[i]) == 0 ? 1 : 0;
		}
	}
	for (size_t i = 0; i < MESH__COUNT(states); i++) {
		set(meshd, clients, clients_help, "state", states[i], n[i]);
	}
	for (size_t i = 0; (spread = meshd_sync_nth(sync, i)) != NULL && spread->acknowledged == 0; i++) {
	}
	set(meshd, spread_name, spread_help, "quantile", "0.5", spread == NULL ? 0 : meshd_spread_percentile_us(spread, 50));
	set(meshd, spread_name, spread_help, "quantile", "0.99", spread == NULL ? 0 : meshd_spread_percentile_us(spread, 99));
}
