//! Reports in files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Shown, Summary, html, junit};
use crate::cli::exit::Failure;

/// The files that reports go into.
pub(super) struct Files {
    junit: Option<Target>,
    html: Option<Target>,
}

struct Target {
    path: PathBuf,
    file: File,
}

impl Files {
    /// Makes the files before any test runs: what cannot be written is told at once, and nobody takes an old report for
    /// that of tests that were interrupted.
    pub(super) fn create(junit: Option<&Path>, html: Option<&Path>) -> Result<Files, Failure> {
        if let (Some(junit), Some(html)) = (junit, html)
            && junit == html
        {
            let message = format!("--junit and --html would both write {}", junit.display());
            return Err(Failure::usage(message));
        }
        let create = |path: &Path| match File::create(path) {
            Ok(file) => Ok(Target { path: path.to_owned(), file }),
            Err(error) => Err(cannot_write(path, error)),
        };
        Ok(Files { junit: junit.map(create).transpose()?, html: html.map(create).transpose()? })
    }

    /// Writes the reports.
    pub(super) fn write(self, shown: &[Shown<'_>], summary: &Summary) -> Result<(), Failure> {
        if let Some(target) = self.junit {
            target.write(&junit::report(shown, summary))?;
        }
        if let Some(target) = self.html {
            target.write(&html::page(shown, summary))?;
        }
        Ok(())
    }
}

impl Target {
    fn write(self, text: &str) -> Result<(), Failure> {
        let mut out = &self.file;
        let written = out.write_all(text.as_bytes());
        written.map_err(|error| cannot_write(&self.path, error))
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}
