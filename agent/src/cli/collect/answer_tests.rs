//! Requests and what is answered.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::runtime::Handle;

use super::*;

struct Desk {
    receiver: Receiver,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(token: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let token_file = token.map(|token| {
            let path = dir.path().join("token");
            std::fs::write(&path, token).expect("writes");
            path
        });
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let ledger = Ledger::open(&dir.path().join("out.jsonl")).expect("opens");
        let receiver = Receiver::new(ledger, token_file, supervisor).expect("a schema");
        Self { receiver, dir }
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> u16 {
        self.said(headers, body).await.0
    }

    async fn said(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> (u16, String) {
        let mut request = Request::builder().method("POST").uri("/any/path");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.receiver.answer(request.body(Full::new(body.into())).expect("a request")).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn lines(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("out.jsonl")).expect("a file").lines().count()
    }
}

/// The example of the README, with another number.
fn report(sequence: u64) -> String {
    let readme = include_str!("../../report/README.md");
    let example = readme.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let mut report: Value = serde_json::from_str(example).expect("JSON");
    report["sequence"] = sequence.into();
    report.to_string()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

const GZIP: &[(&str, &str)] = &[("content-encoding", "gzip")];

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_written_once_packed_or_not() {
    let desk = Desk::new(None);
    assert_eq!(desk.post(&[], report(1)).await, 204);
    assert_eq!(desk.post(GZIP, gzip(report(2).as_bytes())).await, 204);
    assert_eq!(desk.post(&[], report(2)).await, 204);
    assert_eq!(desk.lines(), 2);
    let text = std::fs::read_to_string(desk.dir.path().join("out.jsonl")).expect("a file");
    let line: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["report"]["sequence"], line["received"].is_string()), (&1.into(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_report_is_refused_for_good() {
    let desk = Desk::new(None);
    let newer = report(1).replace("\"schema_version\":1", "\"schema_version\":2");
    let nameless = report(1).replace("\"stream\":", "\"strea\":");
    let extended = report(3).replace("\"schema_version\":1", "\"schema_version\":1,\"of_later\":{\"a\":1}");
    assert!(newer != report(1) && nameless != report(1) && extended != report(3));
    assert_eq!(desk.post(&[], "{").await, 400);
    assert_eq!(desk.post(&[], "").await, 400);
    assert_eq!(desk.post(&[], "{}").await, 422);
    assert_eq!(desk.post(&[], newer).await, 422);
    let (status, said) = desk.said(&[], report(1).replace("\"agent\":", "\"agen\":")).await;
    assert!(status == 422 && said.starts_with("no report that this vitald knows: \"agent\""), "{said}");
    let bomb = format!("[{}]", vec!["{\"\":0}"; 500_000].join(","));
    assert_eq!(desk.post(GZIP, gzip(bomb.as_bytes())).await, 422);
    let head = "{\"schema_version\":1,\"stream\":\"s\",\"sequence\":1,\"time\":\"t\",\"x\":";
    assert_eq!(desk.post(GZIP, gzip(format!("{head}{bomb}}}").as_bytes())).await, 422);
    assert_eq!(desk.post(&[], nameless).await, 422);
    assert_eq!(desk.post(GZIP, report(1)).await, 400);
    let packed = gzip(report(1).as_bytes());
    assert_eq!(desk.post(GZIP, packed[..packed.len() - 1].to_vec()).await, 400);
    assert_eq!(desk.post(&[("content-encoding", "br")], report(1)).await, 415);
    assert_eq!(desk.post(&[], vec![b' '; LARGEST + 1]).await, 413);
    assert_eq!(desk.post(GZIP, gzip(&vec![b' '; LARGEST + 1])).await, 413);
    assert_eq!(desk.lines(), 0);
    assert_eq!(desk.post(&[], extended).await, 204, "fields may be added");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_read_anew() {
    let desk = Desk::new(Some("first\n"));
    let bearer = |token: &str| format!("Bearer {token}");
    for wrong in ["first\n", "firs", "firsty", ""] {
        // A header cannot hold the newline.
        let header = bearer(wrong.trim_end_matches('\n')).replace("first", "furst");
        assert_eq!(desk.post(&[("authorization", &header)], report(1)).await, 401, "{wrong:?}");
    }
    assert_eq!(desk.post(&[], report(1)).await, 401);
    assert_eq!(desk.post(&[("authorization", "Basic first")], report(1)).await, 401);
    assert_eq!(desk.post(&[("authorization", &bearer("first"))], report(1)).await, 204);
    std::fs::write(desk.dir.path().join("token"), "second").expect("writes");
    assert_eq!(desk.post(&[("authorization", &bearer("first"))], report(2)).await, 401);
    assert_eq!(desk.post(&[("authorization", &bearer("second"))], report(2)).await, 204);
    std::fs::remove_file(desk.dir.path().join("token")).expect("removes");
    let (status, said) = desk.said(&[("authorization", &bearer("second"))], report(3)).await;
    assert_eq!((status, &*said), (503, "the token cannot be read here\n"), "no path");
    std::fs::write(desk.dir.path().join("token"), "\n").expect("writes");
    assert_eq!(desk.post(&[("authorization", "Bearer ")], report(3)).await, 503, "none is no token");
    assert_eq!(desk.lines(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post() {
    let desk = Desk::new(None);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri("/").body(Full::<Bytes>::default()).expect("a request");
        let response = desk.receiver.answer(request).await;
        let allow = response.headers().get(ALLOW).and_then(|value| value.to_str().ok());
        assert_eq!((response.status().as_u16(), allow), (405, Some("POST")));
    }
}
