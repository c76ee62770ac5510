#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pipe.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/patience.h"

enum { HIGH = 8, LOW = 3, BLOCK = MESH_E_WOULD_BLOCK, RESET = MESH_E_RESET, STATE = MESH_E_STATE };

/* What the notifications said, in their order. */
struct told {
	char text[16];
	size_t n;
};

static void tell(struct told *told, char c)
{
	assert_true(told->n + 1 < sizeof(told->text));
	told->text[told->n++] = c;
	told->text[told->n] = '\0';
}

static void tell_reader(void *arg)
{
	tell(arg, 'r');
}

static void tell_writer(void *arg)
{
	tell(arg, 'w');
}

static const struct mesh__pipe_options *options_of(struct told *told)
{
	static struct mesh__pipe_options options;

	*told = (struct told){.n = 0};
	options = (struct mesh__pipe_options){HIGH, LOW, tell_reader, tell_writer, told};
	return &options;
}

/* ---- The rules, one thread ---- */

/* write, Put, room, Read, end, fail (an end with RESET), abort (with RESET) */
struct step {
	char op;
	size_t arg;
	int code;         /* what it answers */
	size_t n;         /* and how many bytes */
	const char *told; /* whom it tells */
};

struct rule {
	const char *name;
	struct step steps[9];
};

static const struct rule rules[] = {
	{"what is written is read in order, in other pieces", {{'w', 5, 0, 5, ""}, {'R', 2, 0, 2, ""}, {'w', 2, 0, 2, ""}, {'R', 9, 0, 5, ""}}},
	{"nothing to read: would block, then told once", {{'R', 1, BLOCK, 0, ""}, {'R', 1, BLOCK, 0, ""}, {'w', 1, 0, 1, "r"}, {'w', 1, 0, 1, ""}, {'R', 9, 0, 2, ""}, {'w', 1, 0, 1, ""}}},
	{"a write takes what there is room for", {{'w', 20, 0, 8, ""}, {'w', 1, BLOCK, 0, ""}}},
	{"nobody is told who was not told to wait", {{'w', 8, 0, 8, ""}, {'R', 8, 0, 8, ""}, {'w', 8, 0, 8, ""}}},
	{"the writer is told at the low mark, once", {{'w', 8, 0, 8, ""}, {'w', 1, BLOCK, 0, ""}, {'w', 1, BLOCK, 0, ""}, {'R', 4, 0, 4, ""}, {'R', 1, 0, 1, "w"}, {'R', 1, 0, 1, ""}}},
	{"an early write between the marks is taken, and the notification still comes", {{'w', 8, 0, 8, ""}, {'w', 1, BLOCK, 0, ""}, {'R', 2, 0, 2, ""}, {'w', 9, 0, 2, ""}, {'R', 5, 0, 5, "w"}}},
	{"a whole write exceeds the high mark once", {{'w', 7, 0, 7, ""}, {'P', 20, 0, 20, ""}, {'P', 1, BLOCK, 0, ""}, {'R', 24, 0, 24, "w"}, {'P', 1, 0, 1, ""}}},
	{"room is what a write would take; none counts as told to wait", {{'m', 0, 0, 8, ""}, {'w', 5, 0, 5, ""}, {'m', 0, 0, 3, ""}, {'w', 3, 0, 3, ""}, {'m', 0, 0, 0, ""}, {'R', 8, 0, 8, "w"}, {'m', 0, 0, 8, ""}}},
	{"nothing written is nothing, and nothing asked for too", {{'R', 1, BLOCK, 0, ""}, {'w', 0, 0, 0, ""}, {'P', 0, 0, 0, ""}, {'w', 1, 0, 1, "r"}, {'R', 0, 0, 0, ""}, {'R', 1, 0, 1, ""}}},
	{"the end comes after the bytes, again and again", {{'w', 3, 0, 3, ""}, {'e', 0, 0, 0, ""}, {'R', 9, 0, 3, ""}, {'R', 9, 0, 0, ""}, {'R', 9, 0, 0, ""}}},
	{"the end tells the reader", {{'R', 1, BLOCK, 0, ""}, {'e', 0, 0, 0, "r"}, {'e', 0, 0, 0, ""}, {'R', 1, 0, 0, ""}}},
	{"a failure comes after the bytes in the place of the end", {{'w', 3, 0, 3, ""}, {'f', 0, 0, 0, ""}, {'e', 0, 0, 0, ""}, {'R', 9, 0, 3, ""}, {'R', 9, RESET, 0, ""}, {'R', 9, RESET, 0, ""}}},
	{"nothing is written after the end", {{'e', 0, 0, 0, ""}, {'w', 1, STATE, 0, ""}, {'P', 1, STATE, 0, ""}, {'m', 0, 0, 0, ""}, {'R', 1, 0, 0, ""}}},
	{"a writer told to wait that ends is not told again", {{'w', 8, 0, 8, ""}, {'w', 1, BLOCK, 0, ""}, {'e', 0, 0, 0, ""}, {'R', 9, 0, 8, ""}, {'R', 9, 0, 0, ""}}},
	{"an abort drops what waits", {{'w', 3, 0, 3, ""}, {'a', 0, 0, 0, ""}, {'R', 9, RESET, 0, ""}, {'w', 1, RESET, 0, ""}, {'P', 1, RESET, 0, ""}, {'m', 0, 0, 0, ""}}},
	{"an abort tells a reader that waits", {{'R', 1, BLOCK, 0, ""}, {'a', 0, 0, 0, "r"}, {'a', 0, 0, 0, ""}}},
	{"an abort tells a writer that waits", {{'w', 9, 0, 8, ""}, {'w', 1, BLOCK, 0, ""}, {'a', 0, 0, 0, "w"}}},
	{"an abort tells who is not there nothing", {{'w', 8, 0, 8, ""}, {'R', 8, 0, 8, ""}, {'a', 0, 0, 0, ""}, {'e', 0, 0, 0, ""}, {'R', 1, RESET, 0, ""}}},
	{"an end that waits to be read is aborted, one that was read is not", {{'e', 0, 0, 0, ""}, {'a', 0, 0, 0, ""}, {'R', 1, RESET, 0, ""}}},
	{"an end that was read stands", {{'w', 1, 0, 1, ""}, {'e', 0, 0, 0, ""}, {'R', 1, 0, 1, ""}, {'R', 1, 0, 0, ""}, {'a', 0, 0, 0, ""}, {'R', 1, 0, 0, ""}}},
};

