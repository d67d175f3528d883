use std::time::Duration;

use crate::model::found::Unconfirmed;

use super::*;

fn instance(service: &str, id: &str, status: &str) -> Instance {
    let value = json!({
        "id": id, "service": service, "address": "fd00::1", "port": 8080, "status": status, "agent": "host-1",
        "since": "2026-01-01T00:00:00.000Z", "tags": ["v2", "a"], "owner": "secret-owner",
        "metadata": {"zone": "a", "build.id-1": "x"},
    });
    serde_json::from_value(value).expect("an instance")
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn discovered(set: Set, watched: Option<&str>) -> Discovered {
    let watched = watched.map(|names| names.split(' ').map(name).collect());
    Discovered { set: watch::channel(Arc::new(set)).1, watched }
}

/// Suspects have an id that ends with a question mark.
fn found(service: &str, id: &str, status: &str) -> Found {
    let suspect = id.ends_with('?').then(Moment::default);
    Found { instance: Arc::new(instance(service, id, status)), suspect }
}

fn shop() -> Set {
    let shop = [found("shop", "a", "UP"), found("shop", "b", "DOWN"), found("shop", "c?", "UP")];
    let services = [(name("shop"), Arc::from(shop)), (name("web"), Arc::from([found("web", "w", "DEGRADED")]))];
    Set { services: Arc::new(services.into()), revision: 7, unconfirmed: None }
}

fn json_of(reply: &Reply) -> (u16, Value) {
    (reply.status.as_u16(), serde_json::from_slice(&reply.body.bytes()).expect("JSON"))
}

fn ids(body: &Value) -> String {
    let services = body["services"].as_array().expect("a list").iter();
    let words = services.map(|service| {
        let ids = service["instances"].as_array().expect("a list").iter();
        let ids: Vec<&str> = ids.map(|instance| instance["id"].as_str().expect("an id")).collect();
        format!("{}: {}", service["name"].as_str().expect("a name"), ids.join(" "))
    });
    words.collect::<Vec<_>>().join("; ")
}

#[test]
fn off_says_how_to_turn_it_on() {
    let cache = Cache::default();
    let replies = [services(None, "", &cache), service(None, "shop", ""), prometheus(None, "", &cache)];
    for reply in replies {
        let body = String::from_utf8_lossy(&reply.body.bytes()).into_owned();
        assert_eq!((reply.status.as_u16(), reply.content_type), (404, "text/plain; charset=utf-8"));
        assert!(body.ends_with("\n[discovery]\nwatch = [\"orders\"]\n"), "{body}");
    }
}

#[test]
fn nothing_known_yet_is_no_empty_list() {
    let (cache, unknown) = (Cache::default(), discovered(Set::default(), None));
    let replies = [
        services(Some(&unknown), "", &cache),
        service(Some(&unknown), "shop", ""),
        prometheus(Some(&unknown), "", &cache),
    ];
    for reply in replies {
        let (code, body) = json_of(&reply);
        assert_eq!((code, &body["error"]), (503, &"etcd has not been read yet".into()));
    }
    let empty = discovered(Set { revision: 1, ..Set::default() }, None);
    assert_eq!(json_of(&prometheus(Some(&empty), "", &cache)), (200, json!([])));
    let (code, body) = json_of(&services(Some(&empty), "", &cache));
    assert_eq!((code, &body["services"], &body["revision"]), (200, &json!([]), &json!(1)));
}

#[test]
fn instances_by_status() {
    let shop = discovered(shop(), None);
    let list = |query| json_of(&services(Some(&shop), query, &Cache::default()));
    let cases = [
        ("", "shop: a b c?; web: w"),
        ("status=UP", "shop: a c?; web: "),
        ("status=up,Degraded", "shop: a c?; web: w"),
        ("status=UP%2CDOWN", "shop: a b c?; web: "),
        ("status=DOWN&status=DEGRADED", "shop: b; web: w"),
    ];
    for (query, expected) in cases {
        let (code, body) = list(query);
        assert_eq!((code, ids(&body).as_str()), (200, expected), "{query}");
    }
    for query in ["status", "status=", "status=UP,", "status=GREEN", "colour=red"] {
        assert_eq!(list(query).0, 400, "{query}");
        assert_eq!(json_of(&service(Some(&shop), "shop", query)).0, 400, "{query}");
        assert_eq!(json_of(&prometheus(Some(&shop), query, &Cache::default())).0, 400, "{query}");
    }
}

#[test]
fn an_instance_and_how_old_that_is() {
    let now = clock::now();
    let since = Moment { boot: now.boot.saturating_sub(Duration::from_millis(1500)), ..now };
    let old = Set { unconfirmed: Some(Unconfirmed { since, why: "refused".into() }), ..shop() };
    assert_eq!(listing(&old, Filter::default(), now)["age_ms"], json!(1500.0));
    let (_, body) = json_of(&service(Some(&discovered(old, None)), "shop", ""));
    assert!(body["age_ms"].as_f64().is_some_and(|age| (1500.0..10_000.0).contains(&age)), "{body}");
    assert_eq!((&body["revision"], &body["name"]), (&json!(7), &"shop".into()));
    let expected = json!({
        "id": "c?", "address": "fd00::1", "port": 8080, "status": "UP", "since": "2026-01-01T00:00:00.000Z",
        "suspect": true, "held": false, "weight": null, "tags": ["v2", "a"],
        "metadata": {"zone": "a", "build.id-1": "x"}, "agent": "host-1",
    });
    assert_eq!(body["instances"][2], expected);
    assert_eq!(body["instances"][0]["suspect"], false);
    assert!(!body.to_string().contains("secret-owner"));
}

#[test]
fn not_watched_is_not_absent() {
    let error = |watched, asked| {
        let (code, body) = json_of(&service(Some(&discovered(shop(), watched)), asked, ""));
        (code, body["error"].as_str().map(ToOwned::to_owned))
    };
    let (code, text) = error(Some("shop web"), "other");
    assert_eq!(code, 404);
    assert!(text.is_some_and(|text| text.contains("not watched") && text.contains(r#"watch = ["shop", "web"]"#)));
    let absent = (404, Some("that service has no instance".to_owned()));
    assert_eq!(error(Some("shop other"), "other"), absent);
    assert_eq!(error(None, "other"), absent);
    assert_eq!(error(Some("shop"), "shop"), (200, None));
}

#[test]
fn prometheus_reads_groups() {
    let shop = discovered(shop(), None);
    let (code, body) = json_of(&prometheus(Some(&shop), "", &Cache::default()));
    assert_eq!((code, body.as_array().map(Vec::len)), (200, Some(4)));
    let expected = json!({
        "targets": ["[fd00::1]:8080"],
        "labels": {
            "__meta_vitald_agent": "host-1",
            "__meta_vitald_instance": "c?",
            "__meta_vitald_metadata_build_id_1": "x",
            "__meta_vitald_metadata_zone": "a",
            "__meta_vitald_service": "shop",
            "__meta_vitald_status": "UP",
            "__meta_vitald_suspect": "true",
            "__meta_vitald_tags": ",v2,a,",
        },
    });
    assert_eq!(body[2], expected);
    let (_, body) = json_of(&prometheus(Some(&shop), "status=DOWN", &Cache::default()));
    assert_eq!(body[0]["labels"]["__meta_vitald_instance"], "b");
    assert_eq!(body.as_array().map(Vec::len), Some(1));
}

#[test]
fn forms_are_kept_apart() {
    let (cache, shop) = (Cache::default(), discovered(shop(), None));
    let all = services(Some(&shop), "", &cache);
    let up = services(Some(&shop), "status=UP", &cache);
    let targets = prometheus(Some(&shop), "", &cache);
    assert_eq!(services(Some(&shop), "status=up", &cache).body, up.body);
    assert_eq!(services(Some(&shop), "", &cache).body, all.body);
    assert_eq!(prometheus(Some(&shop), "", &cache).body, targets.body);
    assert!(all.body != up.body && all.body != targets.body);
}
