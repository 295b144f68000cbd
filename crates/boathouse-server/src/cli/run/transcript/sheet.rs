//! What a transcript is written on: whole lines, running text, and a line that is overwritten later.

use std::io::{self, Write};

use crate::cli::paint::{DIM, clean};

/// Knows what the last line looks like.
pub(super) struct Sheet<W> {
    pub(super) out: W,
    /// Whether a line that is overwritten later may be drawn.
    status_line: bool,
    status_drawn: bool,
    line_open: bool,
}

impl<W: Write> Sheet<W> {
    pub(super) fn new(out: W, status_line: bool) -> Sheet<W> {
        Sheet { out, status_line, status_drawn: false, line_open: false }
    }

    /// One whole line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.close_line()?;
        writeln!(self.out, "{text}")
    }

    /// A piece of running text.
    pub(super) fn text(&mut self, piece: &str) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.clear_status()?;
        let piece = clean(piece);
        self.line_open = !piece.ends_with('\n');
        self.out.write_all(piece.as_bytes())
    }

    /// Ends the open line.
    pub(super) fn close_line(&mut self) -> io::Result<()> {
        self.clear_status()?;
        if self.line_open {
            writeln!(self.out)?;
            self.line_open = false;
        }
        self.out.flush()
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> io::Result<()> {
        self.close_line()?;
        writeln!(self.out)
    }

    /// Draws the line that is overwritten later, if there is something to say and no other line is open.
    pub(super) fn status(&mut self, status: Option<&str>) -> io::Result<()> {
        self.clear_status()?;
        if let Some(status) = status.filter(|_| self.status_line && !self.line_open) {
            write!(self.out, "  {DIM}… {status}{DIM:#}")?;
            self.status_drawn = true;
        }
        self.out.flush()
    }

    fn clear_status(&mut self) -> io::Result<()> {
        if self.status_drawn {
            self.status_drawn = false;
            self.out.write_all(b"\r\x1b[K")?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
