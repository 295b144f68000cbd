//! The crews that `boathouse new` writes. They are in `templates/`, as they are written.

/// A crew to begin with.
pub(super) struct Template {
    pub(super) name: &'static str,
    /// A first input that its script knows.
    pub(super) ask: &'static str,
    /// Its files by their place in the crew's folder.
    pub(super) files: &'static [(&'static str, &'static str)],
}

macro_rules! template {
    ($name:literal, $ask:literal, [$($file:literal),* $(,)?]) => {
        Template {
            name: $name,
            ask: $ask,
            files: &[$(($file, include_str!(concat!("../../../templates/", $name, "/", $file)))),*],
        }
    };
}

/// All templates.
pub(super) static TEMPLATES: [Template; 4] = [
    template!("single", "How full is the disk?", ["crew.yaml", "scripted.yaml", "tests/questions.yaml"]),
    template!(
        "support",
        "I was charged twice",
        [
            "crew.yaml",
            "agents/billing.yaml",
            "agents/technician.yaml",
            "agents/triage.yaml",
            "scripted.yaml",
            "tests/requests.yaml"
        ]
    ),
    template!(
        "research",
        "Why is the sky blue?",
        [
            "crew.yaml",
            "agents/doubts.yaml",
            "agents/editor.yaml",
            "agents/facts.yaml",
            "agents/history.yaml",
            "agents/planner.yaml",
            "scripted.yaml",
            "tests/questions.yaml"
        ]
    ),
    template!(
        "teams",
        "A guest book for our web site.",
        [
            "crew.yaml",
            "agents/backend.yaml",
            "agents/frontend.yaml",
            "agents/integrator.yaml",
            "agents/lead.yaml",
            "agents/quality.yaml",
            "agents/release.yaml",
            "agents/security.yaml",
            "scripted.yaml",
            "tests/releases.yaml"
        ]
    ),
];
