/* The difference of two texts, line by line. Pure. */
#ifndef MESHCTL_DIFF_H
#define MESHCTL_DIFF_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/mem.h"

enum { CTL_DIFF_LINES_MAX = 4000 };

/*
 * Appends the lines that differ, "-line" for those of `before` alone and "+line" for those of `after` alone, by a
 * longest common subsequence; texts of more lines than the bound are shown whole,
 * one after the other. False when out of memory.
 */
bool ctl_diff_lines(const struct mesh__mem *mem, const char *before, const char *after, struct mesh__buf *out) MESH__MUST_USE;

#endif
