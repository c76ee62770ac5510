/*
 * Exchanges under the test's hand, on the server of http_stage.h with stream_bodies: the handler keeps the latest, and the test's thread says what is done with it on the loop. Its events are counted.
 */
#ifndef TESTS_SUPPORT_HELD_H
#define TESTS_SUPPORT_HELD_H

#include <stdatomic.h>

#include "support/http_stage.h"

struct held {
	struct mesh__exchange *x;     /* NULL: none, or it was ended */
	_Atomic int n_requests;
	_Atomic int n_readable, n_writable, n_gone;
	bool in_call;                 /* the loop's: a function of the exchange's is being called: no event may come now */
	_Atomic bool reads_when_readable; /* takes all that there is at once */
	void (*_Atomic ends_when_told)(struct mesh__exchange *x); /* ends it when it is readable or writable; NULL: it goes on */
	struct mesh__buf body;        /* what was read; the test's while nothing is read */
	_Atomic int code;             /* of the last read */
	_Atomic bool ended;           /* the last read was the end */
};

extern struct held held;

/* cmocka fixtures, in the place of http_stage's: the server is open. */
int held_set_up(void **state);
int held_tear_down(void **state);

/* For stage_wait(). */
bool held_is_there(void);
bool held_is_gone(void);
bool held_is_readable(void);
bool held_is_writable(void);
bool held_has_ended(void);

/* Waits for the n-th request. */
void held_wait(int n);

/* The server opens, and has the first request, on the connection that this gives. */
int held_ask(const char *request);

/* Time passes, and the server looks at what is overdue. */
void held_advance_ms(int64_t ms);

/* The connection was cut, and no byte came before that. */
void held_assert_cut(int fd);

/* Forgets which events were there. */
void held_forget_events(void);

/* All that can be read now is added to held.body. */
int held_read(void);
const char *held_text(void);

/* What has come and was not read. */
size_t held_unread(void);

/* The reply. `fields` ends with a NULL name; NULL: none. */
bool held_begin(int status, const struct mesh__field_text *fields);
bool held_write(const void *bytes, size_t len);
size_t held_room(void);
bool held_trailer(const char *name, const char *value);
void held_end(void);
void held_abort(void);
void held_unref(void);
void held_reply(int status, const char *text);

#endif
