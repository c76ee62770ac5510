/* A directory of a test's own, gone with everything in it at the end. */
#ifndef TESTS_UNIT_MESHD_SCRATCH_H
#define TESTS_UNIT_MESHD_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
	char dir[64];
	char path[400];
};

static inline int scratch_init(struct scratch *s)
{
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/meshd-test-XXXXXX");
	return mkdtemp(s->dir) == NULL ? -1 : 0;
}

/* "DIR/name", until the next call. */
static inline const char *scratch_path(struct scratch *s, const char *name)
{
	(void)snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	return s->path;
}

static inline void scratch_fini(struct scratch *s)
{
	DIR *dir = opendir(s->dir);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			(void)unlink(scratch_path(s, entry->d_name));
		}
	}
	if (dir != NULL) {
		(void)closedir(dir);
	}
	(void)rmdir(s->dir);
}

#endif
