use crate::model::testing::{name, service};

use super::*;

fn orders() -> ServiceDef {
    ServiceDef { id: name("orders-web-1"), ..service("orders") }
}

fn entry(service: &ServiceDef) -> Entry<'_> {
    Entry {
        service,
        host: "10.0.0.5".into(),
        status: "UP",
        since: "2026-01-02T03:04:05.000Z".into(),
        held: false,
        agent: "web-1",
        owner: "me",
        ttl: 15,
    }
}

fn grpc() -> Dialect {
    Dialect::Grpc { prefix: "grpc".into() }
}

fn skydns() -> Dialect {
    Dialect::Skydns { prefix: "/skydns".into(), domain: "services.local".into() }
}

fn traefik() -> Dialect {
    Dialect::Traefik { root: "traefik".into(), scheme: "http".into() }
}

fn written(dialect: &Dialect, service: &ServiceDef) -> (String, String) {
    (dialect.key("/services", service, "10.0.0.5"), dialect.value(&entry(service)))
}

#[test]
fn native_is_as_design_7_has_it() {
    let (key, value) = written(&Dialect::Native, &orders());
    assert_eq!(key, "/services/orders/orders-web-1");
    let expected = r#"{"id":"orders-web-1","service":"orders","address":"10.0.0.5","port":8080,"status":"UP","since":"2026-01-02T03:04:05.000Z","weight":null,"tags":[],"metadata":{},"agent":"web-1","owner":"me"}"#;
    assert_eq!(value, expected);
    let service = orders();
    let held = Dialect::Native.value(&Entry { status: "DOWN", held: true, ..entry(&service) });
    assert!(held.contains(r#""status":"DOWN""#) && held.ends_with(r#""held":true}"#), "{held}");
}

#[test]
fn plain_is_host_and_port() {
    assert_eq!(
        written(&Dialect::Plain, &orders()),
        ("/services/orders/orders-web-1".to_owned(), "10.0.0.5:8080".to_owned())
    );
    let service = orders();
    let v6 = Dialect::Plain.value(&Entry { host: "fd00::1".into(), ..entry(&service) });
    assert_eq!(v6, "[fd00::1]:8080");
}

/// "Update" in client/v3/naming/endpoints/internal/update.go of etcd-io/etcd: `Op Operation` (Add is 0),
/// `Addr string`, `Metadata interface{}`, without JSON tags; Go's encoder writes exactly these bytes.
#[test]
fn grpc_is_what_etcds_go_package_writes() {
    let (key, value) = written(&grpc(), &orders());
    assert_eq!(key, "grpc/orders/10.0.0.5:8080");
    assert_eq!(value, r#"{"Op":0,"Addr":"10.0.0.5:8080","Metadata":null}"#);
    let zone = ServiceDef { metadata: [("zone".to_owned(), "a".to_owned())].into(), ..orders() };
    assert_eq!(written(&grpc(), &zone).1, r#"{"Op":0,"Addr":"10.0.0.5:8080","Metadata":{"zone":"a"}}"#);
}

/// <https://coredns.io/plugins/etcd/>: `etcdctl put /skydns/local/skydns/x1 '{"host":"1.1.1.1","ttl":60}'`, and, for
/// SRV records, `{"host":"192.0.2.10","port":20050,..}`; the order is that of `Service` in plugin/etcd/msg/service.go.
#[test]
fn skydns_is_what_coredns_reads() {
    let (key, value) = written(&skydns(), &orders());
    assert_eq!(key, "/skydns/local/services/orders/orders-web-1");
    assert_eq!(value, r#"{"host":"10.0.0.5","port":8080,"ttl":15}"#);
    let weighty = ServiceDef { weight: Some(10), ..orders() };
    assert_eq!(written(&skydns(), &weighty).1, r#"{"host":"10.0.0.5","port":8080,"weight":10,"ttl":15}"#);
    let dotted = ServiceDef { id: name("a.b"), name: name("x.y"), ..orders() };
    assert_eq!(written(&skydns(), &dotted).0, "/skydns/local/services/y/x/b/a");
}

/// <https://doc.traefik.io/traefik/routing/providers/kv/>: `traefik/http/services/myservice/loadbalancer/servers/0/url`
/// is `http://<ip-server-1>:<port-server-1>/`.
#[test]
fn traefik_has_a_list_index_of_its_own_for_each_instance() {
    let (key, value) = written(&traefik(), &orders());
    assert_eq!(key, "traefik/http/services/orders/loadbalancer/servers/8838715530322986302/url");
    assert_eq!(value, "http://10.0.0.5:8080");
    for id in ["a", "orders-web-2", "x".repeat(63).as_str()] {
        let index = list_index(id);
        assert!(i64::try_from(index).is_ok(), "{index} is no Go int");
    }
    assert_ne!(list_index("a"), list_index("b"));
}

#[test]
fn keys_stand_below_their_group() {
    for dialect in [Dialect::Native, Dialect::Plain, grpc(), skydns(), traefik()] {
        let group = dialect.group("/services", "orders");
        assert!(group.ends_with('/') && written(&dialect, &orders()).0.starts_with(&group), "{group}");
    }
}
