#include "meshctl/command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum { OUT_MAX_BYTES = 256 * 1024 * 1024, TABLES_MAX = 40, COMMANDS_MAX = 40, WORDS_MAX = 8 };

static const struct ctl_command *const commands[] = {
	&ctl_serve, &ctl_call, &ctl_connect,
	&ctl_services, &ctl_endpoints, &ctl_members, &ctl_status, &ctl_sync_status, &ctl_check,
	&ctl_apply, &ctl_get, &ctl_delete, &ctl_diff, &ctl_validate, &ctl_history, &ctl_rollback,
	&ctl_fault,
	&ctl_intention_allow, &ctl_intention_deny, &ctl_intention_check, &ctl_explain_call,
	&ctl_token_create, &ctl_token_list, &ctl_token_delete,
	&ctl_cert_issue, &ctl_cert_show, &ctl_cert_revoke,
	&ctl_version, &ctl_help,
};

static const struct ctl_option common[] = {
	{"data", 0, CTL_TEXT, "DIR", "meshd's data directory, to find it by (else MESH_ADMIN, else MESH_DATA)", 0, 0},
	{"output", 'o', CTL_TEXT, "FORMAT", "text or json", 0, 0},
	{"help", 'h', CTL_FLAG, NULL, "this text", 0, 0},
	{0},
};

const struct ctl_command *const *ctl_commands(size_t *n)
{
	*n = MESH__COUNT(commands);
	return commands;
}

void ctl_init(struct ctl *ctl, FILE *data, FILE *messages)
{
	memset(ctl, 0, sizeof(*ctl));
	mesh__env_init(&ctl->env);
	ctl->env.log = mesh__log_stderr;
	ctl->env.user = &ctl->log_lost;
	ctl->env.log_level = MESH__LOG_WARN;
	mesh__buf_init(&ctl->out, &ctl->env.mem, OUT_MAX_BYTES);
	ctl->data = data;
	ctl->messages = messages;
	/* no-color.org: any value but an empty one. */
	ctl->color = ctl_env("NO_COLOR") == NULL && !mesh__str_eq(ctl_env("TERM"), "dumb") && isatty(fileno(data)) == 1;
}

void ctl_fini(struct ctl *ctl)
{
	mesh__buf_fini(&ctl->out);
}

const char *ctl_env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *ctl_namespace(const struct ctl *ctl)
{
	const char *ns = ctl_text(&ctl->args, "namespace");

	if (ns == NULL) {
		ns = ctl_env("MESH_NAMESPACE");
	}
	return ns != NULL ? ns : "default";
}

static void say(struct ctl *ctl, const char *fmt, va_list args) MESH__PRINTF(2, 0);

static void say(struct ctl *ctl, const char *fmt, va_list args)
{
	flockfile(ctl->messages); /* lines of several threads do not mix */
	(void)fputs("meshctl: ", ctl->messages);
	(void)vfprintf(ctl->messages, fmt, args);
	(void)fputc('\n', ctl->messages);
	(void)fflush(ctl->messages);
	funlockfile(ctl->messages);
}

void ctl_say(struct ctl *ctl, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(ctl, fmt, args);
	va_end(args);
}

int ctl_fail(struct ctl *ctl, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(ctl, fmt, args);
	va_end(args);
	return code;
}

int ctl_fail_err(struct ctl *ctl, int code, const struct mesh__err *err)
{
	return ctl_fail(ctl, code, "%s", err->message);
}

int ctl_fail_memory(struct ctl *ctl)
{
	return ctl_fail(ctl, CTL_FAILED, "out of memory");
}

int ctl_flush(struct ctl *ctl)
{
	struct mesh__err err = MESH__NO_ERR;
	bool written;

	if (mesh__buf_error(&ctl->out, "output", &err) != MESH_OK) {
		mesh__buf_clear(&ctl->out);
		return ctl_fail_err(ctl, CTL_FAILED, &err);
	}
	written = ctl->out.len == 0 || fwrite(ctl->out.data, 1, ctl->out.len, ctl->data) == ctl->out.len;
	mesh__buf_clear(&ctl->out);
	if (fflush(ctl->data) != 0 || !written) {
		return ctl_fail(ctl, CTL_FAILED, "cannot write to the standard output");
	}
	return CTL_OK;
}

/* ---- Help ---- */

void ctl_help_command(struct ctl *ctl, const struct ctl_command *command)
{
	struct mesh__buf *out = &ctl->out;

	mesh__buf_printf(out, "meshctl %s: %s\n\n", command->name, command->summary);
	mesh__buf_printf(out, "  meshctl %s%s%s%s\n\n", command->name, command->operands[0] != '\0' ? " " : "", command->operands,
		command->options != NULL ? " [options]" : "");
	mesh__buf_printf(out, "%s\n\n", command->text);
	mesh__buf_str(out, "Options:\n");
	ctl_args_help(command->options, out);
	ctl_args_help(common, out);
	mesh__buf_printf(out, "\nFor example:\n%s", command->example);
}

