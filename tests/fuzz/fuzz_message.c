/* The first byte, a digit, picks the decoder. What is decoded and encoded decodes again, and encodes the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/buf.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes and encodes into *out; false when it is no message. */
#define CODEC(name, type, decode, encode, fini)                                                                        \
	static bool pass_##name(const char *text, size_t len, struct mesh__buf *out)                                   \
	{                                                                                                              \
		struct mesh__err err = MESH__NO_ERR;                                                                   \
		struct type msg;                                                                                       \
		int code = decode(mesh__mem_libc(), text, len, &msg, &err);                                            \
		if ((code == MESH_OK) == (err.message[0] != '\0')) {                                                   \
			abort();                                                                                       \
		}                                                                                                      \
		if (code == MESH_OK) {                                                                                 \
			encode(&msg, out);                                                                             \
			fini(&msg);                                                                                    \
		}                                                                                                      \
		return code == MESH_OK;                                                                                \
	}
#define MESSAGE(name) CODEC(name, mesh__msg_##name, mesh__msg_##name##_decode, mesh__msg_##name##_encode, mesh__msg_##name##_fini)

MESSAGE(bundle)
MESSAGE(enroll)
MESSAGE(certificate)
MESSAGE(instance)
MESSAGE(subscribe)
MESSAGE(heartbeat)
MESSAGE(ack)
MESSAGE(refusal)
MESSAGE(report)
CODEC(record, mesh__record, mesh__record_decode, mesh__record_encode, mesh__record_fini)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool (*const passes[])(const char *, size_t, struct mesh__buf *) = {
		pass_bundle, pass_enroll, pass_certificate, pass_instance, pass_subscribe, pass_heartbeat, pass_ack, pass_refusal, pass_record, pass_report,
	};
	struct mesh__buf first, second;
	size_t pick = size == 0 ? MESH__COUNT(passes) : (size_t)data[0] - '0';

	if (pick >= MESH__COUNT(passes)) {
		return 0;
	}
	mesh__buf_init(&first, mesh__mem_libc(), MESH__MSG_MAX_BYTES);
	mesh__buf_init(&second, mesh__mem_libc(), MESH__MSG_MAX_BYTES);
	if (passes[pick]((const char *)data + 1, size - 1, &first) && first.error == MESH_OK) {
		if (!passes[pick](first.data, first.len, &second) || second.len != first.len || memcmp(first.data, second.data, first.len) != 0) {
			abort();
		}
	}
	mesh__buf_fini(&first);
	mesh__buf_fini(&second);
	return 0;
}
