use super::*;
use crate::event::Kind;

fn vocabulary() -> Vocabulary {
    let features = [("declines_count_1h", Type::Int), ("amount_ratio", Type::Float)];
    Vocabulary::new(Kind::Transaction, features.into_iter())
        .with_lists(&["bad_ips".to_owned(), "good_cards".to_owned()])
}

fn refusal(source: &str) -> ProgramError {
    Program::load(source, &vocabulary()).expect_err(source)
}

/// What a condition answers, where everything is absent but what is given.
fn run(source: &str, given: &[(&str, Slot<'_>)]) -> Option<bool> {
    let vocabulary = vocabulary();
    let program = Program::load(source, &vocabulary).unwrap_or_else(|e| panic!("{source}: {e:?}"));
    let mut slots = vec![Slot::Null; vocabulary.len()];
    for (name, value) in given {
        slots[vocabulary.slot(name).expect(name)] = *value;
    }
    program.answer(&Scope { slots: &slots, lists: &[], at: Millis(0) })
}

fn compute<'a>(source: &str, given: &[(&str, Slot<'a>)]) -> Option<String> {
    let vocabulary = vocabulary();
    let expression =
        Expression::load(source, &vocabulary).unwrap_or_else(|e| panic!("{source}: {e:?}"));
    let mut slots = vec![Slot::Null; vocabulary.len()];
    for (name, value) in given {
        slots[vocabulary.slot(name).expect(name)] = *value;
    }
    let scope = Scope { slots: &slots, lists: &[], at: Millis(0) };
    expression.value(&scope).map(|value| value.slot().to_string())
}

#[test]
fn conditions_hold_over_typed_slots() {
    let amount = ("amount_minor", Slot::Int(500));
    let moto = ("channel", Slot::Text("MOTO"));
    let shop = ("merchant_id", Slot::Text("m-12"));
    for (source, given) in [
        ("amount_minor > 499 && amount_minor <= 500", vec![amount]),
        ("amount_minor > 499.5", vec![amount]),
        ("500 >= amount_minor && 499 < amount_minor", vec![amount]),
        ("amount_minor == 500 && amount_minor != 501 && amount_minor == 500.0", vec![amount]),
        ("double(amount_minor) / 3.0 > 166.6", vec![amount]),
        ("channel in ['ECOM', 'MOTO']", vec![moto]),
        ("!(channel in ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'])", vec![moto]),
        ("channel in ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'MOTO']", vec![moto]),
        ("amount_minor in [7, 500, -1]", vec![amount]),
        ("recurring ? amount_minor > 1 : false", vec![amount, ("recurring", Slot::Bool(true))]),
        ("merchant_id.startsWith('m-') && size(merchant_id) == 4", vec![shop]),
        ("-amount_minor < 0 && amount_minor % 7 == 3", vec![amount]),
        ("event.amount_minor == amount_minor && feature.amount_ratio == null", vec![amount]),
        ("has(event.amount_minor) && !has(event.card_id)", vec![amount]),
        ("between(amount_minor, 500, 501) && !between(amount_minor, 501, 600)", vec![amount]),
        ("[channel, merchant_id].exists(text, text.endsWith('12'))", vec![shop, moto]),
        ("merchant_id.matches('[0-9]{2}') && !merchant_id.matches('^[0-9]')", vec![shop]),
        ("'a.b@c.de'.matches('(?i)^[\\\\w.]+@[\\\\w.]+\\\\.\\\\w{2,}$')", vec![]),
        ("amount_ratio > 2", vec![("amount_ratio", Slot::Float(2.5))]),
    ] {
        assert_eq!(run(source, &given), Some(true), "{source}");
    }
}

