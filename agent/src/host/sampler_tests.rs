use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::super::collectors::default_settings;
use super::*;

/// Sees one number, and then does what it was built to do.
struct Fake(fn() -> Result<(), CollectError>);

impl Collector for Fake {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        out.gauge("node_seen", "A number.", 1.0);
        (self.0)()
    }
}

const fn entry(name: &'static str, build: fn(&Settings) -> Box<dyn Collector>) -> Entry {
    Entry { name, on: true, build }
}

fn sampler(entries: &'static [Entry]) -> Arc<Sampler> {
    Arc::new(Sampler::new(entries.iter(), &default_settings()))
}

fn state(text: &HostText, name: &str) -> CollectorState {
    text.states().into_iter().find(|state| state.name == name).expect(name)
}

#[test]
fn each_fails_by_itself() {
    static ENTRIES: [Entry; 5] = [
        entry("absent", |_| Box::new(Fake(|| Err(CollectError::Absent("nothing of the kind".into()))))),
        entry("fails", |_| Box::new(Fake(|| Err(CollectError::odd("/proc/odd", "a word where a number is wanted"))))),
        entry("panics", |_| Box::new(Fake(|| panic!("on purpose")))),
        entry("stuck", |_| Box::new(Fake(|| Err(CollectError::Stuck("/srv does not answer".into()))))),
        entry("works", |_| Box::new(Fake(|| Ok(())))),
    ];
    let sampler = sampler(&ENTRIES);
    for _ in 0..2 {
        Pass::new(sampler.clone()).work();
        let (sample, text) = sampler.assemble(Arc::default());
        let fared = |name| (state(&text, name).success, state(&text, name).found);
        assert_eq!(fared("absent"), (true, false));
        assert_eq!(fared("fails"), (false, false));
        assert_eq!(fared("panics"), (false, false));
        assert_eq!(fared("stuck"), (false, true));
        assert_eq!(fared("works"), (true, true));
        let seen = sample.blocks.iter().filter(|block| block.families.iter().any(|family| family.name == "node_seen"));
        assert_eq!(seen.count(), 5, "what was seen before the failure is kept");
    }
}

type Gate = Mutex<Option<(SyncSender<()>, Receiver<()>)>>;

#[test]
fn one_that_hangs_is_left_behind_until_it_comes_back() {
    static GATE: Gate = Mutex::new(None);
    static ENTRIES: [Entry; 3] = [
        entry("before", |_| Box::new(Fake(|| Ok(())))),
        entry("hangs", |_| {
            Box::new(Fake(|| {
                let gate = GATE.lock().expect("a gate").take();
                if let Some((entered, leave)) = gate {
                    entered.send(()).expect("somebody waits");
                    leave.recv().expect("it is let go");
                }
                Ok(())
            }))
        }),
        entry("after", |_| Box::new(Fake(|| Ok(())))),
    ];
    let sampler = sampler(&ENTRIES);
    let (entered_sender, entered) = sync_channel(1);
    let (leave, leave_receiver) = sync_channel(1);
    *GATE.lock().expect("a gate") = Some((entered_sender, leave_receiver));

    let pass = Arc::new(Pass::new(sampler.clone()));
    let stuck = thread::spawn({
        let pass = pass.clone();
        move || pass.work()
    });
    entered.recv().expect("it hangs now");
    assert!(!pass.give_up(Duration::from_secs(3600)), "it has not worked for so long");
    while !pass.give_up(Duration::ZERO) {
        thread::yield_now();
    }
    pass.work();
    let (_, text) = sampler.assemble(Arc::default());
    assert!(state(&text, "before").success && state(&text, "after").success);
    assert!(!state(&text, "hangs").success);

    // The next pass does not wait for it either.
    Pass::new(sampler.clone()).work();
    let (sample, text) = sampler.assemble(Arc::default());
    assert!(!state(&text, "hangs").success);
    let numbers = |sample: &HostSample, name| {
        sample.blocks.iter().find(|block| block.collector == name).map(|block| block.families.len())
    };
    assert_eq!(numbers(&sample, "hangs"), Some(0), "old numbers are not shown as if they were new");

    leave.send(()).expect("it waits");
    stuck.join().expect("it ends");
    Pass::new(sampler.clone()).work();
    let (sample, text) = sampler.assemble(Arc::default());
    assert!(state(&text, "hangs").success);
    assert_eq!(numbers(&sample, "hangs"), Some(1));
}
