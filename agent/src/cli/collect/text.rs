//! The text of one report: looked at before anything is built from it, because a small body may stand for much memory,
//! and written down as it came. Pure.

use serde::de::IgnoredAny;
use serde_json::error::Category;

/// Objects and lists of a report. One of 8 MiB with real checks has a quarter of that.
const MAX_NESTS: usize = 200_000;
/// Fields and elements of a report.
const MAX_COMMAS: usize = 1_200_000;

/// What tells one report from another.
#[derive(Debug, serde::Deserialize)]
pub struct Head {
    pub stream: String,
    pub sequence: u64,
    /// RFC 3339 in UTC with milliseconds, which sorts as text.
    pub time: String,
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("no report that this vitald knows: {0}")]
    NotAReport(String),
}

/// Reads what every report has, without building the rest.
pub fn head(json: &[u8]) -> Result<Head, TextError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        #[serde(rename = "schema_version")]
        _schema_version: u32,
        stream: String,
        sequence: u64,
        time: String,
    }
    let _: IgnoredAny = serde_json::from_slice(json).map_err(TextError::NotJson)?;
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(TextError::NotAReport("it is no object".to_owned()));
    }
    let read = serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => TextError::NotAReport(error.to_string()),
        _ => TextError::NotJson(error),
    });
    let Versioned { stream, sequence, time, .. } = read?;
    Ok(Head { stream, sequence, time })
}

/// Is it of a size that may be built?
pub fn bounded(json: &[u8]) -> Result<(), TextError> {
    let (mut nests, mut commas, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => nests = nests.saturating_add(1),
            b',' if !in_text => commas = commas.saturating_add(1),
            _ => {}
        }
    }
    if nests > MAX_NESTS || commas > MAX_COMMAS {
        return Err(TextError::NotAReport(format!("it has {nests} objects and lists, and {commas} commas")));
    }
    Ok(())
}

/// One line of the file. Within texts JSON has no newlines, so none of them means anything.
pub fn line(received: &str, json: &[u8]) -> Vec<u8> {
    let mut line = format!("{{\"received\":\"{received}\",\"report\":").into_bytes();
    line.reserve(json.len().saturating_add(2));
    line.extend(json.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    line.extend_from_slice(b"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_nothing_else() {
        let head = head(br#" {"a":[{"":0}],"schema_version":1,"stream":"s","sequence":7,"time":"t"}"#).expect("a head");
        assert_eq!((&*head.stream, head.sequence, &*head.time), ("s", 7, "t"));
        for json in [r#"[1,"s",7,"t"]"#, "{}", "7", r#"{"schema_version":1,"stream":"s","sequence":1.0,"time":"t"}"#] {
            assert!(matches!(super::head(json.as_bytes()), Err(TextError::NotAReport(_))), "{json}");
        }
        for json in ["", "{", "{\"a\":\"\n\"}", "nul"] {
            assert!(matches!(super::head(json.as_bytes()), Err(TextError::NotJson(_))), "{json}");
        }
    }

    #[test]
    fn what_would_take_much_memory_is_not_built() {
        let many = |part: &str, times: usize| format!("[{}]", vec![part; times].join(","));
        bounded(many("{\"\":0}", MAX_NESTS - 1).as_bytes()).expect("as many as may be");
        bounded(many("{\"\":0}", MAX_NESTS).as_bytes()).expect_err("one more");
        bounded(many("0", MAX_COMMAS + 2).as_bytes()).expect_err("numbers count too");
        bounded(format!("[\"{}\\\"{}\"]", "[".repeat(MAX_NESTS), "{".repeat(MAX_NESTS)).as_bytes()).expect("a text");
    }

    #[test]
    fn a_line_is_what_came() {
        let line = line("now", b"{\r\n \"a\": 1e15\n}");
        assert_eq!(line, b"{\"received\":\"now\",\"report\":{ \"a\": 1e15}}\n");
    }
}
