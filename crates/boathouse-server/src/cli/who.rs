//! Who sits at the terminal.

/// The name of the user, which is kept with what they decide.
pub(super) fn is_it() -> Option<String> {
    std::env::var("USER").ok().filter(|user| !user.is_empty())
}
