/* Calls whose bodies stream, over both protocols: intact, at the pace of the slower side, in flat memory, ended by either side at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patience.h"
#include "raw_server.h"
#include "serving.h"
#include "stream_handlers.h"

enum { LONG_MS = 20000, PIECE = 24 * 1024, SLOWER = 100 };

static size_t long_body;
static const long flat_bytes = 8 << 20; /* of the whole process, both sides in it */

static const char *const protocols[] = {"protocol: http\n", "protocol: http2\n"};

static struct serving s;
static mesh *cart;
static _Atomic long n_poured, n_gone, n_calls, n_hold;

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

/* ---- payments ---- */

static void echo(mesh_inbound *in)
{
	char piece[PIECE];
	size_t n = 1, sum = 0;
	int32_t code = mesh_reply_begin(in, 200);
	char text[32];

	while (code == MESH_OK && n > 0) {
		code = mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms());
		if (code == MESH_OK && n > 0) {
			sum += n;
			code = mesh_reply_write(in, piece, n, NULL, patient_ms());
		}
	}
	(void)snprintf(text, sizeof(text), "%zu", sum);
	(void)(code == MESH_OK && mesh_reply_trailer(in, "x-sum", text) == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

static void on_poured(size_t n)
{
	atomic_fetch_add(&n_poured, (long)n);
}

static void pour(mesh_inbound *in)
{
	int32_t code = stream_give(in, strtoull(mesh_inbound_query(in), NULL, 10), on_poured);

	atomic_fetch_add(&n_gone, code == MESH_E_RESET);
	(void)(code == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

/* Part of a body, and once the test allows it the reply is given up. */
static void cut(mesh_inbound *in)
{
	long turn = atomic_load(&n_hold);
	char piece[PIECE];

	serving_fill(piece, sizeof(piece), 0);
	if (mesh_reply_begin(in, 200) == MESH_OK) {
		(void)mesh_reply_write(in, piece, sizeof(piece), NULL, patient_ms());
	}
	(void)raw_wait(&n_hold, turn + 1);
	(void)mesh_reply_abort(in);
}

/* The head, and the body once the test allows it. */
static void hold(mesh_inbound *in)
{
	long turn = atomic_load(&n_hold);

	if (mesh_reply_begin(in, 200) == MESH_OK) {
		(void)raw_wait(&n_hold, turn + 1);
		(void)mesh_reply_write(in, "late", 4, NULL, patient_ms());
	}
	(void)mesh_reply_end(in);
}

static void handle(void *user, mesh_inbound *in)
{
	static const struct {
		const char *path;
		void (*fn)(mesh_inbound *in);
	} paths[] = {{"/echo", echo}, {"/count", stream_take_upload}, {"/pour", pour}, {"/cut", cut}, {"/hold", hold}};

	(void)user;
	atomic_fetch_add(&n_calls, 1);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(mesh_inbound_path(in), paths[i].path) == 0) {
			paths[i].fn(in);
			return;
		}
	}
	(void)mesh_reply(in, strcmp(mesh_inbound_path(in), "/early") == 0 ? 200 : 404, "early", 5);
}

/* ---- cart ---- */

/* With these fields of the service's document. */
static void open_cart(const char *fields)
{
	cart = two_meshes_open_cart(&s.t, fields);
}

static void close_cart(void)
{
	assert_int_equal(mesh_close(cart, patient_ms()), MESH_OK);
}

static mesh_request *request_of(const char *method, const char *path)
{
	mesh_request *r = mesh_request_new(cart, "payments", method, path);

	assert_non_null(r);
	return r;
}

static mesh_request *upload_of(const char *path, int64_t length, bool download)
{
	mesh_request *r = request_of("POST", path);

	assert_int_equal(mesh_request_upload(r, length), MESH_OK);
	if (download) {
		assert_int_equal(mesh_request_download(r), MESH_OK);
	}
	return r;
}

static void must(const mesh_request *r, int32_t code)
{
	if (code != MESH_OK) {
		fail_msg("%d: %s", code, mesh_error_message(mesh_request_error(r)));
	}
}

/* The size of this process, both sides in it. */
static long resident_bytes(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	(void)fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

struct writer {
	mesh_request *r;
	size_t len, written;
	int32_t code;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;
	char piece[PIECE];

	while (w->code == MESH_OK && w->written < w->len) {
		size_t n = w->len - w->written < sizeof(piece) ? w->len - w->written : sizeof(piece);
		serving_fill(piece, n, w->written);
		w->code = mesh_request_write(w->r, piece, n, &n, patient_ms());
		w->written += n;
	}
	if (w->code == MESH_OK) {
		w->code = mesh_request_end(w->r);
	}
	return NULL;
}

/* Reads on from *at, and checks what comes; false at the end. */
static bool read_some(mesh_request *r, size_t *at)
{
	char piece[PIECE];
	size_t n;

	must(r, mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()));
	assert_true(serving_is_filled(piece, n, *at));
	*at += n;
	return n > 0;
}

/* How much it is in all. */
static size_t read_all(mesh_request *r)
{
	size_t at = 0;

	while (read_some(r, &at)) {
	}
	return at;
}

/* ---- intact, flat ---- */

static void echo_long_body(int64_t length)
{
	mesh_request *r = upload_of("/echo", length, true);
	struct writer w = {.r = r, .len = long_body};
	pthread_t thread;
	char text[32];

	must(r, mesh_call_start(r, NULL, NULL));
	assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
	must(r, mesh_call_wait(r));
	assert_int_equal(mesh_response_status(r), 200);
	assert_null(mesh_response_trailer(r, "x-sum")); /* not yet */
	assert_int_equal(read_all(r), long_body);
	(void)pthread_join(thread, NULL);
	assert_int_equal(w.code, MESH_OK);
	(void)snprintf(text, sizeof(text), "%zu", long_body);
	assert_string_equal(mesh_response_trailer(r, "X-Sum"), text);
	mesh_request_free(r);
}

static void long_bodies_go_both_ways_at_once_intact_and_memory_stays_flat(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		long before;

		open_cart(protocols[i]);
		echo_long_body(-1);
		before = resident_bytes();
		echo_long_body((int64_t)long_body);
		echo_long_body(-1);
		print_message("%.*s: %ld bytes more after %zu each way, twice\n", (int)strcspn(protocols[i], "\n"), protocols[i], resident_bytes() - before, long_body);
		if (!slowed_down() && resident_bytes() - before > flat_bytes) {
			fail_msg("%s: %ld bytes more", protocols[i], resident_bytes() - before);
		}
		close_cart();
	}
}

