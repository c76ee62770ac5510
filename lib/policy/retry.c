#include "policy/retry.h"

#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "wire/grpc.h"

bool mesh__retry_method_is_idempotent(const char *method)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	for (size_t i = 0; i < MESH__COUNT(methods); i++) {
		if (strcmp(method, methods[i]) == 0) {
			return true;
		}
	}
	return false;
}

const char *mesh__retry_stop_name(enum mesh__retry_stop stop)
{
	switch (stop) {
#define X(name, text)                                                                                                  \
	case MESH__RETRY_STOP_##name:                                                                                   \
		return text;
		MESH__RETRY_STOPS(X)
#undef X
	case MESH__RETRY_STOP_NONE:
		break;
	}
	return "";
}

int64_t mesh__retry_backoff_ms(const struct mesh__retries *rule, int32_t n, uint64_t draw)
{
	uint64_t base = (uint64_t)rule->backoff.base_ms, span = (uint64_t)rule->backoff.max_ms;

	/* Above, any base has long outgrown the maximum, as 0 never does. */
	if (n < 32 || base == 0) {
		uint64_t grown = base * ((UINT64_C(1) << (n < 32 ? n : 31)) - 1);
		span = grown < span ? grown : span;
	}
	return (int64_t)((draw >> 32) * span >> 32);
}

/* ---- What happened, in the words of retryOn ---- */

static bool names(const struct mesh__retries *rule, enum mesh__retry_on word)
{
	return (rule->on >> word & 1) != 0;
}

static bool names_status(const struct mesh__retries *rule, int status)
{
	int at = status - MESH__RETRY_CODE_MIN;

	return status >= MESH__RETRY_CODE_MIN && status <= MESH__RETRY_CODE_MAX && (rule->codes[at / 64] >> at % 64 & 1) != 0;
}

static bool names_grpc(const struct mesh__retries *rule, int status)
{
	switch (status) {
	case MESH__GRPC_UNAVAILABLE:
		return names(rule, MESH__RETRY_ON_GRPC_UNAVAILABLE);
	case MESH__GRPC_CANCELLED:
		return names(rule, MESH__RETRY_ON_GRPC_CANCELLED);
	case MESH__GRPC_DEADLINE_EXCEEDED:
		return names(rule, MESH__RETRY_ON_GRPC_DEADLINE_EXCEEDED);
	case MESH__GRPC_INTERNAL:
		return names(rule, MESH__RETRY_ON_GRPC_INTERNAL);
	case MESH__GRPC_RESOURCE_EXHAUSTED:
		return names(rule, MESH__RETRY_ON_GRPC_RESOURCE_EXHAUSTED);
	default:
		return false;
	}
}

/* Who is told that he asks too often, processed or not, goes by words of their own: he would be told the same elsewhere. */
static bool is_too_often(const struct mesh__retry_inputs *in)
{
	return in->status == 429 || in->grpc == MESH__GRPC_RESOURCE_EXHAUSTED;
}

static bool names_answer(const struct mesh__retries *rule, const struct mesh__retry_inputs *in)
{
	bool unprocessed = in->end == MESH__TRY_NOT_PROCESSED;

	return (unprocessed && names(rule, is_too_often(in) ? MESH__RETRY_ON_RETRIABLE_429 : MESH__RETRY_ON_UNSENT)) ||
		(in->status == 409 && names(rule, MESH__RETRY_ON_RETRIABLE_4XX)) || (in->status >= 502 && in->status <= 504 && names(rule, MESH__RETRY_ON_GATEWAY_ERROR)) ||
		(in->status >= 500 && in->status <= 599 && names(rule, MESH__RETRY_ON_5XX)) || names_status(rule, in->status) || names_grpc(rule, in->grpc);
}

static bool names_end(const struct mesh__retries *rule, const struct mesh__retry_inputs *in)
{
	switch (in->end) {
	case MESH__TRY_ANSWERED:
	case MESH__TRY_NOT_PROCESSED:
		return names_answer(rule, in);
	case MESH__TRY_UNCONNECTED:
		return names(rule, MESH__RETRY_ON_CONNECT_FAILURE);
	case MESH__TRY_UNSENT:
		return names(rule, MESH__RETRY_ON_UNSENT);
	case MESH__TRY_UNSURE:
		return names(rule, MESH__RETRY_ON_RESET);
	case MESH__TRY_LOCAL:
	case MESH__TRY_STOPPED:
	case MESH__TRY_OUTRUN:
		break;
	}
	return false;
}

/* ---- The verdict ---- */

bool mesh__retry_may_be_processed(enum mesh__try_end end, bool nothing_sent)
{
	switch (end) {
	case MESH__TRY_NOT_PROCESSED:
	case MESH__TRY_UNCONNECTED:
	case MESH__TRY_UNSENT:
	case MESH__TRY_LOCAL:
		return false;
	case MESH__TRY_STOPPED:
		return !nothing_sent;
	case MESH__TRY_OUTRUN:
	case MESH__TRY_ANSWERED:
	case MESH__TRY_UNSURE:
		break;
	}
	return true; /* also for a value that is none: the claim that is safe when wrong */
}

/* Of one that the rule names. */
static enum mesh__retry_stop stop_of(const struct mesh__retries *rule, const struct mesh__retry_inputs *in, int64_t wait_ms)
{
	if (mesh__retry_may_be_processed(in->end, in->nothing_sent) && !in->idempotent) {
		return MESH__RETRY_STOP_NOT_IDEMPOTENT;
	}
	if (in->body_gone) {
		return MESH__RETRY_STOP_BODY;
	}
	if (in->parent_retried) {
		return MESH__RETRY_STOP_PARENT;
	}
	if (in->tries > rule->attempts) {
		return MESH__RETRY_STOP_ATTEMPTS;
	}
	if (in->only_impostors) {
		return MESH__RETRY_STOP_IDENTITY;
	}
	if (in->asked_ms == MESH__RETRY_ASKS_NEVER) {
		return MESH__RETRY_STOP_PUSHBACK;
	}
	/* A try needs time of its own: one that would begin at the deadline is not begun. */
	return in->left_ms > wait_ms ? MESH__RETRY_STOP_NONE : MESH__RETRY_STOP_DEADLINE;
}

struct mesh__retry_verdict mesh__retry_decide(const struct mesh__retries *rule, const struct mesh__retry_inputs *in, uint64_t draw)
{
	struct mesh__retry_verdict verdict = {.may_be_processed = mesh__retry_may_be_processed(in->end, in->nothing_sent)};
	int64_t wait_ms = mesh__retry_backoff_ms(rule, in->tries, draw);

	if (names_end(rule, in)) {
		/* On top of what was asked: all who were told the same time would come back in the same moment. What is asked is bounded by who reads it. */
		wait_ms += in->asked_ms > 0 ? in->asked_ms : 0;
		verdict.stop = stop_of(rule, in, wait_ms);
		verdict.again = verdict.stop == MESH__RETRY_STOP_NONE;
		verdict.wait_ms = verdict.again ? wait_ms : 0;
	}
	return verdict;
}
