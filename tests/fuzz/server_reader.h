/*
 * A handler's half of a streamed exchange. What it reads must be what its peer has sent, and its end the end; each wait is followed by one event, no event comes from inside a call, none without a wait, and `gone` once.
 */
#ifndef TESTS_FUZZ_SERVER_READER_H
#define TESTS_FUZZ_SERVER_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "http/server.h"

struct reader {
	struct mesh__exchange *x;     /* NULL: there is none */
	const struct mesh__buf *sent; /* by the peer, this request from `from` on; NULL: nobody knows any longer */
	size_t from;
	bool eager;                   /* reads all that comes */
	bool wants, waits;            /* for readable, for writable */
	bool gone;
	bool in_call;
	bool got_all;
	struct mesh__buf got;
	void (*on_gone)(void *arg);
	void *arg;
};

void reader_begin(struct reader *r, struct mesh__exchange *x, const struct mesh__buf *sent, size_t from, bool eager, void (*on_gone)(void *arg), void *arg);

/* The exchange is another's or nobody's from here on. */
void reader_end(struct reader *r);

/* Reads up to `size` bytes. False: nothing is there, or the end has come. */
bool reader_take(struct reader *r, size_t size);

/* Writes as much as there is room for, and no more than 100,000 bytes. */
void reader_write_room(struct reader *r);

/* Once all that was sent has arrived: who still waits waits for good reason. `flows`: the peer takes all that is said to it. */
void reader_check_waits(const struct reader *r, bool flows);

#endif
