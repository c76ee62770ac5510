/*
 * What processes spend their time on: the kernel interrupts each CPU a thousand times a second and notes where it is (perf_event_open(2)); the files that the code is of tell what it does. It takes root, or as much leave.
 * One thread.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include <stdbool.h>
#include <sys/types.h>

enum part { PART_KERNEL, PART_TLS, PART_HTTP, PART_MESH, PART_REST, PARTS };

/* "kernel"; "tls": OpenSSL, mbedTLS; "http": libcurl, nghttp2, llhttp; "mesh": ours; "rest": libc, libuv, the programs. */
extern const char *const part_names[PARTS];

/* False, and nothing is noted from then on, where this is not allowed. */
bool parts_open(void);

/* From here to there. */
void parts_begin(void);
void parts_end(void);

/* Adds to `counts` how often a process was found at each, before it ends. */
void parts_count(pid_t pid, unsigned long counts[PARTS]);

void parts_close(void);

#endif
