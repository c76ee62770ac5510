/* meshca: finds the command, reads its options, runs it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"
#include "meshca/command.h"
#include "meshca/help.h"
#include "meshca/options.h"
#include "meshca/serve.h"
#include "meshca/show.h"

#define MESHCA_VERSION "0.1.0"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef int (*command_fn)(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err);

static int fail_command(const char *text)
{
	const char *nearest = meshca_command_nearest(text);

	(void)fprintf(stderr, "meshca: %s: no such command%s%s; `meshca --help` lists them\n", text, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
	return EXIT_USAGE;
}

static int run(enum meshca_command command, struct mesh__env *env, const struct meshca_options *options)
{
	static const command_fn by_hand[MESHCA_N_COMMANDS] = {
		[MESHCA_COMMAND_INIT] = meshca_run_init, [MESHCA_COMMAND_INTERMEDIATE] = meshca_run_intermediate, [MESHCA_COMMAND_REQUEST] = meshca_run_request,
		[MESHCA_COMMAND_SIGN] = meshca_run_sign, [MESHCA_COMMAND_SHOW] = meshca_run_show,
	};
	struct mesh__err err = MESH__NO_ERR;

	if (command == MESHCA_COMMAND_SERVE) {
		_exit(meshca_serve(env, options)); /* no exit handler has a place in a process without rights */
	}
	if (mesh__pki_init(&err) == MESH_OK && by_hand[command](env, options, &err) == MESH_OK) {
		return EXIT_FINE;
	}
	(void)fprintf(stderr, "meshca %s: %s\n", meshca_command_name(command), err.message);
	return EXIT_FAILED;
}

static bool asks_for_help(const char *text)
{
	return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0 || strcmp(text, "help") == 0;
}

int main(int argc, char **argv)
{
	struct mesh__env env;
	struct meshca_options options;
	struct mesh__err err = MESH__NO_ERR;
	enum meshca_command command;

	if (argc < 2) {
		(void)fputs(meshca_help_program(), stderr);
		return EXIT_USAGE;
	}
	if (asks_for_help(argv[1])) {
		bool known = argc > 2 && meshca_command_parse(argv[2], &command);
		(void)fputs(known ? meshca_help_command(command) : meshca_help_program(), stdout);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("meshca " MESHCA_VERSION "\n");
		return EXIT_FINE;
	}
	if (!meshca_command_parse(argv[1], &command)) {
		return fail_command(argv[1]);
	}
	if (meshca_options_parse(command, argc - 2, argv + 2, &options, &err) != MESH_OK) {
		(void)fprintf(stderr, "meshca %s: %s\n", meshca_command_name(command), err.message);
		return EXIT_USAGE;
	}
	if (options.help) {
		(void)fputs(meshca_help_command(command), stdout);
		return EXIT_FINE;
	}
	mesh__env_init(&env);
	return run(command, &env, &options);
}
