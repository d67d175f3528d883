//! A target: no text panics, and what is shown of it never has its password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitald::model::target::Target;

/// Nothing that a target may hold elsewhere.
const PASSWORD: &str = "Hu!nter2~pass";

fuzz_target!(|text: &str| {
    let text = text.replace(PASSWORD, "");
    // Wherever a `*` stands, there the password is.
    let Ok(target) = Target::parse(&text.replace('*', PASSWORD)) else { return };
    let _ = target.endpoints(None);
    let endpoints = target.endpoints(Some(1));
    assert!(endpoints.is_ok_and(|all| !all.is_empty()), "{text}: no endpoint in spite of a default port");
    let Some(password) = target.password() else { return };
    if password.contains(PASSWORD) {
        let shown = [target.to_string(), format!("{target:?}")];
        let elsewhere = target.url().matches(PASSWORD).count() > password.matches(PASSWORD).count();
        assert!(elsewhere || shown.iter().all(|shown| !shown.contains(PASSWORD)), "{text}: {shown:?}");
    }
});
