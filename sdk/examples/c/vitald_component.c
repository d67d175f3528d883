// What the agent calls, and what it is asked for: over the bindings that wit-bindgen made.
#include <stdlib.h>
#include <string.h>

#include "bindings/plugin.h"
#include "vitald.h"
#include "vitald_wire.h"

// What one write to the host takes at most (wasi:io).
#define MAX_WRITE 4096

static vitald_check_net_borrow_connection_t borrowed(const wire *wire) {
    return vitald_check_net_borrow_connection((vitald_check_net_own_connection_t){wire->connection});
}

// -- errors

static void copy_text(char *to, size_t size, const plugin_string_t *from) {
    size_t length = from->len < size ? from->len : size - 1;
    memcpy(to, from->ptr, length);
    to[length] = 0;
}

// The cases of the interface stand in the order of ours.
static void failed(wire_error *to, const vitald_check_net_error_t *from) {
    *to = (wire_error){.cause = from->tag};
    if (from->tag >= VITALD_CHECK_NET_ERROR_TLS) {
        copy_text(to->why, sizeof to->why, &from->val.other);
    }
}

static void stream_failed(wire_error *to, wasi_io_streams_stream_error_t *from) {
    *to = (wire_error){.cause = WIRE_CLOSED};
    if (from->tag == WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED) {
        vitald_check_net_error_t known;
        if (vitald_check_net_error_of(wasi_io_error_borrow_error(from->val.last_operation_failed), &known)) {
            failed(to, &known);
        } else {
            *to = (wire_error){.cause = WIRE_OTHER, .why = "the stream failed"};
        }
    }
}

// -- connections

bool wire_open(wire *wire, const char *host, uint16_t port, wire_error *error) {
    plugin_string_t name = {(uint8_t *)host, strlen(host)};
    vitald_check_net_own_connection_t connection;
    vitald_check_net_error_t why;
    if (!vitald_check_net_connect(&name, port, NULL, &connection, &why)) {
        failed(error, &why);
        return false;
    }
    wire->connection = connection.__handle;
    wire->has_halves = false;
    return true;
}

// They go before the connection that they were taken from.
static void drop_halves(wire *wire) {
    if (wire->has_halves) {
        wasi_io_streams_input_stream_drop_own((wasi_io_streams_own_input_stream_t){wire->input});
        wasi_io_streams_output_stream_drop_own((wasi_io_streams_own_output_stream_t){wire->output});
        wire->has_halves = false;
    }
}

bool wire_start_tls(wire *wire, wire_error *error) {
    drop_halves(wire);
    vitald_check_net_tls_options_t options = {0};
    vitald_check_net_error_t why;
    if (!vitald_check_net_method_connection_start_tls(borrowed(wire), &options, NULL, &why)) {
        failed(error, &why);
        return false;
    }
    return true;
}

double wire_seconds(const wire *wire, const char *phase) {
    plugin_list_tuple2_string_u64_t timings;
    vitald_check_net_method_connection_timings(borrowed(wire), &timings);
    for (size_t i = 0; i < timings.len; i++) {
        plugin_string_t *name = &timings.ptr[i].f0;
        if (name->len == strlen(phase) && memcmp(name->ptr, phase, name->len) == 0) {
            return (double)timings.ptr[i].f1 / 1e9;
        }
    }
    return -1;
}

static bool take_halves(wire *wire, wire_error *error) {
    if (wire->has_halves) {
        return true;
    }
    vitald_check_net_tuple2_own_input_stream_own_output_stream_t halves;
    vitald_check_net_error_t why;
    if (!vitald_check_net_method_connection_streams(borrowed(wire), &halves, &why)) {
        failed(error, &why);
        return false;
    }
    wire->input = halves.f0.__handle;
    wire->output = halves.f1.__handle;
    wire->has_halves = true;
    return true;
}

ptrdiff_t wire_read(wire *wire, void *buffer, size_t size, wire_error *error) {
    if (!take_halves(wire, error)) {
        return -1;
    }
    wasi_io_streams_own_input_stream_t input = {wire->input};
    plugin_list_u8_t news = {0};
    while (news.len == 0) {
        wasi_io_streams_stream_error_t why;
        if (!wasi_io_streams_method_input_stream_blocking_read(
                wasi_io_streams_borrow_input_stream(input), size, &news, &why)) {
            stream_failed(error, &why);
            return why.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED ? 0 : -1;
        }
    }
    memcpy(buffer, news.ptr, news.len);
    ptrdiff_t length = (ptrdiff_t)news.len;
    plugin_list_u8_free(&news);
    return length;
}

