/*
 * Flights (http/client.h) in tests: a loop that the test's own thread runs, a pool towards "payments", a server that does what its script says; and trips, each a flight and what became of it.
 */
#ifndef TESTS_SUPPORT_TRIP_H
#define TESTS_SUPPORT_TRIP_H

#include "cast.h"

struct trip_stage {
	struct mesh__loop *loop;
	struct mesh__tls_conf *conf;
	struct raw_server *server;
	struct mesh__pool_options options; /* the pool's, but for the credentials */
	struct mesh__pool *pool;
	int left; /* flights: with the last one's end the loop stops */
};

/* `shown` is the server's certificate; NULL: it shakes no hands. The pool expects payments. */
void trip_stage_open(struct trip_stage *s, const struct test_peer *shown, raw_script script, void *arg);
void trip_stage_open_narrow(struct trip_stage *s, const struct test_peer *shown, raw_script script, void *arg, int32_t max_connections, int32_t max_pending);
/* The pool asks for HTTP/2. `http2`: the server takes it. */
void trip_stage_open_http2(struct trip_stage *s, const struct test_peer *shown, bool http2, raw_script script, void *arg, int32_t max_pending);
/* Before the first flight: the pool expects another SPIFFE ID at payments' DNS name. */
void trip_stage_expect(struct trip_stage *s, const char *spiffe);
void trip_stage_close(struct trip_stage *s);

struct trip {
	struct trip_stage *stage;
	struct mesh__flight_options options;
	struct mesh__flight *flight;   /* NULL once it is over */
	struct mesh__client_response response;
	struct mesh__timer *timer;
	int dones, code;
	struct mesh__client_result result;
	char message[480];
	struct trip *then;      /* started when it is done */
	void (*after)(struct trip *t); /* called then, too */
	/* A streamed one. */
	size_t size;            /* of the upload, of a pattern */
	size_t n_read, n_taken; /* given to it, and come from it */
	int reads, later, refused;
	bool head_seen, wrong;
	int64_t stop_at;        /* in data(), after so many bytes */
	int end_code;           /* what data() gives then */
};

/* A request of "/" with a minute; body NULL: none. The streamed one gives and takes a pattern by the functions below. */
void trip_init(struct trip *t, struct trip_stage *s, const char *method, const char *body);
void trip_init_streamed(struct trip *t, struct trip_stage *s, size_t size, bool length_known);
void trip_fini(struct trip *t);

void trip_start(struct trip *t);

/* Starts it, and runs the loop until no flight is left. */
void trip_run(struct trip *t);

/* One request, answered "ok". */
void trip_expect_ok(struct trip_stage *s, bool reused);

/* For options.read: the pattern in pieces, and every third time nothing, with a timer that goes on; never anything. */
int64_t trip_read(void *arg, char *buf, size_t size);
int64_t trip_read_later(void *arg, char *buf, size_t size);

/* For options.head and options.data: of trip_echo(). Every second offer is refused, with a timer that goes on. */
bool trip_head(void *arg);
int trip_take(void *arg, const char *bytes, size_t len);

/* Scripts: answers at once, and then with each byte of the request's body as it comes; does nothing. */
void trip_echo(struct raw_conn *conn);
void trip_hang(struct raw_conn *conn);

/* For scripts: reads up to the end of a header, which is kept as text; what was read of the body comes with it. False when the connection ended before. */
bool trip_read_head(struct raw_conn *conn, char *text, size_t cap, const char **body, size_t *n_body);

#endif
