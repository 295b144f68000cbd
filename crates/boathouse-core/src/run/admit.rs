//! To come.

/// A command that a run does not take now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// Nothing waits for an answer.
    #[error("the run waits for no answer")]
    NotWaiting,
    /// No such wait.
    #[error("the run has no wait {0}")]
    UnknownWait(crate::ids::WaitId),
    /// The wait has been answered.
    #[error("wait {0} has been answered")]
    AlreadyAnswered(crate::ids::WaitId),
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
