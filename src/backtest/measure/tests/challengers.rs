//! Planted challengers: a better one is recommended, an equal one is no different, a worse one is left.

use super::super::super::sample::Verdict as Other;
use super::planted::Plant;
use super::*;

/// Seeds of each planted case.
const SEEDS: u64 = 60;

fn names() -> Names {
    Names { rules: Vec::new(), challengers: vec!["night-shift".into()] }
}

fn compared(samples: &[Sample]) -> Comparison {
    Comparison::of(samples, &names(), 0, &Options::default()).expect("a challenger")
}

/// How often each advice is given of a challenger of that skill, live having 1.5.
fn advices(skill: f64) -> [usize; 4] {
    let mut given = [0; 4];
    for seed in 0..SEEDS {
        let plant = Plant { accounts: 1_500, challengers: vec![skill], ..Plant::default() };
        let verdict = compared(&plant.grow(seed)).verdict;
        assert!(verdict.interval.low.is_some(), "{verdict:?}");
        given[verdict.advice as usize] += 1;
    }
    println!("skill {skill}: recommend, no difference, worse, too few: {given:?}");
    given
}

#[test]
fn a_better_challenger_is_recommended() {
    let [recommended, _, worse, _] = advices(1.9);
    assert!(recommended >= 57 && worse == 0, "{recommended} of {SEEDS}, {worse} worse");
}

#[test]
fn an_equal_challenger_is_no_difference() {
    let [recommended, none, worse, _] = advices(1.5);
    assert!(none >= 52, "{none} of {SEEDS}, {recommended} recommended, {worse} worse");
}

#[test]
fn a_worse_challenger_is_left() {
    let [recommended, _, worse, _] = advices(1.1);
    assert!(worse >= 57 && recommended == 0, "{worse} of {SEEDS}, {recommended} recommended");
}

#[test]
fn without_labels_there_is_a_matrix_and_no_verdict() {
    let mut samples = Plant { challengers: vec![1.5], ..Plant::default() }.grow(1);
    for sample in &mut samples {
        sample.label = None;
    }
    let comparison = compared(&samples);
    assert_eq!(comparison.verdict.advice, Advice::TooFewLabels);
    assert_eq!(comparison.verdict.interval, Estimate::default());
    let events: u64 = comparison.matrix.iter().map(|cell| cell.tally.events).sum();
    assert_eq!((events, comparison.events), (samples.len() as u64, samples.len() as u64));
    assert!(comparison.changes.iter().any(|change| change.tally.events > 0));
    assert!(comparison.live.alerts > 0 && comparison.other.alerts > 0);
    assert_eq!(comparison.live.precision, Estimate::default());
}

#[test]
fn changes_are_told_by_way_and_amount() {
    let judged = |account, live, other, label| Sample {
        outcome: live,
        amount_minor: 100,
        challengers: vec![Other { outcome: other, score: 0.5 }],
        ..sample(account, 0.5, label)
    };
    use Outcome::{Allow, Block, Review, StepUp};
    let mut samples = vec![
        judged(0, Allow, Block, Some(true)),
        judged(1, Allow, StepUp, Some(false)),
        judged(2, Block, Review, None),
        judged(3, Review, Allow, Some(true)),
        judged(4, Allow, Allow, Some(false)),
    ];
    // from before the challenger was there
    samples.push(sample(5, 0.9, Some(true)));
    let comparison = compared(&samples);
    assert_eq!((comparison.events, comparison.labelled, comparison.frauds), (5, 4, 2));
    assert_near(comparison.agreement, 0.2);
    let of = |way: Way| {
        let is_way = |change: &&Change| change.what == way;
        let change = comparison.changes.iter().find(is_way).expect("every way is told");
        (change.tally.events, change.tally.frauds, change.tally.amount_minor)
    };
    assert_eq!(of(Way::Stricter), (2, 1, 200));
    assert_eq!(of(Way::Milder), (2, 1, 200));
    assert_eq!(of(Way::AlertGained), (1, 1, 100));
    assert_eq!(of(Way::AlertLost), (1, 1, 100));
    assert_eq!(of(Way::BlockGained), (1, 1, 100));
    assert_eq!(of(Way::BlockLost), (1, 0, 100));
    assert_eq!(comparison.difference.recall.value, Some(0.0));
}

#[test]
fn a_challenger_that_is_not_there_is_not_compared() {
    assert_eq!(Comparison::of(&[], &names(), 1, &Options::default()), None);
    let nothing = Comparison::of(&[], &names(), 0, &Options::default()).expect("a challenger");
    assert_eq!(nothing.verdict.advice, Advice::TooFewLabels);
    assert!(nothing.verdict.sentence.contains("0 frauds on 0 accounts"), "{nothing:?}");
}
