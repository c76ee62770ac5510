#include "support/h2_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void tell_block(struct h2_bench *b, const struct mesh__h2_block *block)
{
	const char *at = block->pairs;

	for (size_t i = 0; i < block->n; i++) {
		const char *value = at + strlen(at) + 1;

		mesh__buf_printf(&b->told, " %s=%s", at, value);
		at = value + strlen(value) + 1;
	}
	assert_ptr_equal(at, block->pairs + block->len);
	mesh__buf_str(&b->told, block->too_large ? " too-large\n" : "\n");
}

static void on_head(void *arg, int32_t id, const struct mesh__h2_block *block, bool end)
{
	struct h2_bench *b = arg;

	mesh__h2_set_user(b->h2, id, b);
	mesh__buf_printf(&b->told, "head %d%s:", (int)id, end ? " whole" : "");
	tell_block(b, block);
}

static void on_data(void *arg, int32_t id, void *user, const char *bytes, size_t len)
{
	struct h2_bench *b = arg;

	(void)bytes;
	assert_ptr_equal(user, b);
	mesh__buf_printf(&b->told, "data %d %zu\n", (int)id, len);
}

static void on_end(void *arg, int32_t id, void *user, const struct mesh__h2_block *block)
{
	struct h2_bench *b = arg;

	assert_ptr_equal(user, b);
	mesh__buf_printf(&b->told, "end %d:", (int)id);
	tell_block(b, block);
}

static enum mesh__h2_more on_pull(void *arg, int32_t id, void *user, char *buf, size_t size, size_t *n)
{
	struct h2_bench *b = arg;

	assert_ptr_equal(user, b);
	*n = b->body_left < size ? b->body_left : size;
	memset(buf, 'x', *n);
	b->body_left -= *n;
	if (b->body_left > 0 || (*n > 0 && (b->last == MESH__H2_LATER || b->last == MESH__H2_BROKEN))) {
		return MESH__H2_MORE;
	}
	return b->last == MESH__H2_TRAILERS && mesh__h2_trailers(b->h2, id, b->trailers, b->n_trailers) != MESH_OK ? MESH__H2_BROKEN : b->last;
}

static void on_closed(void *arg, int32_t id, void *user, uint32_t code)
{
	struct h2_bench *b = arg;

	if (user != NULL) {
		mesh__buf_printf(&b->told, "closed %d %u\n", (int)id, (unsigned)code);
	}
}

static void on_early(void *arg, int32_t id, void *user)
{
	struct h2_bench *b = arg;

	(void)user;
	mesh__buf_printf(&b->told, "early %d\n", (int)id);
}

static const struct mesh__h2_events events = {on_head, on_data, on_end, on_pull, on_early, on_closed};

bool h2_bench_begin(struct h2_bench *b, long fail_at)
{
	static const struct mesh__h2_limits limits = {H2_BENCH_MAX_STREAMS, H2_BENCH_MAX_BLOCK, H2_BENCH_MAX_FIELDS, H2_BENCH_STREAM_WINDOW, H2_BENCH_CONNECTION_WINDOW};

	memset(b, 0, sizeof(*b));
	fail_mem_init(&b->mem);
	b->mem.fail_at = fail_at;
	b->inflater = h2_inflater_new();
	b->last = MESH__H2_END;
	mesh__buf_init(&b->told, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&b->in, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&b->said, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&b->bytes, mesh__mem_libc(), SIZE_MAX / 2);
	b->code = mesh__h2_new(&b->mem.mem, &limits, b->now_us, &events, b, &b->h2);
	return b->code == MESH_OK;
}

void h2_bench_end(struct h2_bench *b)
{
	mesh__h2_free(b->h2);
	h2_inflater_free(b->inflater);
	mesh__buf_fini(&b->told);
	mesh__buf_fini(&b->in);
	mesh__buf_fini(&b->said);
	mesh__buf_fini(&b->bytes);
	assert_int_equal(b->mem.live, 0);
}