static int take_step(struct mesh__pipe *p, const struct step *s, size_t *n, char *written, char *was_read)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyz";
	int code = MESH_OK;

	*n = 0;
	switch (s->op) {
	case 'w':
		code = mesh__pipe_write(p, bytes, s->arg, n);
		strncat(written, bytes, *n);
		break;
	case 'P':
		code = mesh__pipe_put(p, bytes, s->arg);
		*n = code == MESH_OK ? s->arg : 0;
		strncat(written, bytes, *n);
		break;
	case 'm':
		*n = mesh__pipe_room(p);
		break;
	case 'R': {
		size_t len = strlen(was_read);
		code = mesh__pipe_read(p, was_read + len, s->arg, n);
		was_read[len + *n] = '\0';
		break;
	}
	case 'a':
		mesh__pipe_abort(p, RESET);
		break;
	default:
		mesh__pipe_end(p, s->op == 'f' ? RESET : MESH_OK);
		break;
	}
	return code;
}

static void each_rule_holds(void **state)
{
	struct fail_mem mem;
	struct fake_env fake;

	(void)state;
	fail_mem_init(&mem);
	fake_env_init(&fake);
	fake.env.mem = mem.mem;
	for (size_t i = 0; i < MESH__COUNT(rules); i++) {
		char written[128] = "", was_read[128] = "";
		struct told told;
		struct mesh__pipe p;

		mesh__pipe_init(&p, &fake.env, options_of(&told));
		for (const struct step *s = rules[i].steps; s->op != '\0'; s++) {
			size_t n, before = told.n;
			int code = take_step(&p, s, &n, written, was_read);
			if (code != s->code || n != s->n || strcmp(told.text + before, s->told) != 0) {
				fail_msg("%s: step %zu (%c %zu): %d, %zu bytes, told \"%s\"", rules[i].name, (size_t)(s - rules[i].steps) + 1, s->op, s->arg, code, n, told.text + before);
			}
		}
		assert_memory_equal(was_read, written, strlen(was_read));
		mesh__pipe_fini(&p);
	}
	assert_int_equal(mem.live, 0);
}

