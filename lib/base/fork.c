#include "base/fork.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void mesh__fork_mark_init(struct mesh__fork_mark *mark)
{
	uint32_t *page = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*mark = (struct mesh__fork_mark){.pid = getpid()};
	if (page == MAP_FAILED) {
		return;
	}
	if (madvise(page, page_bytes(), MADV_WIPEONFORK) != 0) {
		(void)munmap(page, page_bytes());
		return;
	}
	*page = 1;
	mark->page = page;
}

void mesh__fork_mark_fini(struct mesh__fork_mark *mark)
{
	if (mark->page != NULL) {
		(void)munmap((void *)(uintptr_t)mark->page, page_bytes());
	}
	*mark = (struct mesh__fork_mark){.page = NULL};
}

bool mesh__forked_since(const struct mesh__fork_mark *mark)
{
	return mark->page != NULL ? *mark->page == 0 : mark->pid != getpid();
}
