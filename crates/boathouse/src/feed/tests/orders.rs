//! Random orders of publishing, reading, joining and being slow, against the plain list of what happened.

use proptest::prelude::*;

use super::cases::poll;
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Publish(u8),
    Delta { call: u64, text: String },
    Reply(u64),
    Join { after: u64, deltas: bool },
    Read(usize),
    Leave(usize),
    Rest(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1u8..4).prop_map(Act::Publish),
        6 => (1u64..3, "[aé\"\\n]{1,4}").prop_map(|(call, text)| Act::Delta { call, text }),
        1 => (1u64..3).prop_map(Act::Reply),
        1 => (0u64..20, any::<bool>()).prop_map(|(after, deltas)| Act::Join { after, deltas }),
        4 => (0usize..4).prop_map(Act::Read),
        1 => (0usize..4).prop_map(Act::Leave),
        1 => any::<bool>().prop_map(Act::Rest),
    ]
}

/// A reader and what it shows.
struct Shown {
    watch: Watch,
    deltas: bool,
    after: u64,
    seq: u64,
    /// The text of each reply in flight, as a client would put it together.
    replies: std::collections::BTreeMap<u64, String>,
    ended: bool,
}

impl Shown {
    /// Reads what is ready, as a client does that checks every number.
    fn read(&mut self) {
        while let Some(items) = poll(&mut self.watch) {
            let Some(items) = items.unwrap() else {
                self.ended = true;
                return;
            };
            for item in items {
                self.show(&item);
            }
        }
    }

    fn show(&mut self, item: &Item) {
        match item {
            Item::Event(stored) => {
                assert_eq!(stored.recorded.seq, Seq(self.seq + 1), "every event once, in order");
                self.seq += 1;
                if let Event::ModelReplied { call, .. } = &stored.recorded.event {
                    self.replies.remove(&call.0);
                }
            }
            Item::Delta(data) => {
                assert!(self.deltas);
                let delta: serde_json::Value = serde_json::from_slice(data).unwrap();
                let text = self.replies.entry(delta["call"].as_u64().unwrap()).or_default();
                assert_eq!(delta["offset"], text.len(), "deltas without a hole");
                text.push_str(delta["text"].as_str().unwrap());
            }
            Item::Snapshot { call, attempt, text } => {
                assert!(self.deltas && *attempt == 1);
                self.replies.insert(call.0, text.clone());
            }
            Item::Gap => {
                assert!(self.deltas);
                self.replies.clear();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_reader_shows_what_happened(acts in proptest::collection::vec(act(), 1..80), small in any::<bool>()) {
        let limits = if small {
            FeedLimits { events: 3, event_bytes: 400, deltas: 3, delta_bytes: 200 }
        } else {
            FeedLimits::default()
        };
        let bench = Bench::new(limits);
        let mut head = 0;
        let mut texts = std::collections::BTreeMap::<u64, String>::new();
        let mut readers: Vec<Shown> = Vec::new();
        for act in acts {
            match act {
                Act::Publish(count) => {
                    let events: Vec<_> = (1..=u64::from(count)).map(|n| noted(head + n)).collect();
                    head += u64::from(count);
                    bench.happen(&events);
                }
                Act::Delta { call, text } => {
                    bench.feed.delta(CallId(call), 1, &text);
                    texts.entry(call).or_default().push_str(&text);
                }
                Act::Reply(call) => {
                    head += 1;
                    bench.happen(&[replied(head, CallId(call))]);
                    texts.remove(&call);
                }
                Act::Join { after, deltas } => {
                    let after = after.min(head);
                    let watch = bench.watch(after, deltas);
                    readers.push(Shown { watch, deltas, after, seq: after, replies: Default::default(), ended: false });
                }
                Act::Read(index) => {
                    if let Some(reader) = readers.get_mut(index) {
                        reader.read();
                    }
                }
                Act::Leave(index) => {
                    if index < readers.len() {
                        readers.remove(index);
                    }
                }
                Act::Rest(at_rest) => bench.feed.set_rest(at_rest),
            }
            prop_assert_eq!(bench.feed.watchers(), readers.len());
        }
        for reader in &mut readers {
            reader.read();
            prop_assert_eq!(reader.seq, head);
            if reader.deltas {
                prop_assert_eq!(&reader.replies, &texts);
            }
        }
        bench.happen(&[ended(head + 1)]);
        for reader in &mut readers {
            reader.read();
            prop_assert!(reader.ended && reader.watch.at_rest());
            prop_assert_eq!(reader.seq, head + 1, "began after {}", reader.after);
        }
    }
}
