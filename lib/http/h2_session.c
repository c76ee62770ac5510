#include "http/h2_session.h"

#include <nghttp2/nghttp2.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"

enum {
	FRAME_HEAD_BYTES = 9,
	FIELD_OVERHEAD_BYTES = 32,
	/* nghttp2's own limits, which would end the connection without a word, lie behind ours. */
	OUTBOUND_ACKS_MAX = 16 * 1024,
	RESETS_BURST = 1 << 20
};

/* Where the bytes stand among the frames: of a header that is not whole nghttp2 says nothing. */
struct walk {
	uint8_t head[FRAME_HEAD_BYTES];
	size_t n_head;
	size_t left;     /* of the payload, or of the preface */
	bool in_header;
};

/* Stands before what nghttp2 is given. */
struct block {
	_Alignas(max_align_t) struct block *next;
	struct block *prev;
};

struct mesh__h2 {
	nghttp2_session *session;
	struct mesh__h2_limits limits;
	const struct mesh__h2_events *events;
	void *arg;
	const struct mesh__mem *mem;
	struct block *blocks;   /* all that nghttp2 holds */
	struct mesh__h2_meter meter;
	int64_t now_us;
	struct mesh__buf pairs; /* of the header at hand: a connection has one at a time */
	size_t n_pairs, n_fields, block_bytes;
	bool too_large;
	bool settled;
	struct walk walk;
	int failed;             /* within a callback */
	enum mesh__h2_flood flooded;
	uint32_t fault;
	uint64_t n_stream_faults;
	uint64_t n_own_resets;  /* with a code that tells of the peer's fault */
	uint64_t n_asked, n_answered; /* the numbers of our last PING, and of the last that was answered */
};

/* ---- Memory ---- */

/*
 * nghttp2's blocks are on a list, and go with it, in place of nghttp2_session_del(): that one follows a pointer into freed memory when an allocation has failed just where a reply's body is queued (run, 1.52), which is when a
 * connection is to end without fuss.
 */
static void link_block(struct mesh__h2 *h2, struct block *b)
{
	b->prev = NULL;
	b->next = h2->blocks;
	if (b->next != NULL) {
		b->next->prev = b;
	}
	h2->blocks = b;
}

static void unlink_block(struct mesh__h2 *h2, struct block *b)
{
	*(b->prev != NULL ? &b->prev->next : &h2->blocks) = b->next;
	if (b->next != NULL) {
		b->next->prev = b->prev;
	}
}

static void *mem_resize(void *at, size_t size, void *arg)
{
	struct mesh__h2 *h2 = arg;
	struct block *old = at != NULL ? (struct block *)at - 1 : NULL, *b = NULL;

	if (old != NULL) {
		unlink_block(h2, old);
	}
	if (size <= SIZE_MAX - sizeof(*b)) {
		b = mesh__resize(h2->mem, old, sizeof(*b) + size);
	}
	if (b != NULL || old != NULL) {
		link_block(h2, b != NULL ? b : old);
	}
	return b != NULL ? b + 1 : NULL;
}

static void *mem_new(size_t size, void *arg)
{
	return mem_resize(NULL, size, arg);
}

static void *mem_zeroed(size_t n, size_t size, void *arg)
{
	void *at = size == 0 || n <= SIZE_MAX / size ? mem_resize(NULL, n * size, arg) : NULL;

	return at != NULL ? memset(at, 0, n * size) : NULL;
}

static void mem_end(void *at, void *arg)
{
	if (at != NULL) {
		struct block *b = (struct block *)at - 1;

		unlink_block(arg, b);
		mesh__free(b);
	}
}

/* ---- What came ---- */

/* What a call of nghttp2 says, to our callers: what is not lack of memory is about a stream or a connection that is over. */
static int told(int rc)
{
	return rc == NGHTTP2_ERR_NOMEM ? MESH_E_NO_MEMORY : MESH_OK;
}

