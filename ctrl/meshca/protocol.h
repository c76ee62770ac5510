/*
 * What meshd and meshca say to each other over their socket pair: one request, one answer, in order.
 *
 * A frame is a length of four bytes, most significant first, and that many bytes of one JSON object; at most MESHCA_FRAME_MAX_BYTES. An answer repeats its request's id.
 *
 *   {"id": "1", "op": "info"}
 *   {"id": "1", "ok": true, "trustDomain", "roots": PEM, "issuer": PEM, "rootPin": hex, "rootNotAfter", "issuerNotAfter"}
 *
 *   {"id": "2", "op": "sign", "csr": PEM, "service", "namespace", "ttlMs"}
 *   {"id": "2", "ok": true, "certificate": PEM of the leaf and the intermediate, "serial", "spiffeId", "notBefore", "notAfter"}
 *
 *   {"id": "3", "ok": false, "error": code, "message": one line for a person}
 *
 * Times are milliseconds since 1970 as strings of digits; ttlMs is such a string or a number; an absent namespace means "default". Unknown fields are ignored. A frame that is no
 * JSON object is answered with the id ""; so is one that is too long, and then meshca exits, because nobody knows where the next frame begins. On end of file it exits with 0.
 */
#ifndef MESHCA_PROTOCOL_H
#define MESHCA_PROTOCOL_H

enum {
	MESHCA_FRAME_HEAD_BYTES = 4,
	MESHCA_FRAME_MAX_BYTES = 64 * 1024, /* of the JSON text */
	MESHCA_ID_MAX = 64                  /* bytes of a request's id */
};

/* X(NAME, "text"): the operations. */
#define MESHCA_OPS(X)                                                                                                  \
	X(INFO, "info")                                                                                                \
	X(SIGN, "sign")

#define X(name, text) MESHCA_OP_##name,
enum meshca_op { MESHCA_OPS(X) };
#undef X

/* X(NAME, "text"): why a request was refused. */
#define MESHCA_ERRORS(X)                                                                                               \
	X(NONE, "")                                                                                                    \
	X(REQUEST, "invalid-request")   /* not a request of this protocol */                                           \
	X(CSR, "invalid-csr")           /* the certificate request is malformed, or of a kind that is never signed */  \
	X(NAME, "wrong-name")           /* no valid name, or not the one that the certificate request asks for */      \
	X(TTL, "ttl")                   /* a life that is not positive, or over the maximum */                         \
	X(RATE, "rate-limited")         /* more than the issue rate; try again in a second */                          \
	X(UNAVAILABLE, "unavailable")   /* the issue log cannot be written, or the issuer has expired */               \
	X(INTERNAL, "internal")         /* out of memory, or a defect */

#define X(name, text) MESHCA_ERROR_##name,
enum meshca_error { MESHCA_ERRORS(X) };
#undef X

#endif
