#include "http/dials.h"

int64_t mesh__dials_open_us(const struct mesh__dials *dials)
{
	bool alone = dials->resumable && !dials->warm && !dials->failed && dials->n > 0;

	return alone ? dials->first_us + MESH__DIAL_ALONE_MS * 1000 : INT64_MIN;
}

bool mesh__dials_may_begin(const struct mesh__dials *dials, int64_t now_us)
{
	return dials->n < dials->max && now_us >= mesh__dials_open_us(dials);
}

void mesh__dials_begin(struct mesh__dials *dials, int64_t now_us, bool waited)
{
	if (dials->n++ == 0) {
		dials->first_us = now_us;
		dials->failed = dials->failed && waited;
	}
}

void mesh__dials_succeeded(struct mesh__dials *dials, int64_t now_us)
{
	dials->success_us = now_us;
	dials->warm = true;
}

void mesh__dials_failed(struct mesh__dials *dials)
{
	dials->failed = true;
	dials->warm = false;
}

void mesh__dials_end(struct mesh__dials *dials)
{
	dials->n--;
}

void mesh__dials_lost(struct mesh__dials *dials, int64_t alive_us)
{
	dials->warm = dials->warm && alive_us < dials->success_us;
}
