/* Rules: what the request bodies of one HTTP/2 connection that are taken whole hold together is bounded by their windows, and every upload that may end does (RFC 9113 section 5.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/h2_client.h"
#include "support/held.h"
#include "support/http_stage.h"

enum { KIB = 1024, MIB = 1024 * KIB, UPLOADS = 32, FIRST_WINDOW = 256 * KIB, BODY = MIB, BUDGET = 2 * BODY };

/* As h2_bodies.h promises; a buffer that grows has up to a half more than it was asked for. */
enum { BOUND = BUDGET + BUDGET / 2 + BODY + UPLOADS * (FIRST_WINDOW + FIRST_WINDOW / 2) };

/* ---- The server's memory ---- */

static _Atomic long bytes_now, bytes_most;

static void *counted(void *block, size_t was)
{
	long now = atomic_fetch_add(&bytes_now, (long)(block != NULL ? malloc_usable_size(block) : 0) - (long)was) + (long)(block != NULL ? malloc_usable_size(block) : 0) - (long)was;
	long most = atomic_load(&bytes_most);

	while (now > most && !atomic_compare_exchange_weak(&bytes_most, &most, now)) {
	}
	return block;
}

static void *count_alloc(void *user, size_t size)
{
	(void)user;
	return counted(stage.mem.mem.alloc(&stage.mem, size), 0);
}

static void *count_resize(void *user, void *block, size_t size)
{
	size_t was = malloc_usable_size(block);

	(void)user;
	return counted(stage.mem.mem.resize(&stage.mem, block, size), was);
}

static void count_release(void *user, void *block)
{
	(void)user;
	(void)counted(NULL, malloc_usable_size(block));
	stage.mem.mem.release(&stage.mem, block);
}

/* ---- The handlers ---- */

static bool handlers_hold; /* set before the server opens */
static struct mesh__exchange *held_ones[UPLOADS];
static int n_held, n_whole; /* guarded by stage.mu */

static void on_request(void *user, struct mesh__exchange *x)
{
	size_t len;

	(void)user;
	(void)mesh__exchange_body(x, &len);
	(void)pthread_mutex_lock(&stage.mu);
	n_whole += len == BODY;
	if (handlers_hold && len == BODY) {
		held_ones[n_held++] = x;
		x = NULL;
	}
	(void)pthread_mutex_unlock(&stage.mu);
	if (x != NULL) {
		stage_reply(x, 200, "ok");
	}
}

static struct mesh__exchange *take_held(void)
{
	struct mesh__exchange *x = NULL;

	(void)pthread_mutex_lock(&stage.mu);
	if (n_held > 0) {
		x = held_ones[--n_held];
	}
	(void)pthread_mutex_unlock(&stage.mu);
	return x;
}

static int set_up(void **state)
{
	int rc = stage_set_up(state);

	stage.fake.env.mem = (struct mesh__mem){count_alloc, count_resize, count_release, NULL};
	stage.http2 = true;
	stage.handler = on_request;
	stage.limits.max_body_bytes = BODY;
	stage.limits.max_bodies_bytes = MIB;
	handlers_hold = false;
	n_held = n_whole = 0;
	atomic_store(&bytes_now, 0);
	atomic_store(&bytes_most, 0);
	return rc;
}

static int tear_down(void **state)
{
	struct mesh__exchange *x;

	while ((x = take_held()) != NULL) {
		mesh__exchange_unref(x);
	}
	return stage_tear_down(state);
}

/* ---- A peer that sends as much as it may, of all at once ---- */

struct upload {
	size_t left;
	int64_t window;
	bool answered;
	uint32_t reset; /* with this code */
};

struct peer {
	struct h2_client k;
	struct upload uploads[UPLOADS];
	int64_t window;
	int n_answered, n_reset;
};

static uint32_t id_of(size_t i)
{
	return 2 * (uint32_t)i + 1;
}

