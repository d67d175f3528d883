//! Chooses an instance to talk to.

use crate::model::instance::Instance;

use super::{Found, Set};

/// One of the service's instances that serve, at random by weight (1 where there is none; 0 is never chosen unless
/// all are 0). Suspects are chosen as the others are: that the registry lost them says nothing against them, and those
/// that are left could not bear the whole load.
pub fn pick<'a>(set: &'a Set, service: &str) -> Option<&'a Instance> {
    by(set.instances(service), |sum| rand::random_range(0..sum))
}

/// `roll` gives a number below the one that it gets, which is above 0.
fn by(instances: &[Found], roll: impl FnOnce(u64) -> u64) -> Option<&Instance> {
    let serving = || instances.iter().map(|found| &*found.instance).filter(|instance| instance.serves());
    let weight = |instance: &Instance| u64::from(instance.weight.unwrap_or(1));
    let weighs = serving().any(|instance| weight(instance) > 0);
    let weight = |instance: &Instance| if weighs { weight(instance) } else { 1 };
    let sum: u64 = serving().map(weight).sum();
    if sum == 0 {
        return None;
    }
    let mut rest = roll(sum);
    serving().find(|instance| match rest.checked_sub(weight(instance)) {
        Some(left) => {
            rest = left;
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn found(id: &str, status: &str, weight: Option<u32>) -> Found {
        let weight = weight.map_or("null".to_owned(), |weight| weight.to_string());
        let text =
            format!(r#"{{"id":"{id}","service":"s","address":"h","port":1,"status":"{status}","weight":{weight}}}"#);
        Found { instance: Arc::new(serde_json::from_str(&text).expect("an instance")), suspect: None }
    }

    /// What each roll gives.
    fn all(instances: &[Found]) -> Vec<&str> {
        let mut sum = 0;
        by(instances, |of| {
            sum = of;
            0
        });
        (0..sum).map(|at| by(instances, |_| at).expect("an instance").id.as_str()).collect()
    }

    #[test]
    fn by_weight_and_health() {
        let none: [&str; 0] = [];
        assert_eq!(all(&[]), none);
        assert_eq!(all(&[found("a", "DOWN", None), found("b", "MAINTENANCE", Some(9))]), none);
        assert_eq!(all(&[found("a", "UP", None), found("b", "DEGRADED", None), found("c", "DOWN", None)]), ["a", "b"]);
        assert_eq!(
            all(&[found("a", "UP", Some(2)), found("b", "UP", Some(0)), found("c", "UP", None)]),
            ["a", "a", "c"]
        );
        assert_eq!(all(&[found("a", "UP", Some(0)), found("b", "UP", Some(0))]), ["a", "b"]);
        // Those that do not serve decide nothing.
        assert_eq!(all(&[found("a", "UP", Some(0)), found("b", "DOWN", Some(5))]), ["a"]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let many: Vec<Found> = (0..100).map(|_| found("a", "UP", Some(u32::MAX))).collect();
        assert!(by(&many, |sum| sum - 1).is_some());
    }

    #[test]
    fn of_a_set() {
        let mut set = Set::default();
        assert_eq!(pick(&set, "shop"), None);
        let shop = "shop".parse().expect("a name");
        set.services = Arc::new([(shop, Arc::from([found("a", "UP", None)]))].into());
        assert_eq!(pick(&set, "shop").map(|instance| instance.id.as_str()), Some("a"));
    }
}
