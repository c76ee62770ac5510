#include "api/handle.h"

const char *mesh_version(void)
{
	return "0.1.0";
}

const char *mesh_code_name(int32_t code)
{
	return mesh__code_name(code);
}

void mesh_string_free(char *text)
{
	mesh__free(text);
}

int32_t mesh_error_code(const mesh_error *error)
{
	return error == NULL ? MESH_OK : error->err.code;
}

const char *mesh_error_name(const mesh_error *error)
{
	return mesh__code_name(mesh_error_code(error));
}

const char *mesh_error_origin(const mesh_error *error)
{
	return mesh__origin_name(error == NULL ? MESH__ORIGIN_LOCAL : error->err.origin);
}

const char *mesh_error_message(const mesh_error *error)
{
	return error == NULL ? "" : error->err.message;
}

int32_t mesh_error_may_be_processed(const mesh_error *error)
{
	return error == NULL ? 0 : error->may_be_processed;
}

int32_t mesh_error_tries(const mesh_error *error)
{
	return error == NULL ? 0 : error->tries;
}

const char *mesh_error_endpoint(const mesh_error *error, int32_t index)
{
	return error != NULL && index >= 0 && index < error->tries && index < MESH__TRIES_MAX ? error->endpoints[index] : NULL;
}

void mesh_error_free(mesh_error *error)
{
	mesh__free(error);
}

int32_t mesh__error_give(const struct mesh__mem *mem, int code, const struct mesh__err *err, mesh_error **out)
{
	if (out != NULL) {
		/* Without memory for the object the code alone must do. */
		*out = code == MESH_OK ? NULL : mesh__alloc(mem, sizeof(**out));
		if (*out != NULL) {
			(*out)->err = *err;
		}
	}
	return code;
}
