/* The texts inside the frames (protocol.h). Pure but for memory. */
#ifndef MESHCA_REQUEST_H
#define MESHCA_REQUEST_H

#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"
#include "meshca/keystore.h"
#include "meshca/protocol.h"
#include "meshca/sign.h"
#include "wire/json.h"

struct meshca_request {
	char id[MESHCA_ID_MAX + 1]; /* "" until one was read */
	enum meshca_op op;
	struct meshca_ask ask;      /* of SIGN; borrowed from `root` */
	struct mesh__json *root;
};

/* MESHCA_ERROR_NONE, or why not; the id is there as soon as one could be read. Call meshca_request_fini() in both cases. */
enum meshca_error meshca_request_decode(const struct mesh__mem *mem, const char *text, size_t len, struct meshca_request *out, struct mesh__err *err);
void meshca_request_fini(struct meshca_request *request);

void meshca_answer_info(struct mesh__buf *out, const char *id, const struct meshca_keystore *store);
void meshca_answer_issued(struct mesh__buf *out, const char *id, const struct meshca_issued *issued);
void meshca_answer_refused(struct mesh__buf *out, const char *id, enum meshca_error error, const char *message);

/* The text of an error ("wrong-name"); static. */
const char *meshca_error_text(enum meshca_error error);

#endif
