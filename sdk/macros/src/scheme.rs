//! A scheme as it is written in `#[checker]`: `tcp`, `smtp:25`.

use syn::LitStr;

/// A form of target that a checker takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) name: String,
    pub(crate) default_port: Option<u16>,
}

impl Scheme {
    pub(crate) fn parse(literal: &LitStr) -> syn::Result<Self> {
        Self::from_text(&literal.value()).map_err(|why| syn::Error::new(literal.span(), why.to_string()))
    }

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text.contains("//") {
            return Err(Fault::Name);
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        if !is_name(name) {
            return Err(Fault::Name);
        }
        Ok(Self { name: name.to_owned(), default_port: port.map(parse_port).transpose()? })
    }
}

/// Why a text is no scheme.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Name,
    Port,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Name => "a scheme is lower case and has no //: \"tcp\", or \"smtp:25\" with a default port",
            Fault::Port => "a scheme's default port is 1 to 65535, as in \"smtp:25\"",
        })
    }
}

/// RFC 3986, section 3.1, in its lower-case form.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'.' | b'-'))
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Fault::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_name_and_maybe_a_port() {
        let scheme = |name: &str, default_port| Ok(Scheme { name: name.into(), default_port });
        assert_eq!(Scheme::from_text("tcp"), scheme("tcp", None));
        assert_eq!(Scheme::from_text("smtp:25"), scheme("smtp", Some(25)));
        assert_eq!(Scheme::from_text("redis+tls:65535"), scheme("redis+tls", Some(65535)));
    }

    #[test]
    fn refuses_what_no_target_can_start_with() {
        for name in ["", "TCP", "1tcp", "tcp://", "a b", ":25"] {
            assert_eq!(Scheme::from_text(name), Err(Fault::Name), "{name}");
        }
        for port in ["smtp:", "smtp:0", "smtp:65536", "smtp:x", "smtp:25:26"] {
            assert_eq!(Scheme::from_text(port), Err(Fault::Port));
        }
    }
}
