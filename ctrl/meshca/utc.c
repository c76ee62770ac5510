#include "meshca/utc.h"

#include <stdio.h>
#include <time.h>

void meshca_utc(int64_t ms, char *out)
{
	time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(out, MESHCA_UTC_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		(void)snprintf(out, MESHCA_UTC_TEXT, "out of range");
	}
}
