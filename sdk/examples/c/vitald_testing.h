// Runs a checker without the agent, for unit tests: the same interface, over this machine's own sockets. There is no
// sandbox and no TLS here, and every address is granted; `vitald try` has all of that. Leave this file as it is.
#ifndef VITALD_TESTING_H
#define VITALD_TESTING_H

#include "vitald.h"

// Starts a server on a free port of this machine that sends that to whoever comes, and closes; a process of its own.
// Returns its port.
uint16_t testing_peer(const char *answer);
// Ends it: its port refuses from now on.
void testing_end_peer(void);

// One run, against a port of this machine; params is a JSON object.
vitald_verdict testing_trial(vitald_run *run, uint16_t port, const char *params);

#endif
