/*
 * Makes calls one after the other on one mesh, from the public header alone, and prints what came of each as one line of JSON:
 *
 *	calls STEP...     GET, POST (with a body) or any method; "wait": for a line on the standard input; "timeout=MS" for the calls after it
 *
 * Everything else comes from the environment (MESH_…).
 */
#include <meshlib/mesh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_error(const mesh_error *error)
{
	const char *endpoint;

	printf(",\"code\":\"%s\",\"origin\":\"%s\",\"mayBeProcessed\":%d,\"errorTries\":%d,\"endpoints\":[", error == NULL ? "MESH_OK" : mesh_error_name(error),
		error == NULL ? "" : mesh_error_origin(error), error == NULL ? 0 : (int)mesh_error_may_be_processed(error), error == NULL ? 0 : (int)mesh_error_tries(error));
	for (int32_t i = 0; error != NULL && (endpoint = mesh_error_endpoint(error, i)) != NULL; i++) {
		printf("%s\"%s\"", i == 0 ? "" : ",", endpoint);
	}
	printf("]");
}

static int call(mesh *m, const char *method, int64_t timeout_ms)
{
	static const char body[] = "the body";
	mesh_request *r = mesh_request_new(m, "payments", method, "/");
	int32_t code;

	if (r == NULL || (strcmp(method, "POST") == 0 && mesh_request_body(r, body, strlen(body)) != MESH_OK) || (timeout_ms > 0 && mesh_request_timeout(r, timeout_ms) != MESH_OK)) {
		mesh_request_free(r);
		return 1;
	}
	code = mesh_call(r);
	printf("{\"status\":%d,\"tries\":%d", (int)mesh_response_status(r), (int)mesh_request_tries(r));
	print_error(mesh_request_error(r));
	printf("}\n");
	fflush(stdout);
	if ((code == MESH_OK) != (mesh_request_error(r) == NULL) || (code != MESH_OK && mesh_error_code(mesh_request_error(r)) != code)) {
		fprintf(stderr, "calls: mesh_call returned %s, its error says otherwise\n", mesh_code_name(code));
		code = MESH_E_INTERNAL;
	}
	mesh_request_free(r);
	return code == MESH_E_INTERNAL;
}

int main(int argc, char **argv)
{
	mesh_error *error = NULL;
	int64_t timeout_ms = 0;
	char line[16];
	int failed = 0;
	mesh *m;

	if (mesh_open(NULL, &m, &error) != MESH_OK) {
		fprintf(stderr, "calls: %s\n", mesh_error_message(error));
		mesh_error_free(error);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "timeout=", 8) == 0) {
			timeout_ms = strtoll(argv[i] + 8, NULL, 10);
		} else if (strcmp(argv[i], "wait") == 0) {
			failed |= fgets(line, sizeof(line), stdin) == NULL;
		} else {
			failed |= call(m, argv[i], timeout_ms);
		}
	}
	(void)mesh_close(m, 1000);
	return failed;
}