#[test]
fn our_own_functions_say_what_they_are_for() {
    let berlin = [("lat", Slot::Float(52.52)), ("lon", Slot::Float(13.405))];
    assert_eq!(
        run("between(geo_km(lat, lon, 48.8566, 2.3522), 877.0, 879.0)", &berlin),
        Some(true)
    );
    assert_eq!(run("geo_km(lat, lon, 91.0, 0.0) > 0.0", &berlin), None);
    assert_eq!(run("geo_km(lat, lon, 48.9, 2.4) > 0.0", &[]), None);
    let address = ("ip", Slot::Text("10.1.2.3"));
    assert_eq!(
        run("in_cidr(ip, '10.0.0.0/8') && !in_cidr(ip, '10.1.2.4/32')", &[address]),
        Some(true)
    );
    assert_eq!(run("in_cidr(ip, '2001:db8::/32')", &[address]), Some(false));
    assert_eq!(run("in_cidr(ip, '10.0.0.0/8')", &[("ip", Slot::Text("no address"))]), Some(false));
    assert_eq!(run("in_cidr(ip, '0.0.0.0/0')", &[]), Some(false));
    assert_eq!(run("in_list(ip, 'bad_ips')", &[]), Some(false));
    let card = [("card_id", Slot::Text("4111111111111111"))];
    assert_eq!(
        run("luhn(card_id) && !luhn('4111111111111112') && !luhn('') && !luhn('a')", &card),
        Some(true)
    );
    assert_eq!(
        run("edit_distance('kitten', 'sitting') == 3 && edit_distance('', card_id) == 16", &card),
        Some(true)
    );
    assert_eq!(
        run("edit_distance(card_id, 'x') > 0", &[("card_id", Slot::Text(&"y".repeat(300)))]),
        None
    );
    // Saturday, 2024-03-30T23:30Z: Sunday already in Berlin, and an hour before the clocks change
    let late = [("event_time_ms", Slot::Int(1_711_841_400_000))];
    assert_eq!(compute("hour_of_day(event_time_ms)", &late), Some("23".to_owned()));
    assert_eq!(compute("hour_of_day(event_time_ms, 'Europe/Berlin')", &late), Some("0".to_owned()));
    assert_eq!(
        compute("hour_of_day(event_time_ms + 3600000 * 2, 'Europe/Berlin')", &late),
        Some("3".to_owned())
    );
    assert_eq!(compute("hour_of_day(event_time_ms, '-09:30')", &late), Some("14".to_owned()));
    assert_eq!(run("is_weekend(event_time_ms)", &late), Some(true));
    assert_eq!(
        run("is_weekend(event_time_ms + 24 * 3600000, 'Europe/Berlin')", &late),
        Some(false)
    );
    assert_eq!(run("is_weekend(timestamp('2024-03-29T12:00:00Z'))", &[]), Some(false));
}

