/* fault: faults that are injected into the calls of a service for a while. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/admin.h"
#include "meshctl/config.h"
#include "wire/grpc.h"
#include "wire/name.h"
#include "wire/utc.h"

enum { TEXT_MAX_BYTES = 64 * 1024, WORD_MAX = 64, NAME_MAX_BYTES = 128, SECOND_MS = 1000, GRPC_LAST = 16 };

/* "200ms@5%": what comes before the '@', and how many percent. What they are worth the document's parser says. */
struct term {
	char what[WORD_MAX], percent[WORD_MAX];
};

static bool copy(char out[WORD_MAX], const char *text, size_t len)
{
	if (len == 0 || len >= WORD_MAX) {
		return false;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

static bool is_decimal(const char *text)
{
	size_t whole = strspn(text, "0123456789"), places = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;

	return whole > 0 && (whole == 1 || text[0] != '0') && (text[whole] == '\0' || (places > 0 && text[whole + 1 + places] == '\0'));
}

static bool read_term(const char *text, struct term *out)
{
	const char *at = strchr(text, '@');
	size_t len = at == NULL ? 0 : strlen(at + 1);

	return len > 1 && at[len] == '%' && copy(out->what, text, (size_t)(at - text)) && copy(out->percent, at + 1, len - 1) && is_decimal(out->percent);
}

/* ---- What an abort is ---- */

/* "unavailable", "deadline-exceeded", in any case; 0: it is no status that says a failure. */
static int64_t grpc_status_of(const char *word)
{
	char text[WORD_MAX];
	size_t n = 0;

	for (; word[n] != '\0'; n++) {
		text[n] = (char)(word[n] == '-' ? '_' : toupper((unsigned char)word[n]));
	}
	text[n] = '\0';
	for (int64_t i = 1; i <= GRPC_LAST; i++) {
		if (strcmp(text, mesh__grpc_status_name((enum mesh__grpc_status)i)) == 0) {
			return i;
		}
	}
	return 0;
}

static int put_abort(struct ctl *ctl, const char *text, struct mesh__json_out *json)
{
	struct term term;
	uint64_t status;
	int64_t grpc;

	if (!read_term(text, &term)) {
		return ctl_fail(ctl, CTL_USAGE, "\"abort=%.80s\" is no abort; write abort=503@1.5%%: a status, and of how many tries", text);
	}
	grpc = grpc_status_of(term.what);
	mesh__json_open(json, "abort", '{');
	mesh__json_put_literal(json, "percent", term.percent);
	if (strcmp(term.what, "reset") == 0) {
		mesh__json_put_bool(json, "reset", true);
	} else if (strcmp(term.what, "slow-body") == 0) {
		mesh__json_put_bool(json, "slowBody", true);
	} else if (mesh__str_u64(term.what, strlen(term.what), INT32_MAX, &status)) {
		mesh__json_put_int(json, "status", (int64_t)status);
	} else if (grpc != 0) {
		mesh__json_put_int(json, "grpcStatus", grpc);
	} else {
		return ctl_fail(ctl, CTL_USAGE, "\"%s\" is nothing to abort with; write a status (503), one of gRPC's (unavailable), reset or slow-body", term.what);
	}
	mesh__json_close(json, '}');
	return CTL_OK;
}

static int put_delay(struct ctl *ctl, const char *text, struct mesh__json_out *json)
{
	struct term term;

	if (!read_term(text, &term)) {
		return ctl_fail(ctl, CTL_USAGE, "\"delay=%.80s\" is no delay; write delay=200ms@5%%: for how long, and of how many tries", text);
	}
	mesh__json_open(json, "delay", '{');
	mesh__json_put_literal(json, "percent", term.percent);
	mesh__json_put_text(json, "duration", term.what);
	mesh__json_close(json, '}');
	return CTL_OK;
}

static int put_terms(struct ctl *ctl, struct mesh__json_out *json)
{
	static const struct {
		const char *name;
		int (*put)(struct ctl *ctl, const char *text, struct mesh__json_out *json);
	} kinds[] = {{"delay=", put_delay}, {"abort=", put_abort}};
	bool said[MESH__COUNT(kinds)] = {false};
	const char *text;
	int code = CTL_OK;

	for (size_t i = 1; code == CTL_OK && (text = ctl_operand(&ctl->args, i)) != NULL; i++) {
		size_t k = 0;

		while (k < MESH__COUNT(kinds) && !mesh__str_starts(text, kinds[k].name)) {
			k++;
		}
		if (k == MESH__COUNT(kinds) || said[k]) {
			return ctl_fail(ctl, CTL_USAGE, k < MESH__COUNT(kinds) ? "\"%.80s\": that is said already" : "\"%.80s\" is no fault; write delay=200ms@5%%, abort=503@1.5%%, or clear", text);
		}
		said[k] = true;
		code = kinds[k].put(ctl, text + strlen(kinds[k].name), json);
	}
	return code;
}

/* ---- Which calls ---- */

static int put_headers(struct ctl *ctl, struct mesh__json_out *json)
{
	const char *text;

	if (ctl_nth(&ctl->args, "header", 0) == NULL) {
		return CTL_OK;
	}
	mesh__json_open(json, "headers", '{');
	for (size_t i = 0; (text = ctl_nth(&ctl->args, "header", i)) != NULL; i++) {
		const char *value = strchr(text, '=');
		char name[NAME_MAX_BYTES + 1];
		size_t len = value == NULL ? 0 : (size_t)(value - text);

		if (len == 0 || len > NAME_MAX_BYTES) {
			return ctl_fail(ctl, CTL_USAGE, "\"%.80s\" is no header; write --header x-tester=1", text);
		}
		memcpy(name, text, len);
		name[len] = '\0';
		mesh__json_open(json, name, '{');
		mesh__json_put_text(json, "exact", value + 1);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, '}');
	return CTL_OK;
}

/* One alternative; `from` NULL: whoever calls. */
static int put_match(struct ctl *ctl, const char *from, struct mesh__json_out *json)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;
	int code;

	mesh__json_open(json, NULL, '{');
	code = put_headers(ctl, json);
	if (code == CTL_OK && from != NULL) {
		if (mesh__service_parse(from, ctl_namespace(ctl), &name, &err) != MESH_OK) {
			return ctl_fail_err(ctl, CTL_USAGE, &err);
		}
		mesh__json_open(json, "source", '{');
		mesh__json_put_text(json, "service", name.service);
		mesh__json_put_text(json, "namespace", name.ns);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, '}');
	return code;
}

static int put_matches(struct ctl *ctl, struct mesh__json_out *json)
{
	const char *from = ctl_nth(&ctl->args, "from", 0);
	int code = CTL_OK;

	if (from == NULL && ctl_nth(&ctl->args, "header", 0) == NULL) {
		return CTL_OK;
	}
	mesh__json_open(json, "match", '[');
	for (size_t i = 0; i == 0 || (code == CTL_OK && from != NULL); i++) {
		code = put_match(ctl, from, json);
		from = ctl_nth(&ctl->args, "from", i + 1);
	}
	mesh__json_close(json, ']');
	return code;
}

/* ---- The document ---- */

static int write_document(struct ctl *ctl, const struct mesh__name *of, int64_t for_ms, struct mesh__buf *text, char until[MESH__UTC_TEXT])
{
	struct mesh__json_out json = {.buf = text};
	int code;

	mesh__utc_format(mesh__wall_ms(&ctl->env) + for_ms + SECOND_MS - 1, until); /* never less than was asked for */
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "apiVersion", "mesh/v1");
	mesh__json_put_text(&json, "kind", "Fault");
	mesh__json_put_text(&json, "name", of->service);
	mesh__json_put_text(&json, "namespace", of->ns);
	mesh__json_open(&json, "fault", '{');
	mesh__json_put_text(&json, "until", until);
	if (ctl_text(&ctl->args, "route") != NULL) {
		mesh__json_put_text(&json, "route", ctl_text(&ctl->args, "route"));
	}
	code = put_matches(ctl, &json);
	code = code == CTL_OK ? put_terms(ctl, &json) : code;
	mesh__json_close(&json, '}');
	mesh__json_close(&json, '}');
	return code != CTL_OK || text->error == MESH_OK ? code : ctl_fail_memory(ctl);
}

