//! `weir explain`: why a decision is what it is, and proof that it is.

use std::collections::HashMap;
use std::path::Path;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::open::{read_store, runtime};
use super::{Exit, Failure, Places, archive};
use crate::codec::{Contract, Encoder, body, decode_offline, json};
use crate::event::Decision;
use crate::score::Engine;
use crate::sink::store::Store;

/// Decisions read at once.
const PAGE: usize = 1_000;
/// Differences shown.
const SHOWN_MAX: usize = 10;

/// Shows a decision for people, or decides it again from its own record and compares the bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir explain 5f0c…\n  weir explain 5f0c… --verify\n  \
    weir explain --all --verify --limit 50000\n\nExit code 7 if a decision does not re-run to the same bytes.")]
pub(super) struct Explain {
    /// Id of the decision
    #[arg(required_unless_present = "all")]
    id: Option<Uuid>,
    /// Every stored decision, up to --limit; only with --verify
    #[arg(long, requires = "verify", conflicts_with = "id")]
    all: bool,
    /// Decide again from the record and compare the bytes
    #[arg(long)]
    verify: bool,
    /// How many decisions with --all
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// The decision as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

impl Explain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let data = self.places.data()?;
        let runtime = runtime()?;
        let store = read_store(&self.places, runtime.handle())?;
        let mut verifier = Verifier::new(&data);
        let Some(id) = self.id else {
            return self.verify_all(store.as_ref(), &mut verifier);
        };
        let record = store.decision(id)?.ok_or_else(|| {
            let message = format!("no decision {id} in the store");
            Failure::new(Exit::Failed, message)
        })?;
        let decision = read(&record).map_err(|reason| Failure::new(Exit::Failed, reason))?;
        if self.json {
            let json = json::to_value(Contract::Decision, &decision)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            say!("{json:#}");
        } else {
            show(&decision, &verifier.features(&decision));
        }
        if self.verify {
            verifier.verify(&record).map_err(|reason| Failure::new(Exit::Unproved, reason))?;
            eprintln!("verified: {} bytes, the same again", record.len());
        }
        Ok(())
    }

    fn verify_all(&self, store: &dyn Store, verifier: &mut Verifier<'_>) -> Result<(), Failure> {
        let known = store.counts()?.map_or(u64::MAX, |counts| counts.decisions);
        let total = known.min(self.limit as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {msg}");
        let bar = ProgressBar::new(total)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut after = None;
        let (mut same, mut different) = (0u64, 0u64);
        while ((same + different) as usize) < self.limit {
            let left = self.limit - (same + different) as usize;
            let page = store.page(after, PAGE.min(left))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, record) in &page {
                match verifier.verify(record) {
                    Ok(()) => same += 1,
                    Err(reason) => {
                        different += 1;
                        if different as usize <= SHOWN_MAX {
                            bar.suspend(|| eprintln!("{id}: {reason}"));
                        }
                    }
                }
            }
            bar.set_position(same + different);
        }
        bar.finish_and_clear();
        if self.json {
            say!("{}", serde_json::json!({ "same": same, "different": different }));
        } else {
            say!(
                "decided again: {} decisions, {same} the same to the byte, {different} not",
                same + different
            );
        }
        if different > 0 {
            let message = format!("{different} decisions do not re-run to the same bytes");
            return Err(Failure::new(Exit::Unproved, message));
        }
        Ok(())
    }
}

fn read(record: &[u8]) -> Result<Decision<'_>, String> {
    decode_offline(Contract::Decision, record)
        .map_err(|error| format!("the record cannot be read: {error}"))
}

/// Decides again from records, with the rule sets that the records name.
struct Verifier<'a> {
    data: &'a Path,
    engines: HashMap<String, Result<Engine, String>>,
    encoder: Encoder,
    again: Vec<u8>,
}

impl<'a> Verifier<'a> {
    fn new(data: &'a Path) -> Verifier<'a> {
        Verifier { data, engines: HashMap::new(), encoder: Encoder::default(), again: Vec::new() }
    }

    /// The engine of the rule set that a decision names.
    fn engine(&mut self, decision: &Decision<'_>) -> Result<&Engine, String> {
        let hash = decision.rule_set.as_str();
        if !self.engines.contains_key(hash) {
            self.engines.insert(hash.to_owned(), archive::engine(self.data, hash));
        }
        match self.engines.get(hash) {
            Some(Ok(engine)) => Ok(engine),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!("no rule set {hash}")),
        }
    }

    /// The names of a decision's features; none where its rule set is not kept.
    fn features(&mut self, decision: &Decision<'_>) -> Vec<String> {
        let names = |engine: &Engine| {
            engine.rules().features().names().map(|(name, _)| name.to_owned()).collect()
        };
        self.engine(decision).map(names).unwrap_or_default()
    }

    fn verify(&mut self, record: &[u8]) -> Result<(), String> {
        let decision = read(record)?;
        // kept in two steps, because the encoder is needed beside it
        self.engine(&decision)?;
        let Some(Ok(engine)) = self.engines.get(decision.rule_set.as_str()) else {
            return Err(format!("no rule set {}", decision.rule_set));
        };
        let again = engine.rerun(&decision)?;
        self.again.clear();
        self.encoder
            .encode(Contract::Decision, &again, &mut self.again)
            .map_err(|error| error.to_string())?;
        // how the schema is named is no part of what was decided
        if body(&self.again) == body(record) {
            return Ok(());
        }
        Err(format!(
            "decided again: {} at {}, the record says {} at {}",
            again.outcome.name(),
            again.score,
            decision.outcome.name(),
            decision.score
        ))
    }
}

fn show(decision: &Decision<'_>, features: &[String]) {
    say!("decision    {}", decision.decision_id);
    say!(
        "event       {} {} of {}/{}",
        decision.kind.label(),
        decision.event_id,
        decision.tenant,
        decision.account_id
    );
    say!("subject     {}", decision.subject_id);
    say!("happened    {}", decision.event_time);
    say!("decided     {}", decision.decided_at);
    let recommendation = decision.recommendation.as_deref().map(|text| format!(" ({text})"));
    say!("outcome     {}{}", decision.outcome.name(), recommendation.unwrap_or_default());
    say!("score       {:.4}, confidence {:.4}", decision.score, decision.confidence);
    say!("reasons     {}", if decision.reasons.is_empty() { "none: no rule matched" } else { "" });
    for reason in &decision.reasons {
        say!("  {:<24} {:.2}  {}  [{}]", &*reason.code, reason.weight, reason.text, reason.rule);
    }
    say!("fields");
    for field in &decision.fields {
        say!("  {:<32} {}", &*field.name, field.value);
    }
    say!("features    set {}", decision.feature_set);
    for (i, value) in decision.features.iter().enumerate() {
        let number = format!("number {i}");
        say!("  {:<32} {value}", features.get(i).unwrap_or(&number));
    }
    if let Some(age) = decision.profile_age_ms {
        say!("profiles    of {age} ms before");
    }
    say!("rule set    {}", decision.rule_set);
    for degraded in &decision.degraded {
        say!("degraded    {degraded}");
    }
    let source = &decision.source;
    say!(
        "source      {}/{}@{}, schema {:016x}",
        source.topic,
        source.partition,
        source.offset,
        source.schema_id
    );
}
