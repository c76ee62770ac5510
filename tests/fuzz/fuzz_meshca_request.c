/* Requests to the CA, with the frame around them: no input crashes, leaks or blocks, and every one of them has an answer that is JSON with the request's id. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meshca/frame.h"
#include "meshca/request.h"
#include "support/alloc_fail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds) {
		abort();
	}
}

static void check_request(const struct mesh__mem *mem, const struct mesh__buf *frame)
{
	struct meshca_request request;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *answer;
	struct mesh__buf out;
	enum meshca_error refused = meshca_request_decode(mem, frame->data, frame->len, &request, &err);

	check(refused == MESHCA_ERROR_NONE || err.message[0] != '\0');
	check(refused != MESHCA_ERROR_NONE || request.op != MESHCA_OP_SIGN || (request.ask.csr_pem != NULL && request.ask.service != NULL));
	mesh__buf_init(&out, mem, MESHCA_FRAME_MAX_BYTES);
	meshca_answer_refused(&out, request.id, refused, err.message);
	check(out.error == MESH_OK);
	check(mesh__json_parse(mem, out.data, out.len, MESHCA_FRAME_MAX_BYTES, &answer, NULL) == MESH_OK);
	check(strcmp(mesh__json_text(mesh__json_get(answer, "id")), request.id) == 0);
	mesh__json_free(answer);
	mesh__buf_fini(&out);
	meshca_request_fini(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct meshca_channel channel = {-1, -1};
	struct mesh__buf frame;
	struct fail_mem mem;
	int fds[2];

	if (size > MESHCA_FRAME_MAX_BYTES || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
		return 0;
	}
	fail_mem_init(&mem);
	mesh__buf_init(&frame, &mem.mem, MESHCA_FRAME_MAX_BYTES);
	check(size == 0 || send(fds[0], data, size, MSG_DONTWAIT) == (ssize_t)size);
	(void)close(fds[0]);
	channel.fd = fds[1];
	while (meshca_frame_receive(&channel, &frame, NULL) == MESH_OK) {
		check_request(&mem.mem, &frame);
	}
	(void)close(fds[1]);
	mesh__buf_fini(&frame);
	check(mem.live == 0);
	return 0;
}
