//! Asks for the same thing again and again beside a test, as a load balancer does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::http::request;
use super::wait::pause;

/// Until it is stopped.
pub struct Poll {
    what: String,
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<Asked>>,
}

#[derive(Debug, Default)]
struct Asked {
    count: u32,
    slowest: Duration,
    /// What was not as it should be.
    wrong: Vec<String>,
}

impl Poll {
    /// Every answer is to have that code.
    pub fn start(agent: &Agent, path: &str, code: u16) -> Self {
        Self::with(agent, path, code, false)
    }

    /// The same of an agent that is restarted meanwhile: nobody there is not a wrong answer.
    pub fn across_restarts(agent: &Agent, path: &str, code: u16) -> Self {
        Self::with(agent, path, code, true)
    }

    fn with(agent: &Agent, path: &str, code: u16, may_be_away: bool) -> Self {
        let url = format!("{}{path}", agent.url());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, what) = (stop.clone(), format!("{path} is {code}"));
        let asking = std::thread::spawn(move || {
            let mut asked = Asked::default();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match request("GET", &url, &[]) {
                    Ok(answer) if answer.code == code => {}
                    Ok(answer) => asked.wrong.push(format!("{} {}", answer.code, answer.body)),
                    Err(_) if may_be_away => {
                        pause();
                        continue;
                    }
                    Err(error) => asked.wrong.push(error),
                }
                asked.slowest = asked.slowest.max(begun.elapsed());
                asked.count += 1;
                pause();
            }
            asked
        });
        Self { what, stop, asking: Some(asking) }
    }

    /// Fails if one answer was another; returns how long the slowest took.
    pub fn stop(mut self) -> Duration {
        let asked = self.end();
        let (count, wrong) = (asked.count, asked.wrong.len());
        assert!(wrong == 0, "{}: not so in {wrong} of {count} answers, first: {}", self.what, asked.wrong[0]);
        assert!(count > 0, "nothing was asked");
        println!("measured: {}: {count} answers, the slowest took {:.1?}", self.what, asked.slowest);
        asked.slowest
    }

    fn end(&mut self) -> Asked {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.take().map(|asking| asking.join().expect("it only asks")).unwrap_or_default()
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.end();
    }
}
