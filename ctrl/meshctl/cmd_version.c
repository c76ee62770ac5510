/* version and help: what needs no mesh. */
#include <meshlib/mesh.h>

#include "meshctl/command.h"
#include "wire/json.h"

static int version_run(struct ctl *ctl)
{
	if (ctl->json) {
		struct mesh__json_out json = {&ctl->out, false};
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "version", mesh_version());
		mesh__json_close(&json, '}');
		mesh__buf_chr(&ctl->out, '\n');
	} else {
		mesh__buf_printf(&ctl->out, "meshctl %s\n", mesh_version());
	}
	return CTL_OK;
}

const struct ctl_command ctl_version = {
	"version", "", 0, 0, "print the version of meshctl and its library",
	"Prints the version of this program, which is that of the library inside it. `meshctl status` tells meshd's.",
	"  $ meshctl version\n  meshctl 0.1.0\n",
	NULL, version_run,
};

static int help_run(struct ctl *ctl)
{
	return ctl_help_words(ctl, ctl->args.operands, ctl->args.n_operands);
}

const struct ctl_command ctl_help = {
	"help", "[COMMAND]", 0, 2, "tell about a command, or list them all",
	"Without a command it lists them all. `meshctl COMMAND --help` is the same as `meshctl help COMMAND`.",
	"  $ meshctl help token create\n",
	NULL, help_run,
};
