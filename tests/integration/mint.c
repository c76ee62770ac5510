/*
 * Mints certificates that no honest CA would sign, for the integration tests:
 *
 *	mint (--ca-cert F --ca-key F | --self-signed) [--uri U]... [--dns D]... [--cn N] [--no-dns] [--no-eku] [--server-only] [--client-only]
 *	     [--ca] [--pathlen N] [--cert-sign] [--not-before SECONDS] [--not-after SECONDS] [--key-type p256|p384|rsa2048]
 *	     [--chain] --out-cert F --out-key F
 *
 * Times are seconds from now, negative in the past; by default from an hour ago to two days from now. --chain puts the CA's file behind the certificate.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/bad_cert.h"

enum { FILE_MAX_BYTES = 64 * 1024 };

struct job {
	struct bad_cert plan;
	const char *ca_cert, *ca_key, *out_cert, *out_key;
	bool self_signed, chain;
};

static void die(const char *what, const char *value)
{
	fprintf(stderr, "mint: %s: %s\n", value, what);
	exit(2);
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, FILE_MAX_BYTES + 1);

	if (f == NULL || text == NULL || fread(text, 1, FILE_MAX_BYTES, f) == 0) {
		die(f == NULL ? strerror(errno) : "cannot be read", path);
	}
	fclose(f);
	return text;
}

static void spill(const char *path, int mode, const char *text, const char *more)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || write(fd, more, strlen(more)) != (ssize_t)strlen(more) || close(fd) != 0) {
		die(strerror(errno), path);
	}
}

static void add_name(const char *names[BAD_CERT_NAMES], const char *value)
{
	for (int i = 0; i < BAD_CERT_NAMES; i++) {
		if (names[i] == NULL) {
			names[i] = value;
			return;
		}
	}
	die("one name too many", value);
}

static int64_t number(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (end == text || *end != '\0') {
		die("not a number", text);
	}
	return n;
}

static void set_key_type(struct bad_cert *plan, const char *value)
{
	plan->rsa2048 = strcmp(value, "rsa2048") == 0;
	plan->p384 = strcmp(value, "p384") == 0;
	if (!plan->rsa2048 && !plan->p384 && strcmp(value, "p256") != 0) {
		die("no such key type", value);
	}
}

/* True when `name` is an option without a value. */
static bool take_flag(struct job *job, const char *name)
{
	struct bad_cert *plan = &job->plan;

	if (strcmp(name, "--self-signed") == 0) {
		job->self_signed = true;
	} else if (strcmp(name, "--chain") == 0) {
		job->chain = true;
	} else if (strcmp(name, "--ca") == 0) {
		plan->ca = true;
	} else if (strcmp(name, "--cert-sign") == 0) {
		plan->cert_sign = true;
	} else if (strcmp(name, "--no-dns") == 0) {
		plan->no_dns = true;
	} else if (strcmp(name, "--no-eku") == 0) {
		plan->eku = BAD_CERT_EKU_NONE;
	} else if (strcmp(name, "--server-only") == 0) {
		plan->eku = BAD_CERT_EKU_SERVER;
	} else if (strcmp(name, "--client-only") == 0) {
		plan->eku = BAD_CERT_EKU_CLIENT;
	} else {
		return false;
	}
	return true;
}

static void take_option(struct job *job, const char *name, const char *value, int64_t now_ms)
{
	struct bad_cert *plan = &job->plan;

	if (strcmp(name, "--ca-cert") == 0) {
		job->ca_cert = value;
	} else if (strcmp(name, "--ca-key") == 0) {
		job->ca_key = value;
	} else if (strcmp(name, "--out-cert") == 0) {
		job->out_cert = value;
	} else if (strcmp(name, "--out-key") == 0) {
		job->out_key = value;
	} else if (strcmp(name, "--uri") == 0) {
		add_name(plan->uri, value);
	} else if (strcmp(name, "--dns") == 0) {
		add_name(plan->dns, value);
	} else if (strcmp(name, "--cn") == 0) {
		plan->cn = value;
	} else if (strcmp(name, "--pathlen") == 0) {
		plan->pathlen = (int)number(value) + 1;
	} else if (strcmp(name, "--not-before") == 0) {
		plan->not_before_ms = now_ms + number(value) * 1000;
	} else if (strcmp(name, "--not-after") == 0) {
		plan->not_after_ms = now_ms + number(value) * 1000;
	} else if (strcmp(name, "--key-type") == 0) {
		set_key_type(plan, value);
	} else {
		die("no such option", name);
	}
}

static void parse(struct job *job, int argc, char **argv)
{
	int64_t now_ms = (int64_t)time(NULL) * 1000;

	job->plan.not_before_ms = now_ms - 3600000;
	job->plan.not_after_ms = now_ms + 172800000;
	for (int i = 1; i < argc; i++) {
		if (take_flag(job, argv[i])) {
			continue;
		}
		if (i + 1 == argc) {
			die("a value is missing, or there is no such option", argv[i]);
		}
		take_option(job, argv[i], argv[i + 1], now_ms);
		i++;
	}
	if (job->out_cert == NULL || job->out_key == NULL || job->self_signed == (job->ca_cert != NULL) || (job->ca_cert != NULL) != (job->ca_key != NULL)) {
		die("needs --out-cert, --out-key and either --self-signed or --ca-cert and --ca-key", "usage");
	}
}

int main(int argc, char **argv)
{
	struct job job = {.ca_cert = NULL};
	char *ca_cert = NULL, *ca_key = NULL, *cert, *key;

	parse(&job, argc, argv);
	if (job.ca_cert != NULL) {
		job.plan.ca_cert_pem = ca_cert = slurp(job.ca_cert);
		job.plan.ca_key_pem = ca_key = slurp(job.ca_key);
	}
	if (!bad_cert_mint(&job.plan, &cert, &key)) {
		die("the certificate cannot be made of this", "mint");
	}
	spill(job.out_cert, 0644, cert, job.chain && ca_cert != NULL ? ca_cert : "");
	spill(job.out_key, 0600, key, "");
	free(cert);
	free(key);
	free(ca_cert);
	free(ca_key);
	return 0;
}
