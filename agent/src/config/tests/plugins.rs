//! `[plugins]`

use crate::model::checkset::ReloadGate;

use super::*;

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";

#[test]
fn rules_and_their_defaults() {
    let rules = good("").definitions.rules.clone();
    assert_eq!((rules.reload, rules.pins.len(), rules.overrides.len()), (ReloadGate::Auto, 0, 0));
    let text = format!(
        "[plugins]\nreload = \"same-powers\"\noverride = [\"tcp\"]\n\
         pin = {{ orders = \"sha256:{DIGEST}\", tcp = \"sha256:{DIGEST}\" }}\n"
    );
    let rules = good(&text).definitions.rules.clone();
    assert_eq!(rules.reload, ReloadGate::SamePowers);
    assert_eq!(rules.pins[&name("orders")], DIGEST.to_ascii_lowercase());
    assert!(rules.overrides.contains(&name("tcp")));
    let rules = good("[plugins]\nreload = \"manual\"\n").definitions.rules.clone();
    assert_eq!(rules.reload, ReloadGate::Manual);
}

#[test]
fn mistakes_in_the_rules() {
    let cases = [
        ("reload = \"never\"".to_owned(), "4: plugins.reload: \"never\" is not known; write \"auto\" or"),
        ("pin = { orders = \"abc\" }".into(), "4: plugins.pin.orders: \"abc\" is no digest: write sha256: and 64 hex"),
        (format!("pin = {{ orders = \"{DIGEST}\" }}"), "write sha256: and 64 hex digits"),
        (format!("pin = {{ orders = \"sha256:{DIGEST}0\" }}"), "write sha256: and 64 hex digits"),
        (format!("pin = {{ Orders = \"sha256:{DIGEST}\" }}"), "\"Orders\" is not a name"),
        (format!("pin = {{ tcp = \"sha256:{DIGEST}\" }}"), "\"tcp\" is bundled, and a pin is for a file"),
        (format!("[plugins.pin]\n\norders = \"{DIGEST}\""), "6: plugins.pin.orders: "),
        ("override = [\"orders\"]".into(), "4: plugins.override: \"orders\" is no bundled checker"),
        ("override = [\"tcp\", \"tcp\"]".into(), "there twice"),
        ("override = [\"T C P\"]".into(), "is not a name"),
        ("override = \"tcp\"".into(), "plugins.override: "),
        ("pins = {}".into(), "did you mean \"pin\"?"),
    ];
    for (line, problem) in cases {
        let found = mistakes(&format!("[plugins]\n{line}\n"));
        assert!(found.len() == 1 && found[0].contains(problem), "{line}: {found:?} is not {problem}");
    }
}
