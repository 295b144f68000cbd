//! Frames that differ from the last one only in the text that they add: nearly all frames of a stream.
//!
//! Such a frame is compared, not parsed. What is read is what parsing would give: see [`Alike::text`].

/// A longer frame is not kept to compare with.
const MAX_FRAME_BYTES: usize = 4096;

/// The last frame that did nothing but add a text, without the text.
#[derive(Debug, Default)]
pub struct Alike {
    /// Up to and with the quote that opens the text; empty if there is no such frame.
    before: String,
    /// From the quote that closes the text.
    after: String,
}

impl Alike {
    /// Keeps a frame that did nothing but add `text`, which is borrowed from it.
    ///
    /// Without effect if the text was not a plain string of the frame's own bytes.
    pub fn keep(&mut self, frame: &str, text: &str) {
        let start = (text.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
        let parts = frame.get(..start).zip(frame.get(start.saturating_add(text.len())..));
        let Some((before, after)) = parts.filter(|(before, after)| {
            frame.len() <= MAX_FRAME_BYTES && before.ends_with('"') && after.starts_with('"')
        }) else {
            return;
        };
        self.before.clear();
        self.before.push_str(before);
        self.after.clear();
        self.after.push_str(after);
    }

    /// What a frame adds that is the kept one but for its text; `None` if it has to be parsed.
    ///
    /// The text has no quote, no backslash and no control character. So in JSON (RFC 8259, section 7) it is one string,
    /// which stands for itself, and the frame means what the kept one meant, with this text.
    pub fn text<'a>(&self, frame: &'a str) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let text = frame.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\').then_some(text)
    }
}
