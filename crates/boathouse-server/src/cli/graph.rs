//! `boathouse graph`: a crew's routing as a drawing.

use std::fs;
use std::path::PathBuf;

use boathouse::core::crew::graph::{Graph, dot, mermaid};
use boathouse_server::svg::svg;
use clap::{Args, ValueEnum};

use super::check::print;
use super::crews;
use super::exit::{Exit, Failure};
use super::setup::Parts;

const AFTER_HELP: &str = "\
Examples:
  boathouse graph examples/it-support                                   paste it into a Markdown file
  boathouse graph examples/it-support --format svg --output crew.svg    a picture, for light and dark pages
  boathouse graph examples/it-support --format dot | dot -Tpdf > crew.pdf

Exit codes: 0 done, 1 the crew has errors or the file cannot be written, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct GraphArgs {
    /// The crew's folder
    dir: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Where to write it; left out, or `-`: stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For Markdown and the web
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture
    Svg,
}

/// Draws a crew.
pub(crate) fn graph(args: &GraphArgs) -> Result<Exit, Failure> {
    let loaded = crews::load(&args.dir, &Parts::new(None)?.catalog())?;
    let graph = Graph::of(&loaded.crew);
    let drawing = match args.format {
        Format::Mermaid => mermaid(&graph),
        Format::Dot => dot(&graph),
        Format::Svg => svg(&graph)
            .map_err(|error| Failure::new(error).hint("Graphviz may draw it: `--format dot | dot -Tsvg`"))?,
    };
    match args.output.as_deref().filter(|file| file.as_os_str() != "-") {
        Some(file) => fs::write(file, drawing)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?,
        None => print(drawing.trim_end())?,
    }
    Ok(Exit::Done)
}
