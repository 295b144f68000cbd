//! Does: runs crews of LLM agents declared in YAML.

pub mod engine;
pub mod feed;
pub mod journal;
pub mod provider;
pub mod tool;
mod sync;

pub use boathouse_core as core;