void ctl_help_overview(struct ctl *ctl)
{
	struct mesh__buf *out = &ctl->out;

	mesh__buf_str(out, "meshctl: work with a mesh, as its operator or as one of its services\n\n");
	for (size_t i = 0; i < MESH__COUNT(commands); i++) {
		mesh__buf_printf(out, "  %-14s  %s\n", commands[i]->name, commands[i]->summary);
	}
	mesh__buf_str(out, "\nmeshctl finds meshd by --data DIR, or by MESH_ADMIN and MESH_ADMIN_TOKEN. -o json gives data for programs.\n"
		"Exit codes: 0 fine, 1 failed or unhealthy, 2 usage, 3 meshd unreachable, 4 denied, 5 invalid configuration.\n\n"
		"For example:\n"
		"  $ export MESH_DATA=/var/lib/meshd\n"
		"  $ meshctl serve --service payments --echo &\n"
		"  $ meshctl call --as cart payments /hello\n\n"
		"`meshctl help COMMAND` tells about one.\n");
}

/* ---- Finding the command ---- */

/* "token" for "token create". */
static bool in_group(const struct ctl_command *command, const char *group)
{
	size_t len = strlen(group);

	return strncmp(command->name, group, len) == 0 && command->name[len] == ' ';
}

/* The command that the words begin with; *used words are its name. */
static const struct ctl_command *find_command(const char *const *words, size_t n, size_t *used)
{
	for (size_t i = 0; i < MESH__COUNT(commands); i++) {
		const char *name = commands[i]->name;
		const char *space = strchr(name, ' ');
		if (space == NULL && n > 0 && strcmp(name, words[0]) == 0) {
			*used = 1;
			return commands[i];
		}
		if (space != NULL && n > 1 && in_group(commands[i], words[0]) && strcmp(space + 1, words[1]) == 0) {
			*used = 2;
			return commands[i];
		}
	}
	return NULL;
}

static bool is_group(const char *word)
{
	for (size_t i = 0; i < MESH__COUNT(commands); i++) {
		if (in_group(commands[i], word)) {
			return true;
		}
	}
	return false;
}

/* "token" without, or with an unknown, second word. */
static int fail_group(struct ctl *ctl, const char *const *words, size_t n)
{
	const char *names[COMMANDS_MAX], *near = NULL;
	size_t n_names = 0;
	char list[128] = "";

	for (size_t i = 0; i < MESH__COUNT(commands); i++) {
		if (in_group(commands[i], words[0])) {
			size_t len = strlen(list);
			names[n_names] = strchr(commands[i]->name, ' ') + 1;
			(void)snprintf(list + len, sizeof(list) - len, "%s%s", n_names > 0 ? ", " : "", names[n_names]);
			n_names++;
		}
	}
	if (n < 2) {
		return ctl_fail(ctl, CTL_USAGE, "%s what? One of: %s", words[0], list);
	}
	near = mesh__str_nearest(words[1], names, n_names);
	if (near != NULL) {
		return ctl_fail(ctl, CTL_USAGE, "unknown command \"%s %s\"; did you mean \"%s %s\"?", words[0], words[1], words[0], near);
	}
	return ctl_fail(ctl, CTL_USAGE, "unknown command \"%s %s\"; it is one of: %s", words[0], words[1], list);
}

static int fail_command(struct ctl *ctl, const char *const *words, size_t n)
{
	const char *names[COMMANDS_MAX], *near;

	if (is_group(words[0])) {
		return fail_group(ctl, words, n);
	}
	for (size_t i = 0; i < MESH__COUNT(commands); i++) {
		names[i] = commands[i]->name;
	}
	near = mesh__str_nearest(words[0], names, MESH__COUNT(commands));
	if (near != NULL) {
		return ctl_fail(ctl, CTL_USAGE, "unknown command \"%s\"; did you mean \"%s\"?", words[0], near);
	}
	return ctl_fail(ctl, CTL_USAGE, "unknown command \"%s\"; `meshctl help` lists them", words[0]);
}

