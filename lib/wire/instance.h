/* An instance of a service as a part of messages and records. Private to the codecs of wire/message.h; struct mesh__msg_instance stands there. */
#ifndef MESH__WIRE_INSTANCE_H
#define MESH__WIRE_INSTANCE_H

#include "wire/field.h"
#include "wire/message.h"

/* Writes it as a member of what is open (key NULL: of an array, or the whole text). */
void mesh__instance_put(struct mesh__json_out *out, const char *key, const struct mesh__msg_instance *instance);

/* Fills in *instance, zeroed before, from the reader's object; what it took before a failure is the caller's to free. */
void mesh__instance_take(struct mesh__fields *f, struct mesh__msg_instance *instance);

#endif
