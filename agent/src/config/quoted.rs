//! Mistakes quote what was typed. What a placeholder stands for is a secret, and is not quoted.

use crate::model::secret::{MASK, Masker};

use super::table::{Mistake, Place};

/// Shorter ones are no secrets, and stand in many words.
const SHORTEST: usize = 3;

/// A text into which secrets were put.
#[derive(Debug)]
pub struct PutIn {
    pub place: Place,
    pub written: String,
    pub text: String,
    pub secrets: Vec<String>,
}

impl PutIn {
    /// Is it the value that is wrong there, or a part of it?
    fn is_of(&self, place: &Place) -> bool {
        self.place.file == place.file && self.place.line == place.line
    }

    fn hide(&self, problem: &str) -> String {
        let problem = problem.replace(&format!("{:?}", self.text), &format!("{:?}", self.written));
        let secrets = self.secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        secrets.fold(problem, |problem, secret| problem.replace(secret.as_str(), MASK))
    }
}

/// Takes what was put in out of the problems.
pub fn hide(mistakes: &mut [Mistake], put_in: &[PutIn]) {
    let masker = Masker::new(put_in.iter().flat_map(|put_in| &put_in.secrets).map(String::as_str));
    for mistake in mistakes.iter_mut() {
        let own = put_in.iter().filter(|put_in| put_in.is_of(&mistake.place));
        let problem = own.fold(std::mem::take(&mut mistake.problem), |problem, put_in| put_in.hide(&problem));
        mistake.problem = masker.mask(problem);
    }
}

/// Of what serde says only what it wants: before that it quotes the value.
pub fn wanted(message: &str) -> Option<String> {
    message.rsplit_once(", expected ").map(|(_, wanted)| format!("{wanted} is wanted"))
}
