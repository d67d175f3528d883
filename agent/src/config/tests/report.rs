//! `[[report]]`

use super::*;

#[test]
fn a_report_and_its_defaults() {
    assert!(good("").report.is_none());
    let text = r#"
[[report]]
url = "https://Central.example/in?key=${env:PATH}"
[[report]]
name = "second"
url = "http://[::1]:8080"
interval = "1s"
on_change = false
headers = { X-Site = "a", Authorization = "Basic abc" }
gzip = false
timeout = "1s"
buffer = "1MiB"
[[report]]
url = "http://central.example:9721/"
token_file = "token"
"#;
    let config = good(text).report.expect("reports");
    let [first, second, third] = &config.targets[..] else { panic!("{config:?}") };
    let names = [first, second, third].map(|target| target.name.to_string());
    assert_eq!(names, ["central.example", "second", "central.example-9721"]);
    assert_eq!((first.interval, first.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!((first.on_change, first.gzip, first.buffer), (true, true, 64 << 20));
    assert_eq!((first.url.secure, first.url.port, first.url.authority.as_str()), (true, 443, "Central.example"));
    assert_eq!(first.url.shown, "https://Central.example/in");
    assert!(first.url.path.query().is_some_and(|query| query.len() > "key=".len()));
    let url = &second.url;
    assert_eq!(
        (url.host.as_str(), url.port, url.authority.as_str(), url.path.as_str()),
        ("::1", 8080, "[::1]:8080", "/")
    );
    assert_eq!((second.on_change, second.gzip, second.buffer), (false, false, 1 << 20));
    assert!(!format!("{second:?}").contains("Basic abc"), "{second:?}");
    assert_eq!(second.warning(), None, "the loopback is nobody else's");
    assert_eq!(third.token_file, Some(PathBuf::from("/etc/vitald/token")));
    assert!(third.warning().is_some_and(|warning| warning.contains("clear text")));
}

#[test]
fn mistakes_in_a_report() {
    let url = "url = \"https://h/\"";
    let cases = [
        (String::new(), "report.0: url is missing"),
        ("url = \"h/x\"".into(), "report.0.url: not a URL"),
        ("url = \"ftp://h/x\"".into(), "not a URL that reports go to"),
        ("url = \"http://u:p@h/\"".into(), "a user in the URL"),
        ("url = \"http://h:0/\"".into(), "no number from 1"),
        ("url = \"http://h:x/\"".into(), "report.0.url: the port"),
        ("url = \"http://h/#x\"".into(), "what follows a #"),
        ("url = \"http://h/\"\ntls = { ca_file = \"x\" }".into(), "TLS would not be used"),
        (format!("{url}\ninterval = \"100ms\""), "report.0.interval: 1s to 1day"),
        (format!("{url}\ntimeout = \"1h\""), "report.0.timeout: 100ms to 5m"),
        (format!("{url}\nbuffer = \"1KiB\""), "report.0.buffer: 64KiB to 64GiB"),
        (format!("{url}\nheaders = {{ Host = \"x\" }}"), "report.0.headers.Host: the agent itself"),
        (format!("{url}\nheaders = {{ \"a b\" = \"x\" }}"), "no name of a header"),
        (format!("{url}\nheaders = {{ a = \"x\\ny\" }}"), "one line of text"),
        (format!("{url}\nheaders = {{ a = \"x\", A = \"y\" }}"), "there twice"),
        (format!("{url}\ntoken_file = \"t\"\nheaders = {{ Authorization = \"x\" }}"), "says it already"),
        (format!("{url}\nname = \"A\""), "report.A.name: \"A\" is not a name"),
        (format!("{url}\nintervall = \"1s\""), "did you mean \"interval\"?"),
        (format!("{url}\n[[report]]\n{url}"), "of the name \"h\" already at /etc/vitald/vitald.toml:3"),
    ];
    for (lines, problem) in cases {
        let found = mistakes(&format!("[[report]]\n{lines}\n"));
        assert!(found.len() == 1 && found[0].contains(problem), "{lines}: {found:?} is not {problem}");
    }
}
