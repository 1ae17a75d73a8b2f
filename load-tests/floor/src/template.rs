//! What weir wrote for each kind of input, to be written again without any thought.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::json;

use crate::batch::Batch;
use crate::client::{ends, read_all, reading};
use crate::report::{Report, rounded};
use crate::tape::{Recorder, Tape, Taped};
use crate::topics::{DECISIONS, ESCALATIONS, INPUTS, OUTPUTS, ROLLUPS, TOUCHES, named};
use crate::{Failure, Place, wire};

const WHAT: &str = "template";
/// Consecutive decisions taken at a time.
const RUN: usize = 100;
/// Bytes of one touch record at the most, well below what a broker takes.
const TOUCH_BYTES_MAX: usize = 256 << 10;
/// Touch records kept to choose from.
const TOUCHES_MAX: usize = 1_000;
const DEADLINE: Duration = Duration::from_secs(120);
/// The inputs of the kinds that the decision's schema numbers.
const KIND_TOPICS: [&str; 4] = ["transactions", "disputes", "chats", "invoices"];

/// Makes a template for `loop --form same-output` from what a finished run of weir wrote.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weir-floor sample --brokers 127.0.0.1:9092 --prefix bench1. --out template"
)]
pub struct Sample {
    #[command(flatten)]
    place: Place,
    /// Decisions taken from each partition, in runs spread over the whole of it
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// The template
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

type Owned = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Written {
    /// by partition: of how many runs of decisions one is taken, since what weir writes changes as
    /// its accounts get a history
    every: HashMap<i32, usize>,
    /// by partition: decisions so far
    seen: HashMap<i32, usize>,
    /// kind, id, key and payload of those taken
    decisions: Vec<(usize, Vec<u8>, Owned)>,
    /// by the decision's id
    escalations: HashMap<Vec<u8>, Owned>,
    rollups: Vec<Owned>,
    touches: Vec<Owned>,
    /// all decisions, and their bytes
    total: (u64, u64),
    /// all escalations
    escalated: u64,
    /// of all touches
    touch_bytes: u64,
}

impl Sample {
    /// # Errors
    /// When the brokers do not answer or there are no decisions.
    pub fn run(&self) -> Result<Report, Failure> {
        let written = self.read()?;
        let (total, total_bytes) = written.total;
        if written.decisions.is_empty() {
            return Err(format!("no decisions on {}decisions", self.place.prefix).into());
        }
        let touch_bytes = written.touch_bytes as f64 / total as f64;
        let header = json!({"what": WHAT, "touch_bytes_per_event": touch_bytes});
        let mut out = Recorder::create(&self.out, &header)?;
        let (mut sampled_bytes, mut escalations) = (0, 0_u64);
        for (kind, id, (key, payload)) in &written.decisions {
            // a decision's number among the topics says the kind of its input as well
            out.push(Taped { topic: DECISIONS, partition: *kind as i32, key, payload })?;
            sampled_bytes += payload.len();
            if let Some((key, payload)) = written.escalations.get(id) {
                out.push(Taped { topic: ESCALATIONS, partition: *kind as i32, key, payload })?;
                escalations += 1;
            }
        }
        for (topic, records) in [(ROLLUPS, &written.rollups), (TOUCHES, &written.touches)] {
            if let Some((key, payload)) = median(records) {
                out.push(Taped { topic, partition: 0, key, payload })?;
            }
        }
        out.finish()?;
        let sampled = written.decisions.len();
        Ok(Report::default()
            .with("decisions", total)
            .with("decision_bytes", rounded(total_bytes as f64 / total as f64, 1))
            .with("escalations_per_decision", rounded(written.escalated as f64 / total as f64, 4))
            .with("rollups", written.rollups.len())
            .with("touch_bytes_per_event", rounded(touch_bytes, 1))
            .with("sampled", sampled)
            .with("sampled_decision_bytes", rounded(sampled_bytes as f64 / sampled as f64, 1))
            .with(
                "sampled_escalations_per_decision",
                rounded(escalations as f64 / sampled as f64, 4),
            ))
    }

