/*
 * One outbound call: what the caller asked for, where the call stands, and what came of it. The public mesh_request is this struct. One thread at a time, but for the cancel and for what is told of it (events.h).
 */
#ifndef MESH__OUTBOUND_REQUEST_H
#define MESH__OUTBOUND_REQUEST_H

#include "control/snapshot.h"
#include "http/client.h"
#include "outbound/edit.h"
#include "outbound/events.h"
#include "outbound/hedge.h"
#include "outbound/mirror.h"
#include "outbound/outbound.h"
#include "outbound/parked.h"
#include "outbound/streamed.h"
#include "policy/retry.h"
#include "wire/grpc.h"
#include "wire/name.h"

enum { MESH__VERSION_TEXT = 129, MESH__REQUEST_FIELDS_BYTES = 64 * 1024, MESH__DECIMAL_TEXT = 21 };

/* In a snapshot. */
struct mesh__home {
	struct mesh__service *service;
	struct mesh__group *group; /* of it */
	struct mesh__told *told;   /* of calls that lead here; NULL: nothing is told of them */
};

struct mesh_request {
	struct mesh__outbound *outbound;
	void *owner;                        /* the mesh that it was made of, for the public side */

	/* What is asked for. */
	const char *service_text, *method, *path; /* in texts; never change, nor does what is read from them: */
	bool checked;                       /* they are well-formed, and the key is there */
	size_t n_fields, fields_bytes;
	char *body;
	size_t body_len;
	bool has_body;
	struct mesh__streamed *streamed;    /* NULL: both bodies are whole */
	int64_t timeout_ms;                 /* 0: not said */
	bool is_grpc;                       /* its content type says so */
	bool says_grpc_timeout;             /* the timeout was said as grpc-timeout, and goes on as that */
	int64_t parent_deadline_us;         /* 0: no parent */
	bool parent_retried;                /* which is a retry, or made for one: this call makes none */
	bool idempotent;                    /* by its method, or because the caller says so */
	struct mesh__cancel *cancel;
	struct mesh__copy copy;             /* it is a mirror's, and nobody's else */
	struct mesh__hedge *second_of;      /* it is another call's second try, and nobody's else; NULL: it is not */

	/* The call under way (or the last one). */
	_Atomic bool running;
	bool parked;                        /* no thread waits for it: it goes on on the call thread, by `call` */
	int state;                          /* call.c's */
	pthread_t thread;                   /* that makes the call, unless it is parked */
	size_t shard;                       /* of outbound->running, in which it is chained */
	struct mesh_request *running_next, **running_link;
	struct mesh__snapshot *snapshot;    /* one, from its start to its end */
	struct mesh__service *called;       /* in it: whose document the call goes by; NULL: nothing is known of it yet */
	struct mesh__home home;             /* where the call leads: there itself, or where its route says */
	struct mesh__service *service;      /* of the try at hand: home, or what takes over from there (failover.h); */
	struct mesh__group *group;          /* of it: among whose endpoints the try chooses */
	const struct mesh__route *route;    /* in the snapshot; NULL: it took none */
	const struct mesh__route_match *match; /* of the route, the alternative that held; NULL: it has none */
	const struct mesh__fault *fault;    /* in the snapshot, injected into its tries; NULL: none. Counted by: */
	const struct mesh__faulted *faulted;
	const char *awaited;                /* the service whose word the call waits for: `key`, or one that it is sent to instead */
	bool routed;                        /* it has been counted where its route leads */
	bool drawn;                         /* its turn in a split is: */
	uint64_t turn;
	int64_t begun_us, deadline_us;
	int64_t try_deadline_us;            /* of the try at hand: no later than the call's */
	int64_t now_us;                     /* the last look at the clock: since then nothing has waited */
	struct mesh__endpoint *endpoint;    /* of the try at hand, in it */
	struct mesh__endpoint *probes;      /* that, where this try is the one that asks an ejected one (outlier.h); NULL: it is not */
	struct mesh__endpoint *last_tried;  /* of the last try that was made, in it: another was chosen since, perhaps, and has not been asked */
	struct mesh__destination *limited;  /* whose concurrencyLimit counts the call, referenced, by this rule; NULL: none does */
	struct mesh__concurrency_limit limit;
	struct mesh__destination *held;     /* that counts the try at hand, in it; NULL: none does */
	struct mesh__endpoint *streams_on;  /* a call that has been told, whose bodies are still under way, is one of this endpoint's and of `held`'s, both referenced then; NULL: it is not */
	int32_t tries;
	int try_code;                       /* of the exchange; with what belongs to it in err, response and result */
	int64_t wait_ms;                    /* before the next try, or within one that a fault delays */
	int64_t delayed_us;                 /* of the try at hand, by its fault */
	bool aborts;                        /* it is to end as its fault says, */
	bool injected;                      /* and has */
	enum mesh__try_end end;             /* of the last try */
	bool failed;                        /* which was a failure */
	bool timed;                         /* the try at hand counts for percentiles of the latency */
	bool hedged;                        /* one of its tries was a second one, beside the first */
	int64_t hedge_due_us;               /* when a second one begins, while the try at hand is under way; 0: never */
	struct mesh__hedge *hedge;          /* which has begun; NULL: it has not, or is over */
	struct mesh__client_result result;
	struct mesh__edited *edited;        /* the memory of the next two; NULL: no route has edited any call of it */
	bool sends_edited;                  /* what is sent is there */
	bool shows_edited;                  /* the response's header is there */
	bool answered_here;                 /* by its route: nothing was sent */

