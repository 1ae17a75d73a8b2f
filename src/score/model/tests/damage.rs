//! Damaged files are refused, or are models whose answers are numbers; nothing panics or hangs.

use proptest::prelude::*;

use super::*;

const LIBRARYS: [(&str, &[u8]); 4] = [
    ("lightgbm", include_bytes!("../../../../tests/fixtures/models/lgb_codes.txt.zst")),
    ("xgboost", include_bytes!("../../../../tests/fixtures/models/xgb_partition.json.zst")),
    ("dart", include_bytes!("../../../../tests/fixtures/models/xgb_dart.json.zst")),
    ("forest", include_bytes!("../../../../tests/fixtures/models/lgb_rf.txt.zst")),
];

fn unpacked(packed: &[u8]) -> String {
    String::from_utf8(zstd::decode_all(packed).expect("the fixture is whole")).expect("it is text")
}

#[test]
fn a_file_cut_short_is_refused_wherever_it_was_cut() {
    for (name, packed) in LIBRARYS {
        let text = unpacked(packed);
        // what follows a LightGBM file's trees may be missing
        let end = text.find("end of trees").unwrap_or(text.len());
        for part in 0..97 {
            let cut = &text[..end * part / 97];
            assert!(Model::load_any("m", cut).is_err(), "{name} cut at {} bytes", cut.len());
        }
        assert!(Model::load_any("m", &text).is_ok(), "{name}");
    }
}

/// Where to change a text, and to what.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, &'static str)>> {
    const BITS: [&str; 15] = [
        "0",
        "1",
        "9",
        "-",
        "-1",
        ".",
        "e",
        "99999999999",
        " ",
        ",",
        "\n",
        "[",
        "]",
        "nan",
        "1e308",
    ];
    prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&BITS[..])), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_is_refused_or_answers_with_numbers(
        which in 0..5usize,
        changes in changes(),
        values in prop::collection::vec(prop::num::f64::ANY, 8),
    ) {
        let small = [LIGHTGBM, XGBOOST, LOGISTIC];
        let mut text = match small.get(which) {
            Some(text) => (*text).to_owned(),
            None => unpacked(LIBRARYS[which - 3].1),
        };
        for (at, with) in changes {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, with);
            }
        }
        if let Ok(model) = Model::load_any("m", &text) {
            let raw = model.raw(&values);
            prop_assert!(!raw.is_nan());
            let mut out = vec![0.0; model.features().len()];
            let sum = model.attribute(&values, &mut out) + out.iter().sum::<f64>();
            let size = out.iter().fold(raw.abs(), |most, part| most.max(part.abs())).max(1.0);
            prop_assert!((sum - raw).abs() <= size * 1e-9, "{} {}", sum, raw);
            prop_assert!((0.0..=1.0).contains(&model.probability(raw)) || raw.is_infinite());
        }
    }
}
