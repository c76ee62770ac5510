/* The service manager's readiness protocol (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names. Does nothing without one. */
#ifndef MESHD_NOTIFY_H
#define MESHD_NOTIFY_H

/* "READY=1", "STOPPING=1". */
void meshd_notify(const char *state);

#endif
