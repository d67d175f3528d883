//! Values for the unit tests of this part.

use std::sync::Arc;
use std::time::Duration;

use crate::etcd;
use crate::model::check::TlsDef;
use crate::model::snapshot::{Aggregate, HealthSnapshot, ServiceView};
use crate::model::testing::{at, name, service};

use super::{Advertise, Config, Dialect, OnDown, OnStop};

pub fn config() -> Config {
    Config {
        agent_id: name("web-1"),
        advertise: Advertise::Auto,
        listen: vec![([0, 0, 0, 0], 9720).into()],
        etcd: etcd::Config {
            endpoints: Vec::new(),
            credentials: None,
            tls: TlsDef::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(3),
        },
        prefix: "/services".into(),
        agents_prefix: "/vitald/agents".into(),
        ttl: Duration::from_secs(15),
        dialects: vec![Dialect::Native],
        on_down: OnDown::Remove,
        on_stop: OnStop::Remove,
        keep_at_least: 0,
        drain: Duration::ZERO,
        state_dir: "/nowhere".into(),
    }
}

/// The service `orders`, for 99 s.
pub fn view(aggregate: Aggregate) -> ServiceView {
    ServiceView {
        definition: Arc::new(service("orders")),
        aggregate,
        since: at(1),
        registrable: aggregate.serves(),
        decided: aggregate != Aggregate::Pending,
        checks: Vec::new(),
        maintenance: None,
    }
}

pub fn snapshot(view: ServiceView) -> HealthSnapshot {
    HealthSnapshot { at: at(100), services: [(name("orders"), view)].into(), loaded: true, ..HealthSnapshot::default() }
}
