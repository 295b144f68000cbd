//! Regular expressions in files: bounded, since whoever wrote them need not mean well.

use regex::{Error, Regex, RegexBuilder};

/// Bytes that the patterns of one file may take, compiled.
const ALL: usize = 8 << 20;

/// What one pattern may take: the least of these that it fits counts.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// The patterns of one file.
#[derive(Debug)]
pub(crate) struct Patterns {
    left: usize,
}

impl Patterns {
    pub(crate) fn new() -> Patterns {
        Patterns { left: ALL }
    }

    /// Compiles one more, or says in one line what it is instead. What is too large takes its room, too: it takes as long.
    pub(crate) fn compile(&mut self, pattern: &str) -> Result<Regex, String> {
        for size in SIZES {
            if size > self.left {
                return Err(
                    "is a pattern too many: those before it take all the room for patterns".to_owned()
                );
            }
            match RegexBuilder::new(pattern).size_limit(size).build() {
                Ok(compiled) => {
                    self.left -= size;
                    return Ok(compiled);
                }
                Err(Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    // The crate draws it over several lines, of which the last says it.
                    let text = error.to_string();
                    let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    return Err(format!("is not a regular expression: {why}"));
                }
            }
        }
        self.left -= SIZES[SIZES.len() - 1];
        Err(r"is too large a pattern; repeat less, or write `[0-9A-Za-z_]` for `\w`".to_owned())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_that_of_many_small_patterns_or_of_a_few_large_ones() {
        let room = SIZES[3] * 3;
        let said = |pattern: &str, times: usize| {
            let mut patterns = Patterns { left: room };
            (0..times).find_map(|n| patterns.compile(pattern).err().map(|why| (n, why)))
        };
        assert_eq!(said("(?i)reset my password", 100), None);
        let (at, why) = said(r"^\W*\w+\W*$", 100).unwrap();
        assert!(at == 3 && why.starts_with("is a pattern too many"), "{at}: {why}");
        let (at, why) = said(r"(a|\w+){3,40}", 1).unwrap();
        assert!(at == 0 && why.starts_with("is too large a pattern"), "{why}");
        let mut hostile = Patterns { left: room };
        assert!((0..3).all(|_| hostile.compile(r"(a|\w+){3,40}").is_err()));
        assert!(hostile.compile("a").unwrap_err().starts_with("is a pattern too many"));
    }
}
