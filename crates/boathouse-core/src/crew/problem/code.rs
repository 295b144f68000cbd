//! The stable words for what can be wrong with a crew's files.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($(#[doc = $means:literal] $name:ident = $word:literal,)*) => {
        /// A stable word for a problem. Programs may rely on it; `docs/problems.md` is the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $means] $name),* }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The word itself, such as `unknown_agent`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word),* }
            }

            /// What it means, in one sentence of Markdown.
            pub fn means(self) -> &'static str {
                match self { $(Code::$name => $means),* }.trim()
            }
        }
    };
}

codes! {
    /// A file that a crew needs is not there.
    MissingFile = "missing_file",
    /// A file cannot be read: no permission, or it is not a file.
    UnreadableFile = "unreadable_file",
    /// A file is larger than 1 MiB, or all together are larger than 8 MiB.
    TooLarge = "too_large",
    /// There are more than 1000 files under `agents/`, or under `tests/`.
    TooManyFiles = "too_many_files",
    /// A file, or its name, is not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// A file is not read because its name does not end in `.yaml`.
    WrongExtension = "wrong_extension",
    /// A file holds nothing.
    EmptyFile = "empty_file",
    /// The text is not YAML.
    YamlSyntax = "yaml_syntax",
    /// A file holds more than one YAML document.
    YamlDocuments = "yaml_documents",
    /// An alias has no anchor, or stands inside what it stands for.
    YamlAlias = "yaml_alias",
    /// A YAML tag, which means nothing here.
    YamlTag = "yaml_tag",
    /// A key that is not a text.
    YamlKey = "yaml_key",
    /// `<<` with something that is no map.
    YamlMerge = "yaml_merge",
    /// More than 200,000 values or 8 MiB of text, aliases counted as what they stand for.
    YamlSize = "yaml_size",
    /// Lists and maps nested more than 64 deep.
    YamlDepth = "yaml_depth",
    /// A key is written twice.
    DuplicateKey = "duplicate_key",
    /// There is no such key.
    UnknownKey = "unknown_key",
    /// A key that must be there is not.
    MissingKey = "missing_key",
    /// A value of the wrong type.
    WrongType = "wrong_type",
    /// A word that is none of those allowed.
    UnknownChoice = "unknown_choice",
    /// A number outside its bounds.
    OutOfRange = "out_of_range",
    /// A control character in a text.
    ControlCharacter = "control_character",
    /// A 0 that stands for the default.
    ZeroIsDefault = "zero_is_default",
    /// Something that is written does nothing.
    NoEffect = "no_effect",
    /// A key of a later version: it does nothing yet.
    NotYet = "not_yet",
    /// A name that cannot be used.
    InvalidName = "invalid_name",
    /// A crew without agents.
    EmptyCrew = "empty_crew",
    /// No agent has this name.
    UnknownAgent = "unknown_agent",
    /// No agent and no parallel group has this name.
    UnknownTarget = "unknown_target",
    /// The program has no such provider of models.
    UnknownProvider = "unknown_provider",
    /// Neither the crew nor the program has such a tool.
    UnknownTool = "unknown_tool",
    /// No MCP server has this name.
    UnknownServer = "unknown_server",
    /// An agent is there twice.
    DuplicateAgent = "duplicate_agent",
    /// An agent's file is not part of the crew.
    UnlistedAgent = "unlisted_agent",
    /// Nobody hands over to an agent.
    UnreachableAgent = "unreachable_agent",
    /// Nothing leads to a parallel group.
    UnreachableGroup = "unreachable_group",
    /// A name stands for an agent and a parallel group.
    AmbiguousName = "ambiguous_name",
    /// A parallel group without agents.
    EmptyGroup = "empty_group",
    /// A quorum of more agents than the group has.
    QuorumTooLarge = "quorum_too_large",
    /// Routing of an agent that does nothing inside a parallel group.
    NoEffectInGroup = "no_effect_in_group",
    /// A template that cannot be read.
    BadTemplate = "bad_template",
    /// An expression that cannot be read, or that asks for what is not there.
    BadExpression = "bad_expression",
    /// A signal without a text.
    EmptySignal = "empty_signal",
    /// A signal that an agent has twice.
    DuplicateSignal = "duplicate_signal",
    /// Signals that careless writing makes the same.
    SimilarSignals = "similar_signals",
    /// A signal that does not say where it leads.
    NoTarget = "no_target",
    /// A signal that its agent's prompt never mentions.
    UnmentionedSignal = "unmentioned_signal",
    /// Behaviours of which one keeps the other from acting.
    ConflictingBehaviors = "conflicting_behaviors",
    /// An agent that waits for a person after every reply.
    EndlessWait = "endless_wait",
    /// An agent that hands over to itself.
    HandsToItself = "hands_to_itself",
    /// A loop of agents that nothing but `max_handoffs` ends.
    EndlessLoop = "endless_loop",
    /// An agent that cannot call the tools that hand over.
    NoTransfer = "no_transfer",
    /// A tool that hands over has another name than one would think.
    TransferName = "transfer_name",
    /// A placeholder that stands for nothing.
    UnknownPlaceholder = "unknown_placeholder",
    /// A variable that nothing uses.
    UnusedVar = "unused_var",
    /// An address that cannot be used.
    InvalidUrl = "invalid_url",
    /// A parameter of a model is set in two places.
    SetTwice = "set_twice",
    /// A parameter that belongs to the request itself.
    ReservedParameter = "reserved_parameter",
    /// A limit on the cost of a model whose price is not known.
    NoPrice = "no_price",
    /// An agent whose replies have a form that leaves no room for its signals.
    SchemaAndSignals = "schema_and_signals",
    /// A tool that no agent may call.
    UnusedTool = "unused_tool",
    /// An agent lists a tool twice.
    DuplicateTool = "duplicate_tool",
    /// A tool with which a model could do anything is not offered.
    RefusedTool = "refused_tool",
    /// A tool without a description.
    NoDescription = "no_description",
    /// A command that cannot be run as it is written.
    InvalidCommand = "invalid_command",
    /// A command with which a model could run anything.
    FreeShell = "free_shell",
    /// A request that cannot be sent as it is written.
    InvalidRequest = "invalid_request",
    /// A path that leads out of the crew's folder.
    InvalidPath = "invalid_path",
    /// A schema that cannot be used.
    InvalidSchema = "invalid_schema",
    /// The provider `scripted`, and no `scripted.yaml` to answer from.
    MissingScript = "missing_script",
    /// A rule of `scripted.yaml` that cannot be used.
    InvalidScript = "invalid_script",
    /// A pattern that is no regular expression.
    InvalidRegex = "invalid_regex",
    /// A place in JSON that is no JSON pointer.
    InvalidPointer = "invalid_pointer",
    /// Two tests of a file have the same name.
    DuplicateTest = "duplicate_test",
    /// A text or a check of a test that is empty.
    EmptyCheck = "empty_check",
    /// Keys that exclude each other.
    Contradiction = "contradiction",
    /// A crew that is served has another name than at the start.
    Renamed = "renamed",
    /// More than 500 problems.
    TooManyProblems = "too_many_problems",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
