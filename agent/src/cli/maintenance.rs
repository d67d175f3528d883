//! `vitald maintenance on|off|list`: takes services of this host out of traffic, and back.

use std::time::Duration;

use clap::Subcommand;

use crate::control::protocol::{Answer, Ask, MaintenanceReport, OrderReport, millis};
use crate::model::name::Name;
use crate::model::requests::options;

use super::ask::{Where, print, unexpected};
use super::table::{Table, one_line};

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Take services out of traffic: 503 on the service, its keys removed (or marked), checks run on and count for
    /// nothing overall. It survives restarts.
    On {
        /// A service; may be repeated. Without, the whole host: all services, also those that are added later.
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<Name>,
        /// Shown wherever the maintenance is. What is ordered with another reason holds beside it; with the same
        /// reason, it takes its place.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// End by itself after this, such as 2h or "1day 12h". Without, it lasts until `vitald maintenance off`.
        #[arg(long = "for", value_name = "LENGTH", value_parser = humantime::parse_duration)]
        length: Option<Duration>,
        /// Return once the keys are gone from etcd and `drain` of [registry] has passed: then the service may stop.
        #[arg(long)]
        wait: bool,
        /// With --wait: how long the keys may take; `drain` comes on top.
        #[arg(long, value_name = "LENGTH", default_value = "60s", value_parser = humantime::parse_duration)]
        timeout: Duration,
        #[command(flatten)]
        place: Where,
    },
    /// End what `on` began for the same services, or for the whole host.
    Off {
        /// A service; may be repeated. Without, the whole host.
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<Name>,
        /// Only what was ordered with this reason: what somebody else ordered with another goes on.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Show what is in maintenance.
    List {
        #[command(flatten)]
        place: Where,
    },
}

pub fn maintenance(command: MaintenanceCommand) -> u8 {
    let (place, ask, begun) = match command {
        MaintenanceCommand::On { services, reason, length, wait, timeout, place } => {
            let wait_ms = wait.then(|| millis(timeout));
            let begun = (services.clone(), reason.clone());
            (place, Ask::MaintenanceOn { services, reason, for_ms: length.map(millis), wait_ms }, Some(begun))
        }
        MaintenanceCommand::Off { services, reason, place } => (place, Ask::MaintenanceOff { services, reason }, None),
        MaintenanceCommand::List { place } => (place, Ask::MaintenanceList {}, None),
    };
    let report = match place.ask(ask) {
        Ok((_, Answer::Maintenance(report))) => report,
        Ok(_) => return unexpected().report(),
        Err(failure) => return failure.report(),
    };
    print(&shown(&report));
    for warning in warnings(&report, begun.as_ref()) {
        eprintln!("warning: {warning}");
    }
    0
}

/// What was to be said of it, and what holds now.
fn shown(report: &MaintenanceReport) -> String {
    let notes: String = report.notes.iter().map(|note| format!("{note}\n")).collect();
    if report.host.is_empty() && report.services.is_empty() {
        return format!("{notes}nothing is in maintenance\n");
    }
    let mut table = Table::new(["SERVICE", "SINCE", "UNTIL", "REASON"]);
    let mut row = |name: &str, order: &OrderReport| {
        let until = order.until.clone().unwrap_or_else(|| "without an end".to_owned());
        table.row([name.to_owned(), order.since.clone(), until, one_line(&order.reason)]);
    };
    report.host.iter().for_each(|order| row("(whole host)", order));
    report.services.iter().for_each(|(name, orders)| orders.iter().for_each(|order| row(name, order)));
    format!("{notes}{}", table.render(None, false))
}

/// `begun`: of which services, and why.
fn warnings(report: &MaintenanceReport, begun: Option<&(Vec<Name>, String)>) -> Vec<String> {
    let endless = begun.filter(|(services, reason)| {
        let orders = match services.first() {
            None => Some(&report.host),
            Some(first) => report.services.get(first),
        };
        orders.into_iter().flatten().any(|order| order.reason == *reason && order.until.is_none())
    });
    let endless = endless
        .map(|(services, _)| format!("this has no end: it lasts until `vitald maintenance off{}`", options(services)));
    let unwritten = report.unwritten.as_ref().map(|problem| {
        format!("this could not be written down and is forgotten when the agent ends; it is tried again: {problem}")
    });
    endless.into_iter().chain(unwritten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(until: Option<&str>) -> OrderReport {
        OrderReport {
            reason: "disk\nswap".into(),
            since: "2026-11-22T20:00:00.000Z".into(),
            until: until.map(Into::into),
        }
    }

    fn name(text: &str) -> Name {
        text.parse().expect(text)
    }

    #[test]
    fn what_holds_is_listed() {
        assert_eq!(shown(&MaintenanceReport::default()), "nothing is in maintenance\n");
        let report = MaintenanceReport {
            host: vec![order(Some("2026-11-22T22:00:00.000Z"))],
            services: [(name("orders"), vec![order(None)])].into(),
            notes: vec!["billing was not in maintenance".into()],
            unwritten: None,
        };
        let shown = shown(&report);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "billing was not in maintenance");
        assert!(lines[2].starts_with("(whole host)  2026-11-22T20:00:00.000Z  2026-11-22T22:00:00.000Z  disk swap"));
        assert!(lines[3].starts_with("orders ") && lines[3].contains("without an end"), "{shown}");
    }

    #[test]
    fn what_has_no_end_and_what_is_not_written_is_warned_of() {
        let mut report =
            MaintenanceReport { services: [(name("orders"), vec![order(None)])].into(), ..Default::default() };
        let begun = (vec![name("orders")], "disk\nswap".to_owned());
        let warnings_of = |report: &MaintenanceReport| warnings(report, Some(&begun));
        assert_eq!(warnings_of(&report).len(), 1);
        assert!(warnings_of(&report)[0].contains("`vitald maintenance off --service orders`"));
        report.unwritten = Some("disk full".into());
        assert_eq!(warnings_of(&report).len(), 2);
        assert_eq!(warnings(&report, None).len(), 1, "a list warns of what is not written only");
        let ends = MaintenanceReport { host: vec![order(Some("2026-11-22T22:00:00.000Z"))], ..Default::default() };
        assert_eq!(warnings(&ends, Some(&(vec![], "disk\nswap".to_owned()))), Vec::<String>::new());
    }
}
