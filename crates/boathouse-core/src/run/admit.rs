//! Whether a command may become an event.

use crate::ids::WaitId;

use super::event::{Answer, CancelReason, Event, WaitFor};
use super::{OperatorPause, Phase, Run, Wait};

/// What somebody tells a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The answer to a wait; `wait` may be left out when one is open.
    Answer {
        /// Which wait.
        wait: Option<WaitId>,
        /// What was said.
        answer: Answer,
    },
    /// Let what is in flight end, and start nothing new.
    Pause,
    /// Go on after [`Command::Pause`].
    Resume,
    /// Stop.
    Cancel {
        /// By whom or what.
        reason: CancelReason,
    },
}

/// A command that a run does not take now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run waits for its turn: it can only be cancelled.
    #[error("the run is queued: it has not begun")]
    Queued,
    /// The run has ended, or is ending.
    #[error("the run has ended")]
    Ended,
    /// Nothing waits for an answer.
    #[error("the run waits for no answer")]
    NotWaiting,
    /// No such wait.
    #[error("the run has no wait {0}")]
    UnknownWait(WaitId),
    /// The wait has been answered.
    #[error("wait {0} has been answered")]
    AlreadyAnswered(WaitId),
    /// Several things wait: the answer must say which.
    #[error("{0} waits are open; say which one is answered")]
    Ambiguous(usize),
    /// The answer does not fit the wait.
    #[error("{0}")]
    WrongAnswer(String),
    /// The run is not paused by an operator.
    #[error("the run is not paused")]
    NotPaused,
}

/// Turns a command into the event that records it; `None` if the run is already as the command wants it.
pub fn admit(run: &Run, command: &Command) -> Result<Option<Event>, Refused> {
    match command {
        Command::Cancel { reason } => Ok(match run.phase {
            Phase::Queued | Phase::Running => Some(Event::CancelRequested { reason: *reason }),
            Phase::Ending(_) | Phase::Ended(_) => None,
        }),
        _ if run.phase == Phase::Queued => Err(Refused::Queued),
        _ if run.phase != Phase::Running => Err(Refused::Ended),
        Command::Answer { wait, answer } => {
            let open = find_wait(run, *wait)?;
            check_answer(open, answer)?;
            Ok(Some(Event::Answered { wait: open.wait, answer: answer.clone() }))
        }
        Command::Pause => Ok(match run.pause {
            OperatorPause::None => Some(Event::PauseRequested {}),
            OperatorPause::Requested | OperatorPause::Paused => None,
        }),
        Command::Resume => match run.pause {
            OperatorPause::None => Err(Refused::NotPaused),
            OperatorPause::Requested | OperatorPause::Paused => Ok(Some(Event::Resumed {})),
        },
    }
}

fn find_wait(run: &Run, wait: Option<WaitId>) -> Result<&Wait, Refused> {
    match (wait, &run.waits[..]) {
        (None, []) => Err(Refused::NotWaiting),
        (None, [only]) => Ok(only),
        (None, several) => Err(Refused::Ambiguous(several.len())),
        (Some(wait), open) => open.iter().find(|open| open.wait == wait).ok_or({
            let answered = (1..run.next_wait).contains(&wait.0);
            if answered { Refused::AlreadyAnswered(wait) } else { Refused::UnknownWait(wait) }
        }),
    }
}

fn check_answer(open: &Wait, answer: &Answer) -> Result<(), Refused> {
    let wait = open.wait;
    match (&open.what, answer) {
        (WaitFor::Answer {}, Answer::Text { text }) if text.trim().is_empty() => {
            Err(Refused::WrongAnswer("the answer is empty".to_owned()))
        }
        (WaitFor::Answer {}, Answer::Text { .. })
        | (WaitFor::UnknownOutcome { .. }, Answer::Rerun {} | Answer::Done { .. } | Answer::Fail {}) => {
            Ok(())
        }
        (WaitFor::Answer {}, Answer::Rerun {} | Answer::Done { .. } | Answer::Fail {}) => {
            Err(Refused::WrongAnswer(format!("wait {wait} asks for text")))
        }
        (WaitFor::UnknownOutcome { tool, .. }, Answer::Text { .. }) => Err(Refused::WrongAnswer(format!(
            "wait {wait} asks what became of a call of {tool}: answer rerun, done with its output, or fail"
        ))),
    }
}
