// A checker in C: it waits for a line from a TCP service and looks at how it starts.
#include <string.h>

#include "vitald.h"

#define STARTS_WITH "220"

const vitald_about VITALD_ABOUT = {
    .summary = "Waits for a line from a TCP service and looks at how it starts.",
    .version = "0.1.0",
    .schemes = {{"tcp", 0}, {"smtp", 25}, {"smtps", 465}},
    .schema = "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\"starts_with\": {"
              "\"type\": \"string\", \"default\": \"" STARTS_WITH "\","
              "\"description\": \"What the first line must start with.\"}}}",
};

vitald_verdict judge(const char *line, const char *starts_with) {
    if (strncmp(line, starts_with, strlen(starts_with)) == 0) {
        return vitald_up(line, "");
    }
    return vitald_down("unexpected greeting: ", line);
}

vitald_verdict vitald_check(vitald_run *run) {
    vitald_stream *stream = vitald_connect(run);
    if (!stream) {
        return vitald_failed(run);
    }
    vitald_measure(run, "connect", vitald_seconds(stream, "connect"), "seconds");
    char line[4096];
    if (!vitald_read_line(stream, line, sizeof line)) {
        return vitald_failed(run);
    }
    return judge(line, vitald_param(run, "starts_with", STARTS_WITH));
}
