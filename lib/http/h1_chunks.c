#include "http/h1_chunks.h"

#include "http/h1_byte.h"

enum {
	DIGITS_MAX = 15,        /* 60 bits: no sum overflows */
	EXTRA_MAX_BYTES = 16 * 1024
};

enum state { SIZE, EXTENSION, EXTENSION_REST, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, NAME, VALUE, VALUE_LF, END_LF, END, BAD };

void mesh__h1_chunks_init(struct mesh__h1_chunks *chunks, struct mesh__buf *trailers)
{
	*chunks = (struct mesh__h1_chunks){.state = SIZE, .trailers = trailers};
}

static enum state size_byte(struct mesh__h1_chunks *k, char c)
{
	int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

	if (digit >= 0 && k->n_digits < DIGITS_MAX) {
		k->n_digits++;
		k->left = k->left * 16 + (uint64_t)digit;
		return SIZE;
	}
	if (k->n_digits == 0) {
		return BAD;
	}
	return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : BAD;
}

static enum state next_state(struct mesh__h1_chunks *k, enum state state, char c)
{
	switch (state) {
	case SIZE:
		return size_byte(k, c);
	case EXTENSION:
		return mesh__byte_is_token(c) ? EXTENSION_REST : BAD;
	case EXTENSION_REST:
		return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : mesh__byte_is_value(c) ? EXTENSION_REST : BAD;
	case SIZE_LF:
		k->n_digits = 0;
		return c != '\n' ? BAD : k->left > 0 ? DATA : TRAILER;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BAD;
	case DATA_LF:
		return c == '\n' ? SIZE : BAD;
	case TRAILER:
		return c == '\r' ? END_LF : mesh__byte_is_token(c) ? NAME : BAD;
	case NAME:
		return c == ':' ? VALUE : mesh__byte_is_token(c) ? NAME : BAD;
	case VALUE:
		return c == '\r' ? VALUE_LF : mesh__byte_is_value(c) ? VALUE : BAD;
	case VALUE_LF:
		return c == '\n' ? TRAILER : BAD;
	case END_LF:
		return c == '\n' ? END : BAD;
	case DATA:
	case END:
	case BAD:
		break;
	}
	return BAD;
}

static bool is_extra(enum state state)
{
	return state == EXTENSION || state == EXTENSION_REST || state == NAME || state == VALUE;
}

/* The byte that led to this state is one of a trailer field. */
static void keep_trailer(const struct mesh__h1_chunks *k, enum state state, char c)
{
	if (k->trailers != NULL && (state == NAME || state == VALUE)) {
		mesh__buf_chr(k->trailers, c);
	} else if (k->trailers != NULL && state == VALUE_LF) {
		mesh__buf_chr(k->trailers, '\n');
	}
}

/* Takes what is there of a chunk's data. */
static size_t take_data(struct mesh__h1_chunks *k, const char *bytes, size_t len, struct mesh__buf *body)
{
	size_t taken = len < k->left ? len : (size_t)k->left;

	mesh__buf_add(body, bytes, taken);
	k->left -= taken;
	return taken;
}

enum mesh__refusal mesh__h1_chunks(struct mesh__h1_chunks *k, const char *bytes, size_t len, struct mesh__buf *body, size_t *used, bool *done)
{
	enum state state = (enum state)k->state;
	size_t i = 0;

	while (i < len && state != END) {
		if (state == DATA) {
			i += take_data(k, bytes + i, len - i, body);
			state = k->left == 0 ? DATA_CR : DATA;
			continue;
		}
		state = next_state(k, state, bytes[i]);
		keep_trailer(k, state, bytes[i++]);
		if (state == BAD || (is_extra(state) && ++k->n_extra > EXTRA_MAX_BYTES)) {
			return MESH__REFUSAL_CHUNK;
		}
		/* Asked of the whole chunk, so that a body that is too large is refused before it has been sent. */
		if (state == DATA && k->left > body->max_bytes - body->len) {
			return MESH__REFUSAL_BODY_TOO_LARGE;
		}
	}
	k->state = (int)state;
	*used = i;
	*done = state == END;
	return body->error == MESH_OK && (k->trailers == NULL || k->trailers->error == MESH_OK) ? MESH__REFUSAL_NONE : MESH__REFUSAL_NO_MEMORY;
}