static int inject(struct ctl *ctl, const struct mesh__name *of, int64_t for_ms)
{
	struct mesh__json *answer = NULL;
	char until[MESH__UTC_TEXT];
	struct mesh__buf text;
	int code;

	mesh__buf_init(&text, &ctl->env.mem, TEXT_MAX_BYTES);
	code = write_document(ctl, of, for_ms, &text, until);
	code = code == CTL_OK ? ctl_config_post(ctl, "fault", of->ns, &text, &answer) : code;
	if (code == CTL_OK) {
		ctl_config_show(ctl, answer);
		if (!ctl_flag(&ctl->args, "dry-run")) {
			ctl_say(ctl, "it removes itself at %s; `meshctl fault %s clear` removes it now", until, ctl_operand(&ctl->args, 0));
		}
	}
	mesh__json_free(answer);
	mesh__buf_fini(&text);
	return code;
}

static int clear(struct ctl *ctl, const struct mesh__name *of)
{
	struct mesh__json *answer = NULL;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__buf target;
	int code;

	mesh__service_key(of, key);
	code = ctl_config_target(ctl, "Fault", key, &target);
	if (code == CTL_OK) {
		ctl_config_query_terms(ctl, &target);
		code = ctl_admin_once(ctl, "DELETE", target.data, NULL, &answer);
	}
	if (code == CTL_OK) {
		ctl_config_show(ctl, answer);
	}
	mesh__json_free(answer);
	mesh__buf_fini(&target);
	return code;
}

