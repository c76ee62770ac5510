#include "base/pipe.h"

#include <string.h>

#include "base/wait.h"

/* A block is freed once it is read to its end: no longer ones, so that what is held stays near what waits; no shorter ones, so that small writes share. */
enum { LONGEST_BLOCK = 32 * 1024, SHORTEST_BLOCK = 4 * 1024 };

struct mesh__pipe_block {
	struct mesh__pipe_block *next;
	size_t cap, from, to; /* the bytes from `from` to `to` wait */
	char bytes[];
};

/* What is to be told once the lock is given back. */
struct news {
	bool reader, writer;
	struct mesh__pipe_block *unused;
};

void mesh__pipe_init(struct mesh__pipe *p, const struct mesh__env *env, const struct mesh__pipe_options *options)
{
	*p = (struct mesh__pipe){.env = env, .options = *options};
	(void)pthread_mutex_init(&p->mu, NULL);
	mesh__cond_init(&p->filled);
	mesh__cond_init(&p->emptied);
}

static void free_blocks(struct mesh__pipe_block *block)
{
	while (block != NULL) {
		struct mesh__pipe_block *next = block->next;

		mesh__free(block);
		block = next;
	}
}

void mesh__pipe_fini(struct mesh__pipe *p)
{
	free_blocks(p->first);
	(void)pthread_cond_destroy(&p->filled);
	(void)pthread_cond_destroy(&p->emptied);
	(void)pthread_mutex_destroy(&p->mu);
}

/* ---- Telling the other side ---- */

static void wake_reader_locked(struct mesh__pipe *p, struct news *news)
{
	news->reader = p->tell_reader;
	p->tell_reader = false;
	if (p->n_readers > 0) {
		(void)pthread_cond_broadcast(&p->filled);
	}
}

static void wake_writer_locked(struct mesh__pipe *p, struct news *news)
{
	news->writer = p->tell_writer;
	p->tell_writer = false;
	if (p->n_writers > 0) {
		(void)pthread_cond_broadcast(&p->emptied);
	}
}

/* The arguments are the caller's to keep alive: the pipe itself may be done with as soon as the lock is free. */
static void unlock_and_tell(struct mesh__pipe *p, const struct news *news)
{
	const struct mesh__pipe_options told = p->options;

	(void)pthread_mutex_unlock(&p->mu);
	free_blocks(news->unused);
	if (news->reader && told.readable != NULL) {
		told.readable(told.arg);
	}
	if (news->writer && told.writable != NULL) {
		told.writable(told.arg);
	}
}

/* ---- Writing ---- */

static int may_write_locked(const struct mesh__pipe *p)
{
	if (p->abort_code != MESH_OK) {
		return p->abort_code;
	}
	return p->ended ? MESH_E_STATE : p->len < p->options.high ? MESH_OK : MESH_E_WOULD_BLOCK;
}

static struct mesh__pipe_block *new_block(struct mesh__pipe *p, const char *bytes, size_t len)
{
	size_t cap = len > SHORTEST_BLOCK ? len : SHORTEST_BLOCK;
	struct mesh__pipe_block *block = len < SIZE_MAX / 2 ? mesh__resize(&p->env->mem, NULL, sizeof(*block) + cap) : NULL;

	if (block != NULL) {
		block->next = NULL;
		block->cap = cap;
		block->from = 0;
		block->to = len;
		memcpy(block->bytes, bytes, len);
	}
	return block;
}

/* True when the last block had room for them all. */
static bool fill_last_locked(struct mesh__pipe *p, const char *bytes, size_t len)
{
	struct mesh__pipe_block *last = p->last;

	if (last == NULL || last->cap - last->to < len) {
		return false;
	}
	memcpy(last->bytes + last->to, bytes, len);
	last->to += len;
	return true;
}

static void link_locked(struct mesh__pipe *p, struct mesh__pipe_block *block)
{
	if (p->last != NULL) {
		p->last->next = block;
	} else {
		p->first = block;
	}
	p->last = block;
}

/* Takes from 1 to `len` bytes, or `whole`. Memory is asked for, and a block filled, without the lock: meanwhile room can only grow. */
static int give(struct mesh__pipe *p, const char *bytes, size_t len, bool whole, bool tell, size_t *n)
{
	struct news news = {.reader = false};
	struct mesh__pipe_block *block;
	size_t take = len;
	int code;

	(void)pthread_mutex_lock(&p->mu);
	code = may_write_locked(p);
	p->tell_writer = p->tell_writer || (tell && code == MESH_E_WOULD_BLOCK);
	if (code == MESH_OK && !whole) {
		take = take < p->options.high - p->len ? take : p->options.high - p->len;
		take = take < LONGEST_BLOCK ? take : LONGEST_BLOCK;
	}
	if (code == MESH_OK && !fill_last_locked(p, bytes, take)) {
		(void)pthread_mutex_unlock(&p->mu);
		block = new_block(p, bytes, take);
		(void)pthread_mutex_lock(&p->mu);
		code = block == NULL ? MESH_E_NO_MEMORY : may_write_locked(p);
		if (code == MESH_OK) {
			link_locked(p, block);
		} else {
			news.unused = block;
		}
	}
	*n = code == MESH_OK ? take : 0;
	if (code == MESH_OK) {
		p->len += take;
		wake_reader_locked(p, &news);
	}
	unlock_and_tell(p, &news);
	return code;
}

