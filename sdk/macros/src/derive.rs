//! `#[params]` and `#[state]`: the derives that a checker's types need, with the SDK's own serde and schemars.
//!
//! A derive looks for the crate that it belongs to by name, in the dependencies of the crate that uses it, unless an
//! attribute says where else it is. A derive cannot add attributes; an attribute can add both.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Item;

pub(crate) fn params(attribute: &TokenStream, item: &TokenStream) -> TokenStream {
    let derives = quote! {
        #[derive(::vitald_sdk::__private::serde::Deserialize, ::vitald_sdk::__private::schemars::JsonSchema)]
        #[serde(crate = "::vitald_sdk::__private::serde", deny_unknown_fields)]
        #[schemars(crate = "::vitald_sdk::__private::schemars")]
    };
    derived("params", attribute, item, &derives)
}

/// Unknown fields are let be: a version before this one may have left them.
pub(crate) fn state(attribute: &TokenStream, item: &TokenStream) -> TokenStream {
    let derives = quote! {
        #[derive(::vitald_sdk::__private::serde::Serialize, ::vitald_sdk::__private::serde::Deserialize)]
        #[serde(crate = "::vitald_sdk::__private::serde")]
    };
    derived("state", attribute, item, &derives)
}

fn derived(name: &str, attribute: &TokenStream, item: &TokenStream, derives: &TokenStream) -> TokenStream {
    let fault = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(_) | Item::Enum(_)) if attribute.is_empty() => return quote!(#derives #item),
        Ok(Item::Struct(_) | Item::Enum(_)) => format!("#[{name}] takes no options: put #[serde(..)] below it"),
        _ => format!("#[{name}] goes on a struct or an enum"),
    };
    let error = syn::Error::new(Span::call_site(), fault).to_compile_error();
    quote!(#item #error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct, an enum, and what neither of the two goes on.
    fn items() -> [TokenStream; 3] {
        let parsed = ["struct P { a: u8 }", "enum E { A }", "fn f() {}"].map(str::parse);
        parsed.map(|item| item.expect("tokens"))
    }

    #[test]
    fn derives_on_structs_and_enums() {
        let [a_struct, an_enum, _] = items();
        for item in [a_struct, an_enum] {
            let text = params(&quote!(), &item).to_string();
            assert!(text.contains("JsonSchema") && text.contains("deny_unknown_fields"), "{text}");
            let text = state(&quote!(), &item).to_string();
            assert!(text.contains("Serialize") && !text.contains("deny_unknown_fields"), "{text}");
        }
    }

    #[test]
    fn refuses_options_and_other_items() {
        let [a_struct, _, function] = items();
        for expanded in [params, state] {
            assert!(expanded(&quote!(default), &a_struct).to_string().contains("compile_error"));
            assert!(expanded(&quote!(), &function).to_string().contains("compile_error"));
        }
    }
}