static void a_slow_reader_stops_its_sender_and_nobody_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t slow_at = 0, fast_at = 0, pieces = 0;
		mesh_request *slow, *fast;
		long poured;
		char path[64];

		open_cart(protocols[i]);
		(void)snprintf(path, sizeof(path), "/pour?%zu", long_body);
		slow = request_of("GET", path);
		fast = request_of("GET", path);
		assert_int_equal(mesh_request_download(slow), MESH_OK);
		assert_int_equal(mesh_request_download(fast), MESH_OK);
		atomic_store(&n_poured, 0);
		must(slow, mesh_call(slow));
		must(fast, mesh_call(fast));
		while (read_some(fast, &fast_at)) {
			/* Slow, not dead: one on which nothing moves is ended. */
			assert_true(++pieces % SLOWER != 0 || read_some(slow, &slow_at));
		}
		assert_int_equal(fast_at, long_body);
		poured = atomic_load(&n_poured) - (long)(fast_at + slow_at); /* of the slow one: what buffers and sockets hold */
		if (poured > 16 << 20) {
			fail_msg("%s: %ld bytes of a body that nobody reads", protocols[i], poured);
		}
		while (read_some(slow, &slow_at)) {
		}
		assert_int_equal(slow_at, long_body);
		mesh_request_free(slow);
		mesh_request_free(fast);
		close_cart();
	}
}

