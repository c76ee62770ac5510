/* meshd's settings: flag, else environment (MESHD_DATA, MESHD_LEAF_TTL, …), else DIR/meshd.conf ("leaf-ttl = 48h" lines), else the default. */
#ifndef MESHD_OPTIONS_H
#define MESHD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "meshd/lease.h"
#include "wire/addr.h"
#include "wire/name.h"

struct meshd_options {
	char data[4000];
	struct mesh__addr listen; /* 127.0.0.1:7440 */
	struct mesh__addr admin;  /* 127.0.0.1:7441; loopback only */
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1]; /* mesh.local */
	int64_t leaf_ttl_ms;      /* 48 h, at least 10 s */
	char meshca[4000];        /* "": beside meshd's own executable, else in PATH */
	char ca_user[64];         /* "": the CA chooses */
	enum mesh__log_level log_level;
	struct meshd_lease_rules lease;
	bool help, version;       /* what was asked for instead of serving */
};

/* `getenv_fn` is getenv(3) or a test's. MESH_E_INVALID with the flag, the value and what it should be; MESH_E_IO for a settings file that is there and cannot be read. */
int meshd_options_read(struct meshd_options *options, int argc, char *const *argv, char *(*getenv_fn)(const char *name), struct mesh__err *err) MESH__MUST_USE;

/* The text of --help. */
extern const char meshd_options_help[];

#endif
