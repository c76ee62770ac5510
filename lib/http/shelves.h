/*
 * A pool's idle connections, on a shelf for each of the machine's CPUs (which share one where there are more of them). A thread takes from the shelf of the CPU that it runs on: two CPUs pass no lock to and fro, and what
 * libcurl and TLS keep of a connection that served on this CPU last is still in its cache. Any thread.
 */
#ifndef MESH__HTTP_SHELVES_H
#define MESH__HTTP_SHELVES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct mesh__slot;

enum { MESH__SHELVES = 8 };

struct mesh__shelf {
	pthread_mutex_t mu;             /* guards what follows; held for list work alone */
	struct mesh__slot *first;       /* by next_idle, the one that served last first: the others get to be closed */
	bool closed;
	char apart[MESH__APART];        /* from the next */
};

struct mesh__shelves {
	struct mesh__shelf all[MESH__SHELVES];
};

void mesh__shelves_init(struct mesh__shelves *shelves);
/* They are empty. */
void mesh__shelves_fini(struct mesh__shelves *shelves);

/* The one that served last on this CPU, else on another; NULL when there is none. */
struct mesh__slot *mesh__shelves_take(struct mesh__shelves *shelves);

/* False, and the slot stays the caller's, once they are closed. */
bool mesh__shelves_put(struct mesh__shelves *shelves, struct mesh__slot *slot);

/* Takes all that are idle since `limit_us` or longer, chained by next_idle; `close`: none is put there any more. */
struct mesh__slot *mesh__shelves_cut(struct mesh__shelves *shelves, int64_t limit_us, bool close);

#endif