/* Whether it says of which calls. */
static bool chooses_calls(const struct ctl *ctl)
{
	return ctl_text(&ctl->args, "route") != NULL || ctl_nth(&ctl->args, "from", 0) != NULL || ctl_nth(&ctl->args, "header", 0) != NULL;
}

static int run(struct ctl *ctl)
{
	int64_t for_ms = ctl_number(&ctl->args, "for", 0);
	const char *what = ctl_operand(&ctl->args, 1);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name of;

	if (mesh__service_parse(ctl_operand(&ctl->args, 0), ctl_namespace(ctl), &of, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	if (strcmp(what, "clear") == 0) {
		return ctl_operand(&ctl->args, 2) == NULL && for_ms == 0 && !chooses_calls(ctl) ? clear(ctl, &of) : ctl_fail(ctl, CTL_USAGE, "clear takes all of it back, and stands alone");
	}
	if (for_ms == 0) {
		return ctl_fail(ctl, CTL_USAGE, "--for is missing: how long it lasts, such as --for 10m");
	}
	return inject(ctl, &of, for_ms);
}

static const struct ctl_option options[] = {
	{"for", 0, CTL_DURATION, "D", "how long it lasts; required, 1s to 30 days", SECOND_MS, 30 * INT64_C(86400000)},
	{"route", 0, CTL_TEXT, "NAME", "only calls that take this route of the service", 0, 0},
	{"from", 0, CTL_LIST, "SERVICE", "only calls of this service; several: any of them", 0, 0},
	{"header", 0, CTL_LIST, "NAME=VALUE", "only calls with this header; several: all of them", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "of services that name none (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	CTL_CONFIG_TERMS,
	{0},
};

const struct ctl_command ctl_fault = {
	"fault", "SERVICE (delay=D@P% | abort=WHAT@P%)... | clear", 2, 3, "inject faults for a while",
	"Injects faults into the tries of SERVICE's calls, in the processes that call it, and takes them back by itself when the\n"
	"time of --for is over; `meshctl fault SERVICE clear` does at once. delay=200ms@5% has 5% of the tries wait; abort=503@1.5%\n"
	"answers 1.5% of them with that status, and nothing is sent. Instead of a status: one of gRPC's (unavailable), reset,\n"
	"or slow-body. Both may be said; they are drawn independently. A service has one such Fault; a new one takes its place.\n"
	"It is a document of its own (kind Fault), which get, delete, history, diff and rollback know.",
	"  $ meshctl fault payments delay=200ms@5% abort=503@1.5% --from cart --for 10m\n  Fault payments created\n"
	"  $ meshctl fault payments clear\n  Fault payments deleted\n",
	options, run,
};