static void the_body_ends_before_the_answer_begins(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int whole = 0; whole < 2; whole++) {
			mesh_request *r;
			struct writer w = {.len = 1000000};
			char text[64];
			size_t n = 0;

			open_cart(protocols[i]);
			w.r = r = upload_of("/count", whole ? 1000000 : -1, !whole);
			must(r, mesh_call_start(r, NULL, NULL));
			(void)write_all(&w);
			assert_int_equal(w.code, MESH_OK);
			assert_int_equal(mesh_request_write(r, "x", 1, NULL, 0), whole ? MESH_E_TOO_LARGE : MESH_E_STATE);
			must(r, mesh_call_wait(r));
			if (whole) {
				(void)snprintf(text, sizeof(text), "%s", mesh_response_body(r, &n));
			} else {
				assert_string_equal(mesh_response_body(r, NULL), "");
				must(r, mesh_response_read(r, text, sizeof(text) - 1, &n, patient_ms()));
				text[n] = '\0';
			}
			assert_string_equal(text, "1000000 intact");
			mesh_request_free(r);
			close_cart();
		}
	}
}

static void an_empty_body_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		mesh_request *r;

		open_cart(protocols[i]);
		r = upload_of("/count", -1, false);
		must(r, mesh_call_start(r, NULL, NULL));
		assert_int_equal(mesh_request_end(r), MESH_OK);
		must(r, mesh_call_wait(r));
		assert_string_equal(mesh_response_body(r, NULL), "0 intact");
		mesh_request_free(r);
		close_cart();
	}
}

/* ---- broken off ---- */

static void an_early_answer_is_had_and_the_rest_of_the_body_is_not_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		mesh_request *r;
		struct writer w = {.len = long_body};

		open_cart(protocols[i]);
		w.r = r = upload_of("/early", -1, false);
		must(r, mesh_call_start(r, NULL, NULL));
		(void)write_all(&w);
		assert_int_equal(w.code, MESH_E_RESET);
		assert_true(w.written < long_body);
		/* Over HTTP/1.1 the connection may break under the sender before the answer is read. */
		if (mesh_call_wait(r) == MESH_OK) {
			assert_string_equal(mesh_response_body(r, NULL), "early");
		} else if (i != 0 || mesh_error_code(mesh_request_error(r)) != MESH_E_RESET) {
			fail_msg("%s: %s", protocols[i], mesh_error_message(mesh_request_error(r)));
		}
		mesh_request_free(r);
		close_cart();
	}
}

static void a_reply_that_is_cut_is_no_whole_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		mesh_request *r;
		char piece[PIECE];
		size_t n, at = 0;
		int32_t code;

		open_cart(protocols[i]);
		r = request_of("GET", "/cut");
		assert_int_equal(mesh_request_download(r), MESH_OK);
		must(r, mesh_call(r));
		assert_null(mesh_request_error(r));
		must(r, mesh_response_read(r, piece, sizeof(piece), &at, patient_ms()));
		assert_true(serving_is_filled(piece, at, 0));
		atomic_fetch_add(&n_hold, 1);
		while ((code = mesh_response_read(r, piece, sizeof(piece), &n, patient_ms())) == MESH_OK && n > 0) {
			assert_true(serving_is_filled(piece, n, at));
			at += n;
		}
		assert_int_equal(code, MESH_E_RESET);
		assert_int_equal(mesh_error_code(mesh_request_error(r)), MESH_E_RESET);
		assert_null(mesh_response_trailer(r, "x-sum"));
		mesh_request_free(r);
		close_cart();
	}
}

/* Both ways that a caller has to end it: the other side is told. */
static void a_caller_that_goes_is_heard_of(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int cancel = 0; cancel < 2; cancel++) {
			mesh_request *r;
			long gone = atomic_load(&n_gone);
			char piece[PIECE];
			size_t n;

			open_cart(protocols[i]);
			r = request_of("GET", "/pour?1000000000000");
			assert_int_equal(mesh_request_download(r), MESH_OK);
			must(r, mesh_call(r));
			must(r, mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()));
			if (cancel) {
				mesh_cancel(r);
				while (mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()) == MESH_OK) {
				}
				assert_int_equal(mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()), MESH_E_CANCELLED);
				assert_int_equal(mesh_error_code(mesh_request_error(r)), MESH_E_CANCELLED);
			}
			mesh_request_free(r);
			assert_true(raw_wait(&n_gone, gone + 1));
			close_cart();
		}
	}
}

