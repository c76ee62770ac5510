/* A queue of jobs, first come first served. Not guarded: its owner's lock does that. */
#ifndef MESH__INBOUND_JOBS_H
#define MESH__INBOUND_JOBS_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in what is queued, so that queueing cannot fail for want of memory. */
struct mesh__job {
	struct mesh__job *next;
};

struct mesh__jobs {
	struct mesh__job *first, *last;
	int32_t n;
};

static inline void mesh__jobs_add(struct mesh__jobs *jobs, struct mesh__job *job)
{
	job->next = NULL;
	if (jobs->last != NULL) {
		jobs->last->next = job;
	} else {
		jobs->first = job;
	}
	jobs->last = job;
	jobs->n++;
}

/* NULL when there is none. */
static inline struct mesh__job *mesh__jobs_take(struct mesh__jobs *jobs)
{
	struct mesh__job *job = jobs->first;

	if (job != NULL) {
		jobs->first = job->next;
		jobs->last = job->next == NULL ? NULL : jobs->last;
		jobs->n--;
	}
	return job;
}

#endif