static void a_wait_ends_at_its_deadline_and_says_how_much_was_written(void **state)
{
	struct fake_env fake;
	struct mesh__pipe p;
	struct told told;
	char buf[HIGH];
	int64_t past;
	size_t n;

	(void)state;
	fake_env_init(&fake);
	past = mesh__mono_us(&fake.env);
	mesh__pipe_init(&p, &fake.env, options_of(&told));
	assert_int_equal(mesh__pipe_read_until(&p, buf, sizeof(buf), &n, past), MESH_E_TIMEOUT);
	assert_int_equal(mesh__pipe_write_until(&p, "0123456789", 10, &n, past), MESH_E_TIMEOUT);
	assert_int_equal(n, HIGH);
	assert_int_equal(mesh__pipe_read_until(&p, buf, sizeof(buf), &n, past), MESH_OK); /* what is there needs no time */
	assert_memory_equal(buf, "01234567", HIGH);
	assert_string_equal(told.text, ""); /* who waits needs no telling */
	mesh__pipe_fini(&p);
}

static void memory_that_fails_is_told_and_the_write_can_be_tried_again(void **state)
{
	static char bytes[MESH__PIPE_HIGH], back[MESH__PIPE_HIGH];
	const struct mesh__pipe_options options = {.high = MESH__PIPE_HIGH, .low = MESH__PIPE_LOW};

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem mem;
		struct fake_env fake;
		struct mesh__pipe p;
		size_t in = 0, out = 0, some;

		fail_mem_init(&mem);
		fake_env_init(&fake);
		fake.env.mem = mem.mem;
		mem.fail_at = n;
		mesh__pipe_init(&p, &fake.env, &options);
		while (in < sizeof(bytes)) {
			int code = mesh__pipe_write(&p, bytes + in, sizeof(bytes) - in, &some);
			assert_true(code == MESH_OK || (code == MESH_E_NO_MEMORY && some == 0));
			in += some;
		}
		done = mem.count < n;
		while (out < in) {
			assert_int_equal(mesh__pipe_read(&p, back + out, sizeof(back) - out, &some), MESH_OK);
			out += some;
		}
		assert_memory_equal(bytes, back, sizeof(bytes));
		assert_int_equal(mem.live, 0); /* what was read is not held */
		mem.fail_at = mem.count + 1;
		assert_int_equal(mesh__pipe_put(&p, bytes, 1), MESH_E_NO_MEMORY);
		mem.fail_at = mem.count + 1;
		assert_int_equal(mesh__pipe_write_until(&p, bytes, 1, &some, INT64_MAX), MESH_E_NO_MEMORY);
		mesh__pipe_fini(&p);
		assert_int_equal(mem.live, 0);
	}
}

static void small_writes_share_their_memory(void **state)
{
	const struct mesh__pipe_options options = {.high = MESH__PIPE_HIGH, .low = MESH__PIPE_LOW};
	struct fail_mem mem;
	struct fake_env fake;
	struct mesh__pipe p;

	(void)state;
	fail_mem_init(&mem);
	fake_env_init(&fake);
	fake.env.mem = mem.mem;
	mesh__pipe_init(&p, &fake.env, &options);
	for (int i = 0; i < 64 * 1024; i++) {
		assert_int_equal(mesh__pipe_put(&p, "x", 1), MESH_OK);
	}
	assert_true(mem.live <= 16);
	mesh__pipe_fini(&p);
	assert_int_equal(mem.live, 0);
}

