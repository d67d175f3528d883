//! What is remembered over a restart, and what where the file is gone or damaged.

use tokio::runtime::Handle;

use crate::model::checkset::Power;
use crate::model::testing::name;

use super::*;

fn entry(digest: &str) -> Entry {
    Entry { digest: digest.into(), version: "1.0".into(), powers: [Power::Network].into() }
}

fn known(remembered: Remembered) -> Content {
    match remembered {
        Remembered::Known(content) => content,
        other => panic!("{other:?}"),
    }
}

fn accepted(dir: &Path) -> Accepted {
    let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
    let mut accepted = Accepted::new(dir, supervisor);
    accepted.restore(read(dir));
    accepted
}

#[tokio::test]
async fn what_was_let_in_is_known_after_a_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut accepted = accepted(dir.path());
    assert!(accepted.is_new());
    accepted.note(&name("orders"), entry("1"));
    accepted.save();
    accepted.note(&name("orders"), entry("2"));
    accepted.save();
    accepted.saved().await;
    accepted.saved().await;
    let content = known(read(dir.path()));
    assert_eq!((content.plugins.get(&name("orders")), content.lost), (Some(&entry("2")), false));
}

#[tokio::test]
async fn the_second_start_is_not_the_first() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut first = accepted(dir.path());
    first.close().await;
    assert!(matches!(read(dir.path()), Remembered::Nothing), "nothing is to be remembered");
    first.begin();
    first.close().await;
    assert!(!accepted(dir.path()).is_new());
}

#[tokio::test]
async fn a_loss_is_remembered_until_it_is_over() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = path(dir.path());
    std::fs::write(&path, "{").expect("write");
    let lost = |accepted: &Accepted| (accepted.is_new(), accepted.is_lost());
    assert_eq!(lost(&accepted(dir.path())), (false, true));
    assert!(!path.exists(), "it is set aside");
    let mut second = accepted(dir.path());
    assert_eq!(lost(&second), (false, true), "and that it was is known");
    second.begin();
    second.close().await;
    assert!(path.exists());
    let mut third = accepted(dir.path());
    assert_eq!(lost(&third), (false, true));
    third.forget_loss();
    third.note(&name("orders"), entry("1"));
    third.close().await;
    assert_eq!(lost(&accepted(dir.path())), (false, false));
}

#[tokio::test]
async fn what_cannot_be_read_for_now_stays_where_it_is() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = path(dir.path());
    let mut accepted = accepted(dir.path());
    std::fs::write(&path, "whole, and not read for want of descriptors").expect("write");
    accepted.restore(Remembered::Lost { in_place: true });
    assert_eq!((accepted.is_new(), accepted.is_lost()), (false, true));
    accepted.begin();
    accepted.close().await;
    assert!(path.exists(), "it is for the next start to read");
    accepted.note(&name("orders"), entry("1"));
    accepted.close().await;
    let content = known(read(dir.path()));
    assert_eq!((content.plugins.len(), content.lost), (1, true));
}
