#include "base/event_fd.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mesh__event_fd_init(struct mesh__event_fd *e)
{
	*e = (struct mesh__event_fd){.fd = -1};
}

void mesh__event_fd_fini(struct mesh__event_fd *e)
{
	if (e->fd >= 0) {
		(void)close(e->fd);
	}
	e->fd = -1;
}

int mesh__event_fd_get(struct mesh__event_fd *e, struct mesh__err *err)
{
	if (e->fd < 0) {
		e->fd = eventfd(e->raised ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	return e->fd >= 0 ? e->fd : -mesh__fail(err, errno == ENOMEM ? MESH_E_NO_MEMORY : MESH_E_IO, "no descriptor to tell of events by: %s", strerror(errno));
}

void mesh__event_fd_set(struct mesh__event_fd *e, bool raised)
{
	eventfd_t n;

	if (e->raised != raised && e->fd >= 0) {
		(void)(raised ? eventfd_write(e->fd, 1) : eventfd_read(e->fd, &n)); /* cannot block: it counts to one */
	}
	e->raised = raised;
}
