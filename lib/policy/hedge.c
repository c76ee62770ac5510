#include "policy/hedge.h"

#include "policy/retry.h"

enum { WINDOW_MS = 10000 };

bool mesh__hedge_may(const struct mesh__hedging *rule, const struct mesh__hedge_view *view)
{
	return rule->max_extra > 0 && view->idempotent && !view->parent_retried && !view->streams && view->body_len <= MESH__RETRY_BODY_MAX && view->tries == 0 && view->n_endpoints > 1;
}

int64_t mesh__hedge_delay_us(const struct mesh__hedging *rule, struct mesh__hedge_counts *counts, int64_t now_us)
{
	return rule->percentile == 0 ? rule->delay_ms * 1000 : mesh__latencies_percentile(&counts->latencies, rule->percentile, now_us);
}

static struct mesh__retry_budget budget_of(const struct mesh__hedging *rule)
{
	return (struct mesh__retry_budget){.share = rule->max_extra, .min_per_second = 0, .window_ms = WINDOW_MS};
}

void mesh__hedge_deposit(struct mesh__hedge_counts *counts, const struct mesh__hedging *rule, int64_t now_us)
{
	const struct mesh__retry_budget budget = budget_of(rule);

	mesh__budget_deposit(&counts->budget, &budget, now_us);
}

bool mesh__hedge_withdraw(struct mesh__hedge_counts *counts, const struct mesh__hedging *rule, int64_t now_us)
{
	const struct mesh__retry_budget budget = budget_of(rule);

	return mesh__budget_withdraw(&counts->budget, &budget, now_us);
}
