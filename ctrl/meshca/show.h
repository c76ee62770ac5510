/* `meshca show`: the facts of certificates, for people and, as JSON, for programs. */
#ifndef MESHCA_SHOW_H
#define MESHCA_SHOW_H

#include "base/env.h"
#include "base/error.h"
#include "meshca/options.h"

/* Writes to standard output. */
int meshca_run_show(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err) MESH__MUST_USE;

#endif
