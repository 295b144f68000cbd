//! `boathouse schema`: the JSON Schemas of a crew's files.

use boathouse::schema::{self, Schema};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::check::print;
use super::exit::{Exit, Failure};

const AFTER_HELP: &str = "\
Examples:
  boathouse schema                                       crew.yaml
  boathouse schema agent > .schema/agent.json            agents/*.yaml, for an editor

An editor with a YAML language server reads it if the first line of crew.yaml is
  # yaml-language-server: $schema=.schema/crew.json
`boathouse new` writes both.

Exit codes: 0 done, 1 cannot write, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SchemaArgs {
    /// Which file of a crew
    #[arg(default_value = "crew", value_parser = PossibleValuesParser::new(schema::ALL.iter().map(|schema| schema.name)))]
    file: String,
}

/// Prints a schema.
pub(crate) fn schema(args: &SchemaArgs) -> Result<Exit, Failure> {
    let text = schema::named(&args.file).map(Schema::text).unwrap_or_default();
    print(text.trim_end())?;
    Ok(Exit::Done)
}
