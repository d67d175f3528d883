//! `#[checker]`: its options, and the code that makes a function a component's export.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, ItemFn, Lit, LitStr, Meta, Token, bracketed};

use crate::scheme::Scheme;
use crate::signature::{Signature, unlike};

/// What stands in the brackets: `schemes = ["tcp", "smtp:25"]`, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Options {
    schemes: Vec<Scheme>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        let wrong = |span| syn::Error::new(span, "expected `schemes = [\"tcp\", \"smtp:25\"]`");
        let key: Ident = input.parse().map_err(|error| wrong(error.span()))?;
        if key != "schemes" {
            return Err(wrong(key.span()));
        }
        input.parse::<Token![=]>().map_err(|error| wrong(error.span()))?;
        let list;
        bracketed!(list in input);
        let literals = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(wrong(input.span()));
        }
        let schemes = literals.iter().map(Scheme::parse).collect::<syn::Result<_>>()?;
        Ok(Self { schemes })
    }
}

/// The function as it is, and its export; or the function and what is wrong with it, so that one fault does not look
/// like many.
pub(crate) fn expand(options: &Options, item: TokenStream) -> TokenStream {
    let export = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => export(options, &function),
        Err(_) => Err(unlike(Span::call_site(), "#[checker] goes on a function")),
    };
    let export = export.unwrap_or_else(|error| error.to_compile_error());
    quote!(#item #export)
}

fn export(options: &Options, function: &ItemFn) -> syn::Result<TokenStream> {
    let signature = Signature::of(function)?;
    let (params, reading, call) = (signature.params(), signature.reading(), signature.call());
    let summary = summary(&function.attrs);
    let schemes = options.schemes.iter().map(scheme);
    let once = once(signature.name());
    Ok(quote! {
        #once

        const _: () = {
            #[allow(dead_code, reason = "only a component exports it")]
            struct Exported;

            impl ::vitald_sdk::__private::Checker for Exported {
                type Params = #params;

                const ABOUT: ::vitald_sdk::__private::About = ::vitald_sdk::__private::About {
                    summary: #summary,
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    schemes: &[#(#schemes),*],
                };

                fn reading() -> ::vitald_sdk::__private::Reading<Self::Params> {
                    #reading
                }

                #[allow(unused_variables, reason = "a checker takes what it needs")]
                fn check(
                    target: ::vitald_sdk::Target,
                    params: Self::Params,
                    run: &mut ::vitald_sdk::Run,
                ) -> ::vitald_sdk::Result<::vitald_sdk::Outcome> {
                    #call
                }
            }

            #[allow(dead_code, reason = "only a component exports it")]
            type Component = ::vitald_sdk::__private::Component<Exported>;

            #[cfg(target_family = "wasm")]
            ::vitald_sdk::__private::export_plugin!(Component with_types_in ::vitald_sdk::__private::bindings);
        };
    })
}

/// What a crate can have but once, wherever it stands, and whose name says so where there are two: the compiler shows
/// both functions. Nobody calls it.
fn once(function: &Ident) -> TokenStream {
    let name = Ident::new("a_crate_has_one_checker", function.span());
    quote! {
        #[doc(hidden)]
        #[allow(non_local_definitions, reason = "an example may stand inside of a function")]
        #[macro_export]
        macro_rules! #name { () => {}; }
    }
}

fn scheme(scheme: &Scheme) -> TokenStream {
    let name = &scheme.name;
    match scheme.default_port {
        Some(port) => quote!((#name, ::core::option::Option::Some(#port))),
        None => quote!((#name, ::core::option::Option::None)),
    }
}

/// The first paragraph of a doc comment, on one line.
fn summary(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    let paragraph: Vec<&str> = lines
        .iter()
        .flat_map(|text| text.split('\n'))
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect();
    paragraph.join(" ")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    match &meta.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if meta.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn options(text: &str) -> syn::Result<Options> {
        syn::parse_str(text)
    }

    #[test]
    fn options_are_schemes_or_nothing() {
        assert!(options("").unwrap().schemes.is_empty());
        assert!(options("schemes = []").unwrap().schemes.is_empty());
        let two = options(r#"schemes = ["tcp", "smtp:25",],"#).unwrap().schemes;
        assert_eq!((two[0].name.as_str(), two[1].default_port), ("tcp", Some(25)));
        for wrong in ["scheme = []", "schemes", "\"tcp\"", "schemes = [], more = 1"] {
            let error = options(wrong).unwrap_err().to_string();
            assert!(error.contains("schemes = ["), "{wrong}: {error}");
        }
        assert!(options(r#"schemes = ["TCP"]"#).is_err());
    }

    #[test]
    fn the_summary_is_the_first_paragraph() {
        let function: ItemFn = parse_quote! {
            ///
            /// Waits for a line
            /// from a service.
            ///
            /// And more.
            #[inline]
            fn f() {}
        };
        assert_eq!(summary(&function.attrs), "Waits for a line from a service.");
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn a_fault_keeps_the_item() {
        let text = expand(
            &Options::default(),
            quote!(
                struct S;
            ),
        )
        .to_string();
        assert!(text.starts_with("struct S ;") && text.contains("compile_error"), "{text}");
    }
}
