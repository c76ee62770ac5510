/*
 * A bounded pipe of bytes between two threads, of which one may be a loop's: one writes, one reads, each without waiting or until a deadline. It holds at most its high mark; a writer that was told to wait goes on
 * when no more than the low mark is left, so that the two do not wake each other for every byte.
 *
 * What cannot go on without waiting says MESH_E_WOULD_BLOCK, and each such answer is followed by one notification when it could: `readable` for bytes, the end or an abort, `writable` for room or an abort. Edge triggered: who was
 * not told to wait is not told of anything, and of several answers in a row one notification follows. It is called by the thread that made the change, with no lock held, and may call any function below.
 *
 * One writer and one reader at a time; end and abort from any thread. The memory is the caller's: it stays until every function below, and the notification that it called, has returned.
 */
#ifndef MESH__BASE_PIPE_H
#define MESH__BASE_PIPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

/* What a body on its way uses. */
enum { MESH__PIPE_HIGH = 256 * 1024, MESH__PIPE_LOW = 64 * 1024 };

struct mesh__pipe_block;

struct mesh__pipe_options {
	size_t high, low;            /* bytes; low < high */
	void (*readable)(void *arg); /* may be NULL, as the next */
	void (*writable)(void *arg);
	void *arg;
};

/* Private: use the functions. */
struct mesh__pipe {
	const struct mesh__env *env;
	struct mesh__pipe_options options;
	pthread_mutex_t mu; /* guards all below */
	pthread_cond_t filled, emptied;
	struct mesh__pipe_block *first, *last;
	size_t len;         /* bytes that wait to be read */
	int n_readers, n_writers; /* in a wait */
	bool tell_reader, tell_writer;
	bool ended, end_read;
	int end_code;       /* what follows the bytes */
	int abort_code;     /* MESH_OK: not aborted */
};

/* Allocates nothing. `env` is borrowed, the options are copied. */
void mesh__pipe_init(struct mesh__pipe *p, const struct mesh__env *env, const struct mesh__pipe_options *options);

/* Drops what was not read. */
void mesh__pipe_fini(struct mesh__pipe *p);

/*
 * Writes what there is room for, without waiting: MESH_OK with *n > 0 bytes copied (or 0 of 0); MESH_E_WOULD_BLOCK; MESH_E_NO_MEMORY (it may be tried again); MESH_E_STATE after the end; the code of an abort. But for MESH_OK
 * *n is 0.
 */
int mesh__pipe_write(struct mesh__pipe *p, const void *bytes, size_t len, size_t *n) MESH__MUST_USE;

/* The same, all or nothing, for writers that cannot give a part: `len` bytes are taken whole where fewer than the high mark wait, which they may so exceed. */
int mesh__pipe_put(struct mesh__pipe *p, const void *bytes, size_t len) MESH__MUST_USE;

/* Bytes that mesh__pipe_write() would take now, for who has to fetch them first. 0 counts as an answer to wait; also after the end or an abort, which nothing follows. */
size_t mesh__pipe_room(struct mesh__pipe *p);

/* Writes all of it, waiting for room until `deadline_us` (on the environment's clock; INT64_MAX: for ever). MESH_OK, or why not all: MESH_E_TIMEOUT or an error as above; *n is then how many bytes were written. */
int mesh__pipe_write_until(struct mesh__pipe *p, const void *bytes, size_t len, size_t *n, int64_t deadline_us) MESH__MUST_USE;

/* Reads what there is, without waiting: MESH_OK with 0 < *n <= size, or *n == 0 for the end (or a size of 0); MESH_E_WOULD_BLOCK; the code that mesh__pipe_end() or an abort gave. */
int mesh__pipe_read(struct mesh__pipe *p, void *buf, size_t size, size_t *n) MESH__MUST_USE;

/* The same, waiting for the first byte, the end or an abort until `deadline_us`: MESH_E_TIMEOUT. */
int mesh__pipe_read_until(struct mesh__pipe *p, void *buf, size_t size, size_t *n, int64_t deadline_us) MESH__MUST_USE;

/* Nothing more will be written: the reader gets the bytes that wait, then the end, or with a code other than MESH_OK that code. No effect after the first. */
void mesh__pipe_end(struct mesh__pipe *p, int code);

/* Ends it at once, for both sides: what waits is dropped, every wait ends, every function answers `code` (not MESH_OK) from here on. No effect after the first, nor when the reader has read the end. */
void mesh__pipe_abort(struct mesh__pipe *p, int code);

#endif