static void *close_it(void *arg)
{
	return (void *)(intptr_t)mesh_close(arg, 0);
}

static void closing_the_mesh_ends_what_streams(void **state)
{
	mesh_request *r;
	pthread_t thread;
	char piece[PIECE];
	size_t n;
	void *closed;

	(void)state;
	open_cart(protocols[0]);
	r = request_of("GET", "/pour?1000000000000");
	assert_int_equal(mesh_request_download(r), MESH_OK);
	must(r, mesh_call(r));
	assert_int_equal(pthread_create(&thread, NULL, close_it, cart), 0);
	while (mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()) == MESH_OK) {
	}
	assert_int_equal(mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()), MESH_E_CLOSED);
	(void)pthread_join(thread, &closed);
	assert_int_equal((intptr_t)closed, MESH_E_TIMEOUT); /* the drain was cut short */
	assert_int_equal(mesh_response_read(r, piece, sizeof(piece), &n, patient_ms()), MESH_E_CLOSED); /* of a mesh that is no more */
	assert_int_equal(mesh_call(r), MESH_E_CLOSED);
	mesh_request_free(r);
}

/* ---- without waiting ---- */

struct pump {
	mesh_request *r;
	size_t written, read;
	int n_would_block;
	bool done, read_end, free_in_it;
	_Atomic long n_over;
};

static void pump_out(struct pump *p)
{
	char piece[PIECE];
	size_t n = 1;
	int32_t code = MESH_OK;

	while (code == MESH_OK && p->written < long_body / 4) {
		n = long_body / 4 - p->written < sizeof(piece) ? long_body / 4 - p->written : sizeof(piece);
		serving_fill(piece, n, p->written);
		code = mesh_request_write(p->r, piece, n, &n, 0);
		p->written += n;
		if (code == MESH_OK && p->written == long_body / 4) {
			assert_int_equal(mesh_request_end(p->r), MESH_OK);
		}
	}
	p->n_would_block += code == MESH_E_WOULD_BLOCK;
	assert_true(code == MESH_OK || code == MESH_E_WOULD_BLOCK);
}

static void pump_in(struct pump *p)
{
	char piece[PIECE];
	size_t n = 1;
	int32_t code = MESH_OK;

	while (code == MESH_OK && n > 0) {
		code = mesh_response_read(p->r, piece, sizeof(piece), &n, 0);
		assert_true(code != MESH_OK || serving_is_filled(piece, n, p->read));
		p->read += n;
	}
	p->n_would_block += code == MESH_E_WOULD_BLOCK;
	p->read_end = code == MESH_OK;
	assert_true(code == MESH_OK || code == MESH_E_WOULD_BLOCK);
}

static void by_events_of_poll_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pump p = {0};
		mesh_event e;

		open_cart(protocols[i]);
		p.r = upload_of("/echo", -1, true);
		must(p.r, mesh_call_start(p.r, NULL, &p));
		pump_out(&p);
		while (!p.read_end) {
			assert_int_equal(mesh_poll(cart, &e, 1, patient_ms()), 1);
			assert_ptr_equal(e.request, p.r);
			assert_ptr_equal(e.user, &p);
			if (e.kind == MESH_EVENT_WRITABLE) {
				pump_out(&p);
			} else {
				assert_int_equal(e.kind, p.done ? MESH_EVENT_READABLE : MESH_EVENT_DONE);
				assert_int_equal(e.code, MESH_OK);
				p.done = true;
				pump_in(&p);
			}
		}
		assert_int_equal(p.read, long_body / 4);
		assert_true(p.n_would_block > 0); /* the body is larger than all that is on the way */
		mesh_request_free(p.r);
		assert_int_equal(mesh_poll(cart, &e, 1, 0), 0);
		close_cart();
	}
}

