/* What documents may be, as a JSON Schema (2020-12) made from the tables, for editors and other tools. It takes all that this version takes, and refuses what one value alone shows to be wrong; what the tables do not say (a subset that is not defined) is the parser's to tell. */
#ifndef MESH__POLICY_SCHEMA_JSON_H
#define MESH__POLICY_SCHEMA_JSON_H

#include "base/buf.h"

/* Adds the schema of every kind in force, with what is not in force yet left out. The buffer's failure is the caller's to check. */
void mesh__policy_schema(struct mesh__buf *out);

#endif
