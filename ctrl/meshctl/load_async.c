/* One thread that begins each call when it is due and takes their ends as they come. */
#include "meshctl/load.h"

#include <string.h>

#include "meshctl/signals.h"

enum { EVENTS_MAX = 64 };

/* One of the calls that may be under way; its request serves one after the other. */
struct place {
	struct place *next_free;
	mesh_request *request;
	int64_t index;   /* of the call at hand */
	int64_t from_us; /* from when on its time counts */
};

struct flight {
	const struct ctl_load *load;
	struct ctl_load_result *result;
	int64_t *times_us; /* one a call that has ended */
	struct place *places, *free;
	int64_t begun_us, next, under_way, ended;
	int told;
	bool no_memory;
	int32_t code; /* why no call can be begun any more */
};

static bool may_begin(const struct flight *f)
{
	return f->next < f->load->calls && !f->result->stopped && f->code == MESH_OK && f->free != NULL;
}

/* Until the next call is due, in milliseconds rounded up; -1: it waits for the end of another. */
static int wait_ms(const struct flight *f)
{
	int64_t left_us;

	if (!may_begin(f)) {
		return -1;
	}
	left_us = f->begun_us + ctl_load_due_us(f->next, f->load->rate_thousandths) - mesh__mono_us(f->load->env);
	return left_us <= 0 ? 0 : left_us > 1000000000 ? 1000000 : (int)((left_us + 999) / 1000);
}

static void begin_one(struct flight *f)
{
	struct place *p = f->free;
	int64_t now_us = mesh__mono_us(f->load->env);

	p->index = f->next++;
	p->from_us = f->load->rate_thousandths > 0 ? f->begun_us + ctl_load_due_us(p->index, f->load->rate_thousandths) : now_us;
	f->code = mesh_call_start(p->request, NULL, p);
	if (f->code == MESH_OK) {
		f->free = p->next_free;
		f->under_way++;
	}
}

static void end_one(struct flight *f, struct place *p, int32_t code)
{
	struct ctl_outcome outcome = {.code = code, .status = mesh_response_status(p->request), .tries = mesh_request_tries(p->request),
		.instance = mesh_response_instance(p->request), .version = mesh_response_version(p->request)};
	int64_t elapsed_us = mesh__mono_us(f->load->env) - p->from_us;

	f->times_us[f->ended++] = elapsed_us > 0 ? elapsed_us : 1;
	f->no_memory = !ctl_stats_add(&f->result->stats, &outcome) || f->no_memory;
	if (code != MESH_OK && f->told < CTL_LOAD_TOLD_MAX) {
		f->told++;
		f->load->failed(f->load->user, mesh_request_error(p->request));
	}
	p->next_free = f->free;
	f->free = p;
	f->under_way--;
}

static void take_ends(struct flight *f)
{
	mesh_event events[EVENTS_MAX];
	int32_t n;

	do {
		n = mesh_poll(f->load->m, events, EVENTS_MAX, 0);
		for (int32_t i = 0; i < n; i++) {
			end_one(f, events[i].user, events[i].code);
		}
	} while (n == EVENTS_MAX);
}

static void fly(struct flight *f)
{
	int events = mesh_event_fd(f->load->m);

	f->begun_us = mesh__mono_us(f->load->env);
	while (f->under_way > 0 || may_begin(f)) {
		while (may_begin(f) && wait_ms(f) == 0) {
			begin_one(f);
		}
		if (ctl_signals_wait(f->load->signals, events, wait_ms(f))) {
			f->result->stopped = true; /* what is under way is waited for */
		}
		take_ends(f);
	}
	f->result->seconds = (double)(mesh__mono_us(f->load->env) - f->begun_us) / 1e6;
}

static bool make_places(struct flight *f, int64_t n)
{
	f->places = mesh__alloc_array(&f->load->env->mem, (size_t)n, sizeof(*f->places));
	for (int64_t i = 0; f->places != NULL && i < n; i++) {
		struct place *p = &f->places[i];

		p->request = f->load->make(f->load->user);
		p->next_free = f->free;
		f->free = p;
		if (p->request == NULL) {
			return false;
		}
	}
	return f->places != NULL;
}

int ctl_load_run_async(const struct ctl_load *load, struct ctl_load_result *result, struct mesh__err *err)
{
	int64_t n = load->threads < load->calls ? load->threads : load->calls;
	struct flight f = {.load = load, .result = result};
	int code = MESH_OK;

	memset(result, 0, sizeof(*result));
	ctl_stats_init(&result->stats, load->env);
	f.times_us = mesh__alloc_array(&load->env->mem, (size_t)load->calls, sizeof(*f.times_us));
	if (f.times_us == NULL || !make_places(&f, n)) {
		code = mesh__fail_memory(err);
	} else {
		fly(&f);
		ctl_latency_of(f.times_us, (size_t)f.ended, &result->latency);
		code = f.no_memory ? mesh__fail_memory(err) : f.code == MESH_OK ? MESH_OK : mesh__fail(err, f.code, "no call can be begun: %s", mesh_code_name(f.code));
	}
	for (int64_t i = 0; i < n && f.places != NULL; i++) {
		mesh_request_free(f.places[i].request);
	}
	mesh__free(f.places);
	mesh__free(f.times_us);
	return code;
}
