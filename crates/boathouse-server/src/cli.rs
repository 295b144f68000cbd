//! The command line: `boathouse run | new | check | test | graph | schema | serve | runs | replay`.
//!
//! Owns what people type and see in a terminal. Answers go to stdout, everything about them (questions, problems,
//! progress of a shutdown) to stderr. Every command ends with an [`Exit`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod crews;
mod exit;
mod graph;
mod log;
mod new;
mod paint;
mod replay;
mod run;
mod runs;
mod schema;
mod serve;
mod setup;
mod signals;
mod test;
mod who;

use exit::{Exit, Failure};

const AFTER_HELP: &str = "\
Examples:
  boathouse run examples/it-support \"Check this machine\" --model scripted
  boathouse new my-crew --template support
  boathouse check examples/it-support
  boathouse test examples/it-support
  boathouse graph examples/it-support
  boathouse serve examples/it-support --model scripted
  boathouse runs list

Exit codes:
  0    done: the run completed, the crew has no errors, the server stopped in order
  1    failed: the run failed, the crew has errors, a test failed, or something could not be read or written
  2    the command line makes no sense
  3    the run is paused and waits for a person
  4    a limit of the run or its crew was reached
  130  the run was cancelled (Ctrl-C); 143 if by SIGTERM

Environment:
  Every option that shows [env: ...] can be set there; the command line wins.
  BOATHOUSE_LOG  what is logged to stderr, such as `info` or `boathouse=debug`
  NO_COLOR       no colours; they are off anyway where the output is not a terminal";

/// Runs crews of LLM agents declared in YAML.
#[derive(Parser)]
#[command(
    name = "boathouse",
    version,
    after_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    propagate_version = false
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a crew on one input, live in the terminal
    Run(Box<run::RunArgs>),
    /// Write a crew that runs at once, to change into your own
    New(new::NewArgs),
    /// Report every problem of a crew's files at once
    Check(check::CheckArgs),
    /// Run the tests of crews, with the scripted model
    Test(test::TestArgs),
    /// Print a crew's routing as Mermaid or DOT
    Graph(graph::GraphArgs),
    /// Print the JSON Schema of a crew's files, for editors
    Schema(schema::SchemaArgs),
    /// Serve crews over HTTP, with a console for the browser
    Serve(serve::ServeArgs),
    /// List, show, cancel, answer, fork, export and delete runs of a server or a file
    Runs(runs::RunsArgs),
    /// Go through a recorded run again, offline, and show the first difference
    Replay(replay::ReplayArgs),
}

/// Reads the command line, does what it says, and gives the exit code.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Check(args) => check::check(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::New(args) => new::new(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Run(args) => {
            log::start("warn").and_then(|()| in_runtime(async move { run::run(*args).await }))
        }
        Command::Test(args) => {
            log::start("error").and_then(|()| in_runtime(async move { test::test(args).await }))
        }
        Command::Serve(args) => {
            log::start("info").and_then(|()| in_runtime(async move { serve::serve(args).await }))
        }
        Command::Runs(args) => {
            log::start("warn").and_then(|()| in_runtime(async move { runs::runs(args).await }))
        }
        Command::Replay(args) => {
            log::start("warn").and_then(|()| in_runtime(async move { replay::replay(args).await }))
        }
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Blocks on a command in a multi-thread runtime. What still blocks in it at the end (a read of the terminal) is
/// left behind: the process is about to end.
fn in_runtime(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
