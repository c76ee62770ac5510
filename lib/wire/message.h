/*
 * The control protocol's messages, version 1: what meshd and its clients say to each other, each a struct with an encoder and a decoder.
 *
 *   GET  /v1/bundle                      -> struct mesh__msg_bundle              no certificate needed
 *   POST /v1/enroll   msg_enroll         -> struct mesh__msg_certificate         no certificate needed
 *   POST /v1/renew    msg_enroll (no token) -> struct mesh__msg_certificate      mutual TLS, as everything below
 *   GET  /v1/watch    (header mesh-protocol: 1) -> an unending stream of records, one a line, the first a HELLO
 *   POST /v1/session/{id}/subscribe   msg_subscribe  -> {}
 *   POST /v1/session/{id}/register    msg_instance   -> {}
 *   POST /v1/session/{id}/deregister  msg_instance (instance and reason) -> {}
 *   POST /v1/session/{id}/heartbeat   {}             -> msg_heartbeat
 *   POST /v1/session/{id}/ack         msg_ack        -> {}
 *   POST /v1/session/{id}/report      msg_report     -> {}
 *
 * Every refusal is a status and a struct mesh__msg_refusal. A session belongs to the SPIFFE ID that opened its watch; 404 "no-session" means: open a new watch.
 * Decoders are for hostile bytes: each string is checked (names by wire/name, addresses by wire/addr, text without control characters), counts are bounded,
 * unknown fields are ignored, an unknown record type decodes as MESH__RECORD_UNKNOWN with its sequence. All strings in decoded messages are heap strings of the message; the *_fini
 * functions free them and accept zeroed messages. 64-bit numbers travel as strings. A decoder that fails leaves a message that needs no fini.
 */
#ifndef MESH__WIRE_MESSAGE_H
#define MESH__WIRE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

enum {
	MESH__PROTOCOL_VERSION = 1,
	MESH__MSG_MAX_BYTES = 4 * 1024 * 1024, /* one message or record */
	MESH__MSG_MAX_SERVICES = 4096,         /* in one subscription */
	MESH__MSG_MAX_ENDPOINTS = 16384,       /* in one record */
	MESH__MSG_MAX_ADDRESSES = 8,
	MESH__REPORT_MAX_BYTES = 128 * 1024,   /* one report; */
	MESH__REPORT_MAX_ENDPOINTS = 256       /* in it, of all its services together; and so many services */
};

/* GET /v1/bundle */
struct mesh__msg_bundle {
	char *trust_domain;
	char *roots_pem; /* one or more certificates */
};

/* POST /v1/enroll and /v1/renew */
struct mesh__msg_enroll {
	char *token;    /* NULL at renewal */
	char *csr_pem;
	char *instance; /* may be NULL */
};

struct mesh__msg_certificate {
	char *chain_pem;    /* the leaf, then the intermediates */
	char *roots_pem;
	char *trust_domain;
	char *ns;
	char *service;
};

/* One instance of a service. */
struct mesh__msg_instance {
	char *instance;
	char *addresses[MESH__MSG_MAX_ADDRESSES];
	size_t n_addresses;
	char *version; /* NULL: none */
	char *zone;    /* NULL: none */
	char *reason;  /* deregister, and removals in records: "deregistered", "lease", "admin"; else NULL */
	char *service; /* register, deregister: "service.namespace" that the sender says it is, where it does: any but its own is denied. Else NULL, and not copied */
};

/* What a client has of a service already, so that only changes are sent; zeroes: nothing. */
struct mesh__msg_interest {
	char *service;            /* "service.namespace" */
	uint64_t endpoints_version;
	uint64_t generation;
	bool config_only;         /* of what it does not call: no endpoints. Of a service that is named again with false, they follow */
};

struct mesh__msg_subscribe {
	struct mesh__msg_interest *services;
	size_t n_services;
	bool replace; /* true: these and no others; false: these too */
	uint64_t trust_version;
};

struct mesh__msg_heartbeat {
	bool registered;     /* false: the lease ran out or was removed; register again */
};