/* What a callback says to nghttp2. */
static int go_on(struct mesh__h2 *h2, int code)
{
	if (code != MESH_OK) {
		h2->failed = code;
	}
	return code == MESH_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Nothing more is read; GOAWAY is the last that is sent. */
static int judge(struct mesh__h2 *h2, enum mesh__h2_flood flood)
{
	if (flood == MESH__H2_FLOOD_NONE || h2->flooded != MESH__H2_FLOOD_NONE) {
		return 0;
	}
	h2->flooded = flood;
	return go_on(h2, mesh__h2_terminate(h2, MESH__H2_ENHANCE_YOUR_CALM));
}

static void begin_block(struct mesh__h2 *h2)
{
	mesh__buf_clear(&h2->pairs);
	h2->n_pairs = 0;
	h2->n_fields = 0;
	h2->block_bytes = 0;
	h2->too_large = false;
	mesh__h2_meter_block(&h2->meter);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct mesh__h2 *h2 = arg;
	struct mesh__h2_meter *m = &h2->meter;

	(void)session;
	switch (hd->type) {
	case NGHTTP2_HEADERS:
		begin_block(h2);
		break;
	case NGHTTP2_CONTINUATION:
		return judge(h2, mesh__h2_meter_continuation(m));
	case NGHTTP2_RST_STREAM:
		return judge(h2, mesh__h2_meter_reset(m, h2->now_us));
	case NGHTTP2_PING:
		return judge(h2, mesh__h2_meter_count(m, MESH__H2_COUNTED_PING, h2->now_us));
	case NGHTTP2_SETTINGS:
		return judge(h2, mesh__h2_meter_count(m, MESH__H2_COUNTED_SETTINGS, h2->now_us));
	case NGHTTP2_PRIORITY:
		return judge(h2, mesh__h2_meter_count(m, MESH__H2_COUNTED_PRIORITY, h2->now_us));
	case NGHTTP2_WINDOW_UPDATE:
		return judge(h2, mesh__h2_meter_count(m, MESH__H2_COUNTED_WINDOW_UPDATE, h2->now_us));
	case NGHTTP2_GOAWAY:
		return judge(h2, mesh__h2_meter_count(m, MESH__H2_COUNTED_GOAWAY, h2->now_us));
	default:
		break;
	}
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct mesh__h2 *h2 = arg;
	enum mesh__h2_flood flood = mesh__h2_meter_field(&h2->meter, (uint64_t)name_len + value_len);

	(void)session;
	(void)frame;
	(void)flags;
	if (flood != MESH__H2_FLOOD_NONE) {
		return judge(h2, flood);
	}
	h2->n_fields += name[0] != ':';
	h2->block_bytes += name_len + value_len + FIELD_OVERHEAD_BYTES; /* bounded by the meter */
	if (h2->n_fields > h2->limits.max_fields || h2->block_bytes > h2->limits.max_block_bytes) {
		h2->too_large = true;
		return 0; /* the table of HPACK goes on with it, and so must we */
	}
	mesh__buf_add(&h2->pairs, name, name_len);
	mesh__buf_chr(&h2->pairs, '\0');
	mesh__buf_add(&h2->pairs, value, value_len);
	mesh__buf_chr(&h2->pairs, '\0');
	h2->n_pairs++;
	return go_on(h2, h2->pairs.error);
}

static void *user_of(struct mesh__h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->session, id);
}

static void tell_end(struct mesh__h2 *h2, int32_t id, const struct mesh__h2_block *trailers)
{
	h2->events->end(h2->arg, id, user_of(h2, id), trailers);
}

/* Streams take turns, frame by frame: by the default of RFC 9218 the first would be served to its end before the next, whatever its length. What a client says of it is not looked at: it may be speaking for several. */
static int take_turns(struct mesh__h2 *h2, int32_t id)
{
	static const nghttp2_extpri turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

	return go_on(h2, told(nghttp2_session_change_extpri_stream_priority(h2->session, id, &turns, 1)));
}

static int on_headers(struct mesh__h2 *h2, const nghttp2_frame *frame)
{
	struct mesh__h2_block block = {h2->pairs.data != NULL ? h2->pairs.data : "", h2->pairs.len, h2->n_pairs, h2->too_large};
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		int rc = take_turns(h2, frame->hd.stream_id);

		if (rc != 0) {
			return rc;
		}
		h2->events->head(h2->arg, frame->hd.stream_id, &block, end);
	} else if (end) {
		tell_end(h2, frame->hd.stream_id, &block);
	}
	return go_on(h2, h2->failed);
}

static int on_data_frame(struct mesh__h2 *h2, const nghttp2_frame *frame)
{
	static const struct mesh__h2_block none = {.pairs = ""};

	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
		tell_end(h2, frame->hd.stream_id, &none);
		return 0;
	}
	return frame->hd.length > frame->data.padlen ? 0 : judge(h2, mesh__h2_meter_count(&h2->meter, MESH__H2_COUNTED_EMPTY_DATA, h2->now_us));
}

