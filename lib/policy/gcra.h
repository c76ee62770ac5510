/*
 * The rate limit of a service (POLICY.md, Limits): the generic cell rate algorithm (ATM Forum, Traffic Management 4.0, and ITU-T I.371) in its form of one number, the theoretical arrival time: when the next request would come, did they
 * all come evenly. Each one that is taken moves it on by one interval; one that comes further ahead of it than the burst allows is refused, and moves nothing. Pure but for that number: no clock, no lock, no allocation; any thread.
 */
#ifndef MESH__POLICY_GCRA_H
#define MESH__POLICY_GCRA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The most a document may say, in ten-thousandths a second, and of requests at once. */
enum { MESH__RATE_MOST = 2000000000, MESH__BURST_MOST = 1000000, MESH__BURST_BUILT_IN = 50 };

struct mesh__rate_limit {
	int32_t per_second; /* requests, in ten-thousandths; 0: there is no limit */
	int32_t burst;      /* so many may come at once, at least 1; built in 50 */
	bool total;         /* all callers together; else each by itself */
};

/* "0.5" of 5000. */
void mesh__rate_format(int32_t per_second, char out[16]);

/* The limit as times. Bounded: whatever a document may say, nothing that is made of them overflows. */
struct mesh__gcra {
	int64_t interval_ns;  /* between two requests: 5 us to 10,000 s */
	int64_t tolerance_ns; /* how far ahead one may come: (burst - 1) intervals, at most 1e18 ns */
};

struct mesh__gcra_verdict {
	bool taken;
	int64_t arrival_ns; /* the theoretical arrival time from here on */
	int64_t wait_ns;    /* refused: so long from now the next would be taken, were there no others */
};

/* Of a limit that there is. */
struct mesh__gcra mesh__gcra_of(const struct mesh__rate_limit *limit);

/*
 * One request at `now_ns`, on a clock that never goes back and began at 0 or later, no more than 200 years ago. `arrival_ns` 0: none was ever taken. One that lies further ahead than this limit can have put it is another limit's, which
 * held before: it becomes the furthest that this one can. (By more than a second: whoever looked at the clock just before another did finds it a little further.)
 */
struct mesh__gcra_verdict mesh__gcra_decide(const struct mesh__gcra *gcra, int64_t arrival_ns, int64_t now_ns);

/* The same on a number that several threads share: each request is decided by what those before it left. */
struct mesh__gcra_verdict mesh__gcra_take(const struct mesh__gcra *gcra, _Atomic int64_t *arrival_ns, int64_t now_ns);

#endif