struct mesh__msg_ack {
	uint64_t sequence;
	uint64_t generation; /* of a CONFIG record; else 0 */
	char *refused;       /* NULL: taken; else why not */
	char *service;       /* of a CONFIG record; else NULL */
};

/* What a client makes of an endpoint. */
struct mesh__msg_endpoint {
	char *instance;      /* of a static one: its address */
	bool ejected;        /* outlier detection has taken it out */
	bool failed_check;   /* it fails its health checks */
	int64_t cost_us;     /* what one more call to it would cost; 0: none has been made */
};

struct mesh__msg_reported {
	char *service;       /* one that the session is subscribed to */
	struct mesh__msg_endpoint *endpoints;
	size_t n_endpoints;
};

/* The last one holds, whole. */
struct mesh__msg_report {
	struct mesh__msg_reported *services;
	size_t n_services;
};

struct mesh__msg_refusal {
	char *code;    /* "no-session", "denied", "invalid", "revoked", "token-spent", "token-expired", "token-unknown", "rate-limited", "unavailable", "too-large" */
	char *message; /* one line for a person */
};

/* X(NAME, "type") */
#define MESH__RECORDS(X)                                                                                               \
	X(UNKNOWN, "")                                                                                                 \
	X(HELLO, "hello")         /* session, protocol, heartbeat_ms, lease_ms */                                      \
	X(ENDPOINTS, "endpoints") /* service, version, full, known, instances, removed */                              \
	X(CONFIG, "config")       /* service, version (the generation), documents */                                   \
	X(TRUST, "trust")         /* version, roots_pem, revoked */                                                    \
	X(PING, "ping")           /* nothing: shows that the server lives */

#define X(name, text) MESH__RECORD_##name,
enum mesh__record_type { MESH__RECORDS(X) };
#undef X

struct mesh__record {
	enum mesh__record_type type;
	uint64_t sequence; /* counts records of this stream, from 1 */
	uint64_t version;  /* of the resource; ENDPOINTS: grows with every change of the set; CONFIG: the generation */
	/* HELLO */
	char *session;
	int64_t protocol, heartbeat_ms, lease_ms;
	/* ENDPOINTS, CONFIG */
	char *service;     /* "service.namespace" */
	/* ENDPOINTS */
	bool full;         /* the whole set: what is not in it is gone; false: a delta */
	bool known;        /* false: no such service has ever registered (a full, empty set) */
	struct mesh__msg_instance *instances; /* new or changed */
	size_t n_instances;
	struct mesh__msg_instance *removed;   /* instance and reason */
	size_t n_removed;
	/* CONFIG: the text of each document that applies to the service, each parsed by policy/document */
	char **documents;
	size_t n_documents;
	/* TRUST */
	char *roots_pem;
	char **revoked;    /* serial numbers, lower-case hex without leading zeros */
	size_t n_revoked;
};

#define MESH__MESSAGE(name)                                                                                            \
	void mesh__msg_##name##_encode(const struct mesh__msg_##name *msg, struct mesh__buf *out);                     \
	int mesh__msg_##name##_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__msg_##name *out, struct mesh__err *err) MESH__MUST_USE; \
	void mesh__msg_##name##_fini(struct mesh__msg_##name *msg)

MESH__MESSAGE(bundle);
MESH__MESSAGE(enroll);
MESH__MESSAGE(certificate);
MESH__MESSAGE(instance);
MESH__MESSAGE(subscribe);
MESH__MESSAGE(heartbeat);
MESH__MESSAGE(ack);
MESH__MESSAGE(report);
MESH__MESSAGE(refusal);

#undef MESH__MESSAGE

/* A record as one line, its newline included. */
void mesh__record_encode(const struct mesh__record *record, struct mesh__buf *out);
int mesh__record_decode(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__record *out, struct mesh__err *err) MESH__MUST_USE;
void mesh__record_fini(struct mesh__record *record);

/* A deep copy of an instance; false when out of memory (nothing to free). */
bool mesh__msg_instance_copy(const struct mesh__mem *mem, const struct mesh__msg_instance *from, struct mesh__msg_instance *to) MESH__MUST_USE;

#endif