int mesh__pipe_write(struct mesh__pipe *p, const void *bytes, size_t len, size_t *n)
{
	const char *from = bytes;
	size_t some = 0;
	int code = MESH_OK;

	*n = 0;
	while (code == MESH_OK && *n < len) {
		code = give(p, from + *n, len - *n, false, *n == 0, &some);
		*n += some;
	}
	return *n > 0 ? MESH_OK : code;
}

int mesh__pipe_put(struct mesh__pipe *p, const void *bytes, size_t len)
{
	size_t n;

	return len == 0 ? MESH_OK : give(p, bytes, len, true, true, &n);
}

size_t mesh__pipe_room(struct mesh__pipe *p)
{
	size_t room;
	int code;

	(void)pthread_mutex_lock(&p->mu);
	code = may_write_locked(p);
	room = code == MESH_OK ? p->options.high - p->len : 0;
	p->tell_writer = p->tell_writer || code == MESH_E_WOULD_BLOCK;
	(void)pthread_mutex_unlock(&p->mu);
	return room;
}

/* False at the deadline. */
static bool wait_for_room(struct mesh__pipe *p, int64_t deadline_us)
{
	bool in_time = true;

	(void)pthread_mutex_lock(&p->mu);
	p->n_writers++;
	while (in_time && p->len > p->options.low && !p->ended && p->abort_code == MESH_OK) {
		in_time = mesh__cond_wait_until(&p->emptied, &p->mu, p->env, deadline_us);
	}
	p->n_writers--;
	(void)pthread_mutex_unlock(&p->mu);
	return in_time;
}

int mesh__pipe_write_until(struct mesh__pipe *p, const void *bytes, size_t len, size_t *n, int64_t deadline_us)
{
	const char *from = bytes;
	size_t some = 0;
	int code = MESH_OK;

	*n = 0;
	while (code == MESH_OK && *n < len) {
		code = give(p, from + *n, len - *n, false, false, &some);
		*n += some;
		if (code == MESH_E_WOULD_BLOCK) {
			code = wait_for_room(p, deadline_us) ? MESH_OK : MESH_E_TIMEOUT;
		}
	}
	return code;
}

/* ---- Reading ---- */

static int may_read_locked(const struct mesh__pipe *p)
{
	if (p->abort_code != MESH_OK) {
		return p->abort_code;
	}
	return p->len > 0 ? MESH_OK : p->ended ? p->end_code : MESH_E_WOULD_BLOCK;
}

static size_t take_locked(struct mesh__pipe *p, char *buf, size_t size, struct news *news)
{
	size_t n = 0;

	while (n < size && p->first != NULL) {
		struct mesh__pipe_block *block = p->first;
		size_t some = block->to - block->from < size - n ? block->to - block->from : size - n;

		memcpy(buf + n, block->bytes + block->from, some);
		block->from += some;
		n += some;
		if (block->from == block->to) {
			p->first = block->next;
			p->last = p->first == NULL ? NULL : p->last;
			block->next = news->unused;
			news->unused = block;
		}
	}
	p->len -= n;
	return n;
}

static int read_locked(struct mesh__pipe *p, void *buf, size_t size, size_t *n, struct news *news)
{
	int code = may_read_locked(p);

	*n = 0;
	if (code == MESH_OK && p->len > 0) {
		*n = take_locked(p, buf, size, news);
		if (p->len <= p->options.low) {
			wake_writer_locked(p, news);
		}
	} else if (code != MESH_E_WOULD_BLOCK) {
		p->end_read = p->ended;
	}
	return code;
}

int mesh__pipe_read(struct mesh__pipe *p, void *buf, size_t size, size_t *n)
{
	struct news news = {.reader = false};
	int code;

	(void)pthread_mutex_lock(&p->mu);
	code = read_locked(p, buf, size, n, &news);
	p->tell_reader = p->tell_reader || code == MESH_E_WOULD_BLOCK;
	unlock_and_tell(p, &news);
	return code;
}

int mesh__pipe_read_until(struct mesh__pipe *p, void *buf, size_t size, size_t *n, int64_t deadline_us)
{
	struct news news = {.reader = false};
	bool in_time = true;
	int code;

	(void)pthread_mutex_lock(&p->mu);
	p->n_readers++;
	while ((code = read_locked(p, buf, size, n, &news)) == MESH_E_WOULD_BLOCK && in_time) {
		in_time = mesh__cond_wait_until(&p->filled, &p->mu, p->env, deadline_us);
	}
	p->n_readers--;
	unlock_and_tell(p, &news);
	return code == MESH_E_WOULD_BLOCK ? MESH_E_TIMEOUT : code;
}

/* ---- The end ---- */

void mesh__pipe_end(struct mesh__pipe *p, int code)
{
	struct news news = {.reader = false};

	(void)pthread_mutex_lock(&p->mu);
	if (!p->ended && p->abort_code == MESH_OK) {
		p->ended = true;
		p->end_code = code;
		p->tell_writer = false;
		wake_reader_locked(p, &news);
		(void)pthread_cond_broadcast(&p->emptied); /* a writer that waits: MESH_E_STATE */
	}
	unlock_and_tell(p, &news);
}

void mesh__pipe_abort(struct mesh__pipe *p, int code)
{
	struct news news = {.reader = false};

	(void)pthread_mutex_lock(&p->mu);
	if (p->abort_code == MESH_OK && !p->end_read) {
		p->abort_code = code;
		news.unused = p->first;
		p->first = NULL;
		p->last = NULL;
		p->len = 0;
		wake_reader_locked(p, &news);
		wake_writer_locked(p, &news);
	}
	unlock_and_tell(p, &news);
}
