/* Documents as a test reads them, with all that is told of them. */
#ifndef TESTS_SUPPORT_PARSED_H
#define TESTS_SUPPORT_PARSED_H

#include "policy/document.h"

#define SERVICE "apiVersion: mesh/v1\nkind: Service\nname: payments\n"
#define ENDPOINTS "apiVersion: mesh/v1\nkind: Endpoints\nname: legacy\n"

struct parsed {
	int code;
	struct mesh__document *documents;
	struct mesh__buf faults, warnings;
	struct mesh__err err;
};

/* Of "f.yaml"; parsed_done() after each. */
struct parsed parsed_with(const struct mesh__mem *mem, const char *text, const char *ns);
struct parsed parsed_of(const char *text);

/* The whole list, or the test fails showing why. */
struct parsed parsed_ok(const char *text);

void parsed_done(struct parsed *p);

/* "" for nothing told. */
const char *parsed_text(const struct mesh__buf *buf);

#endif
