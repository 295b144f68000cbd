//! What runs and operators rely on when settings change under them.

use super::*;

fn crew(name: &str, description: &str) -> Arc<Crew> {
    use boathouse_core::crew::{AgentIx, HandoffStyle, Settings};
    Arc::new(Crew {
        name: name.to_owned(),
        description: description.to_owned(),
        hash: "".into(),
        source: BTreeMap::new(),
        agents: Vec::new(),
        entry: AgentIx(0),
        groups: Vec::new(),
        tools: Vec::new(),
        vars: BTreeMap::new(),
        handoff: HandoffStyle::default(),
        settings: Settings::default(),
    })
}

/// Writes both fields together, so that a mixture can be recognised.
fn write(settings: &SharedSettings, verbose: bool) {
    settings.update(|settings| {
        settings.verbose = verbose;
        settings.start_agent = Some(AgentId::from(if verbose { "loud" } else { "quiet" }));
    });
}

fn is_whole(settings: &LiveSettings) -> bool {
    let expected = if settings.verbose { "loud" } else { "quiet" };
    settings.start_agent.as_ref().is_none_or(|agent| agent.as_str() == expected)
}

#[cfg(not(feature = "model-check"))]
mod cases {
    use super::*;

    fn names(settings: &SharedSettings) -> Vec<String> {
        settings.crews().iter().map(|crew| format!("{}:{}", crew.name, crew.description)).collect()
    }

    #[test]
    fn crews_keep_the_order_in_which_they_came() {
        let settings = SharedSettings::default();
        for name in ["b", "a", "c"] {
            assert!(settings.add_crew(crew(name, "1")).is_none());
        }
        assert_eq!(
            settings.add_crew(crew("a", "2")).map(|crew| crew.description.clone()),
            Some("1".to_owned())
        );
        assert_eq!(names(&settings), ["b:1", "a:2", "c:1"]);
        assert!(settings.remove_crew("b").is_some());
        assert!(settings.remove_crew("b").is_none());
        assert_eq!(names(&settings), ["a:2", "c:1"]);
        assert_eq!(settings.crew("c").map(|crew| crew.name.clone()), Some("c".to_owned()));
        assert!(settings.crew("b").is_none());
    }

    #[test]
    fn a_run_keeps_the_settings_that_it_began_with() {
        let settings = SharedSettings::default();
        settings.add_crew(crew("a", "1"));
        settings.set_start_agent(AgentId::from("x"));
        let began = settings.load();
        settings.set_verbose(true);
        settings.clear_start_agent();
        settings.add_crew(crew("a", "2"));
        assert!(!began.verbose);
        assert_eq!(began.start_agent, Some(AgentId::from("x")));
        assert_eq!(began.crews.get("a").map(|crew| crew.description.as_str()), Some("1"));
        assert!(settings.verbose());
        assert_eq!(settings.start_agent(), None);
    }

    #[test]
    fn readers_among_writers_never_see_half_a_change() {
        let settings = SharedSettings::default();
        std::thread::scope(|scope| {
            for verbose in [true, false] {
                let settings = &settings;
                scope.spawn(move || (0..20_000).for_each(|_| write(settings, verbose)));
            }
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| assert!(settings.read(is_whole))));
            }
        });
    }

    #[test]
    fn no_change_is_lost() {
        let settings = SharedSettings::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let settings = &settings;
                scope.spawn(move || {
                    for n in 0..100 {
                        settings.add_crew(crew(&format!("{thread}.{n}"), ""));
                    }
                });
            }
        });
        assert_eq!(settings.load().crews.len(), 400);
    }
}

#[cfg(feature = "model-check")]
mod interleavings {
    use super::*;
    use shuttle::thread;

    #[test]
    fn changes_in_any_order_are_whole_and_none_is_lost() {
        shuttle::check_random(
            || {
                let settings = Arc::new(SharedSettings::default());
                let mut threads = Vec::new();
                for (name, verbose) in [("a", true), ("b", false), ("c", true)] {
                    let settings = settings.clone();
                    threads.push(thread::spawn(move || {
                        settings.add_crew(crew(name, ""));
                        write(&settings, verbose);
                    }));
                }
                for _ in 0..2 {
                    let settings = settings.clone();
                    threads.push(thread::spawn(move || {
                        let mut crews = 0;
                        for _ in 0..3 {
                            let now = settings.load();
                            assert!(is_whole(&now), "half a change");
                            assert!(now.crews.len() >= crews, "a change was taken back");
                            crews = now.crews.len();
                        }
                    }));
                }
                for thread in threads {
                    assert!(thread.join().is_ok());
                }
                assert_eq!(settings.load().crews.len(), 3, "a change was lost");
            },
            20_000,
        );
    }
}