	/* What came of it. */
	struct mesh__client_response response;
	bool has_error;
	struct mesh__telling telling;

	/*
	 * From here on only what the words above say is there holds anything: not zeroed with the rest, and most of it never touched. A request is made for each call, and memory is what that costs. In here at all, so that a
	 * warm call allocates nothing.
	 */
	char key[MESH__SERVICE_KEY_MAX], side_key[MESH__SERVICE_KEY_MAX];
	struct mesh__endpoint *tried[MESH__TRIES_MAX]; /* in the service */
	struct mesh__err err;
	char instance[MESH__LABEL_MAX + 1], version[MESH__VERSION_TEXT]; /* of the endpoint that answered; "": none */
	struct mesh__client_field fields[MESH__REQUEST_FIELDS_MAX + MESH__REQUEST_OWN_FIELDS]; /* the caller's (heap strings), then room for ours */
	char numbers[2][MESH__DECIMAL_TEXT], grpc_timeout[MESH__GRPC_TIMEOUT_TEXT]; /* what our fields say */
	struct mesh__parked call;           /* where it is parked */
	struct mesh_error error;
	char texts[];
};

/* NULL when out of memory. */
struct mesh_request *mesh__request_new(struct mesh__outbound *outbound, const char *service, const char *method, const char *path) MESH__MUST_USE;
void mesh__request_free(struct mesh_request *request);

/* A new one that sends what `r`, whose call is under way, does, but to `service`, and is bounded by its deadline. NULL when out of memory. */
struct mesh_request *mesh__request_copy(const struct mesh_request *r, const char *service) MESH__MUST_USE;

int mesh__request_field(struct mesh_request *request, const char *name, const char *value) MESH__MUST_USE;
int mesh__request_body(struct mesh_request *request, const void *bytes, size_t len) MESH__MUST_USE;

/* The header of the response, as the application sees it. */
const struct mesh__client_response *mesh__request_head(const struct mesh_request *request);

/* Drops what a call holds of the mesh: its snapshot, and with that the endpoints. */
void mesh__request_let_go(struct mesh_request *request);

/* The call leads there: home, and where its tries go from the first on. */
void mesh__request_lead(struct mesh_request *request, struct mesh__service *service, struct mesh__group *group, struct mesh__told *told);

/* It cannot go on before there is word of the service of that key, which may stand in the snapshot that it lets go of: that is awaited. */
void mesh__request_await(struct mesh_request *request, const char *key);

/* Forgets the results of the last call. */
void mesh__request_clear(struct mesh_request *request);

#endif
