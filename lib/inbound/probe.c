#include "inbound/probe.h"

#include <stdio.h>
#include <string.h>

#include "control/status.h"

static void answer(struct mesh__exchange *x, int status, const char *type, const char *body, size_t len)
{
	struct mesh__field_text field = {"Content-Type", type};
	struct mesh__reply reply = {.status = status, .fields = &field, .n_fields = 1, .body = body, .body_len = len};

	mesh__exchange_reply(x, &reply);
}

static void answer_text(struct mesh__exchange *x, int status, const char *text)
{
	answer(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void answer_metrics(struct mesh__probe *p, struct mesh__exchange *x)
{
	struct mesh__buf text;

	mesh__buf_init(&text, &p->env->mem, 4 * 1024 * 1024);
	mesh__metrics_text(p->metrics, &text);
	if (text.error != MESH_OK) {
		answer_text(x, 503, "out of memory\n");
	} else {
		answer(x, 200, "text/plain; version=0.0.4", text.data == NULL ? "" : text.data, text.len);
	}
	mesh__buf_fini(&text);
}

static void answer_ready(struct mesh__probe *p, struct mesh__exchange *x)
{
	char why[MESH__UNABLE_MAX], text[MESH__UNABLE_MAX + 16];
	bool ready = mesh__control_is_ready(p->control, why);

	(void)snprintf(text, sizeof(text), "%s%s%s\n", ready ? "ok" : "not ready", why[0] != '\0' ? ": " : "", why);
	answer_text(x, ready ? 200 : 503, text);
}

static void on_request(void *user, struct mesh__exchange *x)
{
	struct mesh__probe *p = user;
	const char *method = mesh__exchange_method(x), *path = mesh__exchange_path(x);

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		answer_text(x, 405, "only GET and HEAD\n");
	} else if (strcmp(path, "/livez") == 0) {
		answer_text(x, 200, "ok\n");
	} else if (strcmp(path, "/readyz") == 0) {
		answer_ready(p, x);
	} else if (strcmp(path, "/metrics") == 0 && p->show_metrics) {
		answer_metrics(p, x);
	} else {
		answer_text(x, 404, "only /livez and /readyz\n");
	}
}

int mesh__probe_open(struct mesh__probe *p, struct mesh__loop *loop, const struct mesh__addr *address, struct mesh__control *control, struct mesh__metrics *metrics, bool show_metrics, struct mesh__err *err)
{
	struct mesh__http_options http = {.address = *address, .name = "probe", .handler = on_request, .user = p, .metrics = metrics};

	*p = (struct mesh__probe){.control = control, .metrics = metrics, .env = mesh__loop_env(loop), .show_metrics = show_metrics};
	mesh__http_limits_default(&http.limits);
	http.limits.max_connections = 64;
	http.limits.max_body_bytes = 0;
	return mesh__http_server_new(loop, &http, &p->http, err);
}

void mesh__probe_close(struct mesh__probe *p)
{
	mesh__http_server_free(p->http);
	p->http = NULL;
}
