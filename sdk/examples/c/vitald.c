// Verdicts, parameters and streams, the same in the sandbox and in unit tests.
#include "vitald.h"

#include <stdlib.h>
#include <string.h>

#include "vitald_wire.h"

struct vitald_stream {
    vitald_run *run;
    wire wire;
    char peer[VITALD_MESSAGE];
    // What was read ahead.
    char buffer[4096];
    size_t start, end;
};

// -- messages

// How many bytes the character here has; 0 where it is no UTF-8.
static size_t character(const unsigned char *at) {
    if (at[0] < 0x80) {
        return 1;
    }
    size_t length = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    unsigned long code = at[0] & (0x7F >> length);
    if (at[0] < 0xC2 || at[0] > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3F);
    }
    bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

// Appends a text as part of a line: what is no UTF-8 becomes '?', control characters become spaces, what is too much is
// left out.
static void append(char *line, const char *text) {
    size_t used = strlen(line);
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t length = character(at), taken = length ? length : 1;
        if (used + taken >= VITALD_MESSAGE) {
            break;
        }
        if (length == 0) {
            line[used] = '?';
        } else if (*at < 0x20 || *at == 0x7F) {
            line[used] = ' ';
        } else {
            memcpy(line + used, at, length);
        }
        used += taken;
        at += taken;
    }
    line[used] = 0;
}

vitald_verdict vitald_verdict_of(vitald_status status, const char *text, const char *detail) {
    vitald_verdict verdict = {.status = status};
    append(verdict.message, text);
    append(verdict.message, detail);
    return verdict;
}

// -- failures

static const char *const CAUSES[] = {
    "denied",           "name not found", "no resolver answered", "refused", "unreachable",
    "connection reset", "timeout",        "connection closed",
};

// The one place that decides whether a failure is the target's.
static void fail(vitald_run *run, const char *phase, const char *peer, const wire_error *error) {
    bool opening = strcmp(phase, "connect ") == 0 || strcmp(phase, "TLS with ") == 0;
    vitald_status status = VITALD_DOWN;
    const char *before = "";
    if (error->cause == WIRE_DENIED) {
        status = VITALD_DENIED;
    } else if (error->cause == WIRE_NAME_UNAVAILABLE) {
        status = VITALD_OTHER;
        before = "resolver: ";
    } else if (error->cause >= WIRE_OTHER && opening) {
        status = VITALD_OTHER;
    }
    run->failure = vitald_verdict_of(status, before, phase);
    append(run->failure.message, peer);
    append(run->failure.message, ": ");
    append(run->failure.message, error->cause >= WIRE_TLS ? error->why : CAUSES[error->cause]);
}

// -- parameters: one JSON object, which the host has made

static const char *after_string(const char *at) {
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1]) {
            at++;
        }
    }
    return *at ? at + 1 : at;
}

