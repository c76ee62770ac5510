#include "http/h2_unread.h"

static bool has_passed(int64_t since_us, int64_t ms, int64_t now_us)
{
	return now_us - since_us >= ms * 1000;
}

void mesh__h2_unread_ended(struct mesh__h2_unread *u, bool with_trailers, int64_t now_us)
{
	if (with_trailers) {
		u->any = true;
		u->ended_us = now_us;
	}
	/* Whose stream this was may have been the one that read on. */
	u->asked = 0;
	u->answered = false;
}

void mesh__h2_unread_asked(struct mesh__h2_unread *u, uint64_t number)
{
	u->asked = number;
}

static bool is_read(struct mesh__h2_unread *u, uint64_t answered, int64_t now_us)
{
	if (!u->any) {
		return true;
	}
	if (u->asked != 0 && !u->answered && answered >= u->asked) {
		u->answered = true;
		u->answered_us = now_us;
	}
	return u->answered ? has_passed(u->answered_us, MESH__H2_QUIET_MS, now_us) : has_passed(u->ended_us, MESH__H2_UNREAD_MS, now_us);
}

enum mesh__h2_unread_verdict mesh__h2_unread_next(struct mesh__h2_unread *u, uint64_t answered, int64_t now_us)
{
	if (is_read(u, answered, now_us)) {
		*u = (struct mesh__h2_unread){0};
		return MESH__H2_UNREAD_NONE;
	}
	return u->asked != 0 ? MESH__H2_UNREAD_WAIT : MESH__H2_UNREAD_ASK;
}
