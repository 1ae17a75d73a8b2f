//! What the stream as a whole promises.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;
use crate::event::{
    Author, Channel, DisputeStage, InvoiceKind, Kind, SubjectKind, TransactionStatus, Verdict,
};

fn stream(spoil: impl FnOnce(&mut Settings)) -> Simulator {
    let mut settings = Settings::default();
    spoil(&mut settings);
    println!("seed {}", settings.seed);
    Simulator::new(settings).unwrap()
}

fn fingerprint(simulator: Simulator, count: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    for simulated in simulator.take(count) {
        format!("{simulated:?}").hash(&mut hasher);
    }
    hasher.finish()
}

/// FNV-1a over the debug form: unlike the standard library's hasher it stays what it is.
fn lasting_fingerprint(simulator: Simulator, count: usize) -> u64 {
    simulator.take(count).fold(0xcbf2_9ce4_8422_2325, |hash, simulated| {
        format!("{simulated:?}")
            .bytes()
            .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

fn small(settings: &mut Settings) {
    (settings.accounts, settings.devices) = (500, 1_000);
    (settings.terminals, settings.shops) = (100, 50);
    (settings.companies, settings.vendors) = (5, 40);
}

#[test]
fn the_same_settings_give_the_same_stream_and_another_seed_another() {
    let of = |seed| fingerprint(stream(|settings| settings.seed = seed), 20_000);
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn the_stream_is_the_one_that_was_written_down() {
    // on every platform; whoever changes what is drawn changes the figure
    assert_eq!(lasting_fingerprint(stream(small), 3_000), 6_322_619_341_083_544_725);
}

#[test]
fn event_times_never_decrease_and_next_time_foretells_them() {
    let mut simulator = stream(|_| {});
    let mut last = Settings::default().start;
    for _ in 0..100_000 {
        let foretold = simulator.next_time();
        let time = simulator.next().unwrap().event.event_time();
        assert!(time >= last, "{time} after {last}");
        assert_eq!(time, foretold);
        last = time;
    }
}

#[test]
fn ids_are_unique_and_steps_share_only_their_subject() {
    let (mut events, mut subjects) = (HashSet::new(), HashSet::new());
    for Simulated { event, .. } in stream(|_| {}).take(100_000) {
        assert!(events.insert(event.event_id().to_owned()), "{event:?}");
        let first = match &event {
            Event::Transaction(payment) => matches!(
                payment.status,
                TransactionStatus::Authorized
                    | TransactionStatus::Declined
                    | TransactionStatus::Failed
            ),
            Event::Dispute(dispute) => dispute.stage == DisputeStage::Chargeback,
            Event::Chat(_) | Event::Invoice(_) => true,
            Event::Label(_) => false,
        };
        if first {
            let subject = (event.kind(), event.subject_id().to_owned());
            assert!(subjects.insert(subject), "{event:?}");
        }
    }
}

#[test]
fn every_scenario_and_step_occurs_within_the_first_200_000_events_of_the_defaults() {
    let (mut scenarios, mut seen) = (HashSet::new(), HashSet::new());
    for Simulated { event, truth } in stream(|_| {}).take(200_000) {
        assert!(!truth.fraud || truth.scenario.is_some(), "{event:?}");
        assert_eq!(truth.scenario.is_some(), truth.episode.is_some());
        if truth.fraud {
            scenarios.insert(truth.scenario.map(Scenario::name));
        }
        seen.insert(match &event {
            Event::Transaction(payment) => payment.status.name(),
            Event::Dispute(dispute) => dispute.stage.name(),
            Event::Chat(chat) => chat.author.name(),
            Event::Invoice(invoice) => invoice.kind.name(),
            Event::Label(label) => match label.verdict {
                Verdict::Fraud => "FRAUD",
                Verdict::Genuine => "GENUINE",
                Verdict::FirstParty => "FIRST_PARTY",
                Verdict::Unknown => "UNKNOWN",
            },
        });
        if let Event::Transaction(payment) = &event {
            seen.insert(payment.channel.name());
        }
    }
    for scenario in Scenario::ALL {
        assert!(scenarios.contains(&Some(scenario.name())), "{}", scenario.name());
    }
    let expected = [
        "AUTHORIZED",
        "DECLINED",
        "CAPTURED",
        "REFUNDED",
        "FAILED",
        "POS",
        "ECOM",
        "ATM",
        "MOTO",
        "TRANSFER",
        "EARLY_WARNING",
        "CHARGEBACK",
        "CUSTOMER",
        "BOT",
        "AGENT",
        "INVOICE",
        "EXPENSE_CLAIM",
        "CREDIT_NOTE",
        "FRAUD",
        "GENUINE",
        "FIRST_PARTY",
    ];
    let missing: Vec<_> = expected.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn rate_mix_and_shares_come_out_as_they_were_set() {
    for (share, per_second) in [(0.01, 0.5), (0.05, 0.4)] {
        let mut simulator = stream(|settings| {
            settings.fraud_share = share;
            settings.events_per_second = per_second;
        });
        let start = simulator.next_time().0;
        let mut kinds: HashMap<Kind, f64> = HashMap::new();
        let mut scenarios: HashMap<Scenario, f64> = HashMap::new();
        let (count, mut frauds) = (500_000, 0.0);
        for Simulated { event, truth } in simulator.by_ref().take(count) {
            *kinds.entry(event.kind()).or_default() += 1.0;
            if truth.fraud {
                frauds += 1.0;
                *scenarios.entry(truth.scenario.unwrap()).or_default() += 1.0;
            }
        }
        let count = count as f64;
        let seconds = (simulator.next_time().0 - start) as f64 / 1_000.0;
        let close = |what: &str, is: f64, wanted: f64, within: f64| {
            println!("{what}: {is:.4}, wanted {wanted:.4}");
            assert!((is / wanted - 1.0).abs() < within, "{what} is {is}, wanted {wanted}");
        };
        close("rate", count / seconds, per_second, 0.02);
        // some of what is planned is still to come
        close("fraud", frauds / count, share, 0.15);
        let settings = Settings::default();
        let three = kinds[&Kind::Transaction] + kinds[&Kind::Chat] + kinds[&Kind::Invoice];
        close("payments", kinds[&Kind::Transaction] / three, settings.mix.transactions, 0.03);
        close("chats", kinds[&Kind::Chat] / three, settings.mix.chats, 0.05);
        close("invoices", kinds[&Kind::Invoice] / three, settings.mix.invoices, 0.05);
        for scenario in Scenario::ALL {
            let wanted = settings.scenarios.weight(scenario);
            close(scenario.name(), scenarios[&scenario] / frauds, wanted, 0.35);
        }
    }
}

#[test]
fn without_a_share_of_fraud_there_is_none_and_a_weight_of_zero_leaves_a_scenario_out() {
    let honest = stream(|settings| settings.fraud_share = 0.0).take(50_000);
    assert!(honest.into_iter().all(|simulated| simulated.truth == Truth::default()));
    let mut simulator = stream(|settings| settings.scenarios.card_testing = 0.0).take(50_000);
    assert!(simulator.all(|simulated| simulated.truth.scenario != Some(Scenario::CardTesting)));
}

#[test]
fn lines_multiply_and_add_up() {
    let (mut with_lines, mut halves, mut negative) = (0, 0, 0);
    for Simulated { event, .. } in stream(|_| {}).take(200_000) {
        let Event::Invoice(invoice) = event else {
            continue;
        };
        negative += u32::from(invoice.amount_minor < 0);
        assert_eq!(invoice.amount_minor < 0, invoice.kind == InvoiceKind::CreditNote);
        assert_ne!(invoice.amount_minor, 0);
        if invoice.lines.is_empty() {
            continue;
        }
        with_lines += 1;
        for line in &invoice.lines {
            let product = line.quantity * line.unit_price_minor as f64;
            assert_eq!(product, line.amount_minor as f64, "{invoice:?}");
            halves += u32::from(line.quantity % 1.0 != 0.0);
        }
        let sum: i64 = invoice.lines.iter().map(|line| line.amount_minor).sum();
        assert_eq!(sum, invoice.amount_minor, "{invoice:?}");
    }
    assert!(
        with_lines > 5_000 && halves > 500 && negative > 20,
        "{with_lines} {halves} {negative}"
    );
}

#[test]
fn disputes_and_labels_name_what_occurred_before_on_the_same_account() {
    let mut seen: HashMap<(SubjectKind, String), (String, Truth)> = HashMap::new();
    let (mut of_fraud, mut false_claims, mut first_party) = (0, 0, 0);
    let mut stages = HashSet::new();
    for Simulated { event, truth } in stream(|_| {}).take(300_000) {
        let account = event.account_id().to_owned();
        match &event {
            Event::Dispute(dispute) => {
                let paid = (SubjectKind::Transaction, dispute.transaction_id.to_string());
                let (payer, payment_truth) = &seen[&paid];
                assert_eq!(*payer, account, "{dispute:?}");
                assert!(dispute.opened_at <= dispute.event_time);
                stages.insert(dispute.stage.name());
                of_fraud += u32::from(payment_truth.fraud);
                false_claims += u32::from(truth.fraud);
                // an honest payment is called a fraud only by those who lie
                let says_fraud = ["10.3", "10.4", "4837", "F24", "F29", "UA"]
                    .contains(&dispute.reason_code.as_str());
                if dispute.stage == DisputeStage::Chargeback {
                    assert_eq!(says_fraud, payment_truth.fraud || truth.fraud, "{dispute:?}");
                }
            }
            Event::Label(label) => {
                let (owner, subject) = &seen[&(label.subject_kind, label.subject_id.to_string())];
                assert_eq!(*owner, account, "{label:?}");
                match label.verdict {
                    Verdict::Fraud => assert!(subject.fraud, "{label:?}"),
                    Verdict::Genuine => assert!(!subject.fraud, "{label:?}"),
                    Verdict::FirstParty => {
                        first_party += 1;
                        assert_eq!(subject.scenario, Some(Scenario::FriendlyFraud), "{label:?}");
                    }
                    Verdict::Unknown => panic!("{label:?}"),
                }
            }
            _ => {}
        }
        let kind = match event.kind() {
            Kind::Transaction => SubjectKind::Transaction,
            Kind::Dispute => SubjectKind::Dispute,
            Kind::Chat => SubjectKind::Chat,
            Kind::Invoice => SubjectKind::Invoice,
            Kind::Label => continue,
        };
        // of a subject with several steps the first is remembered
        seen.entry((kind, event.subject_id().to_owned())).or_insert((account, truth));
    }
    println!(
        "{of_fraud} disputes of fraud, {false_claims} false claims, {first_party} first party"
    );
    for stage in ["EARLY_WARNING", "CHARGEBACK", "WON", "LOST", "ACCEPTED"] {
        assert!(stages.contains(stage), "{stage}");
    }
    assert!(of_fraud > 100 && false_claims > 50 && first_party > 50);
}

#[test]
fn episodes_look_like_what_they_are() {
    let mut episodes: HashMap<u64, Vec<Simulated>> = HashMap::new();
    for simulated in stream(|_| {}).take(300_000) {
        if let Some(episode) = simulated.truth.episode {
            episodes.entry(episode).or_default().push(simulated);
        }
    }
    let mut of = HashMap::<Scenario, u32>::new();
    for events in episodes.values() {
        let scenario = events[0].truth.scenario.unwrap();
        assert!(events.iter().all(|event| event.truth.scenario == Some(scenario)));
        *of.entry(scenario).or_default() += 1;
        match scenario {
            Scenario::CardTesting => card_testing(events),
            Scenario::AccountTakeover => takeover(events),
            Scenario::SplitInvoice => split(events),
            Scenario::DuplicateInvoice => duplicate(events),
            Scenario::CompromisedTerminal | Scenario::FriendlyFraud => {}
        }
    }
    println!("{of:?}");
    assert!(Scenario::ALL.iter().all(|scenario| of[scenario] >= 5), "{of:?}");
}

fn frauds(events: &[Simulated]) -> impl Iterator<Item = &Event<'static>> {
    events.iter().filter(|event| event.truth.fraud).map(|event| &event.event)
}

fn card_testing(events: &[Simulated]) {
    let tries: Vec<_> = frauds(events)
        .filter_map(|event| match event {
            Event::Transaction(payment) => Some(payment),
            _ => None,
        })
        .take(14)
        .collect();
    // the end of the stream may cut an episode short
    if tries.len() < 14 {
        return;
    }
    assert!(tries.iter().all(|payment| payment.channel == Channel::Ecom));
    let merchants: HashSet<_> = tries.iter().map(|payment| &payment.merchant_id).collect();
    let devices: HashSet<_> =
        tries.iter().filter_map(|payment| payment.device_id.as_ref()).collect();
    assert_eq!((merchants.len(), devices.len()), (1, 1), "{tries:?}");
    assert!(tries[13].event_time.0 - tries[0].event_time.0 < 14 * 20_000);
}

fn takeover(events: &[Simulated]) {
    let Event::Chat(first) = &events[0].event else {
        panic!("{:?}", events[0]);
    };
    assert!(first.author == Author::Customer && events[0].truth.fraud);
    let paid: Vec<_> = frauds(events)
        .filter_map(|event| match event {
            Event::Transaction(payment) => Some(payment),
            _ => None,
        })
        .collect();
    assert!(paid.windows(2).all(|pair| pair[0].amount_minor < pair[1].amount_minor), "{paid:?}");
    let beneficiaries: HashSet<_> = paid.iter().map(|payment| &payment.beneficiary_id).collect();
    assert!(beneficiaries.len() <= 1, "{paid:?}");
}

fn bills(events: &[Simulated]) -> Vec<&crate::event::Invoice<'static>> {
    let bills = events.iter().filter_map(|event| match &event.event {
        Event::Invoice(invoice) => Some(invoice),
        _ => None,
    });
    bills.collect()
}

fn split(events: &[Simulated]) {
    let limit = Settings::default().approval_limit_minor;
    let bills = bills(events);
    for bill in &bills {
        assert!((limit * 9 / 10..limit).contains(&bill.amount_minor), "{bill:?}");
        assert_eq!(bill.vendor_id, bills[0].vendor_id);
        assert_eq!(bill.event_time.0 / 86_400_000, bills[0].event_time.0 / 86_400_000);
        assert_eq!(bill.issued_on, bills[0].issued_on);
    }
}

fn duplicate(events: &[Simulated]) {
    let bills = bills(events);
    for bill in &bills {
        assert_eq!(bill.vendor_id, bills[0].vendor_id);
        assert_eq!(bill.amount_minor, bills[0].amount_minor);
    }
}

#[test]
fn the_schedule_stays_within_its_bound_over_500_000_events() {
    // a pace at which far more follows than there is room for
    let mut simulator = stream(|settings| {
        settings.pending_max = 10_000;
        settings.events_per_second = 50.0;
        settings.fraud_share = 0.05;
    });
    let (mut most, mut frauds) = (0, 0);
    for _ in 0..500_000 {
        let simulated = simulator.next().unwrap();
        frauds += u32::from(simulated.truth.fraud);
        most = most.max(simulator.pending());
        assert!(simulator.pending() <= 10_000);
    }
    println!("most pending {most}, {frauds} frauds");
    assert!(most > 7_500, "the bound was never reached: {most}");
    assert!(frauds > 1_000, "fraud must still find room: {frauds}");
}

#[test]
fn nothing_in_the_stream_looks_like_a_card_number_or_is_over_long() {
    let mut runs = 0;
    for simulated in stream(|_| {}).take(50_000) {
        let event = &simulated.event;
        assert!(event.event_id().len() <= 256 && !event.account_id().is_empty());
        let shown = match event {
            Event::Chat(chat) => chat.text.to_string(),
            // times are numbers of 13 digits in the debug form, so the fields are taken one by one
            Event::Transaction(payment) => format!(
                "{}|{:?}|{:?}|{:?}|{:?}|{:?}",
                payment.transaction_id,
                payment.card_id,
                payment.device_id,
                payment.email_hash,
                payment.beneficiary_id,
                payment.terminal_id
            ),
            Event::Invoice(invoice) => format!(
                "{}|{}|{:?}|{:?}|{:?}",
                invoice.invoice_id,
                invoice.number,
                invoice.bank_account_hash,
                invoice.document_sha256,
                invoice.purchase_order
            ),
            Event::Dispute(dispute) => format!("{}|{:?}", dispute.dispute_id, dispute.narrative),
            Event::Label(label) => format!("{}|{:?}", label.subject_id, label.note),
        };
        for run in shown.split(|c: char| !c.is_ascii_digit() && c != ' ' && c != '-') {
            let digits = run.chars().filter(char::is_ascii_digit).count();
            runs += usize::from(digits > 0);
            assert!(digits < 13, "{shown}");
        }
        if let Event::Transaction(payment) = event {
            assert!(payment.currency.len() == 3 && payment.amount_minor != 0, "{payment:?}");
            assert_eq!(payment.amount_minor < 0, payment.status == TransactionStatus::Refunded);
        }
    }
    assert!(runs > 100_000, "{runs}");
}

#[test]
fn optional_fields_stay_away_as_often_as_was_asked() {
    let absent = |share: f64| {
        let simulator = stream(|settings| settings.absent_share = share);
        let countries = simulator.take(20_000).filter_map(|simulated| match simulated.event {
            Event::Transaction(payment) => Some(payment.country.is_none()),
            _ => None,
        });
        let countries: Vec<bool> = countries.collect();
        countries.iter().filter(|absent| **absent).count() as f64 / countries.len() as f64
    };
    assert_eq!(absent(0.0), 0.0);
    assert!((absent(0.3) - 0.3).abs() < 0.02);
}

#[test]
fn the_smallest_and_the_oddest_worlds_work() {
    let worlds: [fn(&mut Settings); 4] = [
        |s| {
            (s.accounts, s.devices, s.terminals, s.shops) = (10, 1, 10, 4);
            (s.companies, s.vendors, s.fraud_share) = (1, 2, 0.2);
        },
        |s| s.mix = Mix { transactions: 0.0, chats: 1.0, invoices: 0.0 },
        |s| {
            s.events_per_second = 100_000.0;
            s.start = Millis(946_684_800_000);
        },
        |s| {
            s.events_per_second = 0.001;
            s.approval_limit_minor = 10_000;
        },
    ];
    for world in worlds {
        let mut last = Millis(0);
        for simulated in stream(world).take(30_000) {
            assert!(simulated.event.event_time() >= last);
            last = simulated.event.event_time();
        }
    }
}

#[test]
fn out_of_range_settings_are_refused() {
    let settings = Settings { fraud_share: 0.5, ..Settings::default() };
    let error = Simulator::new(settings).err().unwrap();
    assert_eq!(error.to_string(), "fraud_share is 0.5, expected 0 to 0.2");
}

/// `cargo test --release -- --ignored --nocapture speed_of_the_stream`
#[test]
#[ignore = "a measurement; needs the release profile"]
fn speed_of_the_stream() {
    let simulator = stream(|_| {});
    let count = 2_000_000;
    let begun = std::time::Instant::now();
    let bytes: usize =
        simulator.take(count).map(|simulated| simulated.event.subject_id().len()).sum();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:.0} events/s, {bytes} bytes of ids", count as f64 / seconds);
    assert!(count as f64 / seconds > 200_000.0);
}
