#include "black_hole.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void black_hole_init(struct black_hole *hole)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	hole->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (hole->fd < 0 || bind(hole->fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(hole->fd, 0) != 0 || getsockname(hole->fd, (struct sockaddr *)&in, &len) != 0) {
		perror("black_hole");
		abort();
	}
	hole->address = (struct mesh__addr){.ip = "127.0.0.1", .port = ntohs(in.sin_port)};
	for (int i = 0; i < BLACK_HOLE_FILLERS; i++) {
		hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(hole->fillers[i], (struct sockaddr *)&in, sizeof(in));
	}
}

void black_hole_fini(struct black_hole *hole)
{
	for (int i = 0; i < BLACK_HOLE_FILLERS; i++) {
		(void)close(hole->fillers[i]);
	}
	(void)close(hole->fd);
}
