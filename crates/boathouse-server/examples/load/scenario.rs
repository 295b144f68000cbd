//! The experiments, one a file.

pub(crate) mod cancel;
pub(crate) mod cpu;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod leak;
pub(crate) mod long;
pub(crate) mod paused;
pub(crate) mod readers;
pub(crate) mod recovery;
pub(crate) mod same;
pub(crate) mod soak;
