#include "policy/retry.h"

enum { BACKOFF_BASE_MS = 25, BACKOFF_MAX_MS = 250 };

static bool reached_no_handler(enum mesh__try_end end)
{
	return end == MESH__TRY_UNSENT || end == MESH__TRY_NOT_PROCESSED;
}

static bool may_be_processed(const struct mesh__retry_inputs *in)
{
	switch (in->end) {
	case MESH__TRY_NOT_PROCESSED:
	case MESH__TRY_UNSENT:
	case MESH__TRY_LOCAL:
		return false;
	case MESH__TRY_STOPPED:
		return !in->nothing_sent;
	case MESH__TRY_ANSWERED:
	case MESH__TRY_UNSURE:
		break;
	}
	return true; /* also for a value that is none: the claim that is safe when wrong */
}

/* Uniform in [0, min(max, base·(2^n - 1))). The first retry goes to an endpoint that had no part in the failure, so waiting would help nobody. */
static int64_t backoff_ms(int32_t n, uint64_t draw)
{
	uint64_t span = BACKOFF_MAX_MS;

	if (n <= 1) {
		return 0;
	}
	if (n < 8) { /* above, the base has long outgrown the maximum */
		uint64_t grown = BACKOFF_BASE_MS * ((UINT64_C(1) << n) - 1);
		span = grown < span ? grown : span;
	}
	return (int64_t)((draw >> 32) * span >> 32);
}

struct mesh__retry_verdict mesh__retry_decide(const struct mesh__retry_rule *rule, const struct mesh__retry_inputs *in, uint64_t draw)
{
	struct mesh__retry_verdict verdict = {.may_be_processed = may_be_processed(in)};
	bool untried = in->tries >= 0 && (uint32_t)in->tries < in->endpoints;
	int64_t wait_ms = backoff_ms(in->tries, draw);

	/* A try needs time of its own: one that would begin at the deadline is not begun. */
	if (reached_no_handler(in->end) && !in->body_gone && in->tries <= rule->attempts && untried && in->left_ms > wait_ms) {
		verdict.again = true;
		verdict.wait_ms = wait_ms;
	}
	return verdict;
}
