#include "policy/gcra.h"

#include "policy/reading.h"

static const int64_t second_ns = 1000000000;
static const int64_t tolerance_most_ns = 1000000000000000000;

enum { TEN_THOUSAND = 10000 };

void mesh__rate_format(int32_t per_second, char out[16])
{
	mesh__decimal_format(per_second, out);
}

struct mesh__gcra mesh__gcra_of(const struct mesh__rate_limit *limit)
{
	int64_t interval_ns = second_ns * TEN_THOUSAND / limit->per_second, ahead = limit->burst - 1;

	return (struct mesh__gcra){.interval_ns = interval_ns, .tolerance_ns = ahead > tolerance_most_ns / interval_ns ? tolerance_most_ns : ahead * interval_ns};
}

struct mesh__gcra_verdict mesh__gcra_decide(const struct mesh__gcra *gcra, int64_t arrival_ns, int64_t now_ns)
{
	int64_t furthest_ns = gcra->tolerance_ns + gcra->interval_ns, ahead_ns = arrival_ns > now_ns ? arrival_ns - now_ns : 0;

	ahead_ns = ahead_ns <= furthest_ns + second_ns ? ahead_ns : furthest_ns;
	if (ahead_ns > gcra->tolerance_ns) {
		return (struct mesh__gcra_verdict){.arrival_ns = now_ns + ahead_ns, .wait_ns = ahead_ns - gcra->tolerance_ns};
	}
	return (struct mesh__gcra_verdict){.taken = true, .arrival_ns = now_ns + ahead_ns + gcra->interval_ns};
}

struct mesh__gcra_verdict mesh__gcra_take(const struct mesh__gcra *gcra, _Atomic int64_t *arrival_ns, int64_t now_ns)
{
	int64_t before_ns = atomic_load_explicit(arrival_ns, memory_order_relaxed);
	struct mesh__gcra_verdict verdict = mesh__gcra_decide(gcra, before_ns, now_ns);

	while (verdict.arrival_ns != before_ns && !atomic_compare_exchange_weak_explicit(arrival_ns, &before_ns, verdict.arrival_ns, memory_order_relaxed, memory_order_relaxed)) {
		verdict = mesh__gcra_decide(gcra, before_ns, now_ns);
	}
	return verdict;
}
