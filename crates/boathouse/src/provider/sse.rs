//! Reads server-sent events as they arrive, after the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream".
//!
//! An event whose one `data` line lies whole in one chunk is handed out without a copy; that is nearly every event of a
//! model's stream.

use std::borrow::Cow;

/// Bytes of one event, data and names together, that a reader takes by default: 4 MiB.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// An incremental reader of one stream.
///
/// Bytes may be split anywhere. Nothing is kept between chunks but the line and the event that are not complete yet.
#[derive(Debug)]
pub struct SseReader {
    max_bytes: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data lines so far of the event under way, joined by LF.
    data: Vec<u8>,
    has_data: bool,
    name: String,
    id: String,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The next line is the stream's first: it may open with a byte order mark.
    at_start: bool,
}

/// An event, borrowed from the chunk or from the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its type; empty if the stream gave none, which means `message`.
    pub name: &'a str,
    /// Its data lines, joined by LF. Bytes that are not UTF-8 are replaced.
    pub data: Cow<'a, str>,
    /// The stream's last event id so far; empty if it gave none.
    pub id: &'a str,
}

/// A stream that cannot be read further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError<E> {
    /// An event is larger than the reader takes.
    #[error("an event of the stream is larger than {0} bytes")]
    TooLarge(usize),
    /// Whoever takes the events refused one.
    #[error(transparent)]
    Refused(#[from] E),
}

impl Default for SseReader {
    fn default() -> Self {
        SseReader::new(MAX_EVENT_BYTES)
    }
}

impl SseReader {
    /// A reader at the beginning of a stream that takes events of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> SseReader {
        SseReader {
            max_bytes,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            name: String::new(),
            id: String::new(),
            after_cr: false,
            at_start: true,
        }
    }

    /// Takes the next bytes and hands out every event that they complete, in order.
    ///
    /// An error of `take` stops at once and is returned; the reader is of no further use then, as after
    /// [`SseError::TooLarge`]. An event that the stream's end leaves incomplete is never handed out, as the standard says.
    pub fn feed<E>(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), SseError<E>> {
        let mut rest = chunk;
        // Data of the event under way that lies in this chunk and has not been copied.
        let mut held: Option<&[u8]> = None;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            self.check_size(end + held.map_or(0, <[u8]>::len))?;
            let (head, tail) = (&rest[..end], &rest[end + 1..]);
            rest = match rest[end] {
                b'\r' if tail.is_empty() => {
                    self.after_cr = true;
                    tail
                }
                b'\r' => tail.strip_prefix(b"\n").unwrap_or(tail),
                _ => tail,
            };
            if self.line.is_empty() {
                self.take_line(head, &mut held, &mut take)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                let mut held = None;
                self.take_line(&line, &mut held, &mut take)?;
                self.keep(&mut held);
                line.clear();
                self.line = line;
            }
        }
        self.keep(&mut held);
        self.check_size(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Takes one whole line. `held` is data that has not been copied, from the same place as `line`.
    fn take_line<'a, E>(
        &mut self,
        line: &'a [u8],
        held: &mut Option<&'a [u8]>,
        take: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), SseError<E>> {
        let line = match std::mem::replace(&mut self.at_start, false) {
            true => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            return self.dispatch(held.take(), take);
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            None => (line, &line[line.len()..]),
            Some(colon) => (&line[..colon], &line[colon + 1..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" if !self.has_data => {
                self.has_data = true;
                *held = Some(value);
            }
            b"data" => {
                self.keep(held);
                self.data.push(b'\n');
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name = text(value).into_owned();
            }
            b"id" if !value.contains(&0) => {
                self.id = text(value).into_owned();
            }
            // A comment (no field name), `retry`, or a field that the standard does not know.
            _ => {}
        }
        Ok(())
    }

    fn dispatch<E>(
        &mut self,
        held: Option<&[u8]>,
        take: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), SseError<E>> {
        if self.has_data {
            let data = text(held.unwrap_or(&self.data));
            take(SseEvent { name: &self.name, data, id: &self.id })?;
        }
        self.has_data = false;
        self.data.clear();
        self.name.clear();
        Ok(())
    }

    /// Copies data that would be lost with its chunk.
    fn keep(&mut self, held: &mut Option<&[u8]>) {
        if let Some(value) = held.take() {
            self.data.extend_from_slice(value);
        }
    }

    /// Refuses `more` bytes beside those of the line and of the event under way.
    fn check_size<E>(&self, more: usize) -> Result<(), SseError<E>> {
        match self.line.len() + self.data.len() + more > self.max_bytes {
            true => Err(SseError::TooLarge(self.max_bytes)),
            false => Ok(()),
        }
    }
}

/// Replaces what is not UTF-8. Nearly all is: that is seen many bytes at a time, which looking for what to replace is not.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
