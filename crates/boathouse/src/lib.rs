//! Does: runs crews of LLM agents declared in YAML.

mod clock;
pub mod crew_dir;
mod driver;
pub mod engine;
pub mod feed;
pub mod journal;
pub mod provider;
pub mod settings;
mod sync;
pub mod tool;

pub use boathouse_core as core;
