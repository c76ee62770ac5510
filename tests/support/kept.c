#include "support/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/patience.h"

enum { LONG_MS = 20000 };

struct kept kept = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int64_t kept_patient_ms(void)
{
	return patience(LONG_MS);
}

void kept_keep(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&kept.mu);
	kept.list[kept.n++ % 8] = in;
	(void)pthread_cond_broadcast(&kept.changed);
	(void)pthread_mutex_unlock(&kept.mu);
}

void kept_await(const int *what, int n)
{
	(void)pthread_mutex_lock(&kept.mu);
	while (*what < n) {
		(void)pthread_cond_wait(&kept.changed, &kept.mu);
	}
	(void)pthread_mutex_unlock(&kept.mu);
}

int kept_count(const int *what)
{
	int n;

	(void)pthread_mutex_lock(&kept.mu);
	n = *what;
	(void)pthread_mutex_unlock(&kept.mu);
	return n;
}

void kept_on_event(void *user, mesh_inbound *in, int32_t kind)
{
	(void)user;
	(void)in;
	(void)pthread_mutex_lock(&kept.mu);
	kept.n_told[kind]++;
	(void)pthread_cond_broadcast(&kept.changed);
	(void)pthread_mutex_unlock(&kept.mu);
}

mesh_inbound *kept_next(void)
{
	mesh_inbound *in;

	kept_await(&kept.n, 1);
	(void)pthread_mutex_lock(&kept.mu);
	in = kept.list[--kept.n % 8];
	(void)pthread_mutex_unlock(&kept.mu);
	return in;
}

void kept_open(const char *mode, const char *bodies, const char *const *more)
{
	kept.n = 0;
	memset(kept.n_told, 0, sizeof(kept.n_told));
	serving_open(&kept.serving, mode, bodies, kept_keep, NULL, more);
	h1_open(&kept.client, &kept.serving.t, "cart");
}

int kept_set_up(void **state)
{
	(void)state;
	kept_open("pool", "streamed", NULL);
	return 0;
}

int kept_tear_down(void **state)
{
	(void)state;
	h1_close(&kept.client);
	serving_fini(&kept.serving);
	return 0;
}

mesh_inbound *kept_begin_upload(void)
{
	assert_true(h1_say(&kept.client, "POST /up HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"));
	return kept_next();
}

mesh_inbound *kept_get(const char *method)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: p\r\n\r\n", method);
	assert_true(h1_say(&kept.client, text));
	return kept_next();
}

void kept_expect_read(mesh_inbound *in, const char *text)
{
	char buf[64];
	size_t n = 0, at = 0;

	do {
		assert_int_equal(mesh_inbound_read(in, buf + at, sizeof(buf) - 1 - at, &n, kept_patient_ms()), MESH_OK);
		at += n;
	} while (at < strlen(text) && n > 0);
	buf[at] = '\0';
	assert_string_equal(buf, text);
}

void kept_write(mesh_inbound *in, const char *text)
{
	size_t n;

	assert_int_equal(mesh_reply_write(in, text, strlen(text), &n, kept_patient_ms()), MESH_OK);
	assert_int_equal(n, strlen(text));
}
