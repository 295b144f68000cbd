//! Pages of a list: how many entries one has, and the cursor that names the place after it.

use boathouse::core::ids::Timestamp;

use super::error::Problem;
use super::input::{self, Query, invalid};

/// Entries on one page.
const MAX_PAGE: u64 = 200;
pub(crate) const DEFAULT_PAGE: u64 = 50;

/// How many entries of a list a request asks for.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    limit: usize,
}

impl Page {
    /// Reads the query's `limit`.
    pub(crate) fn of(query: &Query) -> Result<Page, Problem> {
        let limit = query.number("limit", 1..=MAX_PAGE)?.unwrap_or(DEFAULT_PAGE) as usize;
        Ok(Page { limit })
    }

    /// Entries to look for: one more than the page has, to know whether there is another.
    pub(crate) fn look_for(self) -> usize {
        self.limit + 1
    }

    /// Keeps what is on the page; the cursor after its last entry, if there is another page.
    pub(crate) fn cut<T>(self, found: &mut Vec<T>, cursor: impl Fn(&T) -> String) -> Option<String> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        found.last().filter(|_| more).map(cursor)
    }
}

/// The place of the query's `cursor`, if it has one, as `read` finds it there.
pub(crate) fn place<P>(query: &Query, read: fn(&str) -> Option<P>) -> Result<Option<P>, Problem> {
    let Some(text) = query.get("cursor") else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| {
        invalid("cursor", "must be the `next` of an earlier page").hint("leave it out for the first page")
    })
}

/// The place after an entry of a list.
pub fn cursor(at: Timestamp, id: &str) -> String {
    to_cursor(&format!("{}.{id}", at.0))
}

/// Reads what [`cursor`] wrote.
pub fn read_cursor(text: &str) -> Option<(Timestamp, String)> {
    let plain = plain_cursor(text)?;
    let (at, id) = plain.split_once('.')?;
    input::check_id("cursor", id).ok()?;
    Some((Timestamp(at.parse().ok()?), id.to_owned()))
}

/// A place in a list, in hexadecimal so that nobody builds on what it holds.
pub(crate) fn to_cursor(place: &str) -> String {
    place.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`to_cursor`] was given.
pub(crate) fn plain_cursor(text: &str) -> Option<String> {
    if !text.len().is_multiple_of(2) || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0)).collect();
    String::from_utf8(bytes).ok()
}