static void note_frame(struct h2_bench *b, const struct h2_frame_view *f)
{
	mesh__buf_printf(&b->said, "%s%s %u", h2_type_name(f->type), (f->flags & 1) != 0 ? (f->type == H2_SETTINGS || f->type == H2_PING ? "+ack" : "+end") : "", (unsigned)f->stream);
	switch (f->type) {
	case H2_DATA:
		b->n_data += f->len;
		mesh__buf_printf(&b->said, " %zu", f->len);
		break;
	case H2_HEADERS:
		mesh__buf_chr(&b->said, ' ');
		assert_true(h2_inflate(b->inflater, f->payload, f->len, &b->said));
		b->said.data[b->said.len - 1] = '.';
		break;
	case H2_RST_STREAM:
	case H2_WINDOW_UPDATE:
		mesh__buf_printf(&b->said, " %u", (unsigned)h2_frame_number(f, 0));
		break;
	case H2_GOAWAY:
		mesh__buf_printf(&b->said, " %u %u", (unsigned)h2_frame_number(f, 0), (unsigned)h2_frame_number(f, 4));
		break;
	default:
		break;
	}
	mesh__buf_chr(&b->said, '\n');
}

/* Lets it say all that it can. */
void h2_bench_listen(struct h2_bench *b)
{
	struct h2_frame_view frame;
	const char *bytes = "";
	size_t n = 0;

	do {
		int code = mesh__h2_send(b->h2, b->now_us, &bytes, &n);

		b->code = code != MESH_OK ? code : b->code;
		mesh__buf_add(&b->bytes, bytes, code == MESH_OK ? n : 0);
	} while (b->code == MESH_OK && n > 0);
	while ((n = h2_frame_next(b->bytes.data, b->bytes.len, &frame)) > 0) {
		note_frame(b, &frame);
		mesh__buf_consume(&b->bytes, n);
	}
}

/* Gives it b->in whole. */
void h2_bench_feed(struct h2_bench *b)
{
	int code = mesh__h2_receive(b->h2, b->in.data, b->in.len, b->now_us);

	mesh__buf_clear(&b->in);
	b->code = code;
	if (code == MESH_OK) {
		h2_bench_listen(b);
	}
}

/* A connection on which both have said their SETTINGS. */
void h2_bench_open(struct h2_bench *b)
{
	assert_true(h2_bench_begin(b, 0));
	h2_preface(&b->in);
	h2_bench_feed(b);
	assert_int_equal(b->code, MESH_OK);
	assert_true(mesh__h2_is_settled(b->h2));
	h2_settings_ack(&b->in);
	h2_bench_feed(b);
	mesh__buf_clear(&b->said);
}

void h2_bench_told(struct h2_bench *b, const char *text)
{
	assert_string_equal(b->told.data != NULL ? b->told.data : "", text);
}

void h2_bench_said(struct h2_bench *b, const char *part)
{
	if (b->said.data == NULL || strstr(b->said.data, part) == NULL) {
		fail_msg("\"%s\" was not said, but:\n%s", part, b->said.data != NULL ? b->said.data : "");
	}
}

void h2_bench_not_said(struct h2_bench *b, const char *part)
{
	if (b->said.data != NULL && strstr(b->said.data, part) != NULL) {
		fail_msg("\"%s\" was said:\n%s", part, b->said.data);
	}
}

void h2_bench_get(struct h2_bench *b, uint32_t stream)
{
	h2_request(&b->in, stream, true, "GET", "a", "/", NULL);
}

void h2_bench_reply(struct h2_bench *b, int32_t stream, size_t body_len)
{
	static const struct mesh__field_text field = {"X-Note", "yes"};

	b->body_left = body_len;
	assert_int_equal(mesh__h2_reply(b->h2, stream, 200, &field, 1, body_len > 0 || b->last != MESH__H2_END), MESH_OK);
	h2_bench_listen(b);
}
