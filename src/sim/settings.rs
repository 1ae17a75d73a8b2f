//! What a simulated world looks like, and the ranges within which it works.

use crate::event::Millis;

use super::Scenario;

/// Size, pace and wickedness of the simulated world.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// the same seed and settings give the same stream, on every platform
    pub seed: u64,
    /// paying customers, 10 to 2,000,000
    pub accounts: u32,
    /// devices the customers own, 1 to 8,000,000. Fewer than twice the accounts, and people begin
    /// to share them. Fraudsters bring their own.
    pub devices: u32,
    /// card terminals and cash machines, 10 to 1,000,000
    pub terminals: u32,
    /// shops on the net, 4 to 1,000,000
    pub shops: u32,
    /// companies whose bills are checked, 1 to 100,000
    pub companies: u32,
    /// vendors who send the bills, 2 to 1,000,000
    pub vendors: u32,
    /// event time of the beginning, from 2000-01-01 to 2100-01-01
    pub start: Millis,
    /// events a second of event time, all kinds together, 0.001 to 100,000
    pub events_per_second: f64,
    /// how the events divide into kinds
    pub mix: Mix,
    /// share of events that are fraud themselves, 0 to 0.2
    pub fraud_share: f64,
    /// how the fraudulent events divide into scenarios
    pub scenarios: ScenarioMix,
    /// share of genuine card payments that are disputed for an honest reason, 0 to 0.1
    pub dispute_share: f64,
    /// how often an optional field that is known stays away nevertheless, 0 to 0.5
    pub absent_share: f64,
    /// amount from which a company wants a second signature, minor units, 10,000 to 100,000,000
    pub approval_limit_minor: i64,
    /// most events held for later at any time, 10,000 to 10,000,000; about 200 bytes each
    pub pending_max: u32,
}

/// Weights of the kinds, relative to one another, each 0 to 1,000. Disputes and labels follow from
/// what happens and have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// steps of payments
    pub transactions: f64,
    /// messages
    pub chats: f64,
    /// bills, expense claims and credit notes
    pub invoices: f64,
}

/// Weights of the scenarios, relative to one another, by fraudulent events and not by episodes;
/// each 0 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "documented at Scenario")]
pub struct ScenarioMix {
    pub card_testing: f64,
    pub compromised_terminal: f64,
    pub account_takeover: f64,
    pub friendly_fraud: f64,
    pub duplicate_invoice: f64,
    pub split_invoice: f64,
}

impl ScenarioMix {
    /// The weight of one scenario.
    pub fn weight(&self, scenario: Scenario) -> f64 {
        match scenario {
            Scenario::CardTesting => self.card_testing,
            Scenario::CompromisedTerminal => self.compromised_terminal,
            Scenario::AccountTakeover => self.account_takeover,
            Scenario::FriendlyFraud => self.friendly_fraud,
            Scenario::DuplicateInvoice => self.duplicate_invoice,
            Scenario::SplitInvoice => self.split_invoice,
        }
    }
}

