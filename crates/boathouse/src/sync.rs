//! The lock that the shared pieces (settings, pool, feed) use: the standard one, or, under the feature
//! `model-check`, that of the interleaving checker.

#[cfg(feature = "model-check")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "model-check"))]
pub(crate) use std::sync::{Mutex, MutexGuard};
