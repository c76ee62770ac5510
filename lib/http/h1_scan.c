#include "http/h1_scan.h"

#include "http/h1_byte.h"

enum state { START, START_LF, LINE, LINE_LF, FIELD, NAME, VALUE, VALUE_LF, END_LF, END, BAD };

void mesh__h1_scan_init(struct mesh__h1_scan *scan, size_t max_bytes, size_t max_fields)
{
	*scan = (struct mesh__h1_scan){.state = START, .max_bytes = max_bytes, .max_fields = max_fields};
}

static enum state next_state(enum state state, char c)
{
	switch (state) {
	case START: /* empty lines before a request are skipped: RFC 9112 section 2.2 */
		return c == '\r' ? START_LF : mesh__byte_is_token(c) ? LINE : BAD;
	case START_LF:
		return c == '\n' ? START : BAD;
	case LINE:
		return c == '\r' ? LINE_LF : mesh__byte_is(c, MESH__BYTE_LINE) ? LINE : BAD;
	case LINE_LF:
	case VALUE_LF:
		return c == '\n' ? FIELD : BAD;
	case FIELD:
		return c == '\r' ? END_LF : mesh__byte_is_token(c) ? NAME : BAD;
	case NAME:
		return c == ':' ? VALUE : mesh__byte_is_token(c) ? NAME : BAD;
	case VALUE:
		return c == '\r' ? VALUE_LF : mesh__byte_is_value(c) ? VALUE : BAD;
	case END_LF:
		return c == '\n' ? END : BAD;
	case END:
	case BAD:
		break;
	}
	return BAD;
}

/* What leaves a state as it is: nearly all bytes do, and are passed over in one go. */
static const unsigned char stays[] = {[LINE] = MESH__BYTE_LINE, [NAME] = MESH__BYTE_TOKEN, [VALUE] = MESH__BYTE_VALUE, [BAD] = 0};

static size_t run_length(int classes, const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && mesh__byte_is(bytes[n], classes)) {
		n++;
	}
	return n;
}

/* No further than the bound, so that the byte beyond it is met with it. */
static size_t room(const struct mesh__h1_scan *scan, size_t len)
{
	size_t left = scan->max_bytes - scan->n_bytes;

	return len < left ? len : left;
}

enum mesh__refusal mesh__h1_scan(struct mesh__h1_scan *scan, const char *bytes, size_t len, size_t *used, bool *done)
{
	enum state state = (enum state)scan->state;
	size_t i = 0;

	while (i < len && state != END) {
		enum state before = state;

		if (stays[state] != 0) {
			size_t run = run_length(stays[state], bytes + i, room(scan, len - i));

			scan->n_bytes += run;
			i += run;
			if (i == len) {
				break;
			}
		}
		if (++scan->n_bytes > scan->max_bytes) {
			return state == LINE ? MESH__REFUSAL_TARGET_TOO_LONG : MESH__REFUSAL_HEADER_TOO_LARGE;
		}
		state = next_state(state, bytes[i++]);
		if (state == BAD) {
			return MESH__REFUSAL_MALFORMED;
		}
		if (state == NAME && before == FIELD && ++scan->n_fields > scan->max_fields) {
			return MESH__REFUSAL_HEADER_TOO_LARGE;
		}
	}
	scan->state = (int)state;
	*used = i;
	*done = state == END;
	return MESH__REFUSAL_NONE;
}
