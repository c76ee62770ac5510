/*
 * The tables: the fields of each kind of document, as POLICY.md names them. What stands in `not_yet` is read, checked and refused: whoever puts a field in force removes it there, and describes the field in docs/CONFIGURATION.md.
 * Private to policy/.
 */
#ifndef MESH__POLICY_FIELDS_H
#define MESH__POLICY_FIELDS_H

#include "policy/document.h"
#include "policy/schema.h"

enum { MESH__STATIC_ENDPOINTS_MAX = 1000 };

/* All fields of a document of `kind`, those of its head included; the base is a struct mesh__document. */
const struct mesh__fields *mesh__fields_of_kind(enum mesh__kind kind);

/* The fields of the head alone, for a document whose kind is not known. */
const struct mesh__fields *mesh__fields_of_head(void);

/* The kinds in force, and those that are not yet. */
const struct mesh__word *mesh__kind_words(void);

/* Reads `kind` of a document; tells the fault when it is none, or not in force yet. */
bool mesh__read_kind(struct mesh__reading *r, const struct mesh__place *at, enum mesh__kind *kind);

/* Writes the head of a canonical text: what it says of itself, whatever namespace it is read with. */
void mesh__document_put_head(struct mesh__json_out *out, enum mesh__kind kind, const char *name, const char *ns);

/* Parts of them; the base is named behind each. */
extern const struct mesh__fields mesh__fields_of_endpoints;        /* struct mesh__document: the fields that are kind Endpoints' alone */
extern const struct mesh__fields mesh__fields_of_load_balancer;    /* struct mesh__load_balancer */
extern const struct mesh__fields mesh__fields_of_outlier;          /* struct mesh__outlier */
extern const struct mesh__fields mesh__fields_of_concurrency;      /* struct mesh__concurrency_limit */
extern const struct mesh__fields mesh__fields_of_fault;            /* struct mesh__fault */
extern const struct mesh__fields mesh__fields_of_health;           /* struct mesh__health_check */
extern const struct mesh__fields mesh__fields_of_injection;        /* struct mesh__injection */
extern const struct mesh__field_rule mesh__route_match_item;       /* struct mesh__route_match */
extern const struct mesh__fields mesh__fields_of_rate;             /* struct mesh__rate_limit */
extern const struct mesh__fields mesh__fields_of_retries;          /* struct mesh__retries */
extern const struct mesh__fields mesh__fields_of_hedging;          /* struct mesh__hedging */
extern const struct mesh__fields mesh__fields_of_labels;           /* struct mesh__labels */
extern const struct mesh__fields mesh__fields_of_source;           /* struct mesh__source */
extern const struct mesh__fields mesh__fields_of_caller;           /* struct mesh__source, of what a certificate proves */
extern const struct mesh__fields mesh__fields_of_path_match;       /* struct mesh__matcher: a route's */
extern const struct mesh__fields mesh__fields_of_plain_path_match; /* struct mesh__matcher: a rule's */
extern const struct mesh__field_rule mesh__method_item;            /* const char * */
extern const struct mesh__field_rule mesh__named_match_item;       /* struct mesh__named_match */
extern const struct mesh__field_rule mesh__plain_named_match_item; /* the same without regular expressions */
extern const struct mesh__fields mesh__fields_of_sticky;           /* struct mesh__sticky */
extern const struct mesh__fields mesh__fields_of_subset;           /* struct mesh__subset */
extern const struct mesh__fields mesh__fields_of_route;            /* struct mesh__route */
extern const struct mesh__fields mesh__fields_of_failover;         /* struct mesh__failover */
extern const struct mesh__fields mesh__fields_of_authorization;    /* struct mesh__authorization */
extern const struct mesh__fields mesh__fields_of_authorization_defaults; /* struct mesh__authorization, without rules */

/* Tells of each side and mirror of a document's routes whose subset is not in its `subsets`, whatever else is wrong with them. */
void mesh__check_subsets(struct mesh__reading *r, const struct mesh__place *document);

/* Gives the routes of a document in which nothing is wrong what they say nothing of: the service's retries and hedging, field by field. */
void mesh__routes_inherit(struct mesh__reading *r, const struct mesh__place *document, struct mesh__service_policy *policy);

#endif
