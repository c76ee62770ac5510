#include "api/handle.h"
#include "outbound/call.h"

/* MESH_OK: the request is this process's. */
static int32_t check(const mesh_request *r)
{
	return r == NULL ? MESH_E_INVALID : mesh__opened_is_parents(r->owner) ? MESH_E_FORKED : MESH_OK;
}

int32_t mesh_request_upload(mesh_request *r, int64_t length)
{
	int32_t code = length < -1 ? MESH_E_INVALID : check(r);

	return code != MESH_OK ? code : mesh__streamed_upload(r, length);
}

int32_t mesh_request_download(mesh_request *r)
{
	int32_t code = check(r);

	return code != MESH_OK ? code : mesh__streamed_download(r);
}

int32_t mesh_request_on_stream(mesh_request *r, mesh_stream_fn fn, void *user)
{
	int32_t code = check(r);

	return code != MESH_OK ? code : mesh__streamed_watch(r, fn, user);
}

/* By when a wait that the application allows has to end: 0 for one that it does not. MESH_E_WOULD_BLOCK where nothing may wait. */
static int32_t deadline_of(const mesh_request *r, int64_t timeout_ms, int64_t *deadline_us)
{
	*deadline_us = 0;
	if (timeout_ms <= 0) {
		return MESH_OK;
	}
	*deadline_us = mesh__mono_us(r->outbound->env) + mesh__sensible_ms(timeout_ms) * 1000;
	return mesh__call_on_own_thread(r->outbound) ? MESH_E_WOULD_BLOCK : MESH_OK;
}

int32_t mesh_request_write(mesh_request *r, const void *bytes, size_t len, size_t *written, int64_t timeout_ms)
{
	int32_t code = bytes == NULL && len > 0 ? MESH_E_INVALID : check(r);
	int64_t deadline_us;
	size_t n = 0;

	if (code == MESH_OK) {
		code = deadline_of(r, timeout_ms, &deadline_us);
	}
	if (code == MESH_OK) {
		code = mesh__streamed_write(r, bytes, len, &n, deadline_us);
	}
	if (written != NULL) {
		*written = n;
	}
	return code;
}

int32_t mesh_request_trailer(mesh_request *r, const char *name, const char *value)
{
	int32_t code = name == NULL || value == NULL ? MESH_E_INVALID : check(r);

	return code != MESH_OK ? code : mesh__streamed_trailer(r, name, value);
}

int32_t mesh_request_end(mesh_request *r)
{
	int32_t code = check(r);

	return code != MESH_OK ? code : mesh__streamed_end(r);
}

int32_t mesh_response_read(mesh_request *r, void *buf, size_t size, size_t *n, int64_t timeout_ms)
{
	int32_t code = buf == NULL || size == 0 || n == NULL ? MESH_E_INVALID : check(r);
	int64_t deadline_us;

	if (n != NULL) {
		*n = 0;
	}
	if (code == MESH_OK) {
		code = deadline_of(r, timeout_ms, &deadline_us);
	}
	return code != MESH_OK ? code : mesh__streamed_read(r, buf, size, n, deadline_us);
}
