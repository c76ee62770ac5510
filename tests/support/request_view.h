/* A request's header for decisions that look at one (policy/match.h). */
#ifndef TESTS_SUPPORT_REQUEST_VIEW_H
#define TESTS_SUPPORT_REQUEST_VIEW_H

#include <stddef.h>

/* The view's `header`; its ctx is a list of names and values in turn, NULL behind them, or NULL. */
const char *request_view_header(const void *ctx, const char *name, size_t *at);

#endif
