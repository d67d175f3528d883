//! `#[params]`: the derives that a checker's parameters need, with the SDK's own serde and schemars.
//!
//! A derive looks for the crate that it belongs to by name, in the dependencies of the crate that uses it, unless an
//! attribute says where else it is. A derive cannot add attributes; an attribute can add both.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Item;

pub(crate) fn expand(attribute: &TokenStream, item: &TokenStream) -> TokenStream {
    let fault = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(_) | Item::Enum(_)) if attribute.is_empty() => return derived(item),
        Ok(Item::Struct(_) | Item::Enum(_)) => "#[params] takes no options: put #[serde(..)] below it",
        _ => "#[params] goes on a struct or an enum",
    };
    let error = syn::Error::new(Span::call_site(), fault).to_compile_error();
    quote!(#item #error)
}

fn derived(item: &TokenStream) -> TokenStream {
    quote! {
        #[derive(::vitald_sdk::__private::serde::Deserialize, ::vitald_sdk::__private::schemars::JsonSchema)]
        #[serde(crate = "::vitald_sdk::__private::serde", deny_unknown_fields)]
        #[schemars(crate = "::vitald_sdk::__private::schemars")]
        #item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(attribute: TokenStream, item: TokenStream) -> String {
        expand(&attribute, &item).to_string()
    }

    #[test]
    fn derives_on_structs_and_enums() {
        for item in [
            quote!(
                struct P {
                    a: u8,
                }
            ),
            quote!(
                enum E {
                    A,
                }
            ),
        ] {
            let text = expanded(quote!(), item);
            assert!(text.contains("JsonSchema") && text.contains("deny_unknown_fields"), "{text}");
        }
    }

    #[test]
    fn refuses_options_and_other_items() {
        assert!(
            expanded(
                quote!(default),
                quote!(
                    struct P;
                )
            )
            .contains("compile_error")
        );
        assert!(
            expanded(
                quote!(),
                quote!(
                    fn f() {}
                )
            )
            .contains("compile_error")
        );
    }
}
