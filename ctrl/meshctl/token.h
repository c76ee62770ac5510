/* Minting a join token: for `token create`, and for the commands that join. */
#ifndef MESHCTL_TOKEN_H
#define MESHCTL_TOKEN_H

#include "meshctl/admin.h"

struct ctl_token_order {
	const char *service;
	const char *ns;
	int64_t ttl_ms;
	int64_t uses; /* 0: any number */
};

/* *out is the admin API's answer, which has a "token"; to be freed. CTL_OK, or the exit code, its message given. */
int ctl_token_mint(struct ctl_admin *admin, const struct ctl_token_order *order, struct mesh__json **out) MESH__MUST_USE;

#endif