bool wire_write(wire *wire, const void *data, size_t size, wire_error *error) {
    if (!take_halves(wire, error)) {
        return false;
    }
    wasi_io_streams_own_output_stream_t output = {wire->output};
    for (size_t sent = 0; sent < size;) {
        size_t now = size - sent < MAX_WRITE ? size - sent : MAX_WRITE;
        plugin_list_u8_t piece = {(uint8_t *)data + sent, now};
        wasi_io_streams_stream_error_t why;
        if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
                wasi_io_streams_borrow_output_stream(output), &piece, &why)) {
            stream_failed(error, &why);
            return false;
        }
        sent += now;
    }
    return true;
}

void wire_close(wire *wire) {
    drop_halves(wire);
    vitald_check_net_connection_drop_own((vitald_check_net_own_connection_t){wire->connection});
}

void vitald_log(const char *message) {
    plugin_string_t text = {(uint8_t *)message, strlen(message)};
    vitald_check_log_log(VITALD_CHECK_LOG_LEVEL_INFO, &text);
}

// -- what is exported: what is handed back is freed by the bindings, so all of it is allocated

// There is no way to go on, and the agent says so.
static void *must(void *memory) {
    if (!memory) {
        __builtin_trap();
    }
    return memory;
}

void exports_vitald_check_checker_describe(exports_vitald_check_checker_description_t *ret) {
    memset(ret, 0, sizeof *ret);
    plugin_string_dup(&ret->summary, VITALD_ABOUT.summary);
    plugin_string_dup(&ret->version, VITALD_ABOUT.version);
    plugin_string_dup(&ret->params_schema, VITALD_ABOUT.schema);
    ret->schemes.ptr = must(calloc(VITALD_SCHEMES, sizeof *ret->schemes.ptr));
    for (size_t i = 0; i < VITALD_SCHEMES && VITALD_ABOUT.schemes[i].name; i++) {
        const vitald_scheme *scheme = &VITALD_ABOUT.schemes[i];
        plugin_string_dup(&ret->schemes.ptr[i].name, scheme->name);
        ret->schemes.ptr[i].default_port.is_some = scheme->default_port != 0;
        ret->schemes.ptr[i].default_port.val = scheme->default_port;
        ret->schemes.len = i + 1;
    }
}

static char *ended(const void *text, size_t length) {
    char *copy = must(calloc(1, length + 1));
    memcpy(copy, text, length);
    return copy;
}

static void read_request(vitald_run *run, const exports_vitald_check_checker_request_t *request) {
    vitald_endpoint *endpoints = must(calloc(request->endpoints.len + 1, sizeof *endpoints));
    for (size_t i = 0; i < request->endpoints.len; i++) {
        const vitald_check_types_endpoint_t *from = &request->endpoints.ptr[i];
        endpoints[i].host = ended(from->host.ptr, from->host.len);
        endpoints[i].port = from->port;
    }
    run->target = ended(request->target.ptr, request->target.len);
    run->endpoints = endpoints;
    run->endpoint_count = request->endpoints.len;
    run->params = ended(request->params.ptr, request->params.len);
    run->timeout_ns = request->timeout;
    run->state = request->state.is_some ? ended(request->state.val.ptr, request->state.val.len) : NULL;
}

static void write_outcome(exports_vitald_check_checker_outcome_t *to, const vitald_run *run, vitald_verdict *verdict) {
    memset(to, 0, sizeof *to);
    to->status = (uint8_t)verdict->status;
    plugin_string_dup(&to->message, verdict->message);
    to->measurements.ptr = must(calloc(run->measurement_count + 1, sizeof *to->measurements.ptr));
    to->measurements.len = run->measurement_count;
    for (size_t i = 0; i < run->measurement_count; i++) {
        const vitald_measurement *from = &run->measurements[i];
        plugin_string_dup(&to->measurements.ptr[i].name, from->name);
        plugin_string_dup(&to->measurements.ptr[i].unit, from->unit);
        to->measurements.ptr[i].value = from->value;
        to->measurements.ptr[i].kind = from->counter ? VITALD_CHECK_TYPES_KIND_COUNTER : VITALD_CHECK_TYPES_KIND_GAUGE;
    }
    if (run->state) {
        plugin_string_t state;
        plugin_string_dup(&state, run->state);
        to->state.is_some = true;
        to->state.val = (plugin_list_u8_t){state.ptr, state.len};
    }
}

bool exports_vitald_check_checker_check(exports_vitald_check_checker_request_t *request,
                                        exports_vitald_check_checker_outcome_t *ret,
                                        exports_vitald_check_checker_error_t *err) {
    vitald_run *run = must(calloc(1, sizeof *run));
    read_request(run, request);
    vitald_verdict verdict = vitald_check(run);
    if (verdict.status < VITALD_INVALID_PARAMS) {
        write_outcome(ret, run, &verdict);
        return true;
    }
    // The cases of the interface stand in the order of ours, and have a text each.
    err->tag = (uint8_t)(verdict.status - VITALD_INVALID_PARAMS);
    plugin_string_dup(&err->val.other, verdict.message);
    return false;
}