// Behind the value that begins here: at a comma or at the end of what contains it.
static const char *after_value(const char *at) {
    for (int depth = 0; *at;) {
        if (*at == '"') {
            at = after_string(at);
            continue;
        }
        if (depth == 0 && (*at == ',' || *at == '}' || *at == ']')) {
            break;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        at++;
    }
    return at;
}

static const char *after_space(const char *at) { return at + strspn(at, " \t\r\n"); }

// Where the value of that key begins; NULL where there is none.
static const char *value_of(const char *json, const char *name) {
    const char *at = after_space(json);
    size_t length = strlen(name);
    while (*at == '{' || *at == ',') {
        const char *key = after_space(at + 1);
        if (*key != '"') {
            return NULL;
        }
        const char *end = after_string(key);
        const char *colon = after_space(end);
        if (*colon != ':') {
            return NULL;
        }
        const char *value = after_space(colon + 1);
        if ((size_t)(end - key) == length + 2 && memcmp(key + 1, name, length) == 0) {
            return value;
        }
        at = after_value(value);
    }
    return NULL;
}

static unsigned long hex4(const char *at) {
    char digits[5] = {0};
    strncpy(digits, at, 4);
    return strtoul(digits, NULL, 16);
}

static char *put_utf8(char *to, unsigned long code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
    }
    if (code >= 0x80) {
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

// The text of a JSON string; it never gets longer than it was written.
static char *unquoted(const char *from) {
    const char *end = after_string(from) - 1;
    char *text = calloc(1, (size_t)(end - from) + 1), *to = text;
    if (!text) {
        return NULL;
    }
    for (from++; from < end; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        const char *simple = strchr("b\bf\fn\nr\rt\t", *from);
        if (*from == 'u') {
            unsigned long code = hex4(from + 1);
            from += 4;
            if (code >= 0xD800 && code < 0xDC00 && from[1] == '\\' && from[2] == 'u') {
                code = 0x10000 + ((code - 0xD800) << 10) + (hex4(from + 3) - 0xDC00);
                from += 6;
            }
            to = put_utf8(to, code);
        } else {
            *to++ = simple ? simple[1] : *from;
        }
    }
    return text;
}

const char *vitald_param(const vitald_run *run, const char *name, const char *otherwise) {
    const char *value = value_of(run->params, name);
    const char *text = value && *value == '"' ? unquoted(value) : NULL;
    return text ? text : otherwise;
}

double vitald_param_number(const vitald_run *run, const char *name, double otherwise) {
    const char *value = value_of(run->params, name);
    return value && strchr("-0123456789", *value) ? strtod(value, NULL) : otherwise;
}

// -- measurements

static void measure(vitald_run *run, const char *name, double value, const char *unit, bool counter) {
    bool absent = value < 0 && strcmp(unit, "seconds") == 0;
    if (!absent && run->measurement_count < VITALD_MEASUREMENTS) {
        vitald_measurement measurement = {name, unit, value, counter};
        run->measurements[run->measurement_count++] = measurement;
    }
}

void vitald_measure(vitald_run *run, const char *name, double value, const char *unit) {
    measure(run, name, value, unit, false);
}

void vitald_count(vitald_run *run, const char *name, double value, const char *unit) {
    measure(run, name, value, unit, true);
}

// -- streams

static bool speaks_tls(const char *target) {
    static const char *const SCHEMES[] = {
        "https", "wss", "tls", "rediss", "ldaps", "imaps", "pop3s", "smtps", "amqps", "mqtts", "nntps", "ftps",
    };
    const char *end = strstr(target, "://");
    for (size_t i = 0; end && i < sizeof SCHEMES / sizeof *SCHEMES; i++) {
        size_t length = strlen(SCHEMES[i]);
        if (length == (size_t)(end - target) && memcmp(target, SCHEMES[i], length) == 0) {
            return true;
        }
    }
    return false;
}

static void name_peer(char *peer, const char *host, uint16_t port) {
    char digits[6] = {0}, *at = digits + 5;
    do {
        *--at = (char)('0' + port % 10);
        port /= 10;
    } while (port);
    bool v6 = strchr(host, ':') != NULL;
    append(peer, v6 ? "[" : "");
    append(peer, host);
    append(peer, v6 ? "]:" : ":");
    append(peer, at);
}

vitald_stream *vitald_connect_to(vitald_run *run, const char *host, uint16_t port) {
    vitald_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        run->failure = vitald_cannot_judge("out of memory", "");
        return NULL;
    }
    stream->run = run;
    name_peer(stream->peer, host, port);
    wire_error error;
    if (!wire_open(&stream->wire, host, port, &error)) {
        fail(run, "connect ", stream->peer, &error);
        free(stream);
        return NULL;
    }
    return stream;
}

vitald_stream *vitald_connect(vitald_run *run) {
    if (run->endpoint_count == 0) {
        run->failure = vitald_verdict_of(VITALD_INVALID_PARAMS, "the check has no target to connect to", "");
        return NULL;
    }
    vitald_stream *stream = vitald_connect_to(run, run->endpoints[0].host, run->endpoints[0].port);
    if (stream && speaks_tls(run->target) && !vitald_start_tls(stream)) {
        vitald_close(stream);
        return NULL;
    }
    return stream;
}

bool vitald_start_tls(vitald_stream *stream) {
    wire_error error;
    stream->start = stream->end = 0;
    if (!wire_start_tls(&stream->wire, &error)) {
        fail(stream->run, "TLS with ", stream->peer, &error);
        return false;
    }
    return true;
}

double vitald_seconds(const vitald_stream *stream, const char *phase) { return wire_seconds(&stream->wire, phase); }

// Reads ahead where nothing is left. Returns what there is; 0 at the end, below zero where it failed.
static ptrdiff_t fill(vitald_stream *stream) {
    if (stream->start == stream->end) {
        wire_error error;
        ptrdiff_t news = wire_read(&stream->wire, stream->buffer, sizeof stream->buffer, &error);
        if (news < 0) {
            fail(stream->run, "read ", stream->peer, &error);
            return news;
        }
        stream->start = 0;
        stream->end = (size_t)news;
    }
    return (ptrdiff_t)(stream->end - stream->start);
}

ptrdiff_t vitald_read(vitald_stream *stream, void *buffer, size_t size) {
    ptrdiff_t there = fill(stream);
    if (there <= 0) {
        return there;
    }
    size_t taken = (size_t)there < size ? (size_t)there : size;
    memcpy(buffer, stream->buffer + stream->start, taken);
    stream->start += taken;
    return (ptrdiff_t)taken;
}

bool vitald_read_line(vitald_stream *stream, char *line, size_t size) {
    size_t used = 0;
    while (used + 1 < size) {
        ptrdiff_t there = fill(stream);
        if (there < 0) {
            return false;
        }
        if (there == 0 && used == 0) {
            wire_error closed = {.cause = WIRE_CLOSED};
            fail(stream->run, "read ", stream->peer, &closed);
            return false;
        }
        char next = there ? stream->buffer[stream->start++] : '\n';
        if (next == '\n') {
            break;
        }
        line[used++] = next;
    }
    while (used > 0 && line[used - 1] == '\r') {
        used--;
    }
    line[used] = 0;
    return true;
}

bool vitald_write(vitald_stream *stream, const void *data, size_t size) {
    wire_error error;
    if (!wire_write(&stream->wire, data, size, &error)) {
        fail(stream->run, "write ", stream->peer, &error);
        return false;
    }
    return true;
}

void vitald_close(vitald_stream *stream) {
    wire_close(&stream->wire);
    free(stream);
}
