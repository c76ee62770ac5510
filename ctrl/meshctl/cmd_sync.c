/* sync-status: who runs which generation of the configuration, and how fast it got there. */
#include <stdio.h>
#include <string.h>

#include "meshctl/admin.h"
#include "meshctl/print.h"

enum { TARGET_MAX = 128, NUMBER_TEXT = 24 };

/* "generation 12: told 3 processes; 2 took it, 1 refused it, 0 have not answered; p50 1.2 ms, p99 3.1 ms" */
static void print_spread(struct ctl *ctl, const struct mesh__json *spread)
{
	static const struct {
		const char *key, *text;
	} counts[] = {{"acknowledged", "took it"}, {"refused", "refused it"}, {"waiting", "have not answered"}, {"gone", "ended first"}, {"superseded", "were sent newer ones first"}};
	static const char *const times[] = {"p50", "p99", "max"};
	const char *separator = "; ";
	int64_t n = 0;

	(void)mesh__json_i64(mesh__json_get(spread, "told"), 0, INT64_MAX, &n);
	mesh__buf_printf(&ctl->out, "generation %s: told %lld process%s", mesh__json_text(mesh__json_get(spread, "generation")), (long long)n, n == 1 ? "" : "es");
	for (size_t i = 0; i < MESH__COUNT(counts); i++) {
		n = 0;
		if (mesh__json_i64(mesh__json_get(spread, counts[i].key), 0, INT64_MAX, &n) && n > 0) {
			mesh__buf_printf(&ctl->out, "%s%lld %s", separator, (long long)n, counts[i].text);
			separator = ", ";
		}
	}
	separator = "; ";
	for (size_t i = 0; i < MESH__COUNT(times); i++) {
		char key[NUMBER_TEXT];
		const struct mesh__json *value;

		(void)snprintf(key, sizeof(key), "%sMs", times[i]);
		value = mesh__json_get(spread, key);
		if (value != NULL) {
			mesh__buf_printf(&ctl->out, "%s%s ", separator, times[i]);
			ctl_print_pretty(&ctl->out, value, 0);
			mesh__buf_str(&ctl->out, " ms");
			separator = ", ";
		}
	}
	mesh__buf_chr(&ctl->out, '\n');
}

/* What it refused says more than what it has not answered yet. */
static void client_row(struct ctl_table *table, const struct mesh__json *client)
{
	const struct mesh__json *refused = mesh__json_first(mesh__json_get(client, "refused")), *waiting = mesh__json_first(mesh__json_get(client, "waiting"));
	const struct mesh__json *about = refused != NULL ? refused : waiting;

	ctl_table_json(table, client, "spiffeId");
	ctl_table_json(table, client, "instance");
	ctl_table_json(table, client, "generation");
	ctl_table_json(table, client, "state");
	ctl_table_time(table, about != NULL ? about : client, refused != NULL ? "at" : waiting != NULL ? "since" : "taken");
	ctl_table_json(table, about, "service");
	ctl_table_json(table, about, "reason");
}

static void print_clients(struct ctl *ctl, const struct mesh__json *clients)
{
	static const char *const heads[] = {"SPIFFE ID", "INSTANCE", "GENERATION", "STATE", "SINCE", "SERVICE", "REASON"};
	struct ctl_table table;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	for (const struct mesh__json *c = mesh__json_first(clients); c != NULL; c = mesh__json_next(c)) {
		client_row(&table, c);
	}
	ctl_table_print(&table, &ctl->out);
	ctl_table_fini(&table);
}

static bool any_refused(const struct mesh__json *clients)
{
	for (const struct mesh__json *c = mesh__json_first(clients); c != NULL; c = mesh__json_next(c)) {
		if (mesh__json_count(mesh__json_get(c, "refused")) > 0) {
			return true;
		}
	}
	return false;
}

static void print_sync(struct ctl *ctl, const struct mesh__json *answer)
{
	const struct mesh__json *spread = mesh__json_first(mesh__json_get(answer, "generations"));

	if (spread != NULL) {
		print_spread(ctl, spread);
	} else if (ctl_number(&ctl->args, "generation", 0) > 0) {
		ctl_say(ctl, "how generation %lld spread is not known any more: meshd follows the last 256, from its start on", (long long)ctl_number(&ctl->args, "generation", 0));
	}
	print_clients(ctl, mesh__json_get(answer, "clients"));
}

static int sync_run(struct ctl *ctl)
{
	int64_t generation = ctl_number(&ctl->args, "generation", 0);
	struct mesh__json *answer = NULL;
	char target[TARGET_MAX] = "/v1/sync";
	int code;

	if (generation > 0) {
		(void)snprintf(target, sizeof(target), "/v1/sync?generation=%lld", (long long)generation);
	}
	code = ctl_admin_once(ctl, "GET", target, NULL, &answer);
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		print_sync(ctl, answer);
	}
	if (code == CTL_OK && any_refused(mesh__json_get(answer, "clients"))) {
		code = CTL_FAILED;
	}
	mesh__json_free(answer);
	return code;
}

static const struct ctl_option sync_options[] = {
	{"generation", 0, CTL_INTEGER, "N", "who runs this one, or a newer one (default: the newest)", 1, INT64_MAX},
	{0},
};

const struct ctl_command ctl_sync_status = {
	"sync-status", "", 0, 0, "show who runs which configuration",
	"Tells how the newest generation of the configuration (or that of --generation) has spread: how many processes it\n"
	"concerned and were told, what they answered, and within what time of its commit half of them and 99% of them had it. Then\n"
	"lists each connected process with the generation that it runs: current; waiting for its answer, since when; or refused,\n"
	"with the service whose configuration that was and the reason: it then goes on with the last one that it took. It exits\n"
	"with 1 when any process refuses one. -o json also tells of the 20 generations before.",
	"  $ meshctl sync-status\n  generation 2: told 1 process; 1 took it; p50 0.93 ms, p99 0.93 ms, max 0.93 ms\n"
	"  SPIFFE ID                               INSTANCE  GENERATION  STATE    SINCE                 SERVICE  REASON\n"
	"  spiffe://mesh.local/ns/default/svc/cart  -         2           current  2026-01-31T12:00:00Z  -        -\n",
	sync_options, sync_run,
};
