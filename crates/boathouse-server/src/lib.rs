//! Serves: the HTTP API, the console and the command line of Boathouse.
//!
//! [`router`] is the table of contents. A request passes the door, is read field by field, becomes a
//! call of [`boathouse::engine::Engine`], and its answer or stream is written. [`server`] owns connections.

pub mod router;
pub mod server;

pub mod http;
pub mod svg;
pub mod versions;
