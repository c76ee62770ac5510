#include "server_reader.h"

#include <string.h>

#include "check.h"
#include "server_model.h"

static void check_got(const struct reader *r)
{
	struct model_request model;
	enum model_verdict v;

	if (r->sent == NULL) {
		return;
	}
	v = model_read(r->sent->data + r->from, r->sent->len - r->from, true, &model);
	CHECK(model.body.len >= r->got.len && (r->got.len == 0 || memcmp(model.body.data, r->got.data, r->got.len) == 0));
	CHECK(!r->got_all || ((v == MODEL_TAKE || v == MODEL_MAY) && model.body.len == r->got.len));
	model_fini(&model);
}

static void check_trailers(const struct reader *r)
{
	static const char *const forbidden[] = {"content-length", "transfer-encoding", "host", "authorization"};
	size_t n = mesh__exchange_n_trailers(r->x);

	CHECK(n <= 128);
	for (size_t i = 0; i < n; i++) {
		struct mesh__field_text f = mesh__exchange_trailer(r->x, i);

		CHECK(f.name[0] != '\0' && strpbrk(f.name, "\r\n: ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL && strpbrk(f.value, "\r\n") == NULL);
		CHECK(strncmp(f.name, "mesh-", 5) != 0);
		for (size_t k = 0; k < sizeof(forbidden) / sizeof(forbidden[0]); k++) {
			CHECK(strcmp(f.name, forbidden[k]) != 0);
		}
	}
}

bool reader_take(struct reader *r, size_t size)
{
	char buf[4096];
	size_t n;
	int code;

	r->in_call = true;
	code = mesh__exchange_read(r->x, buf, size < sizeof(buf) ? size : sizeof(buf), &n);
	r->in_call = false;
	CHECK(mesh__exchange_is_gone(r->x) ? code != MESH_OK && code != MESH_E_WOULD_BLOCK : code == MESH_OK || code == MESH_E_WOULD_BLOCK);
	CHECK(code == MESH_OK || n == 0);
	r->wants = code == MESH_E_WOULD_BLOCK;
	if (code != MESH_OK) {
		return false;
	}
	CHECK(n == 0 || !r->got_all);
	mesh__buf_add(&r->got, buf, n);
	r->got_all = n == 0;
	check_got(r);
	if (n == 0) {
		check_trailers(r);
	}
	return n > 0;
}

static void take_all(struct reader *r)
{
	while (r->eager && reader_take(r, 4096)) {
	}
}

static void on_readable(void *arg)
{
	struct reader *r = arg;

	CHECK(r->x != NULL && r->wants && !r->in_call && !r->gone);
	r->wants = false;
	take_all(r);
}

static void on_writable(void *arg)
{
	struct reader *r = arg;

	CHECK(r->x != NULL && r->waits && !r->in_call && !r->gone && mesh__stream_room(r->x) > 0);
	r->waits = false;
}

static void on_gone(void *arg)
{
	struct reader *r = arg;

	CHECK(r->x != NULL && !r->in_call && !r->gone && !r->wants && !r->waits && mesh__exchange_is_gone(r->x));
	r->gone = true;
	r->sent = NULL;
	r->on_gone(r->arg);
}

void reader_begin(struct reader *r, struct mesh__exchange *x, const struct mesh__buf *sent, size_t from, bool eager, void (*on_gone_too)(void *arg), void *arg)
{
	static const struct mesh__exchange_events events = {on_readable, on_writable, on_gone};

	*r = (struct reader){.x = x, .sent = sent, .from = from, .eager = eager, .on_gone = on_gone_too, .arg = arg};
	mesh__buf_init(&r->got, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__exchange_watch(x, &events, r);
	take_all(r);
}

void reader_end(struct reader *r)
{
	r->x = NULL;
	r->sent = NULL;
	mesh__buf_fini(&r->got);
}

void reader_write_room(struct reader *r)
{
	static const char big[100000] = {'R'};
	size_t room = mesh__stream_room(r->x);

	r->waits = room == 0;
	if (room > 0) {
		r->in_call = true;
		(void)!mesh__stream_write(r->x, big, room < sizeof(big) ? room : sizeof(big));
		r->in_call = false;
	}
}

void reader_check_waits(const struct reader *r, bool flows)
{
	struct model_request model;

	CHECK(!r->waits || !flows);
	if (r->wants && r->sent != NULL) {
		enum model_verdict v = model_read(r->sent->data + r->from, r->sent->len - r->from, true, &model);

		CHECK(v != MODEL_TAKE && model.body.len == r->got.len);
		model_fini(&model);
	}
}