static struct upload *upload_of(struct peer *p, uint32_t stream)
{
	return stream != 0 && stream / 2 < UPLOADS ? &p->uploads[stream / 2] : NULL;
}

static void take_frame(struct peer *p, const struct h2_frame_view *f)
{
	struct upload *u = upload_of(p, f->stream);

	if (f->type == H2_WINDOW_UPDATE && f->stream == 0) {
		p->window += h2_frame_number(f, 0);
	} else if (f->type == H2_WINDOW_UPDATE && u != NULL) {
		u->window += h2_frame_number(f, 0);
	} else if (f->type == H2_RST_STREAM && u != NULL && !u->answered) { /* after an answer it is only that the rest is not wanted */
		u->reset = h2_frame_number(f, 0);
		u->left = 0;
		p->n_reset++;
	} else if ((f->type == H2_DATA || f->type == H2_HEADERS) && u != NULL && (f->flags & H2_END_STREAM) != 0) {
		u->answered = true;
		p->n_answered++;
	}
}

/* Whatever the server had to say to what was sent, or replied on another thread, before is there after three PINGs: one may be read before the reply is posted, and the answer to another overtakes what is said with it. */
static void catch_up(struct peer *p)
{
	struct h2_frame_view frame = {0};

	for (int i = 0; i < 3; i++) {
		h2_ping(&p->k.peer.out, 0, 7);
		assert_true(h2_peer_flush(&p->k.peer));
		do {
			assert_true(h2_peer_frame(&p->k.peer, &frame));
			take_frame(p, &frame);
		} while (frame.type != H2_PING);
	}
}

static size_t send_frame(struct peer *p, size_t i)
{
	static const char zeros[16 * KIB];
	struct upload *u = &p->uploads[i];
	int64_t window = u->window < p->window ? u->window : p->window;
	size_t n = u->left < sizeof(zeros) ? u->left : sizeof(zeros);

	if (window < (int64_t)n || n == 0) {
		return 0;
	}
	u->left -= n;
	u->window -= (int64_t)n;
	p->window -= (int64_t)n;
	h2_data(&p->k.peer.out, id_of(i), u->left == 0 ? H2_END_STREAM : 0, zeros, n);
	assert_true(h2_peer_flush(&p->k.peer));
	return n;
}

/* Until it may not send any more. */
static void push(struct peer *p)
{
	size_t n;

	do {
		n = 0;
		for (size_t i = 0; i < UPLOADS; i++) {
			n += send_frame(p, i);
		}
		if (n == 0 || p->window < 16 * KIB) {
			catch_up(p);
			for (size_t i = 0; i < UPLOADS; i++) {
				n += send_frame(p, i);
			}
		}
	} while (n > 0);
}

static void begin(struct peer *p, size_t n)
{
	struct h2_frame_view frame;

	*p = (struct peer){.window = H2_WINDOW};
	stage_open();
	h2_client_open(&p->k);
	assert_true(h2_peer_await(&p->k.peer, H2_SETTINGS, 0, &frame));
	for (size_t i = 0; i < n; i++) {
		p->uploads[i] = (struct upload){.left = BODY, .window = FIRST_WINDOW};
		h2_request(&p->k.peer.out, id_of(i), false, "POST", "host", "/", NULL);
	}
	assert_true(h2_peer_flush(&p->k.peer));
	catch_up(p);
}

/* ---- The rules ---- */

static void all_complete_in_bounded_memory(void **state)
{
	struct peer p;

	(void)state;
	begin(&p, UPLOADS);
	push(&p);
	assert_int_equal(p.n_answered, UPLOADS);
	assert_int_equal(n_whole, UPLOADS);
	assert_in_range(atomic_load(&bytes_most), BUDGET, BOUND);
	h2_client_close(&p.k);
}