    fn read(&self) -> Result<Written, Failure> {
        let names = named(&self.place, &OUTPUTS);
        let consumer: BaseConsumer = reading(&self.place, "weir-floor-reader", 1_024).create()?;
        let every = |(low, high): (i64, i64)| ((high - low) as usize).div_ceil(self.count.max(1));
        let every = ends(&consumer, &names[..1])?
            .into_iter()
            .map(|((_, partition), ends)| (partition, every(ends).max(1)))
            .collect();
        let mut written = Written { every, ..Written::default() };
        read_all(&self.place, &names, DEADLINE, |message| {
            let topic = names.iter().position(|name| name == message.topic());
            written.add(topic.ok_or("a record of another topic")?, message)
        })?;
        Ok(written)
    }
}

impl Written {
    fn add(&mut self, topic: usize, message: &BorrowedMessage<'_>) -> Result<(), Failure> {
        let payload = message.payload().unwrap_or_default();
        let owned = || (message.key().unwrap_or_default().to_vec(), payload.to_vec());
        match topic {
            DECISIONS => {
                let Some(head) = wire::decision(payload) else {
                    return Err(format!("no decision at offset {}", message.offset()).into());
                };
                self.total.0 += 1;
                self.total.1 += payload.len() as u64;
                let seen = self.seen.entry(message.partition()).or_default();
                let every = self.every.get(&message.partition()).copied().unwrap_or(1);
                if (*seen / RUN).is_multiple_of(every) {
                    self.decisions.push((head.kind, head.decision_id.to_vec(), owned()));
                }
                *seen += 1;
            }
            ESCALATIONS => {
                self.escalated += 1;
                if let Some(id) = wire::second_text(payload) {
                    self.escalations.insert(id.to_vec(), owned());
                }
            }
            ROLLUPS => self.rollups.push(owned()),
            _ => {
                self.touch_bytes += payload.len() as u64;
                if self.touches.len() < TOUCHES_MAX {
                    self.touches.push(owned());
                }
            }
        }
        Ok(())
    }
}

fn median(records: &[Owned]) -> Option<&Owned> {
    let mut sorted: Vec<&Owned> = records.iter().collect();
    sorted.sort_by_key(|(_, payload)| payload.len());
    sorted.get(sorted.len() / 2).copied()
}

/// A record to write.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// index among the outputs
    pub topic: usize,
    /// its key
    pub key: &'a [u8],
    /// its payload
    pub payload: &'a [u8],
}

/// Outputs in the order in which they are written again, round and round.
#[derive(Debug)]
pub struct Template {
    tape: Tape,
    /// by input: ranges of the tape, each with a decision and what came with it
    groups: Vec<Vec<(usize, usize)>>,
    next: Vec<usize>,
    rollup: Option<usize>,
    touch: Option<usize>,
    touch_bytes_per_event: f64,
    touched: Vec<u8>,
}

