/* Times as people read them. */
#ifndef MESHCA_UTC_H
#define MESHCA_UTC_H

#include <stdint.h>

enum { MESHCA_UTC_TEXT = 32 };

/* Milliseconds since 1970 as "2026-01-31T23:59:59Z" into out[MESHCA_UTC_TEXT]; "out of range" for what no calendar holds. */
void meshca_utc(int64_t ms, char *out);

#endif
