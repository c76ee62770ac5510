/*
 * Outlier detection (POLICY.md): when an endpoint that fails is left alone, for how long, and how it comes back. Pure: clock and dice are arguments. Whose failure a try was is policy/blame.h; who counts and acts is outbound/outlier.h.
 */
#ifndef MESH__POLICY_OUTLIER_H
#define MESH__POLICY_OUTLIER_H

#include <stdbool.h>
#include <stdint.h>

/* Rules that compare endpoints, each at the end of its own interval, in the order in which they are applied. */
enum mesh__outlier_rate {
	MESH__OUTLIER_SUCCESS_RATE,    /* out is who succeeds clearly less than the others */
	MESH__OUTLIER_FAILURE_PERCENT, /* out is of whose requests too many fail */
	MESH__OUTLIER_RATES
};

struct mesh__outlier_rate_rule {
	bool on;
	int32_t limit;        /* SUCCESS_RATE: how many standard deviations under the mean, in ten-thousandths; FAILURE_PERCENT: over so many millionths */
	int32_t min_hosts;    /* so many endpoints have enough requests; else nobody is out */
	int32_t min_requests; /* in an interval; who has fewer is not looked at */
	int64_t interval_ms;
};

/* What a service's document says of it. */
struct mesh__outlier {
	int32_t consecutive_failures; /* so many in a row eject; 0: none does */
	int64_t base_ejection_ms;
	int64_t max_ejection_ms;      /* no ejection is longer, but for what is added at random */
	int32_t max_ejected;          /* millionths of the endpoints; one may always be */
	struct mesh__outlier_rate_rule rates[MESH__OUTLIER_RATES];
};

/* Seven in a row; a second, doubled up to a minute; half of the endpoints; neither rate. */
void mesh__outlier_default(struct mesh__outlier *outlier);

/* How many of `n` endpoints may be ejected at once: no more than the share says, but always one. */
int32_t mesh__outlier_most(const struct mesh__outlier *outlier, int32_t n);

/* What an endpoint's tries of an interval ended with. */
struct mesh__outlier_window {
	uint32_t requests, failures;
};

/* The endpoints with enough requests, of one interval. Zeroed: none. */
struct mesh__outlier_crowd {
	int32_t hosts;
	double mean, squares; /* of the success rates, 0 to 1: the mean, and the sum of squared distances from it */
};

/* One more endpoint, which counts when it has enough requests. */
void mesh__outlier_crowd_add(struct mesh__outlier_crowd *crowd, const struct mesh__outlier_rate_rule *rule, struct mesh__outlier_window window);

/* The success rate under which an endpoint of the crowd is out by SUCCESS_RATE: mean - factor * standard deviation, of the population. */
double mesh__outlier_least_rate(const struct mesh__outlier_crowd *crowd, const struct mesh__outlier_rate_rule *rule);

/* Whether one of the crowd is out by that rule. Rates that are equal but for rounding never are. */
bool mesh__outlier_is_out(enum mesh__outlier_rate rate, const struct mesh__outlier_rate_rule *rule, const struct mesh__outlier_crowd *crowd, struct mesh__outlier_window window);

/* X(NAME, "text"): in, out until its time has passed, or out and asked by the one request that probes it. */
#define MESH__EJECTION_STATES(X) X(IN, "in") X(OUT, "out") X(PROBED, "probed")

#define X(name, text) MESH__EJECTION_##name,
enum mesh__ejection_state { MESH__EJECTION_STATES(X) };
#undef X

/* Of one endpoint. Zeroed: it is in, and never was out. One that is out by a rate is not probed: it is in again when its time has passed. */
struct mesh__ejection {
	enum mesh__ejection_state state;
	int64_t until_us;    /* OUT: when it is due */
	int64_t length_us;   /* OUT, PROBED: of the ejection, what was added at random included */
	int32_t probes_lost; /* in a row: the penalty has doubled so often */
	bool by_rate;        /* OUT: a rate has put it out */
	bool marred;         /* it was out at some time of the interval that is under way */
	int32_t times;       /* how often a rate has put it out, less the clean intervals since: the next ejection by one is of so many baseEjection, and one more */
};

/* What happens to it. */
enum mesh__ejection_event {
	MESH__EJECTION_FAILED,       /* IN: it has failed too often in a row. Out for baseEjection */
	MESH__EJECTION_OUTLYING,     /* IN: a rate says so. Out for baseEjection times how often that was, maxEjection at most */
	MESH__EJECTION_SERVED,       /* OUT by a rate, and its time has passed: it is in */
	MESH__EJECTION_INTERVAL,     /* IN: an interval of the rate that put it out last has ended, and does not put it out. When it was in all the time, it counts one time less */
	MESH__EJECTION_PROBE,        /* OUT, not by a rate, and due: the caller's request is the one that probes */
	MESH__EJECTION_PROBE_PASSED, /* PROBED: it is in */
	MESH__EJECTION_PROBE_FAILED, /* PROBED: out again for twice as long, maxEjection at most, and a random 0 to 50% of that besides */
	MESH__EJECTION_PROBE_UNTOLD, /* PROBED: nothing was learned. Due at once, for the next request */
	MESH__EJECTION_ENDED,        /* it is in, whatever it was, and nothing is held against it */
};

/* True when that changed its state, which INTERVAL never does; an event that its state does not know, or a probe before it is due, changes nothing. `draw` is any number, drawn evenly. */
bool mesh__ejection_step(struct mesh__ejection *ejection, enum mesh__ejection_event event, const struct mesh__outlier *outlier, int64_t now_us, uint64_t draw);

#endif