impl Template {
    /// Reads a file of `weir-floor sample`.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(path: &Path) -> Result<Template, Failure> {
        let tape = Tape::read(path, WHAT)?;
        let mut template = Template {
            touch_bytes_per_event: tape.header["touch_bytes_per_event"].as_f64().unwrap_or(0.0),
            groups: vec![Vec::new(); INPUTS.len()],
            next: vec![0; INPUTS.len()],
            rollup: None,
            touch: None,
            touched: Vec::new(),
            tape,
        };
        for index in 0..template.tape.len() {
            let record = template.tape.get(index);
            let input = KIND_TOPICS
                .get(record.partition as usize)
                .and_then(|kind| INPUTS.iter().position(|input| input == kind))
                .ok_or_else(|| format!("{}: kind {}", path.display(), record.partition))?;
            match record.topic {
                DECISIONS => template.groups[input].push((index, index + 1)),
                ESCALATIONS => {
                    if let Some(group) = template.groups[input].last_mut() {
                        group.1 = index + 1;
                    }
                }
                ROLLUPS => template.rollup = Some(index),
                TOUCHES => template.touch = Some(index),
                other => return Err(format!("{}: topic {other}", path.display()).into()),
            }
        }
        Ok(template)
    }

    /// What the next input of a topic causes; nothing where weir writes nothing, as for labels.
    pub fn next(&mut self, input: usize) -> impl Iterator<Item = Output<'_>> {
        let groups = &self.groups[input];
        let range = groups.get(self.next[input]).copied().unwrap_or_default();
        self.next[input] =
            if self.next[input] + 1 < groups.len() { self.next[input] + 1 } else { 0 };
        (range.0..range.1).map(|index| {
            let Taped { topic, key, payload, .. } = self.tape.get(index);
            Output { topic, key, payload }
        })
    }

    /// Adds what weir writes once a commit: the roll-up, in the lowest partition taken from, and for
    /// each of them the touches of its inputs.
    pub fn seal(&mut self, batch: &mut Batch, now_ms: i64) {
        let lowest = batch.taken_of.iter().position(|taken| *taken > 0).unwrap_or(0);
        if let Some(rollup) = self.rollup {
            let Taped { key, payload, .. } = self.tape.get(rollup);
            batch.push(ROLLUPS, lowest as i32, now_ms, key, payload);
        }
        let Some(touch) = self.touch else { return };
        let Taped { key, payload, .. } = self.tape.get(touch);
        for partition in 0..batch.taken_of.len() {
            let taken = batch.taken_of[partition];
            let mut left = (self.touch_bytes_per_event * taken as f64) as usize;
            while left > 0 && !payload.is_empty() {
                let bytes = left.min(TOUCH_BYTES_MAX);
                self.touched.clear();
                self.touched.extend(payload.iter().cycle().take(bytes));
                batch.push(TOUCHES, partition as i32, now_ms, key, &self.touched);
                left -= bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("weir-floor-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_template_gives_each_decision_with_its_escalation_round_and_round() {
        let path = file("template");
        let header = json!({"what": WHAT, "touch_bytes_per_event": 2.5});
        let mut out = Recorder::create(&path, &header).unwrap();
        let taped = |topic, kind, payload| Taped { topic, partition: kind, key: b"k", payload };
        for record in [
            taped(DECISIONS, 0, &b"one"[..]),
            taped(DECISIONS, 1, b"dispute"),
            taped(DECISIONS, 0, b"two"),
            taped(ESCALATIONS, 0, b"two escalated"),
            taped(ROLLUPS, 0, b"rollup"),
            taped(TOUCHES, 0, b"touch"),
        ] {
            out.push(record).unwrap();
        }
        out.finish().unwrap();
        let mut template = Template::read(&path).unwrap();
        let mut next = |input: &str| -> Vec<Vec<u8>> {
            let input = INPUTS.iter().position(|name| *name == input).unwrap();
            template.next(input).map(|output| output.payload.to_vec()).collect()
        };
        assert_eq!(next("transactions"), [b"one"]);
        assert_eq!(next("disputes"), [b"dispute"]);
        assert_eq!(next("transactions"), [&b"two"[..], b"two escalated"]);
        assert_eq!(next("transactions"), [b"one"]);
        assert_eq!(next("disputes"), [b"dispute"]);
        assert!(next("labels").is_empty());
        let mut batch = Batch::default();
        (0..4).for_each(|offset| batch.take(4, 3, offset));
        template.seal(&mut batch, 0);
        let sealed: Vec<_> = batch.records().map(|(e, _, p)| (e.topic, e.partition, p)).collect();
        assert_eq!(sealed, [(ROLLUPS, 3, &b"rollup"[..]), (TOUCHES, 3, b"touchtouch")]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_cut_off_or_another_is_refused() {
        let path = file("cut");
        let mut out = Recorder::create(&path, &json!({"what": "tape"})).unwrap();
        out.push(Taped { topic: 0, partition: 0, key: b"k", payload: b"payload" }).unwrap();
        out.finish().unwrap();
        assert!(Template::read(&path).unwrap_err().to_string().contains("no template"));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(Tape::read(&path, "tape").unwrap_err().to_string().contains("cut off"));
        std::fs::remove_file(&path).unwrap();
    }
}
