#include "parts.h"

#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUS_MAX 256
#define FILES_MAX 512
#define SAMPLES_A_SECOND 999 /* not in step with what else happens each millisecond */
#define RING_PAGES 64        /* some ten seconds; what comes after is not noted */

const char *const part_names[PARTS] = {"kernel", "tls", "http", "mesh", "rest"};

static const struct {
	const char *begins;
	enum part part;
} files[] = {{"libssl", PART_TLS}, {"libcrypto", PART_TLS}, {"libmbed", PART_TLS}, {"libcurl", PART_HTTP}, {"libnghttp2", PART_HTTP}, {"libllhttp", PART_HTTP}, {"libmeshlib", PART_MESH}};

/* What PERF_SAMPLE_IP and PERF_SAMPLE_TID give. */
struct sample {
	struct perf_event_header header;
	uint64_t ip;
	uint32_t pid, tid;
};

struct ring {
	int fd;
	struct perf_event_mmap_page *page;
	uint64_t from;
};

/* Code of a process. */
struct span {
	uint64_t from, to;
	enum part part;
};

static struct ring rings[CPUS_MAX];
static int n_rings;

/* ---- Taking samples ---- */

static size_t ring_bytes(void)
{
	return (size_t)RING_PAGES * (size_t)sysconf(_SC_PAGESIZE);
}

static bool ring_open(struct ring *r, int cpu)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK, .freq = 1, .sample_freq = SAMPLES_A_SECOND,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID, .disabled = 1};
	void *page;

	r->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (r->fd < 0) {
		return false;
	}
	page = mmap(NULL, ring_bytes() + (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (page == MAP_FAILED) {
		(void)close(r->fd);
		return false;
	}
	r->page = page;
	return true;
}

bool parts_open(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (int cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++) {
		if (!ring_open(&rings[n_rings], cpu)) {
			parts_close();
			return false;
		}
		n_rings++;
	}
	return n_rings > 0;
}

void parts_close(void)
{
	while (n_rings > 0) {
		struct ring *r = &rings[--n_rings];

		(void)munmap(r->page, ring_bytes() + (size_t)sysconf(_SC_PAGESIZE));
		(void)close(r->fd);
	}
}

void parts_begin(void)
{
	for (int i = 0; i < n_rings; i++) {
		rings[i].from = __atomic_load_n(&rings[i].page->data_head, __ATOMIC_ACQUIRE);
		__atomic_store_n(&rings[i].page->data_tail, rings[i].from, __ATOMIC_RELEASE);
		(void)ioctl(rings[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	}
}

void parts_end(void)
{
	for (int i = 0; i < n_rings; i++) {
		(void)ioctl(rings[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	}
}

/* ---- Telling them apart ---- */

static enum part part_of_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strncmp(name, files[i].begins, strlen(files[i].begins)) == 0) {
			return files[i].part;
		}
	}
	return PART_REST;
}

static size_t read_spans(pid_t pid, struct span *spans, size_t cap)
{
	char path[64], line[4200];
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && n < cap && fgets(line, sizeof(line), f) != NULL) {
		char *end;

		spans[n].from = strtoull(line, &end, 16);
		spans[n].to = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
		if (strlen(end) < 4 || end[3] != 'x') {
			continue; /* " r-xp" */
		}
		end[strcspn(end, "\n")] = '\0';
		spans[n++].part = part_of_file(end);
	}
	if (f != NULL) {
		(void)fclose(f);
	}
	return n;
}

static enum part part_at(const struct sample *s, const struct span *spans, size_t n)
{
	if ((s->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) != PERF_RECORD_MISC_USER) {
		return PART_KERNEL;
	}
	for (size_t i = 0; i < n; i++) {
		if (s->ip >= spans[i].from && s->ip < spans[i].to) {
			return spans[i].part;
		}
	}
	return PART_REST;
}

/* A record may go round the end of the ring. */
static void copy_out(const struct ring *r, uint64_t at, void *to, size_t len)
{
	const char *data = (const char *)r->page + r->page->data_offset;
	size_t size = (size_t)r->page->data_size, from = (size_t)(at % size), first = len < size - from ? len : size - from;

	memcpy(to, data + from, first);
	memcpy((char *)to + first, data, len - first);
}

void parts_count(pid_t pid, unsigned long counts[PARTS])
{
	static struct span spans[FILES_MAX];
	size_t n = n_rings > 0 ? read_spans(pid, spans, FILES_MAX) : 0;

	for (int i = 0; i < n_rings; i++) {
		uint64_t head = __atomic_load_n(&rings[i].page->data_head, __ATOMIC_ACQUIRE);
		struct sample s;

		for (uint64_t at = rings[i].from; head - at >= sizeof(s.header); at += s.header.size) {
			copy_out(&rings[i], at, &s.header, sizeof(s.header));
			if (s.header.size < sizeof(s.header)) {
				break;
			}
			if (s.header.type == PERF_RECORD_SAMPLE && s.header.size == sizeof(s)) {
				copy_out(&rings[i], at, &s, sizeof(s));
				counts[part_at(&s, spans, n)] += s.pid == (uint32_t)pid;
			}
		}
	}
}
