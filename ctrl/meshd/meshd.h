/*
 * One running meshd: its parts, in the order in which they are made. main.c makes and unmakes them; each other file is given this and uses what it needs. Loop's thread.
 */
#ifndef MESHD_MESHD_H
#define MESHD_MESHD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "http/server.h"
#include "io/loop.h"
#include "io/trust.h"
#include "meshd/audit.h"
#include "meshd/ca.h"
#include "meshd/config.h"
#include "meshd/datadir.h"
#include "meshd/options.h"
#include "meshd/registry.h"
#include "meshd/store.h"
#include "meshd/watch.h"
#include "telemetry/metrics.h"

#define MESHD_VERSION "0.1.0"

struct meshd;

/* meshd's own key and certificate. */
struct meshd_identity {
	char *key_pem;
	char *chain_pem;             /* NULL: none yet */
	struct mesh__timer *renewal;
	int64_t retry_ms;            /* how long to wait after the next failure */
	void (*obtained)(struct meshd *meshd);
};

struct meshd {
	const struct mesh__env *env;
	const struct meshd_options *options;
	struct meshd_datadir dir;
	struct mesh__loop *loop;
	struct mesh__metrics *metrics;
	struct meshd_store *store;
	struct meshd_audit *audit;
	struct meshd_registry *registry;
	struct meshd_config *config;
	struct meshd_watch *watch;
	struct meshd_ca *ca;
	struct meshd_join *joins;    /* those that wait for the CA: see enroll.c */
	struct mesh__trust *trust;   /* NULL until the CA has told its roots */
	uint64_t trust_version;
	bool trust_stale;            /* the store knows of a revocation that could not be put into force yet */
	struct meshd_identity identity;
	struct mesh__tls_conf *tls;
	struct mesh__http_server *control, *admin;
	char control_url[80], admin_url[80];
	struct mesh__timer *tick;    /* leases */
	struct mesh__timer *ping;    /* heartbeats to the sessions */
	int64_t fault_due_ms;        /* when the next document of kind Fault is over, by the wall clock; INT64_MAX: there is none */
	int64_t started_ms;
	bool serving, stopping;
};

#endif
