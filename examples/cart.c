/* A client: takes a payment from the payments service, whoever and wherever that is. Run it with MESH_CONTROL and MESH_TOKEN set. */
#include <meshlib/mesh.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *amount = argc > 1 ? argv[1] : "12.50 EUR";
	mesh_error *error = NULL;
	mesh_request *r;
	mesh *m;
	int failed = 1;

	if (mesh_open(NULL, &m, &error) != MESH_OK) {
		fprintf(stderr, "cart: %s\n", mesh_error_message(error));
		mesh_error_free(error);
		return 1;
	}
	r = mesh_request_new(m, "payments", "POST", "/make-payment");
	if (r != NULL && mesh_request_body(r, amount, strlen(amount)) == MESH_OK) {
		if (mesh_call(r) == MESH_OK) {
			printf("%d %s", (int)mesh_response_status(r), mesh_response_body(r, NULL));
			failed = mesh_response_status(r) != 200;
		} else {
			const mesh_error *why = mesh_request_error(r);
			fprintf(stderr, "cart: %s: %s%s\n", mesh_error_name(why), mesh_error_message(why),
				mesh_error_may_be_processed(why) ? " (it may have been paid)" : "");
		}
	}
	mesh_request_free(r);
	mesh_close(m, 1000);
	return failed;
}
