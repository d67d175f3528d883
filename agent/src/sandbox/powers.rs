//! What a plugin asks for beyond computing, read off its imports. An import is no power by itself: the grants of its
//! checks decide. But a version that imports more than the one before asks for more, which somebody may want to know.

use std::collections::BTreeSet;

use wasmtime::component::Component;

use crate::model::checkset::{Power, Powers};

/// The interfaces that a component imports, such as `wasi:sockets/tcp@0.2.3`.
pub fn imports(engine: &wasmtime::Engine, component: &Component) -> BTreeSet<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

pub fn powers<'a>(imports: impl IntoIterator<Item = &'a str>) -> Powers {
    imports.into_iter().filter_map(power).collect()
}

/// Clocks, random numbers, logs and standard output are given to everybody; environment, arguments and standard input
/// are empty for everybody.
fn power(import: &str) -> Option<Power> {
    let interface = import.split('@').next().unwrap_or(import);
    match interface {
        "vitald:check/net" | "wasi:http/outgoing-handler" => Some(Power::Network),
        "vitald:check/host" => Some(Power::HostNumbers),
        _ if interface.starts_with("wasi:sockets/") => Some(Power::Network),
        _ if interface.starts_with("wasi:filesystem/") => Some(Power::Files),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_become_powers() {
        let none = ["wasi:clocks/wall-clock@0.2.9", "wasi:random/random@0.2.9", "wasi:cli/environment@0.2.0"];
        let none =
            none.into_iter().chain(["vitald:check/log@0.1.0", "vitald:check/types@0.1.0", "wasi:http/types@0.2.0"]);
        assert_eq!(powers(none), Powers::new());
        let network = Powers::from([Power::Network]);
        for import in [
            "vitald:check/net@0.1.0",
            "wasi:sockets/tcp@0.2.3",
            "wasi:sockets/udp-create-socket@0.2.3",
            "wasi:sockets/ip-name-lookup@0.2.3",
            "wasi:sockets/instance-network@0.2.3",
            "wasi:http/outgoing-handler@0.2.10",
        ] {
            assert_eq!(powers([import]), network, "{import}");
        }
        let all = ["vitald:check/host@0.1.0", "wasi:filesystem/preopens@0.2.0", "wasi:sockets/network@0.2.0"];
        assert_eq!(powers(all), Powers::from([Power::Network, Power::HostNumbers, Power::Files]));
    }

    #[test]
    fn versions_and_additions_to_the_standard_library_ask_for_nothing() {
        let before = ["wasi:cli/stdout@0.2.3", "vitald:check/net@0.1.0"];
        let after = ["wasi:cli/stdout@0.2.9", "wasi:random/insecure-seed@0.2.9", "vitald:check/net@0.1.1"];
        assert_eq!(powers(before), powers(after));
    }
}
