#include "policy/edit.h"

#include <string.h>

#include "base/str.h"

/* ---- Targets ---- */

struct text {
	char *out;
	size_t len, cap;
	bool over;
};

static void put(struct text *t, const char *bytes, size_t len)
{
	t->over = t->over || len >= t->cap - t->len;
	if (!t->over) {
		memcpy(t->out + t->len, bytes, len);
		t->len += len;
		t->out[t->len] = '\0';
	}
}

static size_t without_slash(const char *path, size_t len)
{
	return len > 0 && path[len - 1] == '/' ? len - 1 : len;
}

/* What is left of the path begins with a slash, or is empty: so the prefix brings none at its end. */
static void put_replaced(struct text *t, const char *prefix, const char *path, const struct mesh__matcher *matched)
{
	const char *rest = path + without_slash(matched->text, matched->len);
	size_t len = without_slash(prefix, strlen(prefix));

	put(t, prefix, len);
	put(t, rest, strlen(rest));
	if (len == 0 && *rest == '\0') {
		put(t, "/", 1);
	}
}

static void put_target(struct text *t, const struct mesh__rewrite *rewrite, const struct mesh__edit_view *view)
{
	if (rewrite->path != NULL) {
		put(t, rewrite->path, strlen(rewrite->path));
	} else if (rewrite->prefix != NULL && view->match != NULL && view->match->path.how == MESH__MATCH_PREFIX) {
		put_replaced(t, rewrite->prefix, view->path, &view->match->path);
	} else {
		put(t, view->path, strlen(view->path));
	}
	if (view->query != NULL) {
		put(t, "?", 1);
		put(t, view->query, strlen(view->query));
	}
}

size_t mesh__edit_target(const struct mesh__rewrite *rewrite, const struct mesh__edit_view *view, char *out, size_t cap)
{
	struct text t = {out, 0, cap, false};

	put_target(&t, rewrite, view);
	return t.over ? 0 : t.len;
}

size_t mesh__edit_location(const struct mesh__redirect *redirect, const struct mesh__edit_view *view, char *out, size_t cap)
{
	const char *scheme = redirect->scheme != NULL ? redirect->scheme : "https", *host = redirect->host != NULL ? redirect->host : view->host;
	struct text t = {out, 0, cap, false};

	if (redirect->host != NULL || redirect->scheme != NULL) {
		put(&t, scheme, strlen(scheme));
		put(&t, "://", 3);
		put(&t, host, strlen(host));
	}
	put_target(&t, &redirect->to, view);
	return t.over ? 0 : t.len;
}

/* ---- Fields ---- */

bool mesh__edit_drops(const struct mesh__header_edits *edits, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < edits->n_remove; i++) {
		if (mesh__str_eq_nocase(name, len, edits->remove[i])) {
			return true;
		}
	}
	for (size_t i = 0; i < edits->n_set; i++) {
		if (mesh__str_eq_nocase(name, len, edits->set[i].name)) {
			return true;
		}
	}
	return false;
}

bool mesh__edit_is_none(const struct mesh__header_edits *edits)
{
	return edits->n_remove == 0 && edits->n_set == 0 && edits->n_add == 0;
}