static void on_stream(void *user, mesh_request *r, int32_t kind)
{
	struct pump *p = user;
	bool was_over = p->read_end;
	char byte;
	size_t n;

	assert_ptr_equal(r, p->r);
	assert_int_equal(mesh_response_read(r, &byte, 1, &n, 1000), MESH_E_WOULD_BLOCK); /* nothing may wait here, and it is no news */
	if (kind == MESH_EVENT_WRITABLE) {
		pump_out(p);
	} else {
		pump_in(p);
	}
	if (p->free_in_it) {
		mesh_request_free(r);
		atomic_fetch_add(&p->n_over, 1);
	} else if (p->read_end && !was_over) {
		atomic_fetch_add(&p->n_over, 1);
	}
}

static void on_done(void *user, mesh_request *r, int32_t code)
{
	struct pump *p = user;

	assert_int_equal(code, MESH_OK);
	assert_ptr_equal(r, p->r);
	p->done = true;
	pump_out(p);
	pump_in(p);
}

/* All on the library's thread, so one after the other. */
static void by_functions_that_are_called(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int free_in_it = 0; free_in_it < 2; free_in_it++) {
			struct pump p = {.free_in_it = free_in_it};

			open_cart(protocols[i]);
			p.r = upload_of("/echo", -1, true);
			assert_int_equal(mesh_request_on_stream(p.r, on_stream, &p), MESH_OK);
			must(p.r, mesh_call_start(p.r, on_done, &p));
			assert_true(raw_wait(&p.n_over, 1));
			if (!free_in_it) {
				assert_int_equal(p.read, long_body / 4);
				mesh_request_free(p.r);
			}
			close_cart();
			assert_int_equal(atomic_load(&p.n_over), 1);
		}
	}
}

/* ---- time, tries, order ---- */

static void the_services_timeout_ends_with_the_head_and_the_callers_own_does_not(void **state)
{
	(void)state;
	for (int own = 0; own < 2; own++) {
		mesh_request *r;
		char text[32];
		size_t n;

		(void)snprintf(text, sizeof(text), "timeout: %dms\n", (int)patience(500));
		open_cart(text);
		r = request_of("GET", "/hold");
		assert_int_equal(mesh_request_download(r), MESH_OK);
		if (own) {
			assert_int_equal(mesh_request_timeout(r, patience(400)), MESH_OK);
		}
		must(r, mesh_call(r));
		assert_int_equal(mesh_response_read(r, text, sizeof(text), &n, own ? patient_ms() : patience(900)), MESH_E_TIMEOUT);
		if (own) { /* the call's time is over */
			assert_int_equal(mesh_error_code(mesh_request_error(r)), MESH_E_TIMEOUT);
			assert_int_equal(mesh_response_read(r, text, sizeof(text), &n, 0), MESH_E_TIMEOUT);
		} else { /* only this read's was */
			assert_null(mesh_request_error(r));
		}
		atomic_fetch_add(&n_hold, 1);
		if (!own) {
			must(r, mesh_response_read(r, text, sizeof(text), &n, patient_ms()));
			assert_int_equal(n, 4);
		}
		mesh_request_free(r);
		close_cart();
	}
}

static void a_try_that_took_nothing_of_the_body_is_made_elsewhere(void **state)
{
	struct mesh__addr addresses[2];
	mesh_request *r;
	struct writer w = {.len = 300000};

	(void)state;
	two_meshes_address(&s.t, &addresses[1]);
	addresses[0] = addresses[1];
	(void)snprintf(addresses[0].ip, sizeof(addresses[0].ip), "127.0.0.9"); /* nobody listens there */
	cart = two_meshes_open(two_meshes_options_with(&s.t, "cart", addresses, 2, "loadBalancer: {policy: roundRobin}\nconnectTimeout: 60s\n"));
	for (int i = 0, tries = 0; i < 4 || tries < 2; i++) {
		w = (struct writer){.len = 300000, .r = r = upload_of("/count", -1, false)};
		must(r, mesh_call_start(r, NULL, NULL));
		(void)write_all(&w);
		must(r, mesh_call_wait(r));
		assert_string_equal(mesh_response_body(r, NULL), "300000 intact");
		tries = mesh_request_tries(r) > tries ? mesh_request_tries(r) : tries;
		mesh_request_free(r);
	}
	close_cart();
}

