#include "ways.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "patience.h"

enum { LONG_MS = 30000 };

static const char sent[] = "sent";

bool way_is_uploaded(enum way way)
{
	return way == WAY_UPLOADED || way == WAY_STREAMED;
}

static bool is_downloaded(enum way way)
{
	return way == WAY_DOWNLOADED || way == WAY_STREAMED;
}

mesh_request *way_request(mesh *caller, enum way way, const char *method, const char *path)
{
	mesh_request *r = mesh_request_new(caller, "payments", method, path);

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	assert_int_equal(way_is_uploaded(way) ? mesh_request_upload(r, -1) : mesh_request_body(r, sent, sizeof(sent) - 1), MESH_OK);
	if (is_downloaded(way)) {
		assert_int_equal(mesh_request_download(r), MESH_OK);
	}
	return r;
}

int32_t way_make(mesh_request *r, enum way way)
{
	if (way == WAY_WAITED_FOR || way == WAY_DOWNLOADED) {
		return mesh_call(r);
	}
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	if (way_is_uploaded(way)) {
		(void)mesh_request_write(r, sent, sizeof(sent) - 1, NULL, patience(LONG_MS)); /* where it is answered at once nobody reads */
		(void)mesh_request_end(r);
	}
	return mesh_call_wait(r);
}

int32_t way_download(mesh_request *r, char *text, size_t size)
{
	size_t len = 0, n = 1;
	int32_t code = MESH_OK;

	while (code == MESH_OK && n > 0) {
		code = mesh_response_read(r, text + len, size - 1 - len, &n, patience(LONG_MS));
		len += n;
	}
	text[len] = '\0';
	return code;
}

const char *way_body(mesh_request *r, enum way way, char *text, size_t size)
{
	if (!is_downloaded(way)) {
		return mesh_response_body(r, NULL);
	}
	assert_int_equal(way_download(r, text, size), MESH_OK);
	assert_string_equal(mesh_response_body(r, NULL), "");
	return text;
}
