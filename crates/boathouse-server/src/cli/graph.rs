//! `boathouse graph`: a crew's routing as a drawing.

use std::path::PathBuf;

use boathouse::core::crew::graph::{dot, mermaid};
use clap::{Args, ValueEnum};

use super::check::print;
use super::crews;
use super::exit::{Exit, Failure};
use super::setup::Parts;

const AFTER_HELP: &str = "\
Examples:
  boathouse graph examples/it-support                                   paste it into a Markdown file
  boathouse graph examples/it-support --format dot | dot -Tsvg > crew.svg

Exit codes: 0 done, 1 the crew has errors, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct GraphArgs {
    /// The crew's folder
    dir: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For Markdown and the web
    Mermaid,
    /// For Graphviz
    Dot,
}

/// Draws a crew.
pub(crate) fn graph(args: &GraphArgs) -> Result<Exit, Failure> {
    let loaded = crews::load(&args.dir, &Parts::new(None)?.catalog())?;
    let drawing = match args.format {
        Format::Mermaid => mermaid(&loaded.crew),
        Format::Dot => dot(&loaded.crew),
    };
    print(drawing.trim_end())?;
    Ok(Exit::Done)
}
