/*
 * What callers report of the endpoints that they call: each session's last report, bounded, as long as the session lives; and what all of them together say of an endpoint. Nothing is made of it here: it is shown. Loop's thread.
 */
#ifndef MESHD_REPORT_H
#define MESHD_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "meshd/watch.h"
#include "wire/message.h"

enum {
	MESHD_REPORT_EVERY_MS = 500, /* of one session, in the long run; the library reports every second at most */
	MESHD_REPORT_BURST = 5
};

struct meshd_reported {
	char instance[MESH__LABEL_MAX + 1];
	bool ejected, failed_check;
	int64_t cost_us; /* 0: none known */
};

/* Of one subscription. */
struct meshd_report {
	size_t n;
	struct meshd_reported endpoints[];
};

/* Whether a session may report now; if so that is counted. `*due_us`, zeroed at first, is its own. Pure. */
bool meshd_report_admits(int64_t *due_us, int64_t now_us) MESH__MUST_USE;

/* Takes a session's report in the place of its last one. MESH_E_DENIED: it tells of a service whose endpoints the session does not watch; MESH_E_INVALID: of one twice; MESH_E_NO_MEMORY. The last one stays then. */
int meshd_report_take(struct meshd_session *session, const struct mesh__msg_report *msg, struct mesh__err *err) MESH__MUST_USE;

/* ---- What all say ---- */

struct meshd_opinions {
	size_t callers;                           /* that have reported of the service */
	const struct meshd_reported **unhealthy;  /* what they hold against its endpoints, by instance; borrowed until the next report */
	size_t n;
};

struct meshd_opinion {
	size_t ejected, failed_check; /* callers */
};

int meshd_opinions_init(struct meshd_opinions *opinions, const struct meshd_watch *watch, const struct mesh__mem *mem, const char *key, struct mesh__err *err) MESH__MUST_USE;
void meshd_opinions_fini(struct meshd_opinions *opinions);
struct meshd_opinion meshd_opinions_of(const struct meshd_opinions *opinions, const char *instance);

#endif
