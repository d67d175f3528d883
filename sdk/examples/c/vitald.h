// The agent's interface (wit/) for a checker in C. Leave it as it is, and write your checker in checker.c.
//
// What fails on the way to the target, or in the middle of its answer, is DOWN, with the phase and the address in the
// message: return vitald_failed(run) where a function here says that it failed. What the host refuses, and what says
// nothing of the target, is an error: the run could not judge. There is no timeout to set: the host ends a run that
// takes too long, and says so. Nothing has to be freed: the sandbox goes with the run.
#ifndef VITALD_H
#define VITALD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of a message, its end included.
#define VITALD_MESSAGE 304
#define VITALD_MEASUREMENTS 64
#define VITALD_SCHEMES 8

typedef enum {
    VITALD_UP,
    VITALD_DEGRADED,
    VITALD_DOWN,
    // What follows says that the run could not judge.
    VITALD_INVALID_PARAMS,
    VITALD_DENIED,
    VITALD_INTERNAL,
    VITALD_OTHER,
} vitald_status;

// One line, valid UTF-8, whatever it was made from.
typedef struct {
    vitald_status status;
    char message[VITALD_MESSAGE];
} vitald_verdict;

typedef struct {
    const char *host;
    uint16_t port;
} vitald_endpoint;

typedef struct {
    const char *name;
    const char *unit;
    double value;
    bool counter;
} vitald_measurement;

// One run: what was asked, and what there is to say beside the verdict.
typedef struct {
    // The URL, as the operator wrote it.
    const char *target;
    // The hosts and ports that it names.
    const vitald_endpoint *endpoints;
    size_t endpoint_count;
    // A JSON object that satisfies the schema: see vitald_param.
    const char *params;
    uint64_t timeout_ns;
    // What the last run of this check left here, NULL at first; what this run leaves here is for the next.
    const char *state;
    // Filled by vitald_measure.
    vitald_measurement measurements[VITALD_MEASUREMENTS];
    size_t measurement_count;
    // Filled by what failed last.
    vitald_verdict failure;
} vitald_run;

typedef struct vitald_stream vitald_stream;

typedef struct {
    const char *name;
    // 0: a target must name one.
    uint16_t default_port;
} vitald_scheme;

typedef struct {
    const char *summary;
    const char *version;
    vitald_scheme schemes[VITALD_SCHEMES];
    // JSON Schema of the parameters.
    const char *schema;
} vitald_about;

// These two are yours.
extern const vitald_about VITALD_ABOUT;
vitald_verdict vitald_check(vitald_run *run);

// A verdict whose message is both texts, one after the other.
vitald_verdict vitald_verdict_of(vitald_status status, const char *text, const char *detail);
#define vitald_up(text, detail) vitald_verdict_of(VITALD_UP, text, detail)
#define vitald_degraded(text, detail) vitald_verdict_of(VITALD_DEGRADED, text, detail)
#define vitald_down(text, detail) vitald_verdict_of(VITALD_DOWN, text, detail)
#define vitald_cannot_judge(text, detail) vitald_verdict_of(VITALD_INTERNAL, text, detail)
#define vitald_failed(run) ((run)->failure)

// The value of a parameter; `otherwise` where the operator gave none.
const char *vitald_param(const vitald_run *run, const char *name, const char *otherwise);
double vitald_param_number(const vitald_run *run, const char *name, double otherwise);

// A number for /metrics, in a base unit ("seconds", "bytes", "ratio") or "". A value below zero with the unit "seconds"
// is left out: the phase did not happen.
void vitald_measure(vitald_run *run, const char *name, double value, const char *unit);
void vitald_count(vitald_run *run, const char *name, double value, const char *unit);

// A line in the agent's log.
void vitald_log(const char *message);

// Opens a connection to the target, with TLS where its scheme says so; NULL where that failed.
vitald_stream *vitald_connect(vitald_run *run);
// The same to another host and port, which the operator must allow; without TLS.
vitald_stream *vitald_connect_to(vitald_run *run, const char *host, uint16_t port);
// Wraps what follows in TLS. The host verifies the peer with the operator's roots.
bool vitald_start_tls(vitald_stream *stream);
// How long the host took to "resolve", to "connect" or for "tls"; below zero where it did not do that.
double vitald_seconds(const vitald_stream *stream, const char *phase);
// Some bytes, at least one; 0 at the end, below zero where it failed.
ptrdiff_t vitald_read(vitald_stream *stream, void *buffer, size_t size);
// The next line without its end. A longer one is cut; it may also end with the connection.
bool vitald_read_line(vitald_stream *stream, char *line, size_t size);
// Sends it all.
bool vitald_write(vitald_stream *stream, const void *data, size_t size);
// Closes it. What is still open closes with the run.
void vitald_close(vitald_stream *stream);

#endif
