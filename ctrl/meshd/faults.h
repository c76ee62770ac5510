/* Documents of kind Fault, beside what every document is: they fit the service that they are of, and meshd takes them back when their time is over. Loop's thread. */
#ifndef MESHD_FAULTS_H
#define MESHD_FAULTS_H

#include "meshd/meshd.h"

/* Each is a commit of its own, and nobody is answered meanwhile. */
enum { MESHD_FAULTS_AT_ONCE = 8 };

/* Adds to `faults` what is wrong with those among `documents`, which are not in force yet, each a line "file:line:column: path: what": its time is over already, or the service has no such route. */
void meshd_faults_check(const struct meshd *meshd, const char *file, const struct mesh__document *documents, struct mesh__buf *faults);

/* Finds out when the next one is over: after a change of any of them, and before the first. */
void meshd_faults_changed(struct meshd *meshd);

/* Deletes those whose time is over by the wall clock, each in a generation of its own by "meshd (expired)", and logs it: the first MESHD_FAULTS_AT_ONCE of them, the others in later calls. One that cannot be deleted stays for a later try; whoever calls the service has stopped by himself. */
void meshd_faults_expire(struct meshd *meshd);

#endif
