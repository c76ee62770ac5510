/* Sends a file of any size, or what a pipe gives, at the pace at which it is taken, and prints the answer. Run it with MESH_CONTROL and MESH_TOKEN set. */
#include <meshlib/mesh.h>

#include <stdio.h>
#include <sys/stat.h>

enum { TIMEOUT_MS = 3600 * 1000 }; /* an upload takes its time from the call's timeout, and the built-in 15 s are for short ones */

static int64_t length_of(FILE *file)
{
	struct stat s;

	return fstat(fileno(file), &s) == 0 && S_ISREG(s.st_mode) ? (int64_t)s.st_size : -1; /* only the end will tell */
}

/* Waits where the service does. One that answers before it has all takes no more: that is no failure of the call. */
static void send_body(mesh_request *r, FILE *file)
{
	char piece[65536];
	int32_t code = MESH_OK;
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), file)) > 0 && (code = mesh_request_write(r, piece, n, NULL, TIMEOUT_MS)) == MESH_OK) {
	}
	if (ferror(file) || code == MESH_E_TOO_LARGE || (code == MESH_OK && mesh_request_end(r) != MESH_OK)) {
		mesh_cancel(r); /* unreadable, or not as long as it was: a part must not look like the whole */
	}
}

static int upload(mesh_request *r, FILE *file)
{
	mesh_request_timeout(r, TIMEOUT_MS);
	if (mesh_request_upload(r, length_of(file)) == MESH_OK && mesh_call_start(r, NULL, NULL) == MESH_OK) {
		send_body(r, file);
		if (mesh_call_wait(r) == MESH_OK) {
			printf("%d %s\n", (int)mesh_response_status(r), mesh_response_body(r, NULL));
		} else {
			fprintf(stderr, "upload: %s\n", mesh_error_message(mesh_request_error(r)));
		}
	}
	return mesh_response_status(r) / 100 == 2 ? 0 : 1;
}

int main(int argc, char **argv)
{
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
	mesh_request *r;
	mesh *m;
	int code;

	if (file == NULL || mesh_open(NULL, &m, NULL) != MESH_OK) {
		fprintf(stderr, "upload: the file cannot be read, or the mesh not opened: see MESH_CONTROL and MESH_TOKEN\n");
		return 1;
	}
	r = mesh_request_new(m, "store", "PUT", "/file");
	code = upload(r, file);
	mesh_request_free(r);
	return mesh_close(m, 1000) == MESH_OK ? code : 1;
}
