//! What the measures can be told.

use serde::Serialize;

/// Replicates at most: more tell nothing new, and each is a pass over all events.
pub const REPLICATES_MAX: usize = 10_000;

/// Whether an account that was caught is looked at again, for card precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// caught among the top k of one day, an account is left out of the days after it: its card is
    /// replaced by then
    #[default]
    LeftOut,
    /// every account is ranked every day
    Kept,
}

/// How to measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// accounts that are looked at in a day, for card precision; at least 1
    pub k: usize,
    /// whether accounts that were caught are looked at again
    pub known: Known,
    /// accounts that are known to be compromised before the first event: card precision leaves them out
    #[serde(skip)]
    pub compromised: Vec<u32>,
    /// what it costs to look at one alert, in minor units
    pub alert_cost_minor: i64,
    /// resamples behind each confidence interval, at most [`REPLICATES_MAX`]; 0: no intervals
    pub replicates: usize,
    /// seed of the resamples: the same seed and events give the same intervals
    pub seed: u64,
    /// currency of the amounts, as shown; may be empty
    pub currency: String,
    /// decimal digits of the currency's minor unit
    pub minor_digits: u8,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            k: 100,
            known: Known::LeftOut,
            compromised: Vec::new(),
            alert_cost_minor: 500,
            replicates: 200,
            seed: 1,
            currency: String::new(),
            minor_digits: 2,
        }
    }
}
