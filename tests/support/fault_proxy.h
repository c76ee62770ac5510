/*
 * A TCP proxy on loopback that fails as it is told, at a chosen byte: the faulty network between two programs that are as they are. One thread of its own serves every connection; it forwards
 * ciphertext as it comes, and knows of TLS only where records begin and end. tests/integration/fault_proxy.c is the same as a program, faults.py its Python side.
 *
 *	static const struct fault reset = {.connection = 3, .way = FAULT_ANSWER, .at = 17, .action = FAULT_RESET};
 *	fault_proxy_plan(proxy, &reset, 1);     // the third connection from now: reset after byte 17 of the answer
 */
#ifndef TESTS_SUPPORT_FAULT_PROXY_H
#define TESTS_SUPPORT_FAULT_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

enum {
	FAULTS_MAX = 16,         /* of a plan */
	FAULT_RECORDS_SEEN = 32, /* the first ones, remembered a way and connection */
	FAULT_CONNS_SEEN = 64,   /* the first connections after a plan */
	FAULT_LINKS_MAX = 4096,  /* at once; more are closed at once */
	FAULT_DATA_RECORD = 23   /* RFC 5246 section 6.2.1: application_data */
};

enum fault_way { FAULT_REQUEST, FAULT_ANSWER, FAULT_WAYS };

/* X(NAME, "name"): what happens once its place is reached. */
#define FAULT_ACTIONS(X)                                                                                           \
	X(DELAY, "delay")           /* this way waits `ms`, then goes on */                                          \
	X(DRIP, "drip")             /* from here this way passes `bytes` every `ms` */                               \
	X(STALL, "stall")           /* both sockets stay open, and neither way passes anything more */               \
	X(CUT, "cut")               /* both sides see an end in order (FIN) */                                       \
	X(HALF_CLOSE, "half-close") /* who this way leads to sees an end (FIN); the other way goes on */             \
	X(RESET, "reset")           /* both sides see a reset (RST) */

#define X(name, text) FAULT_##name,
enum fault_action { FAULT_ACTIONS(X) FAULT_N_ACTIONS };
#undef X

/* X(NAME, "name"): what `n` counts. */
#define FAULT_UNITS(X)                                                                                             \
	X(BYTES, "bytes")     /* nothing: `at` is from the beginning, and 0 fires when the connection is made */       \
	X(RECORDS, "records") /* TLS records: `at` is from the end of the n-th (from 1), negative down to its header */ \
	X(DATA, "data")       /* the same, of records with application data alone */

#define X(name, text) FAULT_##name,
enum fault_unit { FAULT_UNITS(X) FAULT_N_UNITS };
#undef X

struct fault {
	long connection;         /* from 1, counted since the plan; 0: each */
	enum fault_way way;
	enum fault_unit unit;
	long n;
	long at;                 /* bytes of the way that pass before */
	enum fault_action action;
	long ms;
	long bytes;
};

/* What became of one connection. */
struct fault_seen {
	uint64_t passed[FAULT_WAYS];
	int n_records[FAULT_WAYS]; /* begun; those over FAULT_RECORDS_SEEN are not remembered */
	struct fault_record {
		int type;
		uint64_t end;      /* the offset behind it */
	} records[FAULT_WAYS][FAULT_RECORDS_SEEN];
	int fired;               /* the last fault that did, counted from 1; 0: none */
	bool open;
};

struct fault_proxy;

/* Listens on `listen` (NULL: any port of 127.0.0.1) and on the same port of 127.0.0.2 (where that is `listen` itself, 127.0.0.3): two endpoints that one plan is over. `target` must be on loopback. Aborts the test when it cannot. */
struct fault_proxy *fault_proxy_new(const struct mesh__addr *target, const struct mesh__addr *listen);
void fault_proxy_free(struct fault_proxy *proxy);
void fault_proxy_addresses(const struct fault_proxy *proxy, struct mesh__addr out[2]);

/*
 * From here on (copied; none: an honest proxy), for connections to come. Those that there are end now, and when it returns both sides' kernels know of it; with `keep` they stay
 * as they are. Any thread.
 */
void fault_proxy_plan(struct fault_proxy *proxy, const struct fault *faults, size_t n, bool keep);

/* How many connections came since the plan. Any thread. */
long fault_proxy_accepted(struct fault_proxy *proxy);

/* How many of all are open. Any thread. */
long fault_proxy_open(struct fault_proxy *proxy);

/* Waits, at most a minute, until a fault of connection `number` has fired; false when none does. */
bool fault_proxy_fired(struct fault_proxy *proxy, long number);

/* The connection `number` since the plan, from 1; all zero before it comes. Any thread. */
void fault_proxy_seen(struct fault_proxy *proxy, long number, struct fault_seen *out);

#endif
