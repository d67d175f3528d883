// What vitald.c needs of the host: vitald_component.c has it from the agent, vitald_testing.c from this machine.
#ifndef VITALD_WIRE_H
#define VITALD_WIRE_H

#include "vitald.h"

// In the order of wit/net.wit.
enum {
    WIRE_DENIED,
    WIRE_NAME_NOT_FOUND,
    WIRE_NAME_UNAVAILABLE,
    WIRE_REFUSED,
    WIRE_UNREACHABLE,
    WIRE_RESET,
    WIRE_TIMEOUT,
    WIRE_CLOSED,
    WIRE_TLS,
    WIRE_OTHER,
};

typedef struct {
    int cause;
    // Of WIRE_TLS and WIRE_OTHER.
    char why[VITALD_MESSAGE];
} wire_error;

typedef struct {
    int32_t connection, input, output;
    bool has_halves;
    int64_t connect_ns;
} wire;

bool wire_open(wire *wire, const char *host, uint16_t port, wire_error *error);
bool wire_start_tls(wire *wire, wire_error *error);
// Below zero: it did not happen.
double wire_seconds(const wire *wire, const char *phase);
// 0 at the end, below zero where it failed.
ptrdiff_t wire_read(wire *wire, void *buffer, size_t size, wire_error *error);
bool wire_write(wire *wire, const void *data, size_t size, wire_error *error);
void wire_close(wire *wire);

#endif
