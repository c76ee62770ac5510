#include "request_view.h"

#include <string.h>

const char *request_view_header(const void *ctx, const char *name, size_t *at)
{
	const char *const *fields = ctx;

	while (fields != NULL && fields[2 * *at] != NULL) {
		size_t i = (*at)++;
		if (strcmp(fields[2 * i], name) == 0) {
			return fields[2 * i + 1];
		}
	}
	return NULL;
}
