/* The control listener: the routes of wire/message.h, and who may take which. */
#ifndef MESHD_CONTROL_H
#define MESHD_CONTROL_H

#include "meshd/meshd.h"

/* The handler of mesh__http_options; `user` is the struct meshd. */
void meshd_control_handle(void *user, struct mesh__exchange *x);

#endif