/* ---- Two threads ---- */

struct both {
	struct mesh__env env;
	struct mesh__pipe pipe;
	pthread_mutex_t mu; /* guards the rest */
	pthread_cond_t changed;
	int n_readable, n_writable, n_waiting_answers;
	size_t bytes;
	int code;
};

static void tell_both(struct both *b, int *n)
{
	(void)pthread_mutex_lock(&b->mu);
	++*n;
	(void)pthread_cond_broadcast(&b->changed);
	(void)pthread_mutex_unlock(&b->mu);
	(void)pthread_mutex_lock(&b->pipe.mu); /* hangs where the caller holds it */
	(void)pthread_mutex_unlock(&b->pipe.mu);
}

static void on_readable(void *arg)
{
	struct both *b = arg;

	tell_both(b, &b->n_readable);
}

static void on_writable(void *arg)
{
	struct both *b = arg;

	tell_both(b, &b->n_writable);
}

static void both_init(struct both *b, bool notified)
{
	const struct mesh__pipe_options options = {.high = MESH__PIPE_HIGH, .low = MESH__PIPE_LOW, .readable = notified ? on_readable : NULL, .writable = notified ? on_writable : NULL, .arg = b};

	memset(b, 0, sizeof(*b));
	mesh__env_init(&b->env);
	(void)pthread_mutex_init(&b->mu, NULL);
	(void)pthread_cond_init(&b->changed, NULL);
	mesh__pipe_init(&b->pipe, &b->env, &options);
}

static void both_fini(struct both *b)
{
	mesh__pipe_fini(&b->pipe);
	(void)pthread_cond_destroy(&b->changed);
	(void)pthread_mutex_destroy(&b->mu);
}

/* The byte at a place, such that a hole, a repetition or an exchange shows. */
static char byte_at(size_t i)
{
	return (char)((i * 2654435761u) >> 13);
}

static int64_t soon(struct both *b)
{
	return mesh__mono_us(&b->env) + patience(20) * 1000000;
}

static void *write_waiting(void *arg)
{
	struct both *b = arg;
	char piece[10007];
	size_t n, at = 0;

	while (at < b->bytes && b->code == MESH_OK) {
		size_t len = b->bytes - at < sizeof(piece) ? b->bytes - at : sizeof(piece);
		for (size_t i = 0; i < len; i++) {
			piece[i] = byte_at(at + i);
		}
		b->code = mesh__pipe_write_until(&b->pipe, piece, len, &n, soon(b));
		at += n;
	}
	mesh__pipe_end(&b->pipe, MESH_OK);
	return NULL;
}

/* Each answer to wait is followed by its notification: counted, so that none may be missed or come twice. */
static void wait_for(struct both *b, const int *n, int answers)
{
	(void)pthread_mutex_lock(&b->mu);
	while (*n < answers) {
		(void)pthread_cond_wait(&b->changed, &b->mu);
	}
	(void)pthread_mutex_unlock(&b->mu);
}

static void *write_notified(void *arg)
{
	struct both *b = arg;
	char piece[10007];
	size_t n, at = 0;
	int answers = 0;

	while (at < b->bytes && b->code == MESH_OK) {
		size_t len = b->bytes - at < sizeof(piece) ? b->bytes - at : sizeof(piece);
		for (size_t i = 0; i < len; i++) {
			piece[i] = byte_at(at + i);
		}
		b->code = mesh__pipe_write(&b->pipe, piece, len, &n);
		at += n;
		if (b->code == MESH_E_WOULD_BLOCK) {
			wait_for(b, &b->n_writable, ++answers);
			b->code = MESH_OK;
		}
	}
	b->n_waiting_answers = answers;
	mesh__pipe_end(&b->pipe, MESH_OK);
	return NULL;
}

