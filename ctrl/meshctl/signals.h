/* SIGINT and SIGTERM as a descriptor, so that no handler and no global is needed. */
#ifndef MESHCTL_SIGNALS_H
#define MESHCTL_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Blocks both for this thread and those it starts, and gives a descriptor that tells of them; -1 on failure. Before
 * any thread is started.
 */
int ctl_signals_open(void);

/*
 * Waits until one arrives, `other` (-1: none) becomes readable, or `timeout_ms` (-1: no end) has passed. True when a
 * signal came; it is consumed.
 */
bool ctl_signals_wait(int signals, int other, int timeout_ms);

/* Closes the descriptor and lets the next signal end the process: what follows is the way out. */
void ctl_signals_close(int signals);

#endif
