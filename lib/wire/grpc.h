/*
 * gRPC's own words, as its "gRPC over HTTP/2" (PROTOCOL-HTTP2.md), "HTTP to gRPC status code mapping" (http-grpc-status-mapping.md) and "Status codes" (statuscodes.md) have them. Pure, any thread, for hostile input: whatever is
 * read has a meaning or is refused.
 */
#ifndef MESH__WIRE_GRPC_H
#define MESH__WIRE_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* X(NAME): the statuses in the order of their numbers, from 0. */
#define MESH__GRPC_STATUSES(X)                                                                                         \
	X(OK) X(CANCELLED) X(UNKNOWN) X(INVALID_ARGUMENT) X(DEADLINE_EXCEEDED) X(NOT_FOUND) X(ALREADY_EXISTS)           \
	X(PERMISSION_DENIED) X(RESOURCE_EXHAUSTED) X(FAILED_PRECONDITION) X(ABORTED) X(OUT_OF_RANGE) X(UNIMPLEMENTED)   \
	X(INTERNAL) X(UNAVAILABLE) X(DATA_LOSS) X(UNAUTHENTICATED)

#define X(name) MESH__GRPC_##name,
enum mesh__grpc_status { MESH__GRPC_STATUSES(X) };
#undef X

/* "DEADLINE_EXCEEDED"; static. Of a number that is none: "UNKNOWN". */
const char *mesh__grpc_status_name(enum mesh__grpc_status status);

/* The number that the value of `grpc-status` says, in its one spelling ("0" to "16"). Whatever else it is, a number of a later version or NULL for none among it, is UNKNOWN, as the protocol asks. */
enum mesh__grpc_status mesh__grpc_status_parse(const char *text);

/* What an answer without `grpc-status` means, by its HTTP status. A 200 among them: the status that should have followed never came. */
enum mesh__grpc_status mesh__grpc_status_of_http(int status);

/* The status with which we refuse what we would refuse with that HTTP status. As above, but that here it is known what is meant: 504 is a deadline that has passed, 500 is ours, 413 and 429 are too much of something. */
enum mesh__grpc_status mesh__grpc_status_of_refusal(int status);

/* Whether a status is a failure of who answered, as 5xx is, and not the caller's own: google.rpc.Code's mapping to HTTP (code.proto) has it at 500 or above. */
bool mesh__grpc_status_is_failure(enum mesh__grpc_status status);

/* True when the value of `content-type` is gRPC's: "application/grpc", alone or with "+proto" or the like behind it, in any case, parameters or not. "application/grpc-web" is another protocol. NULL is none. */
bool mesh__grpc_content_type(const char *value);

enum { MESH__GRPC_TIMEOUT_TEXT = 10 }; /* eight digits, the unit, NUL */

/*
 * The value of `grpc-timeout` for so many microseconds: at most eight digits and a unit, the finest that has room for it, rounded down. So the deadline that is sent is never later than the one that is kept here; it is exact up to
 * 100 s and at most a thousandth off above. The protocol has no zero: where nothing (or less) is left it is "1n".
 */
void mesh__grpc_timeout_format(int64_t left_us, char out[MESH__GRPC_TIMEOUT_TEXT]);

/* The reverse, rounded up to whole microseconds, so that what was sent as a time is one. Zero is taken as such: some send it for what is late. False, *us untouched, when it is not one to eight digits and a unit. */
bool mesh__grpc_timeout_parse(const char *text, int64_t *us);

/* The value of `grpc-retry-pushback-ms` ("gRPC Retry Design", A6-client-retries.md): after how many milliseconds to try again, at most 2147483647; -1: never, which is what a number below 0 says, and whatever is none. */
int64_t mesh__grpc_pushback_parse(const char *text);

/* Appends `text` percent-encoded for `grpc-message`: printable ASCII but '%' stands for itself. The buffer's bound may cut it at its end. */
void mesh__grpc_message_encode(struct mesh__buf *out, const char *text);

/* Appends what the value of `grpc-message` says. A '%' without two hexadecimal digits behind it stands for itself, as the protocol asks: a message must not be lost over it. The result may hold any byte. */
void mesh__grpc_message_decode(struct mesh__buf *out, const char *value);

#endif
