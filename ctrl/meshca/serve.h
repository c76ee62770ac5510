/* `meshca serve`: the child of meshd that holds the key. */
#ifndef MESHCA_SERVE_H
#define MESHCA_SERVE_H

#include "base/env.h"
#include "meshca/options.h"

/*
 * Gives up what it does not need, locks and loads the directory, and answers until end of file or SIGTERM (0) or until the stream is lost (1). Speaks JSON lines on standard error. The process is good for nothing else after:
 * leave it with _exit.
 */
int meshca_serve(struct mesh__env *env, const struct meshca_options *options);

#endif
