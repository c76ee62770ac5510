/*
 * A command of meshctl: its row in the table (name, options, help) and what every command works with. Data goes to
 * `out` and from there to stdout; messages go to `messages` (stderr).
 */
#ifndef MESHCTL_COMMAND_H
#define MESHCTL_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/env.h"
#include "meshctl/args.h"

/* The exit codes that scripts rely on. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,      /* failed, or unhealthy */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* the control plane cannot be reached */
	CTL_DENIED = 4,
	CTL_INVALID = 5      /* invalid configuration */
};

struct ctl_command;

struct ctl {
	struct mesh__env env;
	struct mesh__log_lost log_lost;
	const struct ctl_command *command;
	struct ctl_args args;
	bool json;            /* -o json */
	bool color;           /* stdout is a terminal that wants colour */
	struct mesh__buf out;
	FILE *data;           /* stdout */
	FILE *messages;       /* stderr */
};

struct ctl_command {
	const char *name;     /* "status", "token create" */
	const char *operands; /* for the help: "SERVICE PATH", or "" */
	size_t min_operands, max_operands;
	const char *summary;  /* one line */
	const char *text;     /* what it does, for --help */
	const char *example;  /* lines of shell with what they print */
	const struct ctl_option *options;
	int (*run)(struct ctl *ctl);
};

extern const struct ctl_command ctl_token_create, ctl_token_list, ctl_token_delete;
extern const struct ctl_command ctl_serve, ctl_call, ctl_connect;
extern const struct ctl_command ctl_services, ctl_endpoints, ctl_members, ctl_status, ctl_sync_status;
extern const struct ctl_command ctl_apply, ctl_get, ctl_delete, ctl_diff, ctl_validate, ctl_history, ctl_rollback;
extern const struct ctl_command ctl_fault;
extern const struct ctl_command ctl_intention_allow, ctl_intention_deny, ctl_intention_check;
extern const struct ctl_command ctl_explain_call;
extern const struct ctl_command ctl_cert_issue, ctl_cert_show, ctl_cert_revoke;
extern const struct ctl_command ctl_check, ctl_version, ctl_help;

/* All commands, in the order of the overview; *n gets their number. */
const struct ctl_command *const *ctl_commands(size_t *n);

/* Takes stdin, stdout and the environment's colours for a program; `data` and `messages` are borrowed. */
void ctl_init(struct ctl *ctl, FILE *data, FILE *messages);
void ctl_fini(struct ctl *ctl);

/* Parses argv[1 ..], finds the command, runs it, writes out its data. Returns the exit code. */
int ctl_run(struct ctl *ctl, int argc, char *const *argv);

/* The help of one command; the overview of all. Into ctl->out. */
void ctl_help_command(struct ctl *ctl, const struct ctl_command *command);
void ctl_help_overview(struct ctl *ctl);

/* Help for the words of a command or of a group ("token"). */
int ctl_help_words(struct ctl *ctl, const char *const *words, size_t n);

/* Writes "meshctl: …" to the messages; ctl_fail returns `code`. */
void ctl_say(struct ctl *ctl, const char *fmt, ...) MESH__PRINTF(2, 3);
int ctl_fail(struct ctl *ctl, int code, const char *fmt, ...) MESH__PRINTF(3, 4);
int ctl_fail_err(struct ctl *ctl, int code, const struct mesh__err *err);
int ctl_fail_memory(struct ctl *ctl);

/* Hands what is in ctl->out to stdout now. Returns CTL_OK, or CTL_FAILED with its message. */
int ctl_flush(struct ctl *ctl);

/* The environment variable, or NULL when it is unset or empty. */
const char *ctl_env(const char *name);

/* --namespace, else MESH_NAMESPACE, else "default". */
const char *ctl_namespace(const struct ctl *ctl);

#endif
