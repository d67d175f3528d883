//! The function below `#[checker]`: which of its arguments is which.
//!
//! Arguments are told apart by their types, so that those which a checker does not need can be left out.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, Ident, ItemFn, ReturnType, Type};

const EXPECTED: &str = "a checker looks like this (arguments that it does not need may be left out):\n\n    \
    fn name(target: Target, params: Params, run: &mut Run) -> Result<Outcome>\n";

/// A function that can be a checker.
pub(crate) struct Signature {
    name: Ident,
    arguments: Vec<Argument>,
    returns: Span,
}

enum Argument {
    Target,
    /// `()`: no parameters, said aloud.
    NoParams,
    Params(Box<Type>),
    Run,
}

impl Signature {
    pub(crate) fn of(function: &ItemFn) -> syn::Result<Self> {
        let signature = &function.sig;
        if let Some(fault) = unusual(function) {
            return Err(unlike(signature.ident.span(), fault));
        }
        let ReturnType::Type(_, returns) = &signature.output else {
            return Err(unlike(signature.ident.span(), "this returns nothing"));
        };
        let arguments = signature.inputs.iter().map(argument).collect::<syn::Result<Vec<_>>>()?;
        let signature = Self { name: signature.ident.clone(), arguments, returns: returns.span() };
        signature.each_once(function)?;
        Ok(signature)
    }

    fn each_once(&self, function: &ItemFn) -> syn::Result<()> {
        let count = |wanted: fn(&Argument) -> bool| self.arguments.iter().filter(|a| wanted(a)).count();
        let fault = if count(|a| matches!(a, Argument::Target)) > 1 {
            "this takes two targets"
        } else if count(|a| matches!(a, Argument::Params(_) | Argument::NoParams)) > 1 {
            "this takes two kinds of parameters: one type holds them all"
        } else if count(|a| matches!(a, Argument::Run)) > 1 {
            "this takes two runs"
        } else {
            return Ok(());
        };
        Err(unlike(function.sig.inputs.span(), fault))
    }

    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// The type of the parameters.
    pub(crate) fn params(&self) -> TokenStream {
        let none = quote!(::vitald_sdk::__private::NoParams);
        self.written_params().map_or(none, |ty| quote!(#ty))
    }

    /// How they are read. Its span is their type's, so that one that is none is shown there.
    pub(crate) fn reading(&self) -> TokenStream {
        let span = self.written_params().map_or_else(Span::call_site, Spanned::span);
        let params = self.params();
        quote_spanned!(span=> ::vitald_sdk::__private::reading::<#params>())
    }

    fn written_params(&self) -> Option<&Type> {
        self.arguments.iter().find_map(|argument| match argument {
            Argument::Params(ty) => Some(&**ty),
            _ => None,
        })
    }

    /// The call of the function, where `target`, `params` and `run` are in scope. Its span is the return type's, so
    /// that a wrong one is shown there.
    pub(crate) fn call(&self) -> TokenStream {
        // A copy, because a raw name such as `r#match` cannot be made anew from its text.
        let mut name = self.name.clone();
        name.set_span(self.returns);
        let arguments = self.arguments.iter().map(|argument| match argument {
            Argument::Target => quote!(target),
            Argument::NoParams => quote!(()),
            Argument::Params(_) => quote!(params),
            Argument::Run => quote!(run),
        });
        quote_spanned!(self.returns=> ::vitald_sdk::__private::Judged::judged(#name(#(#arguments),*)))
    }
}

/// What no checker is.
fn unusual(function: &ItemFn) -> Option<&'static str> {
    let signature = &function.sig;
    if signature.asyncness.is_some() {
        Some("this is async: a checker is not, and runs what is by `vitald_sdk::block_on`")
    } else if !signature.generics.params.is_empty() {
        Some("this is generic: the agent calls it with one type")
    } else if signature.unsafety.is_some() || signature.variadic.is_some() {
        Some("this is unsafe or variadic")
    } else {
        None
    }
}

fn argument(argument: &FnArg) -> syn::Result<Argument> {
    let FnArg::Typed(typed) = argument else {
        return Err(unlike(argument.span(), "this takes self"));
    };
    match &*typed.ty {
        Type::Reference(reference) if is_named(&reference.elem, "Run") => Ok(Argument::Run),
        Type::Reference(reference) if is_named(&reference.elem, "Target") => {
            Err(unlike(typed.span(), "the target is not borrowed: `target: Target`"))
        }
        Type::Reference(_) => Err(unlike(typed.span(), "only the run is borrowed")),
        ty if is_named(ty, "Run") => Err(unlike(typed.span(), "the run is borrowed: `run: &mut Run`")),
        ty if is_named(ty, "Target") => Ok(Argument::Target),
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(Argument::NoParams),
        ty => Ok(Argument::Params(Box::new(ty.clone()))),
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

pub(crate) fn unlike(span: Span, fault: &str) -> syn::Error {
    syn::Error::new(span, format!("{fault}; {EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_keyword_can_be_a_name() {
        let function = parse_quote!(
            fn r#match() -> Result<Outcome> {}
        );
        assert!(Signature::of(&function).unwrap().call().to_string().contains("r#match ()"));
    }

    fn call_and_params(function: &ItemFn) -> (String, String) {
        let signature = Signature::of(function).unwrap();
        let call = signature.call().to_string();
        let inner = call.split_once("judged (").unwrap().1.strip_suffix(')').unwrap().trim();
        (inner.to_owned(), signature.params().to_string())
    }

    #[test]
    fn takes_the_whole_signature() {
        let (call, params) = call_and_params(&parse_quote! {
            fn f(t: Target, p: crate::Banner, _run: &mut Run) -> Result<Outcome> {}
        });
        assert_eq!((call.as_str(), params.as_str()), ("f (target , params , run)", "crate :: Banner"));
    }

    #[test]
    fn arguments_may_be_left_out() {
        let none = ":: vitald_sdk :: __private :: NoParams";
        let (call, params) = call_and_params(&parse_quote!(
            fn f() -> Result<Outcome> {}
        ));
        assert_eq!((call.as_str(), params.as_str()), ("f ()", none));
        let (call, params) = call_and_params(&parse_quote!(
            fn f(_: vitald_sdk::Target, _: ()) -> R {}
        ));
        assert_eq!((call.as_str(), params.as_str()), ("f (target , ())", none));
        let (call, _) = call_and_params(&parse_quote!(
            fn f(run: &Run, params: P) -> R {}
        ));
        assert_eq!(call, "f (run , params)");
    }

    #[test]
    fn a_wrong_signature_is_shown_the_right_one() {
        let wrong: [ItemFn; 9] = [
            parse_quote!(
                unsafe fn f() -> R {}
            ),
            parse_quote!(
                fn f(target: Target) {}
            ),
            parse_quote!(
                async fn f() -> R {}
            ),
            parse_quote!(
                fn f<T>(params: T) -> R {}
            ),
            parse_quote!(
                fn f(run: Run) -> R {}
            ),
            parse_quote!(
                fn f(target: &Target) -> R {}
            ),
            parse_quote!(
                fn f(a: A, b: B) -> R {}
            ),
            parse_quote!(
                fn f(a: Target, b: Target) -> R {}
            ),
            parse_quote!(
                fn f(&self) -> R {}
            ),
        ];
        for function in wrong {
            let error = Signature::of(&function).err().unwrap().to_string();
            assert!(error.contains("run: &mut Run) -> Result<Outcome>"), "{error}");
        }
    }
}
