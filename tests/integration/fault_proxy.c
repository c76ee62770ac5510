/*
 * The faulty network of tests/support/fault_proxy.h as a program, for faults.py:
 *
 *	fault_proxy TARGET [ADDRESS]   prints where it listens (127.0.0.1:P); then obeys the lines of its standard input until that ends, and answers each with one line
 *
 *	plan drop|keep [FAULT...]      "ok"; FAULT: CONNECTION,WAY,UNIT,N,AT,ACTION,MS,BYTES, as in struct fault, with names in lower case
 *	seen NUMBER                    JSON: what became of the NUMBER-th connection since the plan
 *	count                          JSON: connections since the plan, and open now
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_proxy.h"

static const char *const ways[] = {"request", "answer"};
#define X(name, text) text,
static const char *const actions[] = {FAULT_ACTIONS(X)};
static const char *const units[] = {FAULT_UNITS(X)};
#undef X

static int index_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, words[i]) == 0) {
			return (int)i;
		}
	}
	(void)fprintf(stderr, "fault_proxy: \"%s\" is none of \"%s\", ...\n", word, words[0]);
	exit(1);
}

static struct fault read_fault(const char *text)
{
	char way[16], unit[16], action[16];
	struct fault f;

	memset(&f, 0, sizeof(f));
	if (sscanf(text, "%ld,%15[^,],%15[^,],%ld,%ld,%15[^,],%ld,%ld", &f.connection, way, unit, &f.n, &f.at, action, &f.ms, &f.bytes) != 8) {
		(void)fprintf(stderr, "fault_proxy: \"%s\" is no fault\n", text);
		exit(1);
	}
	f.way = (enum fault_way)index_of(way, ways, FAULT_WAYS);
	f.unit = (enum fault_unit)index_of(unit, units, FAULT_N_UNITS);
	f.action = (enum fault_action)index_of(action, actions, FAULT_N_ACTIONS);
	return f;
}

static void plan(struct fault_proxy *proxy, char *words)
{
	struct fault faults[FAULTS_MAX];
	size_t n = 0;
	char *rest, *word = strtok_r(words, " \n", &rest);
	bool keep = word != NULL && strcmp(word, "keep") == 0;

	while (n < FAULTS_MAX && (word = strtok_r(NULL, " \n", &rest)) != NULL) {
		faults[n++] = read_fault(word);
	}
	fault_proxy_plan(proxy, faults, n, keep);
	(void)printf("ok\n");
}

static void print_seen(struct fault_proxy *proxy, long number)
{
	struct fault_seen seen;

	fault_proxy_seen(proxy, number, &seen);
	(void)printf("{\"open\": %s, \"fired\": %d", seen.open ? "true" : "false", seen.fired);
	for (int w = 0; w < FAULT_WAYS; w++) {
		(void)printf(", \"%s\": {\"passed\": %llu, \"records\": [", ways[w], (unsigned long long)seen.passed[w]);
		for (int i = 0; i < seen.n_records[w] && i < FAULT_RECORDS_SEEN; i++) {
			(void)printf("%s[%d, %llu]", i == 0 ? "" : ", ", seen.records[w][i].type, (unsigned long long)seen.records[w][i].end);
		}
		(void)printf("]}");
	}
	(void)printf("}\n");
}

int main(int argc, char **argv)
{
	struct mesh__addr target, wish, both[2];
	struct fault_proxy *proxy;
	char line[2048];

	if (argc < 2 || mesh__addr_parse("target", argv[1], false, &target, NULL) != MESH_OK || (argc > 2 && mesh__addr_parse("address", argv[2], false, &wish, NULL) != MESH_OK)) {
		(void)fprintf(stderr, "usage: fault_proxy TARGET [ADDRESS]\n");
		return 2;
	}
	proxy = fault_proxy_new(&target, argc > 2 ? &wish : NULL);
	fault_proxy_addresses(proxy, both);
	(void)printf("%s:%u\n", both[0].ip, (unsigned)both[0].port);
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strncmp(line, "plan ", 5) == 0) {
			plan(proxy, line + 5);
		} else if (strncmp(line, "seen ", 5) == 0) {
			print_seen(proxy, strtol(line + 5, NULL, 10));
		} else {
			(void)printf("{\"accepted\": %ld, \"open\": %ld}\n", fault_proxy_accepted(proxy), fault_proxy_open(proxy));
		}
		(void)fflush(stdout);
	}
	fault_proxy_free(proxy);
	return 0;
}
