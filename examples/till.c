/* A till: each line of its input is an amount to be paid, and nothing waits for a payment but one poll(2) loop, which has the input to watch as well. */
#include <meshlib/mesh.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Begins a payment for each line of what has been read, which from a terminal are whole; how many. */
static int pay(mesh *m, char *lines)
{
	int begun = 0;

	for (char *next = NULL, *amount = strtok_r(lines, "\n", &next); amount != NULL; amount = strtok_r(NULL, "\n", &next)) {
		mesh_request *r = mesh_request_new(m, "payments", "POST", "/make-payment");

		if (r != NULL && mesh_request_body(r, amount, strlen(amount)) == MESH_OK && mesh_call_start(r, NULL, NULL) == MESH_OK) {
			begun++;
		} else {
			mesh_request_free(r);
		}
	}
	return begun;
}

static void tell(const mesh_event *e)
{
	if (e->code == MESH_OK) {
		printf("%d %s", (int)mesh_response_status(e->request), mesh_response_body(e->request, NULL));
	} else {
		printf("%s: %s\n", mesh_code_name(e->code), mesh_error_message(mesh_request_error(e->request)));
	}
	mesh_request_free(e->request);
}

int main(void)
{
	mesh *m;
	mesh_event events[16];
	struct pollfd ready[] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}};
	char lines[4096];
	int under_way = 0;

	if (mesh_open(NULL, &m, NULL) != MESH_OK) {
		return 1;
	}
	ready[1].fd = mesh_event_fd(m);
	while ((ready[0].fd >= 0 || under_way > 0) && poll(ready, 2, -1) > 0) {
		ssize_t n = ready[0].revents != 0 ? read(STDIN_FILENO, lines, sizeof(lines) - 1) : -1;

		lines[n > 0 ? n : 0] = '\0';
		ready[0].fd = n == 0 ? -1 : ready[0].fd; /* poll() passes it over */
		under_way += pay(m, lines);
		for (int32_t i = 0, told = mesh_poll(m, events, 16, 0); i < told; i++, under_way--) {
			tell(&events[i]);
		}
	}
	return mesh_close(m, 1000) == MESH_OK ? 0 : 1;
}
