//! Reading and writing our keys: batches of at most 100 operations, every write guarded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse};
use futures::{StreamExt as _, stream};

use super::metrics::RegistryMetrics;
use super::plan::{Seen, Step};
use super::session::{Lost, within};

/// etcd's default limit is 128 operations in one transaction.
const BATCH: usize = 100;
/// Puts under way at once.
const AT_ONCE: usize = 16;

/// What etcd has at these keys.
pub async fn read(
    client: &mut Client,
    keys: &BTreeSet<String>,
    limit: Duration,
) -> Result<BTreeMap<String, Option<Seen>>, Lost> {
    let mut found: BTreeMap<String, Option<Seen>> = keys.iter().map(|key| (key.clone(), None)).collect();
    let all: Vec<&String> = keys.iter().collect();
    for batch in all.chunks(BATCH) {
        let gets: Vec<TxnOp> = batch.iter().map(|key| TxnOp::get(key.as_bytes(), None)).collect();
        let answer = within("read keys", limit, client.txn(Txn::new().and_then(gets))).await?;
        for response in answer.op_responses() {
            let TxnOpResponse::Get(got) = response else { continue };
            for kv in got.kvs() {
                let seen = Seen {
                    value: String::from_utf8_lossy(kv.value()).into_owned(),
                    lease: kv.lease(),
                    mod_revision: kv.mod_revision(),
                };
                found.insert(String::from_utf8_lossy(kv.key()).into_owned(), Some(seen));
            }
        }
    }
    Ok(found)
}

/// Does what was planned. Returns the keys that were not as they had been seen, or that etcd refused.
pub async fn apply(
    client: &mut Client,
    steps: &[Step],
    lease: i64,
    limit: Duration,
    metrics: &RegistryMetrics,
) -> Result<BTreeSet<String>, Lost> {
    let puts: Vec<_> = steps.iter().filter_map(|step| put(client.clone(), step, lease, limit)).collect();
    let done: Vec<Result<(String, bool), Lost>> = stream::iter(puts).buffer_unordered(AT_ONCE).collect().await;
    let mut failed = BTreeSet::new();
    for result in done {
        match result? {
            (_, true) => metrics.wrote("put", 1),
            (key, false) => drop(failed.insert(key)),
        }
    }
    let deletes: Vec<(&String, i64)> = steps.iter().filter_map(delete_of).collect();
    // All at once: an agent that stops takes its instances out together.
    for batch in deletes.chunks(BATCH) {
        let guards: Vec<Compare> = batch.iter().map(|(key, seen)| unchanged(key, Some(*seen))).collect();
        let ops: Vec<TxnOp> = batch.iter().map(|(key, _)| TxnOp::delete(key.as_bytes(), None)).collect();
        let txn = Txn::new().when(guards).and_then(ops);
        if within("delete", limit, client.txn(txn)).await?.succeeded() {
            metrics.wrote("delete", batch.len());
        } else {
            failed.extend(batch.iter().map(|(key, _)| (*key).clone()));
        }
    }
    Ok(failed)
}

/// One guarded put; whether it was done.
fn put(
    mut client: Client,
    step: &Step,
    lease: i64,
    limit: Duration,
) -> Option<impl Future<Output = Result<(String, bool), Lost>> + use<>> {
    let Step::Put { key, value, seen } = step.clone() else { return None };
    Some(async move {
        let put = TxnOp::put(key.as_bytes(), value.as_bytes(), Some(PutOptions::new().with_lease(lease)));
        let txn = Txn::new().when([unchanged(&key, seen)]).and_then([put]);
        Ok((key, within("put", limit, client.txn(txn)).await?.succeeded()))
    })
}

fn delete_of(step: &Step) -> Option<(&String, i64)> {
    match step {
        Step::Delete { key, seen } => Some((key, *seen)),
        _ => None,
    }
}

/// The key is still as it was seen; revision 0 is that of a key that does not exist.
fn unchanged(key: &str, seen: Option<i64>) -> Compare {
    Compare::mod_revision(key.as_bytes(), CompareOp::Equal, seen.unwrap_or(0))
}