/* What its handlers have counts, and nobody waits for who waits for them. */
static void handlers_that_hold_theirs_hold_up_the_others_and_no_longer(void **state)
{
	struct mesh__exchange *x;
	struct peer p;

	(void)state;
	handlers_hold = true;
	begin(&p, UPLOADS);
	push(&p);
	assert_in_range(n_whole, 1, BOUND / BODY);
	while ((x = take_held()) != NULL) {
		stage_reply(x, 200, "ok");
		push(&p);
	}
	assert_int_equal(p.n_answered, UPLOADS);
	assert_in_range(atomic_load(&bytes_most), BUDGET, BOUND);
	h2_client_close(&p.k);
}

static void what_is_small_is_held_up_by_nobody(void **state)
{
	struct peer p;

	(void)state;
	handlers_hold = true;
	begin(&p, UPLOADS - 1);
	push(&p);
	p.uploads[UPLOADS - 1] = (struct upload){.left = 100 * KIB, .window = FIRST_WINDOW};
	h2_request(&p.k.peer.out, id_of(UPLOADS - 1), false, "POST", "host", "/", NULL);
	push(&p);
	assert_true(p.uploads[UPLOADS - 1].answered);
	h2_client_close(&p.k);
}

/* Streams that go, whoever ends them, make room. */
static void a_reset_makes_room(void **state)
{
	struct peer p;
	int whole;

	(void)state;
	begin(&p, UPLOADS);
	p.uploads[0].window = 0; /* the oldest, which sends nothing, and would be given all */
	push(&p);
	whole = n_whole;
	assert_in_range(whole, 0, UPLOADS - 2);
	h2_rst_stream(&p.k.peer.out, id_of(0), H2_CANCEL);
	p.uploads[0].left = 0;
	catch_up(&p);
	push(&p);
	assert_int_equal(p.n_answered, UPLOADS - 1);
	h2_client_close(&p.k);
}

/* Those that it is our fault are told that they may try again; who could have sent is late. */
static void who_is_held_up_for_too_long_is_told_that_it_was_not_processed(void **state)
{
	struct peer p;

	(void)state;
	begin(&p, UPLOADS);
	p.uploads[0].window = 0;
	push(&p);
	held_advance_ms(stage.limits.body_ms + 1000);
	catch_up(&p);
	assert_int_equal(p.n_answered + p.n_reset, UPLOADS);
	assert_true(p.uploads[0].answered); /* 408 */
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"timeout\"}"), 1);
	for (size_t i = 1; i < UPLOADS; i++) {
		assert_true(p.uploads[i].answered || p.uploads[i].reset == H2_REFUSED_STREAM);
	}
	assert_in_range(p.n_reset, 1, UPLOADS - 1);
	assert_int_equal(n_whole + p.n_reset + 1, UPLOADS);
	h2_client_close(&p.k);
}

/* Replies that nobody takes do not keep what they answer. */
static void an_answered_body_is_gone_before_its_answer_is_taken(void **state)
{
	struct h2_setting no_window = {H2_INITIAL_WINDOW_SIZE, 0};
	struct mesh__exchange *x;
	struct peer p;

	(void)state;
	handlers_hold = true;
	begin(&p, UPLOADS);
	h2_settings(&p.k.peer.out, &no_window, 1);
	catch_up(&p);
	push(&p);
	while ((x = take_held()) != NULL) {
		stage_reply(x, 200, "ok");
		push(&p);
	}
	assert_int_equal(n_whole, UPLOADS);
	assert_int_equal(p.n_answered, 0);
	assert_in_range(atomic_load(&bytes_most), BUDGET, BOUND);
	assert_in_range(atomic_load(&bytes_now), 0, BODY);
	h2_client_close(&p.k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_complete_in_bounded_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(handlers_that_hold_theirs_hold_up_the_others_and_no_longer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_small_is_held_up_by_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reset_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_held_up_for_too_long_is_told_that_it_was_not_processed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answered_body_is_gone_before_its_answer_is_taken, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
