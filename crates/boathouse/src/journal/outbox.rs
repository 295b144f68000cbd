//! Notices for webhooks that wait to be delivered. They are written in the transaction of the events that they tell of,
//! so that none is lost and none tells of what did not happen.

use boathouse_core::ids::{RunId, Timestamp};

/// A notice on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id, the same for every attempt.
    pub id: String,
    /// Where it goes.
    pub url: String,
    /// The run that it tells of.
    pub run: RunId,
    /// Its JSON.
    pub body: String,
    /// When it happened.
    pub at: Timestamp,
    /// Failed attempts so far.
    pub attempts: u32,
    /// It is not tried before.
    pub next_at: Timestamp,
}
