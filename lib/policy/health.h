/*
 * Active health checks (POLICY.md, healthCheck): when an endpoint is asked whether it is well, and what its answers make of it. Pure: who asks is outbound/check.h.
 */
#ifndef MESH__POLICY_HEALTH_H
#define MESH__POLICY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* What a service's document says of them. */
struct mesh__health_check {
	bool on;                  /* a document has a healthCheck, and none nearer says `path: off` */
	const char *path;         /* what is asked for by GET; "off" where it is off by that */
	int64_t interval_ms, timeout_ms;
	int32_t unhealthy_after;  /* failed checks in a row */
	int32_t healthy_after;    /* passed ones */
};

/* Off; switched on, it is "/healthz" every 10 s for at most 1 s, out after three and back after two. */
void mesh__health_check_default(struct mesh__health_check *check);

/* What is known of one endpoint. Zeroed: nothing, and so it is taken for well. */
struct mesh__health {
	bool unhealthy;
	int32_t against; /* checks in a row that contradict that */
};

/* One more check of it has ended. True: it is taken for the opposite from here on. */
bool mesh__health_judge(struct mesh__health *health, const struct mesh__health_check *check, bool passed);

/* Whether an answer of this status passes: 200 to 299. */
bool mesh__health_passes(int status);

/*
 * The wait before an endpoint's first check, a second or the interval at most, and before the next: the interval, a tenth less to a tenth more. `draw` is any number, drawn evenly: of many processes that begin together each asks in
 * its own moment.
 */
int64_t mesh__health_first_ms(const struct mesh__health_check *check, uint64_t draw);
int64_t mesh__health_next_ms(const struct mesh__health_check *check, uint64_t draw);

#endif
