#include "policy/route.h"

/* What costs least is asked first. */
static bool holds(const struct mesh__route_match *m, struct mesh__request_view *view)
{
	return mesh__match_method(&m->methods, view) && mesh__match_source(&m->source, view) && mesh__match_path(&m->path, view) && mesh__match_headers(m->headers, m->n_headers, MESH__ANY_VALUE, view) &&
		mesh__match_query(m->query, m->n_query, view);
}

bool mesh__route_matches(const struct mesh__route_match *matches, size_t n, struct mesh__request_view *view, const struct mesh__route_match **match)
{
	for (size_t i = 0; i < n; i++) {
		if (holds(&matches[i], view)) {
			*match = &matches[i];
			return true;
		}
	}
	return n == 0;
}

const struct mesh__route *mesh__route_find(const struct mesh__route *routes, size_t n, struct mesh__request_view *view, const struct mesh__route_match **match)
{
	*match = NULL;
	for (size_t i = 0; i < n; i++) {
		if (mesh__route_matches(routes[i].matches, routes[i].n_matches, view, match)) {
			return &routes[i];
		}
	}
	return NULL;
}