/* Eight bytes of our own, which come back as they are. */
static void take_answer(struct mesh__h2 *h2, const nghttp2_ping *ping)
{
	uint64_t number;

	memcpy(&number, ping->opaque_data, sizeof(number));
	if ((ping->hd.flags & NGHTTP2_FLAG_ACK) != 0 && number > h2->n_answered && number <= h2->n_asked) {
		h2->n_answered = number;
	}
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct mesh__h2 *h2 = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		return on_headers(h2, frame);
	} else if (frame->hd.type == NGHTTP2_DATA) {
		return on_data_frame(h2, frame);
	} else if (frame->hd.type == NGHTTP2_SETTINGS) {
		h2->settled |= (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
	} else if (frame->hd.type == NGHTTP2_PING) {
		take_answer(h2, &frame->ping);
	}
	return go_on(h2, h2->failed);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len, void *arg)
{
	struct mesh__h2 *h2 = arg;
	int rc = nghttp2_session_consume_connection(session, len);

	(void)flags;
	if (rc == 0) {
		h2->events->data(h2->arg, id, user_of(h2, id), (const char *)bytes, len);
	}
	return go_on(h2, rc == 0 ? h2->failed : told(rc));
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct mesh__h2 *h2 = arg;

	(void)session;
	if (code == NGHTTP2_NO_ERROR) {
		mesh__h2_meter_ended(&h2->meter, h2->now_us);
	}
	h2->events->closed(h2->arg, id, user_of(h2, id), code);
	return 0;
}

/* ---- What goes ---- */

static bool is_their_fault(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR;
}

static int tell_early(struct mesh__h2 *h2, const nghttp2_frame *frame)
{
	int32_t id = frame->hd.stream_id;

	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 || nghttp2_session_get_stream_remote_close(h2->session, id) != 0) {
		return 0;
	}
	h2->events->early(h2->arg, id, user_of(h2, id));
	return go_on(h2, h2->failed);
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct mesh__h2 *h2 = arg;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		mesh__h2_meter_sent_data(&h2->meter, h2->now_us);
		return tell_early(h2, frame);
	case NGHTTP2_HEADERS:
		return tell_early(h2, frame);
	case NGHTTP2_RST_STREAM:
		if (is_their_fault(frame->rst_stream.error_code)) {
			h2->n_stream_faults += h2->n_own_resets == 0;
			h2->n_own_resets -= h2->n_own_resets > 0;
			return judge(h2, mesh__h2_meter_reset(&h2->meter, h2->now_us));
		}
		if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) {
			return judge(h2, mesh__h2_meter_count(&h2->meter, MESH__H2_COUNTED_REFUSED, h2->now_us));
		}
		break;
	case NGHTTP2_GOAWAY:
		h2->fault = frame->goaway.error_code;
		break;
	default:
		break;
	}
	return 0;
}

/* A reply whose head does not go (its fields are too many) must not leave the peer waiting. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	struct mesh__h2 *h2 = arg;

	(void)session;
	(void)error;
	if (frame->hd.type == NGHTTP2_RST_STREAM && is_their_fault(frame->rst_stream.error_code)) {
		h2->n_own_resets -= h2->n_own_resets > 0;
	}
	return frame->hd.type == NGHTTP2_HEADERS ? go_on(h2, mesh__h2_reset(h2, frame->hd.stream_id, MESH__H2_INTERNAL_ERROR)) : 0;
}

static ssize_t on_pull(nghttp2_session *session, int32_t id, uint8_t *buf, size_t size, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct mesh__h2 *h2 = arg;
	size_t n = 0;
	enum mesh__h2_more more = h2->events->pull(h2->arg, id, user_of(h2, id), (char *)buf, size, &n);

	(void)session;
	(void)source;
	if (h2->failed != MESH_OK) {
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	switch (more) {
	case MESH__H2_MORE:
		break;
	case MESH__H2_LATER:
		return NGHTTP2_ERR_DEFERRED;
	case MESH__H2_END:
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		break;
	case MESH__H2_TRAILERS:
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		break;
	case MESH__H2_BROKEN:
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

/* ---- Life ---- */

static int set_up_callbacks(nghttp2_session_callbacks **out)
{
	nghttp2_session_callbacks *cbs = NULL;
	int rc = nghttp2_session_callbacks_new(&cbs);

	if (rc == 0) {
		nghttp2_session_callbacks_set_on_begin_frame_callback(cbs, on_begin_frame);
		nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_closed);
		nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_sent);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_not_sent);
	}
	*out = cbs;
	return rc;
}