static void each_step_has_its_time(void **state)
{
	mesh_request *r;
	char byte;
	size_t n;

	(void)state;
	open_cart("");
	r = request_of("POST", "/count");
	assert_int_equal(mesh_request_write(r, "x", 1, NULL, 0), MESH_E_STATE);
	assert_int_equal(mesh_response_read(r, &byte, 1, &n, 0), MESH_E_STATE);
	assert_int_equal(mesh_request_end(r), MESH_E_STATE);
	assert_int_equal(mesh_request_upload(r, -2), MESH_E_INVALID);
	assert_int_equal(mesh_request_upload(NULL, 0), MESH_E_INVALID);
	assert_int_equal(mesh_request_upload(r, 3), MESH_OK);
	assert_int_equal(mesh_request_body(r, "x", 1), MESH_E_STATE);
	assert_int_equal(mesh_call(r), MESH_E_STATE);
	assert_int_equal(mesh_request_write(r, "x", 1, NULL, 0), MESH_E_STATE);
	must(r, mesh_call_start(r, NULL, NULL));
	assert_int_equal(mesh_request_download(r), MESH_E_STATE);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_E_STATE);
	assert_int_equal(mesh_request_write(r, "abcd", 4, &n, patient_ms()), MESH_E_TOO_LARGE);
	assert_int_equal(n, 0);
	assert_int_equal(mesh_request_write(r, NULL, 1, NULL, 0), MESH_E_INVALID);
	assert_int_equal(mesh_request_write(r, "ab", 2, &n, patient_ms()), MESH_OK);
	assert_int_equal(mesh_request_end(r), MESH_E_INVALID);
	assert_int_equal(mesh_request_write(r, "c", 1, &n, patient_ms()), MESH_OK);
	assert_int_equal(mesh_request_end(r), MESH_OK);
	must(r, mesh_call_wait(r));
	assert_int_equal(mesh_response_read(r, &byte, 1, &n, 0), MESH_E_STATE); /* it came whole */
	must(r, mesh_call_start(r, NULL, NULL)); /* again, with another body */
	assert_int_equal(mesh_request_write(r, "abc", 3, &n, patient_ms()), MESH_OK);
	assert_int_equal(mesh_request_end(r), MESH_OK);
	must(r, mesh_call_wait(r));
	assert_int_equal(mesh_response_status(r), 200);
	mesh_request_free(r);
	r = request_of("POST", "/count");
	assert_int_equal(mesh_request_body(r, "x", 1), MESH_OK);
	assert_int_equal(mesh_request_upload(r, 1), MESH_E_STATE);
	mesh_request_free(r);
	close_cart();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_bodies_go_both_ways_at_once_intact_and_memory_stays_flat),
		cmocka_unit_test(a_slow_reader_stops_its_sender_and_nobody_else),
		cmocka_unit_test(the_body_ends_before_the_answer_begins),
		cmocka_unit_test(an_empty_body_is_one),
		cmocka_unit_test(an_early_answer_is_had_and_the_rest_of_the_body_is_not_wanted),
		cmocka_unit_test(a_reply_that_is_cut_is_no_whole_one),
		cmocka_unit_test(a_caller_that_goes_is_heard_of),
		cmocka_unit_test(closing_the_mesh_ends_what_streams),
		cmocka_unit_test(by_events_of_poll_alone),
		cmocka_unit_test(by_functions_that_are_called),
		cmocka_unit_test(the_services_timeout_ends_with_the_head_and_the_callers_own_does_not),
		cmocka_unit_test(a_try_that_took_nothing_of_the_body_is_made_elsewhere),
		cmocka_unit_test(each_step_has_its_time),
	};

	long_body = long_body_bytes(64 << 20, 8 << 20);
	serving_fixture(&s, handle);
	return cmocka_run_group_tests(tests, serving_set_up, serving_tear_down);
}
