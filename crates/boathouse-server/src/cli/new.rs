//! `boathouse new`: a crew to begin with.
//!
//! It is written into a folder beside the one that was asked for, which is renamed when it is whole: there is either
//! a crew or nothing.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use boathouse::schema;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::check::print;
use super::exit::{Exit, Failure};

mod templates;

use templates::{TEMPLATES, Template};

const AFTER_HELP: &str = "\
Examples:
  boathouse new my-crew
  boathouse new desk --template support
  boathouse run desk \"I was charged twice\"

Templates:
  single    one agent with tools
  support   a help desk that asks the customer when it has to
  research  researchers side by side, and an editor
  teams     two teams that take turns, with hand-offs between them

Its models are scripted, so it runs with no key and no network. Its files point editors to their schemas.

Exit codes: 0 done, 1 it could not be written, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct NewArgs {
    /// The crew's folder, which must not exist yet, or be empty; its name is the crew's
    name: PathBuf,
    /// What to begin with
    #[arg(long, default_value = "single", value_parser = PossibleValuesParser::new(TEMPLATES.iter().map(|template| template.name)))]
    template: String,
}

/// Writes a crew.
pub(crate) fn new(args: &NewArgs) -> Result<Exit, Failure> {
    let Some(template) = TEMPLATES.iter().find(|template| template.name == args.template) else {
        return Err(Failure::usage(format!("there is no template `{}`", args.template)));
    };
    let name = crew_name(&args.name)?;
    refuse_existing(&args.name)?;
    let parent = match args.name.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let half = Half(parent.join(format!(".{name}.new-{}", std::process::id())));
    write(template, &half.0)
        .and_then(|()| fs::rename(&half.0, &args.name))
        .map_err(|error| cannot_write(&args.name, parent, &error))?;
    print(&next_steps(&args.name, template))?;
    Ok(Exit::Done)
}

/// The last part of the path, if it can name a crew everywhere: in addresses, in shells, in files.
fn crew_name(path: &Path) -> Result<&str, Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.starts_with(char::is_alphanumeric) && name.chars().all(fits) && name.chars().count() <= 100 {
        return Ok(name);
    }
    Err(Failure::usage(format!("`{}` cannot be a crew's name", path.display()))
        .hint("at most 100 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit"))
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err(),
    };
    if is_free {
        return Ok(());
    }
    let what = if path.is_dir() { "exists and is not an empty folder" } else { "exists" };
    Err(Failure::new(format!("`{}` {what}", path.display())).hint("choose another name, or remove it first"))
}

/// A folder that is removed when it is dropped, unless it has been renamed.
struct Half(PathBuf);

impl Drop for Half {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes the template's files and the schemas that they point to.
///
/// The schemas lie in the crew's own folder, so that an editor finds them without a network and without a server, and
/// they are those of the program that wrote the crew.
fn write(template: &Template, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (file, text) in template.files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    let schemas = folder.join(".schema");
    fs::create_dir(&schemas)?;
    for schema in &schema::ALL {
        fs::write(schemas.join(format!("{}.json", schema.name)), schema.text())?;
    }
    Ok(())
}

fn cannot_write(path: &Path, parent: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("cannot write `{}`: {error}", path.display()));
    let (has_parent, parent) = (parent.is_dir(), parent.display());
    match error.kind() {
        ErrorKind::NotFound if !has_parent => {
            failure.hint(format!("there is no folder `{parent}`; make it first"))
        }
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            failure.hint(format!("nothing can be made in `{parent}`; choose another place"))
        }
        _ => failure,
    }
}

fn next_steps(path: &Path, template: &Template) -> String {
    let dir = quoted(&path.display().to_string());
    let ask = template.ask;
    format!(
        "Made {dir} from the template `{name}`. Its models are scripted: it runs with no key and no network.

Next:
  boathouse run {dir} \"{ask}\"
  boathouse check {dir}      after every change
  boathouse test {dir}       runs {dir}/tests
  boathouse graph {dir}      who leads where
  boathouse serve {dir}      with a console for the browser

crew.yaml says who works together and how to use a real model.",
        name = template.name
    )
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
