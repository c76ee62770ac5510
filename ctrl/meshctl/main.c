/* meshctl: the tool of a mesh's operators and developers. The table of its commands is in command.c. */
#include <signal.h>
#include <stdio.h>

#include "http/client.h"
#include "io/pki.h"
#include "meshctl/command.h"

int main(int argc, char **argv)
{
	struct ctl ctl;
	struct mesh__err err = MESH__NO_ERR;
	int code;

	(void)signal(SIGPIPE, SIG_IGN);
	ctl_init(&ctl, stdout, stderr);
	if (mesh__pki_init(&err) != MESH_OK || mesh__client_init(&err) != MESH_OK) {
		code = ctl_fail_err(&ctl, CTL_FAILED, &err);
	} else {
		code = ctl_run(&ctl, argc, argv);
	}
	ctl_fini(&ctl);
	return code;
}
