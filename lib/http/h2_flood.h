/*
 * How much of what costs us and gives them nothing an HTTP/2 peer may send (THREATS 10 and 11): counts, and a verdict. Pure: the caller brings the time, and ends the connection.
 */
#ifndef MESH__HTTP_H2_FLOOD_H
#define MESH__HTTP_H2_FLOOD_H

#include <stdint.h>

enum {
	/* Resets, the peer's own (CVE-2023-44487) and those that its errors provoke from us (CVE-2025-8671), over the streams that ended in order, in a window of time. */
	MESH__H2_RESETS_MAX = 100,
	MESH__H2_RESETS_WINDOW_MS = 10000,
	/* CONTINUATION frames of one header (CVE-2024-27316): one of 64 KiB fills four frames. */
	MESH__H2_CONTINUATIONS_MAX = 8,
	/* A header's fields as HPACK decodes them, 32 bytes each added (RFC 9113 section 6.5.2): what is over the limit of a header list and under this is merely answered 431. */
	MESH__H2_BLOCK_MAX_BYTES = 256 * 1024,
	/* WINDOW_UPDATEs that each DATA frame of ours excuses: one for its stream, one for the connection, and peers that give windows back in small coins. */
	MESH__H2_UPDATES_PER_DATA = 10
};

/* X(NAME, budget a second, "word", "sentence"): frames that are counted by the second; REFUSED are ours, of streams over the limit, as a peer may begin many before it has heard of that. Those of unknown types are not: they cost what their bytes cost. */
#define MESH__H2_BUDGETS(X)                                                                                            \
	X(PING, 1000, "ping-flood", "too many PING frames in a second")                                                 \
	X(SETTINGS, 50, "settings-flood", "too many SETTINGS frames in a second")                                       \
	X(PRIORITY, 1000, "priority-flood", "too many PRIORITY frames in a second")                                     \
	X(EMPTY_DATA, 100, "empty-data-flood", "too many empty DATA frames in a second")                                \
	X(WINDOW_UPDATE, 1000, "window-update-flood", "too many WINDOW_UPDATE frames in a second")                      \
	X(GOAWAY, 10, "goaway-flood", "too many GOAWAY frames in a second")                                             \
	X(REFUSED, 500, "refused-stream-flood", "too many streams in a second that were refused, being too many at a time")

/* X(NAME, "word", "sentence"): the other reasons. */
#define MESH__H2_FLOOD_REASONS(X)                                                                                      \
	X(NONE, "", "")                                                                                                 \
	X(RESETS, "rapid-reset", "too many streams were reset, by the peer or for its errors")                          \
	X(CONTINUATION, "continuation-flood", "a header has too many CONTINUATION frames")                              \
	X(HEADER, "header-bomb", "a header is far larger than this server takes, once it is decompressed")

#define X(name, budget, word, sentence) MESH__H2_COUNTED_##name,
enum mesh__h2_counted { MESH__H2_BUDGETS(X) MESH__H2_N_COUNTED };
#undef X

#define X(name, word, sentence) MESH__H2_FLOOD_##name,
#define Y(name, budget, word, sentence) MESH__H2_FLOOD_##name,
enum mesh__h2_flood { MESH__H2_FLOOD_REASONS(X) MESH__H2_BUDGETS(Y) };
#undef Y
#undef X

/* The word for a counter's label, and the sentence for a log. */
struct mesh__h2_flood_text {
	const char *word, *sentence;
};

const struct mesh__h2_flood_text *mesh__h2_flood_text(enum mesh__h2_flood flood);

struct mesh__h2_meter {
	int64_t resets_since_us, n_resets, n_ended;
	int64_t second_since_us;
	int64_t n[MESH__H2_N_COUNTED]; /* in the second at hand */
	int64_t n_data, n_data_before; /* DATA frames sent in it, and in the one before: their windows come back later */
	int n_continuations;           /* of the header at hand */
	uint64_t block_bytes;          /* likewise */
};

void mesh__h2_meter_init(struct mesh__h2_meter *m, int64_t now_us);

/* A frame of that kind has come. */
enum mesh__h2_flood mesh__h2_meter_count(struct mesh__h2_meter *m, enum mesh__h2_counted kind, int64_t now_us);

/* A DATA frame went out. */
void mesh__h2_meter_sent_data(struct mesh__h2_meter *m, int64_t now_us);

/* A stream was reset, or ended in order. */
enum mesh__h2_flood mesh__h2_meter_reset(struct mesh__h2_meter *m, int64_t now_us);
void mesh__h2_meter_ended(struct mesh__h2_meter *m, int64_t now_us);

/* A header begins; goes on in another frame; has one more field, of name and value `bytes` long. */
void mesh__h2_meter_block(struct mesh__h2_meter *m);
enum mesh__h2_flood mesh__h2_meter_continuation(struct mesh__h2_meter *m);
enum mesh__h2_flood mesh__h2_meter_field(struct mesh__h2_meter *m, uint64_t bytes);

#endif
