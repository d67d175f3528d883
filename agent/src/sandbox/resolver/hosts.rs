//! The hosts file (hosts(5)).

use std::collections::HashMap;
use std::net::IpAddr;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Lines that make no sense are left out, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut all: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            // A zone (`fe80::1%eth0`) is nothing to connect to without its interface.
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            for name in words {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let addresses = all.entry(name).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(all)
    }

    /// `name` is in lower case, without a dot at its end.
    pub fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_comments() {
        let hosts =
            Hosts::parse("127.0.0.1 localhost\n# 10.0.0.1 gone\n10.0.0.2\tDB db.internal. # main\n::2 db\nodd x\n");
        let addresses =
            |name: &str| hosts.get(name).unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("db"), ["10.0.0.2", "::2"]);
        assert_eq!(addresses("db.internal"), ["10.0.0.2"]);
        assert!(hosts.get("gone").is_none() && hosts.get("x").is_none());
    }
}
