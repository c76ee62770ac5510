/*
 * When one more dial may begin: pure. A whole handshake costs the server several times what a resumed one does, and only after a first has succeeded is there a session to resume. So that first one goes alone, and who
 * comes meanwhile waits for it. Not for long: when it takes longer than MESH__DIAL_ALONE_MS, or has failed, the others go too.
 */
#ifndef MESH__HTTP_DIALS_H
#define MESH__HTTP_DIALS_H

#include <stdbool.h>
#include <stdint.h>

enum { MESH__DIAL_ALONE_MS = 500 };

struct mesh__dials {
	bool resumable;     /* sessions are kept here at all; set by the owner */
	int32_t max;        /* at once; set by the owner */
	int32_t n;          /* under way */
	int64_t first_us;   /* when the first of those under way began */
	bool failed;        /* one has failed, and not all who waited then have begun since */
	int64_t success_us; /* when the last went well */
	bool warm;          /* the last that ended went well, and the peer has given no sign since of being another process: it knows our session */
};

/* From when on one may begin, as far as those under way have a say: INT64_MIN at once. Who waits looks again then. */
int64_t mesh__dials_open_us(const struct mesh__dials *dials);

bool mesh__dials_may_begin(const struct mesh__dials *dials, int64_t now_us);
/* `waited`: the dial is of one who stood in a queue, or there is one. */
void mesh__dials_begin(struct mesh__dials *dials, int64_t now_us, bool waited);

/* The judgement of one under way; its end is told apart. */
void mesh__dials_succeeded(struct mesh__dials *dials, int64_t now_us);
void mesh__dials_failed(struct mesh__dials *dials);
void mesh__dials_end(struct mesh__dials *dials);

/* A kept connection was found dead, which was last seen alive at `alive_us`: unless there was a success since, whoever answers next may not know our session. */
void mesh__dials_lost(struct mesh__dials *dials, int64_t alive_us);

#endif