static void check_bytes(const char *bytes, size_t len, size_t at)
{
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(bytes[i], byte_at(at + i));
	}
}

static void a_long_body_passes_intact_between_threads_that_wait(void **state)
{
	struct both b;
	pthread_t writer;
	char buf[7001];
	size_t n, at = 0;

	(void)state;
	both_init(&b, false);
	b.bytes = 8 << 20;
	assert_int_equal(pthread_create(&writer, NULL, write_waiting, &b), 0);
	do {
		assert_int_equal(mesh__pipe_read_until(&b.pipe, buf, sizeof(buf), &n, soon(&b)), MESH_OK);
		check_bytes(buf, n, at);
		at += n;
	} while (n > 0);
	assert_int_equal(at, b.bytes);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(b.code, MESH_OK);
	both_fini(&b);
}

static void a_long_body_passes_intact_between_threads_that_are_told(void **state)
{
	struct both b;
	pthread_t writer;
	char buf[7001];
	size_t n = 1, at = 0;
	int answers = 0;

	(void)state;
	both_init(&b, true);
	b.bytes = 8 << 20;
	assert_int_equal(pthread_create(&writer, NULL, write_notified, &b), 0);
	while (n > 0) {
		int code = mesh__pipe_read(&b.pipe, buf, sizeof(buf), &n);
		if (code == MESH_E_WOULD_BLOCK) {
			wait_for(&b, &b.n_readable, ++answers);
			n = 1;
			continue;
		}
		assert_int_equal(code, MESH_OK);
		check_bytes(buf, n, at);
		at += n;
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(at, b.bytes);
	assert_int_equal(b.code, MESH_OK);
	assert_int_equal(b.n_readable, answers);
	assert_int_equal(b.n_writable, b.n_waiting_answers);
	both_fini(&b);
}

static void *read_for_ever(void *arg)
{
	struct both *b = arg;
	char buf[16];
	size_t n;

	b->code = mesh__pipe_read_until(&b->pipe, buf, sizeof(buf), &n, INT64_MAX);
	return NULL;
}

static void *write_for_ever(void *arg)
{
	struct both *b = arg;
	static const char bytes[MESH__PIPE_HIGH + 1];

	b->code = mesh__pipe_write_until(&b->pipe, bytes, sizeof(bytes), &b->bytes, INT64_MAX);
	return NULL;
}

static void await_sleeper(struct both *b)
{
	int n = 0;

	while (n == 0) {
		(void)pthread_mutex_lock(&b->pipe.mu);
		n = b->pipe.n_readers + b->pipe.n_writers;
		(void)pthread_mutex_unlock(&b->pipe.mu);
		(void)sched_yield();
	}
}

static void an_abort_and_an_end_end_every_wait(void **state)
{
	static const struct { void *(*waits)(void *); bool abort; int code; } cases[] = {
		{read_for_ever, true, RESET}, {write_for_ever, true, RESET}, {read_for_ever, false, MESH_OK}, {write_for_ever, false, STATE}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		struct both b;
		pthread_t thread;

		both_init(&b, false);
		assert_int_equal(pthread_create(&thread, NULL, cases[i].waits, &b), 0);
		await_sleeper(&b);
		if (cases[i].abort) {
			mesh__pipe_abort(&b.pipe, RESET);
		} else {
			mesh__pipe_end(&b.pipe, MESH_OK);
		}
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(b.code, cases[i].code);
		both_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_holds),
		cmocka_unit_test(a_wait_ends_at_its_deadline_and_says_how_much_was_written),
		cmocka_unit_test(memory_that_fails_is_told_and_the_write_can_be_tried_again),
		cmocka_unit_test(small_writes_share_their_memory),
		cmocka_unit_test(a_long_body_passes_intact_between_threads_that_wait),
		cmocka_unit_test(a_long_body_passes_intact_between_threads_that_are_told),
		cmocka_unit_test(an_abort_and_an_end_end_every_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