static int set_up_options(nghttp2_option **out)
{
	nghttp2_option *options = NULL;
	int rc = nghttp2_option_new(&options);

	if (rc == 0) {
		nghttp2_option_set_no_auto_window_update(options, 1);
		nghttp2_option_set_no_closed_streams(options, 1);
		nghttp2_option_set_max_outbound_ack(options, OUTBOUND_ACKS_MAX);
		nghttp2_option_set_max_continuations(options, 2 * MESH__H2_CONTINUATIONS_MAX);
		nghttp2_option_set_stream_reset_rate_limit(options, RESETS_BURST, RESETS_BURST);
	}
	*out = options;
	return rc;
}

static int say_settings(struct mesh__h2 *h2)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->limits.max_streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->limits.stream_window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->limits.max_block_bytes},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	int rc = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0]));

	return rc != 0 ? rc : nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)h2->limits.connection_window);
}

int mesh__h2_new(const struct mesh__mem *mem, const struct mesh__h2_limits *limits, int64_t now_us, const struct mesh__h2_events *events, void *arg, struct mesh__h2 **out)
{
	struct mesh__h2 *h2 = mesh__alloc(mem, sizeof(*h2));
	nghttp2_mem memory = {h2, mem_new, mem_end, mem_zeroed, mem_resize};
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *options = NULL;
	int rc;

	*out = NULL;
	if (h2 == NULL) {
		return MESH_E_NO_MEMORY;
	}
	h2->mem = mem;
	h2->limits = *limits;
	h2->events = events;
	h2->arg = arg;
	h2->walk.left = MESH__H2_PREFACE_BYTES;
	mesh__buf_init(&h2->pairs, mem, limits->max_block_bytes);
	mesh__h2_meter_init(&h2->meter, now_us);
	rc = set_up_callbacks(&callbacks);
	rc = rc != 0 ? rc : set_up_options(&options);
	rc = rc != 0 ? rc : nghttp2_session_server_new3(&h2->session, callbacks, h2, options, &memory);
	rc = rc != 0 ? rc : say_settings(h2);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(options);
	if (rc != 0) {
		mesh__h2_free(h2);
		return MESH_E_NO_MEMORY;
	}
	*out = h2;
	return MESH_OK;
}

void mesh__h2_free(struct mesh__h2 *h2)
{
	if (h2 != NULL) {
		while (h2->blocks != NULL) {
			mem_end(h2->blocks + 1, h2);
		}
		mesh__buf_fini(&h2->pairs);
		mesh__free(h2);
	}
}

/* ---- Bytes ---- */

static void walk_head(struct walk *w)
{
	bool header = w->head[3] == NGHTTP2_HEADERS || w->head[3] == NGHTTP2_CONTINUATION;

	w->n_head = 0;
	w->left = (size_t)w->head[0] << 16 | (size_t)w->head[1] << 8 | w->head[2];
	w->in_header = header && (w->left > 0 || (w->head[4] & NGHTTP2_FLAG_END_HEADERS) == 0);
}

static void walk(struct walk *w, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t n = w->left > 0 ? w->left : FRAME_HEAD_BYTES - w->n_head;

		n = n < len ? n : len;
		if (w->left > 0) {
			w->left -= n;
			w->in_header = w->in_header && (w->left > 0 || (w->head[4] & NGHTTP2_FLAG_END_HEADERS) == 0);
		} else {
			memcpy(w->head + w->n_head, bytes, n);
			w->n_head += n;
			if (w->n_head == FRAME_HEAD_BYTES) {
				walk_head(w);
			}
		}
		bytes += n;
		len -= n;
	}
}

static int fatal(const struct mesh__h2 *h2, ssize_t rc)
{
	return h2->failed != MESH_OK ? h2->failed : rc == NGHTTP2_ERR_NOMEM ? MESH_E_NO_MEMORY : MESH_E_PROTOCOL;
}

int mesh__h2_receive(struct mesh__h2 *h2, const char *bytes, size_t len, int64_t now_us)
{
	ssize_t n;

	h2->now_us = now_us;
	walk(&h2->walk, (const uint8_t *)bytes, len);
	n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, len);
	return n < 0 || h2->failed != MESH_OK ? fatal(h2, n) : MESH_OK;
}

int mesh__h2_send(struct mesh__h2 *h2, int64_t now_us, const char **bytes, size_t *len)
{
	const uint8_t *data = NULL;
	ssize_t n;

	h2->now_us = now_us;
	*len = 0;
	n = nghttp2_session_mem_send(h2->session, &data);
	if (n < 0 || h2->failed != MESH_OK) {
		return fatal(h2, n);
	}
	*bytes = (const char *)data;
	*len = (size_t)n;
	return MESH_OK;
}

bool mesh__h2_wants_send(const struct mesh__h2 *h2)
{
	return nghttp2_session_want_write(h2->session) != 0;
}

