//! Lists everything, page by page and all of one revision, so that no answer is larger than what may be received.

use etcd_client::{Client, GetOptions, GetResponse, KvClient};
use tonic::Code;

use crate::etcd::{Etcd, EtcdError};

use super::book::Listing;
use super::parse::{Read, read};
use super::{Config, DiscoveryError, MAX_BYTES, MAX_KEYS};

/// Keys of a page. Instances have some hundred bytes, so a page has less than a megabyte.
const PAGE: i64 = 1000;
/// Whoever puts documents beside instances makes pages large; then smaller ones are asked for.
pub const MAX_ANSWER: usize = 16 << 20;

/// Something small that needs a majority of the members, from where we will read.
pub async fn probe(etcd: Etcd, range: String, mut client: Client) -> Result<Client, EtcdError> {
    let options = GetOptions::new().with_prefix().with_keys_only().with_limit(1);
    etcd.ask("read", client.get(range, Some(options))).await?;
    Ok(client)
}

pub async fn list(etcd: &Etcd, client: &Client, endpoint: &str, config: &Config) -> Result<Listing, DiscoveryError> {
    let kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
    let prefix = config.prefix().to_owned();
    let listing = Listing { cluster: 0, revision: 0, reads: Vec::new() };
    let mut lister = Lister { etcd, kv, endpoint, prefix, page: PAGE, listing, bytes: 0 };
    for range in config.ranges() {
        lister.range(range.into_bytes()).await?;
    }
    Ok(lister.listing)
}

struct Lister<'a> {
    etcd: &'a Etcd,
    kv: KvClient,
    endpoint: &'a str,
    prefix: String,
    page: i64,
    listing: Listing,
    bytes: usize,
}

impl Lister<'_> {
    /// All keys that begin with these bytes.
    async fn range(&mut self, range: Vec<u8>) -> Result<(), DiscoveryError> {
        let (mut from, end) = (range.clone(), end_of(&range));
        loop {
            let Some(mut answer) = self.page(&from, &end).await? else { continue };
            if self.listing.revision == 0
                && let Some(header) = answer.header()
            {
                (self.listing.cluster, self.listing.revision) = (header.cluster_id(), header.revision());
            }
            let more = answer.more();
            let kvs = answer.take_kvs();
            for kv in &kvs {
                self.take(read(&self.prefix, kv))?;
            }
            match kvs.last() {
                Some(last) if more => from = [last.key(), b"\0"].concat(),
                _ => return Ok(()),
            }
        }
    }

    /// None if the answer was too large: the next page will be smaller.
    async fn page(&mut self, from: &[u8], end: &[u8]) -> Result<Option<GetResponse>, DiscoveryError> {
        // 0 is "now": all later pages are of the first one's revision.
        let options = GetOptions::new().with_range(end).with_limit(self.page).with_revision(self.listing.revision);
        match self.etcd.ask("list", self.kv.get(from, Some(options))).await {
            Ok(answer) => Ok(Some(answer)),
            Err(EtcdError::Refused { status, .. }) if status.message().contains("has been compacted") => {
                Err(DiscoveryError::Compacted { endpoint: self.endpoint.to_owned() })
            }
            Err(EtcdError::Refused { status, .. }) if is_too_large(&status) && self.page > 1 => {
                self.page = (self.page / 8).max(1);
                Ok(None)
            }
            Err(source) => Err(DiscoveryError::Etcd { endpoint: self.endpoint.to_owned(), source }),
        }
    }

    fn take(&mut self, read: Read) -> Result<(), DiscoveryError> {
        let size = read.what.as_ref().map_or(read.key.len(), |parsed| parsed.size);
        self.bytes = self.bytes.saturating_add(size);
        if self.listing.reads.len() >= MAX_KEYS {
            return Err(DiscoveryError::TooMany { prefix: self.prefix.clone() });
        }
        if self.bytes > MAX_BYTES {
            return Err(DiscoveryError::TooLarge { prefix: self.prefix.clone() });
        }
        self.listing.reads.push(read);
        Ok(())
    }
}

/// tonic's own words: a length that it did not want to read.
fn is_too_large(status: &tonic::Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("message length too large")
}

/// The first key behind all that begin with these bytes: etcd's ranges are half-open.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // Behind everything.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_ranges() {
        assert_eq!(end_of(b"/services/"), b"/services0");
        assert_eq!(end_of(b"a\xff"), b"b");
        assert_eq!(end_of(b"\xff"), b"\0");
    }
}
