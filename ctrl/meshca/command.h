/* The commands that run by hand and end: init, intermediate, request, sign. Each writes files, and tells on standard error what it did. */
#ifndef MESHCA_COMMAND_H
#define MESHCA_COMMAND_H

#include "base/env.h"
#include "base/error.h"
#include "meshca/options.h"

int meshca_run_init(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err) MESH__MUST_USE;
int meshca_run_intermediate(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err) MESH__MUST_USE;
int meshca_run_request(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err) MESH__MUST_USE;

/* The certificates go to standard output, or to --out. */
int meshca_run_sign(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err) MESH__MUST_USE;

#endif
