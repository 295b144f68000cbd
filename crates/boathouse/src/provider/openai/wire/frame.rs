//! One frame of a streamed reply, borrowed from the bytes that it came in.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A `chat.completion.chunk`; or, from a server that does not stream, a whole `chat.completion`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Frame<'a> {
    /// The first choice.
    #[serde(borrow)]
    pub choices: First<'a>,
    /// Tokens; in a last frame of its own.
    pub usage: Option<Usage>,
    /// A failure in the midst of the stream.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

impl Frame<'_> {
    /// The text of a frame that does nothing but add it: what the frame says beside has no effect.
    pub fn only_text(&self) -> Option<&str> {
        let Frame {
            choices: First(Some(Choice { index: None | Some(0), delta: Some(delta), finish_reason })),
            usage: None,
            error: None,
        } = self
        else {
            return None;
        };
        let Delta { content: Some(Text(text)), refusal, tool_calls, function_call: None } = delta else {
            return None;
        };
        let nothing = |text: &Option<Text<'_>>| text.as_ref().is_none_or(|Text(text)| text.is_empty());
        let alone =
            nothing(finish_reason) && nothing(refusal) && tool_calls.as_ref().is_none_or(Vec::is_empty);
        alone.then_some(text)
    }
}

/// The first element of `choices`; we never ask for more.
#[derive(Debug, Default)]
pub struct First<'a>(pub Option<Choice<'a>>);

/// A choice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice<'a> {
    /// Which choice it belongs to; 0 is the first.
    pub index: Option<u64>,
    /// What it adds.
    #[serde(borrow, alias = "message")]
    pub delta: Option<Delta<'a>>,
    /// Why the model stopped; absent, null or empty before the end.
    #[serde(borrow)]
    pub finish_reason: Option<Text<'a>>,
}

/// What a frame adds to the reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delta<'a> {
    /// Text.
    #[serde(borrow)]
    pub content: Option<Text<'a>>,
    /// Text that says no.
    #[serde(borrow)]
    pub refusal: Option<Text<'a>>,
    /// Pieces of tool calls.
    #[serde(borrow)]
    pub tool_calls: Option<Vec<CallPiece<'a>>>,
    /// A piece of the one call of the older interface.
    #[serde(borrow)]
    pub function_call: Option<FunctionPiece<'a>>,
}

/// A piece of a tool call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CallPiece<'a> {
    /// Which call it belongs to.
    pub index: Option<u64>,
    /// The provider's id, in the first piece.
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// The function.
    #[serde(borrow)]
    pub function: Option<FunctionPiece<'a>>,
}

/// A piece of a function call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FunctionPiece<'a> {
    /// Its name, in the first piece.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// A piece of a string of JSON; from some servers, the JSON itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

/// Tokens of a call.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Of the reply, reasoning included.
    pub completion_tokens: Option<u64>,
}

/// A text, borrowed where it has no escapes. A list of `{"text": ...}` parts is read as the parts' texts, joined.
#[derive(Debug, Default, PartialEq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text<'de>, A::Error> {
                let mut all = String::new();
                while let Some(part) = parts.next_element::<PartText<'de>>()? {
                    all.push_str(&part.0.0);
                }
                Ok(Text(Cow::Owned(all)))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// The `text` of a content part; empty for a part of another kind.
struct PartText<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for PartText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = PartText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<PartText<'de>, A::Error> {
                let mut text = Text::default();
                while let Some(key) = part.next_key::<Text<'de>>()? {
                    if key.0 == "text" {
                        text = part.next_value()?;
                    } else {
                        part.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(PartText(text))
            }
        }
        deserializer.deserialize_any(PartVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor;
        impl<'de> Visitor<'de> for FirstVisitor {
            type Value = First<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_unit<E: de::Error>(self) -> Result<First<'de>, E> {
                Ok(First(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<First<'de>, A::Error> {
                let first = choices.next_element()?;
                while choices.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_any(FirstVisitor)
    }
}
