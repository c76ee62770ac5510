/*
 * What this process tells meshd of the endpoints that it calls: which it leaves alone and why, and what a call to each costs (wire/message.h, msg_report). It is read off the endpoints' live state, a second at the earliest after the last
 * time, so that it costs a call nothing. Control loop only.
 */
#ifndef MESH__CONTROL_REPORT_H
#define MESH__CONTROL_REPORT_H

#include "base/map.h"
#include "control/snapshot.h"
#include "wire/message.h"

enum {
	MESH__REPORT_EVERY_MS = 1000,
	MESH__REPORT_COSTS_EVERY = 10 /* looks: so often costs alone are told, where they have changed */
};

struct mesh__report {
	const struct mesh__env *env;
	struct mesh__buf text;  /* the newest */
	uint64_t seen;          /* of the state that it was made of */
	int looks;              /* since then */
	bool told;              /* it is what meshd has, or will have */
};

void mesh__report_init(struct mesh__report *report, const struct mesh__env *env);
void mesh__report_fini(struct mesh__report *report);

/* meshd has nothing of it, or not this: the next look makes one anew. */
void mesh__report_forget(struct mesh__report *report);

/* Looks at the services (of struct mesh__service), every MESH__REPORT_EVERY_MS. True: report->text is new, and to be sent. What does not fit is left out: of healthy endpoints first. */
bool mesh__report_look(struct mesh__report *report, const struct mesh__map *services) MESH__MUST_USE;

#endif