impl Default for Settings {
    /// A small region: 10,000 people who pay about three times a day, 2026 from its first Monday.
    fn default() -> Settings {
        Settings {
            seed: 1,
            accounts: 10_000,
            devices: 20_000,
            terminals: 1_000,
            shops: 400,
            companies: 60,
            vendors: 400,
            start: Millis(1_767_571_200_000),
            events_per_second: 0.5,
            mix: Mix { transactions: 0.75, chats: 0.17, invoices: 0.08 },
            fraud_share: 0.01,
            scenarios: ScenarioMix {
                card_testing: 0.34,
                compromised_terminal: 0.24,
                account_takeover: 0.2,
                friendly_fraud: 0.08,
                duplicate_invoice: 0.07,
                split_invoice: 0.07,
            },
            dispute_share: 0.002,
            absent_share: 0.03,
            approval_limit_minor: 500_000,
            pending_max: 100_000,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
pub struct SettingsError {
    /// which setting
    pub field: &'static str,
    /// what it was
    pub value: String,
    /// what it may be
    pub expected: String,
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    field: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), SettingsError> {
    // written so that a NaN, which compares with nothing, is refused
    if value >= low && value <= high {
        return Ok(());
    }
    Err(SettingsError { field, value: value.to_string(), expected: format!("{low} to {high}") })
}

fn weights<const N: usize>(
    field: &'static str,
    parts: [(&'static str, f64); N],
) -> Result<(), SettingsError> {
    for (part, weight) in parts {
        within(part, weight, 0.0, 1_000.0)?;
    }
    let sum: f64 = parts.iter().map(|(_, weight)| weight).sum();
    if sum > 0.0 {
        return Ok(());
    }
    Err(SettingsError {
        field,
        value: "all zero".to_owned(),
        expected: "a weight above 0".to_owned(),
    })
}

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("accounts", self.accounts, 10, 2_000_000)?;
        within("devices", self.devices, 1, 8_000_000)?;
        within("terminals", self.terminals, 10, 1_000_000)?;
        within("shops", self.shops, 4, 1_000_000)?;
        within("companies", self.companies, 1, 100_000)?;
        within("vendors", self.vendors, 2, 1_000_000)?;
        within("start", self.start, Millis(946_684_800_000), Millis(4_102_444_800_000))?;
        within("events_per_second", self.events_per_second, 0.001, 100_000.0)?;
        within("fraud_share", self.fraud_share, 0.0, 0.2)?;
        within("dispute_share", self.dispute_share, 0.0, 0.1)?;
        within("absent_share", self.absent_share, 0.0, 0.5)?;
        within("approval_limit_minor", self.approval_limit_minor, 10_000, 100_000_000)?;
        within("pending_max", self.pending_max, 10_000, 10_000_000)?;
        weights(
            "mix",
            [
                ("mix.transactions", self.mix.transactions),
                ("mix.chats", self.mix.chats),
                ("mix.invoices", self.mix.invoices),
            ],
        )?;
        let s = &self.scenarios;
        weights(
            "scenarios",
            [
                ("scenarios.card_testing", s.card_testing),
                ("scenarios.compromised_terminal", s.compromised_terminal),
                ("scenarios.account_takeover", s.account_takeover),
                ("scenarios.friendly_fraud", s.friendly_fraud),
                ("scenarios.duplicate_invoice", s.duplicate_invoice),
                ("scenarios.split_invoice", s.split_invoice),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_begin_on_a_monday() {
        let settings = Settings::default();
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!(settings.start.to_string(), "2026-01-05T00:00:00.000Z");
    }

    #[test]
    fn a_setting_out_of_range_is_refused_with_field_value_and_expectation() {
        type Spoil = fn(&mut Settings);
        let cases: [(&str, &str, &str, Spoil); 19] = [
            ("accounts", "9", "10 to 2000000", |s| s.accounts = 9),
            ("devices", "0", "1 to 8000000", |s| s.devices = 0),
            ("terminals", "9", "10 to 1000000", |s| s.terminals = 9),
            ("shops", "3", "4 to 1000000", |s| s.shops = 3),
            ("companies", "0", "1 to 100000", |s| s.companies = 0),
            ("vendors", "1", "2 to 1000000", |s| s.vendors = 1),
            ("start", "1999-12-31T23:59:59.999Z", "2000-01-01", |s| {
                s.start = Millis(946_684_799_999);
            }),
            ("events_per_second", "0", "0.001 to 100000", |s| {
                s.events_per_second = 0.0;
            }),
            ("events_per_second", "NaN", "0.001 to 100000", |s| {
                s.events_per_second = f64::NAN;
            }),
            ("events_per_second", "inf", "0.001 to 100000", |s| {
                s.events_per_second = f64::INFINITY;
            }),
            ("fraud_share", "0.21", "0 to 0.2", |s| s.fraud_share = 0.21),
            ("dispute_share", "-0.1", "0 to 0.1", |s| {
                s.dispute_share = -0.1;
            }),
            ("absent_share", "0.6", "0 to 0.5", |s| s.absent_share = 0.6),
            ("approval_limit_minor", "9999", "10000 to", |s| {
                s.approval_limit_minor = 9_999;
            }),
            ("pending_max", "9999", "10000 to", |s| s.pending_max = 9_999),
            ("mix.chats", "-1", "0 to 1000", |s| s.mix.chats = -1.0),
            ("mix", "all zero", "a weight above 0", |s| {
                s.mix = Mix { transactions: 0.0, chats: 0.0, invoices: 0.0 };
            }),
            ("scenarios.split_invoice", "NaN", "0 to 1000", |s| {
                s.scenarios.split_invoice = f64::NAN;
            }),
            ("scenarios", "all zero", "a weight above 0", |s| {
                for weight in [
                    &mut s.scenarios.card_testing,
                    &mut s.scenarios.compromised_terminal,
                    &mut s.scenarios.account_takeover,
                    &mut s.scenarios.friendly_fraud,
                    &mut s.scenarios.duplicate_invoice,
                    &mut s.scenarios.split_invoice,
                ] {
                    *weight = 0.0;
                }
            }),
        ];
        for (field, value, expected, spoil) in cases {
            let mut settings = Settings::default();
            spoil(&mut settings);
            let error = settings.validate().unwrap_err();
            assert_eq!((error.field, error.value.as_str()), (field, value));
            assert!(error.expected.contains(expected), "{error}");
            assert!(error.to_string().starts_with(&format!("{field} is {value}, expected ")));
        }
    }
}
