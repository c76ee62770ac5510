#include "parsed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { OUTPUT_MAX = 1 << 20 };

struct parsed parsed_with(const struct mesh__mem *mem, const char *text, const char *ns)
{
	struct parsed p = {.err = MESH__NO_ERR};

	mesh__buf_init(&p.faults, mem, OUTPUT_MAX);
	mesh__buf_init(&p.warnings, mem, OUTPUT_MAX);
	p.code = mesh__documents_parse(mem, "f.yaml", text, strlen(text), ns, &p.documents, &p.faults, &p.warnings, &p.err);
	return p;
}

struct parsed parsed_of(const char *text)
{
	return parsed_with(mesh__mem_libc(), text, "default");
}

void parsed_done(struct parsed *p)
{
	mesh__documents_free(p->documents);
	mesh__buf_fini(&p->faults);
	mesh__buf_fini(&p->warnings);
}

const char *parsed_text(const struct mesh__buf *buf)
{
	return buf->data == NULL ? "" : buf->data;
}

struct parsed parsed_ok(const char *text)
{
	struct parsed p = parsed_of(text);

	if (p.code != MESH_OK) {
		print_message("%s", parsed_text(&p.faults));
	}
	assert_int_equal(p.code, MESH_OK);
	assert_string_equal(parsed_text(&p.faults), "");
	return p;
}