int ctl_help_words(struct ctl *ctl, const char *const *words, size_t n)
{
	size_t used;
	const struct ctl_command *command = find_command(words, n, &used);

	if (n == 0) {
		ctl_help_overview(ctl);
		return CTL_OK;
	}
	if (command != NULL) {
		ctl_help_command(ctl, command);
		return CTL_OK;
	}
	if (n == 1 && is_group(words[0])) {
		for (size_t i = 0; i < MESH__COUNT(commands); i++) {
			if (in_group(commands[i], words[0])) {
				mesh__buf_printf(&ctl->out, "  %-14s  %s\n", commands[i]->name, commands[i]->summary);
			}
		}
		mesh__buf_printf(&ctl->out, "\n`meshctl %s … --help` tells about one.\n", words[0]);
		return CTL_OK;
	}
	return fail_command(ctl, words, n);
}

/* ---- Running it ---- */

static int read_output_format(struct ctl *ctl)
{
	const char *format = ctl_text(&ctl->args, "output");

	if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
		return ctl_fail(ctl, CTL_USAGE, "--output \"%s\": it is text or json", format);
	}
	ctl->json = format != NULL && strcmp(format, "json") == 0;
	return CTL_OK;
}

static int check_operands(struct ctl *ctl)
{
	const struct ctl_command *command = ctl->command;

	if (ctl->args.n_operands > command->max_operands) {
		return ctl_fail(ctl, CTL_USAGE, "unexpected \"%s\" after \"meshctl %s\"; usage: meshctl %s %s",
			ctl->args.operands[command->max_operands],
			command->name, command->name, command->operands);
	}
	if (ctl->args.n_operands < command->min_operands) {
		return ctl_fail(ctl, CTL_USAGE, "usage: meshctl %s %s; `meshctl %s --help` tells more", command->name,
			command->operands, command->name);
	}
	return CTL_OK;
}

/* The words of the command's name stand first among the operands: what is left are its own. */
static void drop_name(struct ctl_args *args, size_t used)
{
	memmove(args->operands, args->operands + used, (args->n_operands - used) * sizeof(args->operands[0]));
	args->n_operands -= used;
}

static int run_command(struct ctl *ctl, size_t used, int argc, char *const *argv)
{
	const struct ctl_option *const tables[] = {ctl->command->options, common};
	struct mesh__err err = MESH__NO_ERR;
	int code;

	if (ctl_args_parse(tables, MESH__COUNT(tables), argc, argv, &ctl->args, &err) != MESH_OK) {
		return ctl_fail(ctl, CTL_USAGE, "%s (see `meshctl %s --help`)", err.message, ctl->command->name);
	}
	drop_name(&ctl->args, used);
	if (ctl_flag(&ctl->args, "help")) {
		ctl_help_command(ctl, ctl->command);
		return CTL_OK;
	}
	code = read_output_format(ctl);
	if (code == CTL_OK) {
		code = check_operands(ctl);
	}
	return code != CTL_OK ? code : ctl->command->run(ctl);
}

/*
 * Every option of every command: an option's name or letter takes a value everywhere or nowhere, so the command can
 * be found among the words before its own table is known.
 */
static size_t all_tables(const struct ctl_option **tables)
{
	size_t n = 0;

	tables[n++] = common;
	for (size_t i = 0; i < MESH__COUNT(commands) && n < TABLES_MAX; i++) {
		if (commands[i]->options != NULL) {
			tables[n++] = commands[i]->options;
		}
	}
	return n;
}

static bool asks_for_help(int argc, char *const *argv)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			return true;
		}
	}
	return false;
}

static int dispatch(struct ctl *ctl, int argc, char *const *argv)
{
	const struct ctl_option *tables[TABLES_MAX];
	size_t n_tables = all_tables(tables), n_words, used = 0;
	const char *words[WORDS_MAX], *unknown;
	struct mesh__err err = MESH__NO_ERR;

	n_words = ctl_args_operands(tables, n_tables, argc, argv, words, WORDS_MAX, &unknown);
	ctl->command = find_command(words, n_words, &used);
	if (ctl->command != NULL) {
		return run_command(ctl, used, argc, argv);
	}
	if (asks_for_help(argc, argv)) {
		return ctl_help_words(ctl, words, n_words);
	}
	if (argc == 1 && strcmp(argv[0], "--version") == 0) {
		return ctl_version.run(ctl);
	}
	if (unknown != NULL) {
		(void)ctl_args_unknown(tables, n_tables, unknown, &err);
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	if (n_words > 0) {
		return fail_command(ctl, words, n_words);
	}
	return ctl_fail(ctl, CTL_USAGE, "which command? `meshctl help` lists them");
}

int ctl_run(struct ctl *ctl, int argc, char *const *argv)
{
	int code = dispatch(ctl, argc > 0 ? argc - 1 : 0, argc > 0 ? argv + 1 : argv);
	int written = ctl_flush(ctl);

	return code != CTL_OK ? code : written;
}
