//! `[plugins]`: which versions of plugins may run.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::checkset::{PluginRules, ReloadGate};
use crate::model::name::Name;
use crate::plugins::is_bundled;

use super::entries::word;
use super::raw::RawPlugins;
use super::table::{Context, Field, Place};

/// Of a SHA-256 in hex.
const DIGEST_LENGTH: usize = 64;

/// `[plugins]`
pub fn rules(raw: Option<&RawPlugins>, context: &Context<'_>) -> PluginRules {
    let Some(raw) = raw else { return PluginRules::default() };
    let gates = [("auto", ReloadGate::Auto), ("same-powers", ReloadGate::SamePowers), ("manual", ReloadGate::Manual)];
    let overrides = raw.overrides.as_ref().map(|field| overrides(field, context)).unwrap_or_default();
    PluginRules {
        reload: word(raw.reload.as_ref(), ReloadGate::Auto, &gates, context),
        pins: raw.pin.as_ref().map(|field| pins(field, &overrides, context)).unwrap_or_default(),
        overrides,
    }
}

fn overrides(field: &Field<Vec<String>>, context: &Context<'_>) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    for text in &field.value {
        let Some(name) = name(text, &field.place, context) else { continue };
        if !is_bundled(&name) {
            let problem = format!("{name:?} is no bundled checker: a file of that name needs no override");
            context.mistake(&field.place, problem);
        } else if !found.insert(name) {
            context.mistake(&field.place, format!("{text:?} is there twice"));
        }
    }
    found
}

fn pins(
    field: &Field<BTreeMap<String, String>>,
    overrides: &BTreeSet<Name>,
    context: &Context<'_>,
) -> BTreeMap<Name, String> {
    let mut found = BTreeMap::new();
    for (text, written) in &field.value {
        let place = context.notes.borrow().place_within(&field.place, "plugins", &format!("pin.{text}"));
        let Some(name) = name(text, &place, context) else { continue };
        if is_bundled(&name) && !overrides.contains(&name) {
            let problem = format!(
                "{name:?} is bundled, and a pin is for a file: write override = [\"{name}\"] too, or remove the pin"
            );
            context.mistake(&place, problem);
        }
        match digest(written) {
            Some(digest) => _ = found.insert(name, digest),
            None => context.mistake(&place, format!("{written:?} is no digest: write sha256: and 64 hex digits")),
        }
    }
    found
}

fn name(text: &str, place: &Place, context: &Context<'_>) -> Option<Name> {
    text.parse::<Name>().map_err(|error| context.mistake(place, error.to_string())).ok()
}

/// The digits of `sha256:HEX`, in lower case as digests are compared.
fn digest(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:")?;
    let fits = digits.len() == DIGEST_LENGTH && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| digits.to_ascii_lowercase())
}