#[test]
fn absence_answers_nothing_unless_it_is_asked_for() {
    let pos = [("channel", Slot::Text("POS"))];
    for source in [
        "amount_minor > 5",
        "amount_minor + 1 == 2",
        "merchant_id.matches('x')",
        "recurring",
        "!recurring",
        "amount_minor > 5 && channel == 'POS'",
        "amount_minor > 5 || channel != 'POS'",
        "between(amount_minor, 1, 2)",
        "luhn(card_id)",
        "int(amount_minor) == 1 || double(lat) == 1.0",
        "string(card_id) != ''",
        "[1, 2].all(x, x > amount_minor)",
    ] {
        assert_eq!(run(source, &pos), None, "{source}");
    }
    for source in [
        "card_id == null && null == card_id && channel != null",
        "amount_minor > 5 || channel == 'POS'",
        "!(amount_minor > 5 && channel == 'ATM')",
        "!(country in ['DE']) && country != 'DE'",
        "!in_list(ip, 'bad_ips')",
        "!has(event.card_id) && has(event.channel)",
        "amount_minor != 5 && !(amount_minor == 5)",
        "lat != 5.5 && !(amount_minor in [1, 2])",
        "country in ['DE', null]",
    ] {
        assert_eq!(run(source, &pos), Some(true), "{source}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (source, at, part) in [
        ("amount_minr > 5", 0, "unknown name \"amount_minr\", did you mean \"amount_minor\""),
        ("event.amount_minr > 5", 5, "did you mean \"amount_minor\""),
        ("has(event.amount_minr)", 3, "did you mean \"amount_minor\""),
        ("feature.amount_minor > 5", 7, "unknown name \"amount_minor\""),
        ("feature.declines_count > 5", 7, "did you mean \"declines_count_1h\""),
        ("1 == 1 && amount_minor", 7, "bool && int"),
        ("amount_minor", 0, "gives a int, expected a bool"),
        ("channel > 5", 8, "string > int"),
        ("channel == 5", 8, "string == int"),
        ("amount_minor + 'x' == 'x'", 13, "int + string"),
        ("amount_minor + 1.5 > 2.0", 13, "int + double"),
        ("amount_minor in ['a']", 13, "int in list(string)"),
        ("recurring ? 1 : 'a'", 10, "? int : string"),
        ("frobnicate(amount_minor)", 10, "no function frobnicate(int) is supported"),
        ("channel.startWith('a')", 17, "did you mean \"startsWith\""),
        (
            "channel.charAt('a') == ''",
            14,
            "charAt of (string, string), expected charAt(string, int)",
        ),
        ("startsWith(channel, 'a')", 10, "expected it as a method of (string, string)"),
        ("merchant_id.size > 3", 11, "\"size\" of a string, which has no fields"),
        ("[1, 2].all(x, x + 1)", 10, "gives a int, expected a bool"),
        ("channel.all(x, x > 0)", 11, "a macro over a string, expected a list or map"),
        ("!amount_minor", 0, "! of a int"),
        ("merchant_id.matches('a(')", 20, "not a regular expression"),
        ("merchant_id.matches(channel)", 20, "expected a literal"),
        ("merchant_id.matches('(a{500}){500}')", 20, "needs more than 256 KiB"),
        ("in_list(ip, 'bad_ip')", 12, "unknown list \"bad_ip\", did you mean \"bad_ips\""),
        ("in_list(ip, channel)", 12, "expected a literal name"),
        ("in_cidr(ip, '10.0.0.0/33')", 12, "no block of addresses"),
        ("in_cidr(ip, channel)", 12, "expected a literal"),
        ("in_cidr(amount_minor, '10.0.0.0/8')", 7, "in_cidr of (int, string)"),
        (
            "hour_of_day(event_time_ms, 'Europe/Berln') > 1",
            27,
            "unknown time zone \"Europe/Berln\"",
        ),
        ("hour_of_day(channel) > 1", 11, "hour_of_day of (string)"),
        ("between(amount_minor, 1, 'b')", 7, "between of (int, int, string)"),
        (
            "geo_km(lat, lon, 5, 6) > 1.0",
            6,
            "geo_km of (double, double, int, int), expected geo_km(double, double, double, double)",
        ),
        (
            "timestamp('yesterday') == null",
            9,
            "timestamp(\"yesterday\") has no answer: a text that cannot be converted",
        ),
        ("Message{} == null", 7, "messages such as \"Message\" are not supported"),
        ("{1.5: 2} == {}", 4, "a key is a double"),
        ("has(channel.x)", 3, "has() of a string"),
        ("has(channel)", 5, "has() of a plain name, expected has(event.name) or name != null"),
        ("channel == 'éé' && amount_minr > 5", 21, "unknown name"),
    ] {
        let error = refusal(source);
        assert!(error.message.contains(part), "{source}: {}", error.message);
        assert_eq!(error.at, Some(at), "{source}: {}", error.message);
    }
    let error = refusal("amount_minor > ");
    assert!(error.message.contains("EOF") || error.message.contains("Syntax"), "{error:?}");
    let error = Expression::load("[1]", &vocabulary()).expect_err("a list");
    assert_eq!(
        error.message,
        "the expression gives a list(int), expected a bool, int, double or string"
    );
}

#[test]
fn nesting_beyond_the_bound_is_refused_before_it_is_parsed() {
    // of other kinds the parser makes no tree that deep
    let deep = [
        format!("{}true{}", "(".repeat(5_000 / 2), ")".repeat(5_000 / 2)),
        "[".repeat(4_000),
        format!("size({}1) > 0", "size(".repeat(1_000)),
        "true ? true : ".repeat(500) + "true",
        format!("{}1{} == 1", "{1:".repeat(65), "}".repeat(65)),
    ];
    for source in deep {
        let error = refusal(&source);
        assert!(
            error.message.contains("nested too deep, expected at most 64"),
            "{}",
            error.message
        );
        assert!(error.at.is_some());
    }
    for source in [
        "1".to_owned() + &" + 1".repeat(1_000) + " == 1",
        "event".to_owned() + &".a".repeat(3_000),
        "1".to_owned() + &" == 1".repeat(1_000),
    ] {
        let error = refusal(&source);
        assert!(
            error.message.contains("too many operators in one chain, expected at most 200"),
            "{}",
            error.message
        );
    }
    let long = format!("channel == '{}'", "a".repeat(1 << 20));
    let error = refusal(&long);
    assert!(error.message.contains("1048589 bytes, expected at most 8192"), "{}", error.message);
}

/// Where the parser would go on behind a broken text, depth could hide in it.
#[test]
fn nothing_deep_hides_in_what_looks_like_text() {
    let deep = " + 1".repeat(1_500);
    for (source, part) in [
        (format!("'\\q{deep}'"), "begins no escape"),
        (format!("'a\n{deep}'"), "is not closed"),
        (format!("'''a''{deep}"), "is not closed"),
        (format!("1r'\\'{deep} + '"), "right after a number"),
        (format!("'\\u12g4{deep}'"), "begins no escape"),
        (format!("`#{deep}` == 1"), "too many operators"),
        (format!("r'\\'{deep} == 1"), "too many operators"),
        (format!("rb'\\'{deep}"), "is not closed"),
    ] {
        let error = refusal(&source);
        assert!(error.message.contains(part), "{}: {}", &source[..9], error.message);
    }
}

#[test]
fn what_is_within_the_bounds_does_not_need_much_stack() {
    let within = [
        format!("{}true{}", "(".repeat(64), ")".repeat(64)),
        format!("size({}[]{}) == 1", "[".repeat(62), "]".repeat(62)),
        "false ? true : ".repeat(64) + "true",
        "1".to_owned() + &" + 1".repeat(199) + " == 200",
        "true".to_owned() + &" && true".repeat(1_000),
        "!".repeat(8_000) + "true",
        "-".repeat(8_000) + "1 == 1",
        format!("{}1{} == 1", "[".repeat(60), "][0]".repeat(60).as_str()).replace("1][0]", "1][0]"),
        "'((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((' != ''"
            .to_owned(),
    ];
    let run_all = move || {
        for source in within {
            assert_eq!(run(&source, &[]), Some(true), "{source}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run_all).expect("a thread");
    thread.join().expect("no overflow, and every answer yes");
}

#[test]
fn an_evaluation_ends_whatever_it_is_asked() {
    let list = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = (0..8).fold("true".to_owned(), |inner, _| format!("{list}.all(x, {inner})"));
    assert_eq!(run(&nested, &[]), None);
    let doubled = "[1].map(x, [x, x])";
    assert_eq!(run(&format!("{doubled} == {doubled}"), &[]), Some(true));
    let tree = (0..40).fold("1".to_owned(), |inner, _| format!("[{inner}].map(x, [x, x])"));
    assert_eq!(run(&format!("{tree} == {tree}"), &[]), None);
    let text = (0..30).fold("channel".to_owned(), |inner, _| format!("[{inner}].map(x, x + x)[0]"));
    assert_eq!(run(&format!("size({text}) > 0"), &[("channel", Slot::Text("ab"))]), None);
}

#[test]
fn calculations_give_typed_values() {
    let given = [("amount_minor", Slot::Int(1_050)), ("currency", Slot::Text("EUR"))];
    assert_eq!(compute("amount_minor / 100", &given), Some("10".to_owned()));
    assert_eq!(compute("double(amount_minor) / 100.0", &given), Some("10.5".to_owned()));
    assert_eq!(
        compute("currency + ' ' + string(amount_minor)", &given),
        Some("\"EUR 1050\"".to_owned())
    );
    assert_eq!(compute("currency", &given), Some("\"EUR\"".to_owned()));
    assert_eq!(compute("card_id", &given), None);
    assert_eq!(compute("amount_minor / 0", &given), None);
    assert_eq!(compute("math.greatest(amount_minor, 2000)", &given), Some("2000".to_owned()));
    let vocabulary = vocabulary();
    let expression =
        Expression::load("amount_minor * declines_count_1h", &vocabulary).expect("fits");
    assert_eq!(expression.ty(), Type::Int);
    assert_eq!(expression.slots().len(), 2);
}
