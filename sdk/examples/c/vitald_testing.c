// The host's side of a unit test: POSIX sockets instead of the agent.
#include "vitald_testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vitald_wire.h"

// What a real host would end; here a test fails instead of hanging.
static const struct timeval PATIENCE = {.tv_sec = 10};
static const char *const LOOPBACK = "127.0.0.1";

// What a run has opened and may have left open.
#define OPENED 64
static int opened[OPENED];
static size_t opened_count;

static struct sockaddr_in loopback(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

// -- the wire

static void failed(wire_error *error) {
    *error = (wire_error){.cause = WIRE_OTHER};
    if (errno == ECONNREFUSED) {
        error->cause = WIRE_REFUSED;
    } else if (errno == ECONNRESET) {
        error->cause = WIRE_RESET;
    } else if (errno == EAGAIN || errno == ETIMEDOUT) {
        error->cause = WIRE_TIMEOUT;
    } else if (errno == EPIPE) {
        error->cause = WIRE_CLOSED;
    }
    snprintf(error->why, sizeof error->why, "%s", strerror(errno));
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

bool wire_open(wire *wire, const char *host, uint16_t port, wire_error *error) {
    if (strcmp(host, LOOPBACK) != 0) {
        *error = (wire_error){.cause = WIRE_NAME_NOT_FOUND};
        return false;
    }
    struct sockaddr_in address = loopback(port);
    int64_t start = now_ns();
    wire->connection = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(wire->connection, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof PATIENCE);
    if (connect(wire->connection, (struct sockaddr *)&address, sizeof address) != 0) {
        failed(error);
        close(wire->connection);
        return false;
    }
    wire->connect_ns = now_ns() - start;
    opened[opened_count++ % OPENED] = wire->connection;
    return true;
}

bool wire_start_tls(wire *wire, wire_error *error) {
    (void)wire;
    *error = (wire_error){.cause = WIRE_OTHER, .why = "TLS is done by the host: try it with `vitald try`"};
    return false;
}

double wire_seconds(const wire *wire, const char *phase) {
    return strcmp(phase, "connect") == 0 ? (double)wire->connect_ns / 1e9 : -1;
}

ptrdiff_t wire_read(wire *wire, void *buffer, size_t size, wire_error *error) {
    ptrdiff_t length = recv(wire->connection, buffer, size, 0);
    if (length < 0) {
        failed(error);
    }
    return length;
}

bool wire_write(wire *wire, const void *data, size_t size, wire_error *error) {
    for (size_t sent = 0; sent < size;) {
        ptrdiff_t now = send(wire->connection, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (now < 0) {
            failed(error);
            return false;
        }
        sent += (size_t)now;
    }
    return true;
}

void wire_close(wire *wire) { close(wire->connection); }

void vitald_log(const char *message) { printf("log: %s\n", message); }

// -- the peer and the run

static pid_t peer;

static void serve(int listener, const char *answer) {
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0) {
            send(connection, answer, strlen(answer), MSG_NOSIGNAL);
            shutdown(connection, SHUT_WR);
            // Whoever closes on what it has not read breaks the connection.
            char unread[4096];
            while (recv(connection, unread, sizeof unread, 0) > 0) {
            }
            close(connection);
        }
    }
}

uint16_t testing_peer(const char *answer) {
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 8) != 0) {
        perror("a listening socket");
        exit(1);
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    peer = fork();
    if (peer == 0) {
        alarm((unsigned)PATIENCE.tv_sec);
        serve(listener, answer);
    }
    close(listener);
    return ntohs(address.sin_port);
}

void testing_end_peer(void) {
    kill(peer, SIGKILL);
    waitpid(peer, NULL, 0);
}

vitald_verdict testing_trial(vitald_run *run, uint16_t port, const char *params) {
    static char target[64];
    static vitald_endpoint endpoint;
    snprintf(target, sizeof target, "tcp://%s:%u", LOOPBACK, port);
    endpoint = (vitald_endpoint){LOOPBACK, port};
    *run = (vitald_run){.target = target, .endpoints = &endpoint, .endpoint_count = 1, .params = params};
    run->timeout_ns = 1000000000;
    vitald_verdict verdict = vitald_check(run);
    for (; opened_count > 0; opened_count--) {
        close(opened[(opened_count - 1) % OPENED]);
    }
    return verdict;
}
