//! Whether a command may become an event.

use crate::ids::WaitId;

use super::approval::{self, ApprovalDecision, Closed};
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
    /// What a person decides about calls that wait for it: all of it is taken, or nothing.
    Decide {
        /// The decisions.
        decisions: Vec<ApprovalDecision>,
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
    /// No such approval.
    #[error("the run has no approval {0}")]
    UnknownApproval(WaitId),
    /// The wait has been answered.
    #[error("wait {0} has been answered")]
    AlreadyAnswered(WaitId),
    /// The wait was closed because its branch, or the run, came to an end.
    #[error("wait {0} is closed: what it belonged to has ended")]
    Closed(WaitId),
    /// The call was decided about, in another way.
    #[error("approval {0} has been decided, and not like this")]
    AlreadyDecided(WaitId),
    /// Nobody decided in time.
    #[error("approval {0} has expired")]
    Expired(WaitId),
    /// The decision is about other arguments than those of the call.
    #[error("approval {0} is about other arguments than the ones with this digest")]
    OtherDigest(WaitId),
    /// One request decides about a call in two ways.
    #[error("approval {0} is decided twice, and not alike")]
    DecidedTwice(WaitId),
    /// The answer, or the edited arguments, do not fit their schema.
    #[error("{why}")]
    DoesNotFit {
        /// The wait.
        wait: WaitId,
        /// The first place that does not fit, as a JSON pointer; empty for the whole.
        at: String,
        /// What does not fit, with its places.
        why: String,
    },
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

/// Turns a command into the events that record it; none if the run is already as the command wants it.
pub fn admit(run: &Run, command: &Command) -> Result<Vec<Event>, Refused> {
    match command {
        Command::Cancel { reason } => Ok(match run.phase {
            Phase::Queued | Phase::Running => vec![Event::CancelRequested { reason: *reason }],
            Phase::Ending(_) | Phase::Ended(_) => Vec::new(),
        }),
        _ if run.phase == Phase::Queued => Err(Refused::Queued),
        Command::Decide { decisions } => approval::admit(run, decisions),
        _ if run.phase != Phase::Running => Err(Refused::Ended),
        Command::Answer { wait, answer } => {
            let open = find_wait(run, *wait)?;
            check_answer(run, open, answer)?;
            Ok(vec![Event::Answered { wait: open.wait, answer: answer.clone(), by: None }])
        }
        Command::Pause => Ok(match run.pause {
            OperatorPause::None => vec![Event::PauseRequested {}],
            OperatorPause::Requested | OperatorPause::Paused => Vec::new(),
        }),
        Command::Resume => match run.pause {
            OperatorPause::None => Err(Refused::NotPaused),
            OperatorPause::Requested | OperatorPause::Paused => Ok(vec![Event::Resumed {}]),
        },
    }
}

/// The open wait that is meant.
pub fn find_wait(run: &Run, wait: Option<WaitId>) -> Result<&Wait, Refused> {
    match (wait, &run.waits[..]) {
        (None, []) => Err(Refused::NotWaiting),
        (None, [only]) => Ok(only),
        (None, several) => Err(Refused::Ambiguous(several.len())),
        (Some(wait), open) => {
            open.iter().find(|open| open.wait == wait).ok_or_else(|| match run.closed.get(&wait) {
                Some(Closed::Answered(_)) => Refused::AlreadyAnswered(wait),
                Some(Closed::Expired) => Refused::Expired(wait),
                None if (1..run.next_wait).contains(&wait.0) => Refused::Closed(wait),
                None => Refused::UnknownWait(wait),
            })
        }
    }
}

pub(super) fn check_answer(run: &Run, open: &Wait, answer: &Answer) -> Result<(), Refused> {
    let wait = open.wait;
    let wrong = |why: String| Err(Refused::WrongAnswer(why));
    match (&open.what, answer) {
        (WaitFor::Answer { .. }, Answer::Text { text }) if text.trim().is_empty() => {
            wrong("the answer is empty".to_owned())
        }
        (WaitFor::Approval { tool, .. }, Answer::Edit { arguments, .. }) if !arguments.is_object() => {
            wrong(format!("the arguments of {tool} must be one JSON object"))
        }
        (WaitFor::UnknownOutcome { tool, .. }, Answer::Rerun {}) if run.is_stopping(open.branch) => {
            wrong(format!(
                "the group that {tool} was called in is over, so it is not called again: answer done with its output, or fail"
            ))
        }
        (WaitFor::Answer { .. }, Answer::Text { .. })
        | (
            WaitFor::Approval { .. },
            Answer::Approve {} | Answer::Edit { .. } | Answer::Reject { .. } | Answer::Respond { .. },
        )
        | (WaitFor::UnknownOutcome { .. }, Answer::Rerun {} | Answer::Done { .. } | Answer::Fail {}) => {
            Ok(())
        }
        (WaitFor::Answer { .. }, _) => wrong(format!("wait {wait} asks for text")),
        (WaitFor::Approval { tool, .. }, _) => wrong(format!(
            "wait {wait} asks whether a call of {tool} may be made: approve, edit, reject or respond"
        )),
        (WaitFor::UnknownOutcome { tool, .. }, _) => wrong(format!(
            "wait {wait} asks what became of a call of {tool}: answer rerun, done with its output, or fail"
        )),
    }
}
