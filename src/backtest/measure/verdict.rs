//! Whether a challenger should take over.
//!
//! It rests on two differences, each with an interval that leaves out half of the usual 5 %, so that of a
//! hundred challengers that are no different about five at most are told apart: average precision, which is
//! how well scores put fraud first, and money, which is what the outcomes save.

use serde::Serialize;

use super::columns::Columns;
use super::options::Options;
use super::resample::{Estimate, LEFT_OUT};
use super::words::{count, signed_money};

/// Labels that a verdict takes at least: with fewer, resamples do not show how far chance goes.
const FRAUDS_MIN: usize = 30;
const FRAUD_ACCOUNTS_MIN: usize = 20;
const GENUINE_MIN: usize = 30;

/// Whether to take a challenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// it is better by one measure at least, and not worse by the other
    Recommend,
    /// no measure tells them apart, or the two measures contradict each other
    NoDifference,
    /// it is worse by one measure at least, and not better by the other
    Worse,
    /// there is too little to tell
    TooFewLabels,
}

/// What the advice rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// the difference in average precision
    AveragePrecision,
    /// the difference in what alerts save, in minor units
    NetMinor,
}

/// The advice, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// what to do
    pub advice: Advice,
    /// one sentence for people
    pub sentence: String,
    /// which difference it rests on; `None`: on none
    pub rests_on: Option<Ground>,
    /// that difference, challenger less live, with its 97.5 % interval
    pub interval: Estimate,
}

/// The differences that a verdict rests on, challenger less live.
pub(super) struct Differences {
    pub(super) average_precision: Estimate,
    pub(super) net_minor: Estimate,
    /// alerts of what is live, and of the challenger
    pub(super) alerts: (u64, u64),
}

impl Verdict {
    /// What the interval of each of the two differences leaves out.
    pub(super) const LEFT_OUT: f64 = LEFT_OUT / 2.0;

    pub(super) fn of(
        name: &str,
        columns: &Columns,
        options: &Options,
        differences: &Differences,
    ) -> Verdict {
        let sides = sign(&differences.average_precision).zip(sign(&differences.net_minor));
        let Some((rank, net)) = sides.filter(|_| is_enough(columns)) else {
            return Verdict {
                advice: Advice::TooFewLabels,
                sentence: too_few(name, columns, options),
                rests_on: None,
                interval: Estimate::default(),
            };
        };
        let (advice, ground) = advised(rank, net);
        let interval = match ground {
            Ground::AveragePrecision => differences.average_precision,
            Ground::NetMinor => differences.net_minor,
        };
        let sentence = differences.sentence(name, advice, ground, options);
        Verdict { advice, sentence, rests_on: Some(ground), interval }
    }
}

/// What the signs of the two differences advise, and which of them it rests on.
fn advised(rank: i8, net: i8) -> (Advice, Ground) {
    use Ground::{AveragePrecision, NetMinor};
    match (rank, net) {
        (0, 0) => (Advice::NoDifference, AveragePrecision),
        (1, -1) | (-1, 1) => (Advice::NoDifference, NetMinor),
        (1, _) => (Advice::Recommend, AveragePrecision),
        (0, 1) => (Advice::Recommend, NetMinor),
        (-1, _) => (Advice::Worse, AveragePrecision),
        _ => (Advice::Worse, NetMinor),
    }
}

impl Differences {
    fn sentence(&self, name: &str, advice: Advice, ground: Ground, options: &Options) -> String {
        let rank = between(&self.average_precision, |by| format!("{by:+.4}"));
        let rank = format!("average precision changes by {rank}");
        let amount = |by| signed_money(by, options.minor_digits, &options.currency);
        let net = format!("the money saved changes by {}", between(&self.net_minor, amount));
        // alerts are work: what they change goes with whatever is advised
        let work = match i128::from(self.alerts.1) - i128::from(self.alerts.0) {
            0 => String::from("as many alerts"),
            more if more > 0 => format!("{} more alerts", count(more.unsigned_abs() as u64)),
            fewer => format!("{} fewer alerts", count(fewer.unsigned_abs() as u64)),
        };
        match (advice, ground) {
            (Advice::NoDifference, Ground::NetMinor) => {
                format!("{name} is no clear gain: {rank}, but {net}, with {work}.")
            }
            (Advice::NoDifference, _) => {
                format!("{name} is no different: {rank}, {net}, with {work}.")
            }
            (Advice::Recommend, Ground::AveragePrecision) => {
                format!("Take {name}: {rank}, with {work}.")
            }
            (Advice::Recommend, Ground::NetMinor) => format!("Take {name}: {net}, with {work}."),
            (_, Ground::AveragePrecision) => format!("Leave {name}: {rank}, with {work}."),
            (_, Ground::NetMinor) => format!("Leave {name}: {net}, with {work}."),
        }
    }
}

fn is_enough(columns: &Columns) -> bool {
    columns.frauds >= FRAUDS_MIN
        && columns.fraud_accounts >= FRAUD_ACCOUNTS_MIN
        && columns.rows.len() - columns.frauds >= GENUINE_MIN
}

/// On which side of 0 an interval lies: 1, -1, or 0 where it holds it; `None`: there is no interval.
fn sign(difference: &Estimate) -> Option<i8> {
    let (low, high) = (difference.low?, difference.high?);
    Some(i8::from(low > 0.0) - i8::from(high < 0.0))
}

fn between(difference: &Estimate, show: impl Fn(f64) -> String) -> String {
    let [value, low, high] = [difference.value, difference.low, difference.high]
        .map(|value| value.map_or_else(|| String::from("?"), &show));
    format!("{value} (97.5 % interval {low} to {high})")
}

fn too_few(name: &str, columns: &Columns, options: &Options) -> String {
    if options.replicates == 0 {
        return format!("No verdict on {name}: no resamples were asked for.");
    }
    format!(
        "No verdict on {name} yet: {} frauds on {} accounts and {} genuine events are labelled, it takes \
         {FRAUDS_MIN} frauds on {FRAUD_ACCOUNTS_MIN} accounts and {GENUINE_MIN} genuine events.",
        columns.frauds,
        columns.fraud_accounts,
        columns.rows.len() - columns.frauds,
    )
}
