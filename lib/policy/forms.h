/* The forms of text that documents have. Private to policy/. */
#ifndef MESH__POLICY_FORMS_H
#define MESH__POLICY_FORMS_H

#include "policy/schema.h"

extern const struct mesh__text_form mesh__form_label;         /* a name of the mesh's: a service, a namespace, a subset, a route, a rule */
extern const struct mesh__text_form mesh__form_service;       /* "service" or "service.namespace"; normal: with its namespace */
extern const struct mesh__text_form mesh__form_tag;           /* a version, a zone */
extern const struct mesh__text_form mesh__form_method;
extern const struct mesh__text_form mesh__form_header;        /* a header's name; normal: in lower case */
extern const struct mesh__text_form mesh__form_edited_header; /* one that a document may change */
extern const struct mesh__text_form mesh__form_token;         /* the name of a cookie */
extern const struct mesh__text_form mesh__form_value;         /* of a header */
extern const struct mesh__text_form mesh__form_parameter;     /* the name of a parameter of the query */
extern const struct mesh__text_form mesh__form_path;          /* of a URL, without a query; spelled as requests' are (wire/path.h) */
extern const struct mesh__text_form mesh__form_host;
extern const struct mesh__text_form mesh__form_pattern;       /* a regular expression */
extern const struct mesh__text_form mesh__form_body;

#endif
