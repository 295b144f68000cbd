//! Decides: what a crew is, and what a run does next.
//!
//! A run is a log of events. [`run::Run`] is the value that a log folds to, [`run::decide`] says from that value
//! alone what happens next, and [`run::admit`] says whether a command may become an event. This crate performs
//! no I/O, reads no clock, draws no random number and is not async; the `boathouse` crate does all that.

pub mod crew;
pub mod ids;
pub mod message;
pub mod run;

pub use crew::Crew;
pub use run::Run;