bool mesh__h2_is_over(const struct mesh__h2 *h2)
{
	return nghttp2_session_want_read(h2->session) == 0 && nghttp2_session_want_write(h2->session) == 0;
}

bool mesh__h2_is_settled(const struct mesh__h2 *h2)
{
	return h2->settled;
}

bool mesh__h2_in_header(const struct mesh__h2 *h2)
{
	return h2->walk.in_header;
}

size_t mesh__h2_n_waiting(const struct mesh__h2 *h2)
{
	return nghttp2_session_get_outbound_queue_size(h2->session);
}

enum mesh__h2_flood mesh__h2_flooded(const struct mesh__h2 *h2)
{
	return h2->flooded;
}

uint32_t mesh__h2_fault(const struct mesh__h2 *h2)
{
	return h2->fault;
}

uint64_t mesh__h2_n_stream_faults(const struct mesh__h2 *h2)
{
	return h2->n_stream_faults;
}

/* ---- Streams ---- */

void mesh__h2_set_user(struct mesh__h2 *h2, int32_t id, void *user)
{
	(void)nghttp2_session_set_stream_user_data(h2->session, id, user);
}

/* nghttp2 takes these for bytes that it may not change, whatever their type says. */
static nghttp2_nv pair(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static nghttp2_nv *pairs_of(struct mesh__h2 *h2, const struct mesh__field_text *fields, size_t n_fields, size_t n_before)
{
	nghttp2_nv *pairs = mesh__alloc_array(h2->mem, n_before + n_fields, sizeof(*pairs));

	for (size_t i = 0; pairs != NULL && i < n_fields; i++) {
		pairs[n_before + i] = pair(fields[i].name, fields[i].value);
	}
	return pairs;
}

int mesh__h2_reply(struct mesh__h2 *h2, int32_t id, int status, const struct mesh__field_text *fields, size_t n_fields, bool body)
{
	char digits[] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10), '\0'};
	nghttp2_data_provider source = {.read_callback = on_pull};
	nghttp2_nv *pairs;
	int rc;

	if (nghttp2_session_find_stream(h2->session, id) == NULL) {
		return MESH_OK;
	}
	pairs = pairs_of(h2, fields, n_fields, 1);
	if (pairs == NULL) {
		return MESH_E_NO_MEMORY;
	}
	pairs[0] = pair(":status", digits);
	if (status < 200) {
		rc = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, id, NULL, pairs, n_fields + 1, NULL);
	} else {
		rc = nghttp2_submit_response(h2->session, id, pairs, n_fields + 1, body ? &source : NULL);
	}
	mesh__free(pairs);
	return told(rc);
}

int mesh__h2_trailers(struct mesh__h2 *h2, int32_t id, const struct mesh__field_text *fields, size_t n_fields)
{
	nghttp2_nv *pairs = pairs_of(h2, fields, n_fields, 0);
	int rc;

	if (pairs == NULL) {
		return MESH_E_NO_MEMORY;
	}
	rc = nghttp2_submit_trailer(h2->session, id, pairs, n_fields);
	mesh__free(pairs);
	return told(rc);
}

int mesh__h2_resume(struct mesh__h2 *h2, int32_t id)
{
	return told(nghttp2_session_resume_data(h2->session, id));
}

int mesh__h2_consume(struct mesh__h2 *h2, int32_t id, size_t len)
{
	return told(nghttp2_session_consume_stream(h2->session, id, len));
}

int mesh__h2_reset(struct mesh__h2 *h2, int32_t id, enum mesh__h2_code code)
{
	if (nghttp2_session_find_stream(h2->session, id) == NULL) {
		return MESH_OK;
	}
	h2->n_own_resets += is_their_fault((uint32_t)code);
	return told(nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, (uint32_t)code));
}

int mesh__h2_announce_end(struct mesh__h2 *h2)
{
	return told(nghttp2_submit_shutdown_notice(h2->session));
}

int mesh__h2_end(struct mesh__h2 *h2)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);

	return told(nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0));
}

int mesh__h2_ask(struct mesh__h2 *h2, uint64_t *number)
{
	uint8_t bytes[sizeof(*number)];
	int rc;

	*number = ++h2->n_asked;
	memcpy(bytes, number, sizeof(bytes));
	rc = nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, bytes);
	return told(rc);
}

uint64_t mesh__h2_answered(const struct mesh__h2 *h2)
{
	return h2->n_answered;
}

int mesh__h2_terminate(struct mesh__h2 *h2, enum mesh__h2_code code)
{
	return told(nghttp2_session_terminate_session(h2->session, (uint32_t)code));
}
