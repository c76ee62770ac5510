#include "policy/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdalign.h>
#include <stdint.h>

enum {
	NESTING_MAX = 32,
	MATCH_LIMIT = 10000, /* steps that may have to be taken back */
	DEPTH_LIMIT = 1000,
	HEAP_LIMIT_KIB = 40, /* of those under way at a time: PCRE2 begins with 20 KiB, and doubles */
	ROOM_BYTES = 64 * 1024
};

struct mesh__regex {
	pcre2_code *code;
};

/* ---- Compiling: on the allocator that is given ---- */

static void *heap_alloc(size_t size, void *mem)
{
	return mesh__alloc(mem, size);
}

static void heap_free(void *block, void *mem)
{
	(void)mem;
	mesh__free(block);
}

static int tell(int code, size_t offset, struct mesh__err *err)
{
	PCRE2_UCHAR text[128];

	if (code == PCRE2_ERROR_HEAP_FAILED) {
		return mesh__fail_memory(err);
	}
	if (pcre2_get_error_message(code, text, sizeof(text)) < 0) {
		text[0] = '\0';
	}
	return mesh__fail(err, MESH_E_INVALID, "not a regular expression: %s (at character %zu)", (const char *)text, offset + 1);
}

/* Groups that capture would make each step that may be taken back larger, and references to them are what matching is slowest at. */
static const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;

static int compile(const struct mesh__mem *mem, const char *pattern, size_t len, pcre2_code **out, struct mesh__err *err)
{
	pcre2_general_context *general = pcre2_general_context_create(heap_alloc, heap_free, (void *)(uintptr_t)mem);
	pcre2_compile_context *context = general == NULL ? NULL : pcre2_compile_context_create(general);
	PCRE2_SIZE offset = 0, size = 0;
	int fault = 0, code = MESH_OK;

	*out = NULL;
	if (context == NULL) {
		code = mesh__fail_memory(err);
		goto out;
	}
	(void)pcre2_set_parens_nest_limit(context, NESTING_MAX);
	*out = pcre2_compile((PCRE2_SPTR)pattern, len, options, &fault, &offset, context);
	if (*out == NULL) {
		code = tell(fault, offset, err);
		goto out;
	}
	(void)pcre2_pattern_info(*out, PCRE2_INFO_SIZE, &size);
	if (size > MESH__REGEX_COMPILED_MAX) {
		code = mesh__fail(err, MESH_E_INVALID, "a regular expression that takes %zu bytes once it is compiled; at most %d are taken: repeat groups less often", size, MESH__REGEX_COMPILED_MAX);
		pcre2_code_free(*out);
		*out = NULL;
	}
out:
	pcre2_compile_context_free(context);
	pcre2_general_context_free(general);
	return code;
}

int mesh__regex_new(const struct mesh__mem *mem, const char *pattern, size_t len, struct mesh__regex **out, struct mesh__err *err)
{
	struct mesh__regex *regex;
	int code;

	*out = NULL;
	if (len > MESH__REGEX_PATTERN_MAX) {
		return mesh__fail(err, MESH_E_INVALID, "a regular expression of %zu bytes; at most %d are taken", len, MESH__REGEX_PATTERN_MAX);
	}
	regex = mesh__alloc(mem, sizeof(*regex));
	if (regex == NULL) {
		return mesh__fail_memory(err);
	}
	code = compile(mem, pattern, len, &regex->code, err);
	if (code != MESH_OK) {
		mesh__free(regex);
		return code;
	}
	*out = regex;
	return MESH_OK;
}

void mesh__regex_free(struct mesh__regex *regex)
{
	if (regex != NULL) {
		pcre2_code_free(regex->code);
		mesh__free(regex);
	}
}

/* ---- Matching: on the stack ---- */

/* What a match allocates, one piece behind the other; nothing is given back before all of it is. */
struct room {
	size_t used;
	alignas(max_align_t) char bytes[ROOM_BYTES];
};

static void *room_alloc(size_t size, void *arg)
{
	struct room *room = arg;
	size_t align = alignof(max_align_t), at = room->used;

	if (size > ROOM_BYTES - at) {
		return NULL;
	}
	size = (size + align - 1) / align * align;
	room->used = size > ROOM_BYTES - at ? ROOM_BYTES : at + size;
	return room->bytes + at;
}

static void room_free(void *block, void *arg)
{
	(void)block;
	(void)arg;
}

enum mesh__regex_verdict mesh__regex_match(const struct mesh__regex *regex, const char *subject, size_t len)
{
	struct room room; /* not zeroed: of its 64 KiB a match rarely touches more than a few */
	pcre2_general_context *general;
	pcre2_match_context *context;
	pcre2_match_data *data;
	int code;

	if (len > MESH__REGEX_SUBJECT_MAX) {
		return MESH__REGEX_NO_MATCH;
	}
	room.used = 0;
	general = pcre2_general_context_create(room_alloc, room_free, &room);
	context = pcre2_match_context_create(general);
	data = pcre2_match_data_create(1, general);
	(void)pcre2_set_match_limit(context, MATCH_LIMIT);
	(void)pcre2_set_depth_limit(context, DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
	code = pcre2_match(regex->code, (PCRE2_SPTR)subject, len, 0, PCRE2_NO_JIT, data, context);
	if (code >= 0) {
		return MESH__REGEX_MATCH;
	}
	return code == PCRE2_ERROR_NOMATCH ? MESH__REGEX_NO_MATCH : MESH__REGEX_GAVE_UP;
}
