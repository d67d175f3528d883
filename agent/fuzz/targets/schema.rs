//! A schema and parameters: `SCHEMA\0PARAMS`. Both are judged within bounds; libFuzzer's `-timeout` says how long that
//! may take.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitald::plugins::schema::ParamsSchema;

fuzz_target!(|text: &str| {
    let (schema, params) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(schema) = ParamsSchema::parse(schema) else { return };
    if let Ok(serde_json::Value::Object(params)) = serde_json::from_str(params) {
        let _ = schema.check(&params);
    }
});
