/* The waiting side of struct mesh__cancel (http/client.h): who is to be woken when it fires. */
#ifndef MESH__HTTP_CANCEL_H
#define MESH__HTTP_CANCEL_H

#include "http/client.h"

/*
 * From here until mesh__cancel_unwatch(), firing calls wake(arg) on the firing thread; when it has fired already, at once. One watcher at a time. `wake` only signals: it takes no other
 * cancel's lock and does not block. Neither function is called while holding a lock that `wake` takes. A NULL cancel is accepted and never fires.
 */
void mesh__cancel_watch(struct mesh__cancel *cancel, void (*wake)(void *arg), void *arg);

/* Once it has returned, `wake` neither runs nor will. */
void mesh__cancel_unwatch(struct mesh__cancel *cancel);

/* Ends what waits with it, or is about to, as firing does: until mesh__cancel_resume() mesh__cancel_fired() says true. Any thread. */
void mesh__cancel_interrupt(struct mesh__cancel *cancel);

/* An interruption is over, and was no cancelling. Whoever was interrupted, once nobody will interrupt it again. */
void mesh__cancel_resume(struct mesh__cancel *cancel);

#endif
