// Run by `make test`, on this machine and without the agent.
#include <stdio.h>
#include <string.h>

#include "vitald_testing.h"

vitald_verdict judge(const char *line, const char *starts_with);

static int failures;

static void is_true(bool so, const char *what) {
    printf("%s: %s\n", so ? "ok" : "FAILED", what);
    failures += !so;
}

static void is(vitald_verdict verdict, vitald_status status, const char *message, const char *what) {
    bool so = verdict.status == status && strcmp(verdict.message, message) == 0;
    is_true(so, what);
    if (!so) {
        printf("    it was %d %s, and not %d %s\n", verdict.status, verdict.message, status, message);
    }
}

static void judges(void) {
    is(judge("220 mail ready", "220"), VITALD_UP, "220 mail ready", "the line starts as it should");
    is(judge("500 no", "220"), VITALD_DOWN, "unexpected greeting: 500 no", "the line starts otherwise");
    is(judge("220 \xff\x1b[2J\xc3\xa9", "220"), VITALD_UP, "220 ? [2J\xc3\xa9", "what is no text is not repeated");
}

static void runs(void) {
    vitald_run run;
    uint16_t port = testing_peer("220 mail ready\r\nmore\r\n");
    is(testing_trial(&run, port, "{}"), VITALD_UP, "220 mail ready", "a greeting is read");
    is_true(run.measurement_count == 1 && strcmp(run.measurements[0].name, "connect") == 0, "the connect is measured");
    testing_end_peer();

    port = testing_peer("SSH-2.0-x\n");
    is(testing_trial(&run, port, "{\"starts_with\": \"SSH-\"}"), VITALD_UP, "SSH-2.0-x", "another greeting");
    testing_end_peer();
}

static void fails(void) {
    vitald_run run;
    char message[VITALD_MESSAGE];
    uint16_t port = testing_peer("");
    snprintf(message, sizeof message, "read 127.0.0.1:%u: connection closed", port);
    is(testing_trial(&run, port, "{}"), VITALD_DOWN, message, "an end without a greeting");
    testing_end_peer();
    snprintf(message, sizeof message, "connect 127.0.0.1:%u: refused", port);
    is(testing_trial(&run, port, "{}"), VITALD_DOWN, message, "a port that refuses");
}

static void reads_parameters(void) {
    vitald_run run = {.params = "{\"a\": {\"b\": [\"}\", 1]}, \"b\": \"\\u00e9\\ud83d\\ude00\\n\\\"\", \"n\": -1.5e1}"};
    is_true(strcmp(vitald_param(&run, "b", ""), "\xc3\xa9\xf0\x9f\x98\x80\n\"") == 0, "a text with escapes");
    is_true(vitald_param_number(&run, "n", 0) == -15, "a number");
    is_true(strcmp(vitald_param(&run, "c", "none"), "none") == 0, "one that is not there");
    is_true(vitald_param_number(&run, "a", 7) == 7, "one of another type");
}

int main(void) {
    judges();
    runs();
    fails();
    reads_parameters();
    return failures != 0;
}
