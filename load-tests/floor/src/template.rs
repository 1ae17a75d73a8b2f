//! What weir wrote for each kind of input, to be written again without any thought.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;
use serde_json::json;

use crate::batch::Batch;
use crate::client::{ends, read_all, reading};
use crate::report::{Report, rounded};
use crate::tape::{Recorder, Tape, Taped};
use crate::topics::{DECISIONS, ESCALATIONS, INPUTS, OUTPUTS, ROLLUPS, TOUCHES, named};
use crate::{Failure, Place, wire};

const WHAT: &str = "template";
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
    /// Consecutive decisions taken from each partition, from its first third on
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// The template
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

type Owned = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Written {
    decisions: Vec<(i32, usize, Vec<u8>, Owned)>,
    escalations: HashMap<Vec<u8>, Owned>,
    rollups: Vec<Owned>,
    touches: Vec<Owned>,
    /// of everything on decisions
    total: (u64, u64),
    /// of everything on escalations
    escalated: (u64, u64),
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
        for (_, kind, id, (key, payload)) in &written.decisions {
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
            .with("escalations_per_decision", rounded(written.escalated.0 as f64 / total as f64, 4))
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
        let mut written = Written::default();
        let names = named(&self.place, &OUTPUTS);
        let mut sampled: HashMap<i32, usize> = HashMap::new();
        let consumer: BaseConsumer = reading(&self.place, "weir-floor-reader", 1_024).create()?;
        let skip: HashMap<i32, usize> = ends(&consumer, &names[..1])?
            .into_iter()
            .map(|((_, partition), (low, high))| (partition, ((high - low) / 3) as usize))
            .collect();
        read_all(
            &self.place,
            &names,
            |low, _| low,
            DEADLINE,
            |message| {
                let payload = message.payload().unwrap_or_default();
                let owned = || (message.key().unwrap_or_default().to_vec(), payload.to_vec());
                match names.iter().position(|name| name == message.topic()) {
                    Some(DECISIONS) => {
                        written.total.0 += 1;
                        written.total.1 += payload.len() as u64;
                        let sampled = sampled.entry(message.partition()).or_default();
                        let Some(head) = wire::decision(payload) else {
                            return Err(
                                format!("no decision at offset {}", message.offset()).into()
                            );
                        };
                        *sampled += 1;
                        // once the accounts have a history
                        let skipped = skip.get(&message.partition()).copied().unwrap_or(0);
                        if (skipped..skipped + self.count).contains(sampled) {
                            let id = head.decision_id.to_vec();
                            written.decisions.push((message.partition(), head.kind, id, owned()));
                        }
                    }
                    Some(ESCALATIONS) => {
                        written.escalated.0 += 1;
                        written.escalated.1 += payload.len() as u64;
                        if let Some(id) = wire::second_text(payload) {
                            written.escalations.insert(id.to_vec(), owned());
                        }
                    }
                    Some(ROLLUPS) => written.rollups.push(owned()),
                    Some(TOUCHES) => {
                        written.touch_bytes += payload.len() as u64;
                        if written.touches.len() < 1_000 {
                            written.touches.push(owned());
                        }
                    }
                    _ => {}
                }
                Ok(())
            },
        )?;
        Ok(written)
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
            let bytes = (self.touch_bytes_per_event * taken as f64) as usize;
            if bytes > 0 {
                self.touched.clear();
                self.touched.extend(payload.iter().cycle().take(bytes));
                batch.push(TOUCHES, partition as i32, now_ms, key, &self.touched);
            }
        }
    }
}
