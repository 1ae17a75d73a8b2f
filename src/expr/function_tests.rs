//! What functions answer, each a condition that must hold, and what must have no answer.

use jiff::civil::date;

use super::calendar::{Civil, days_from_civil};
use super::{Fault, FreeExpression, Ty, Value};

fn run(source: &str) -> Result<Value<'static>, Fault> {
    FreeExpression::load(source, &[], true)
        .unwrap_or_else(|error| panic!("{source}: {}", error.message))
        .value(Vec::new())
}

#[test]
fn functions_answer_as_they_are_documented() {
    for source in [
        "timestamp('2024-02-29T23:59:59.25Z').getMilliseconds() == 250",
        "timestamp('2024-12-31T00:00:00Z').getDayOfYear() == 365",
        "timestamp('2024-03-03T00:00:00Z').getDayOfWeek() == 0",
        "timestamp('2024-03-01T00:30:00+01:00') == timestamp('2024-02-29T23:30:00Z')",
        "timestamp('1969-12-31T23:59:59.5Z').getSeconds() == 59",
        "int(timestamp('1969-12-31T23:59:59.5Z')) == -1",
        "timestamp('2024-07-01T12:00:00Z').getHours('America/New_York') == 8",
        "timestamp('9999-12-31T23:59:59Z').getHours('Asia/Tokyo') == 8",
        "string(timestamp(-1)) == '1969-12-31T23:59:59Z'",
        "timestamp('2024-01-01T00:00:00Z') - duration('1h30m') < timestamp('2023-12-31T23:00:00Z')",
        "string(duration('-1.5h')) == '-5400s' && string(duration('1500ms')) == '1.5s'",
        "duration('90m').getHours() == 1 && duration('-3ms').getMilliseconds() == -3",
        "'\u{e9}t\u{e9}'.indexOf('t') == 1 && '\u{e9}t\u{e9}'.lastIndexOf('\u{e9}') == 2",
        "'abcabc'.lastIndexOf('bc', 4) == 4 && 'abcabc'.lastIndexOf('bc', 3) == 1",
        "'a,b,,c'.split(',') == ['a', 'b', '', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc']",
        "'abc'.replace('', '-') == '-a-b-c-' && 'aaa'.replace('a', 'b', 2) == 'bba'",
        "['a', 'b'].join('-') == 'a-b' && [].join() == ''",
        "'%s %d %.2f %e %x %b %o'.format(['a', 1, 1.005, 12345.6789, 255, true, 8]) == 'a 1 1.00 1.234568e+04 ff 1 10'",
        "'%s'.format([[1, 'a', null, {'b': 1.5}]]) == '[1, a, null, {b: 1.5}]'",
        "string(1.5e-7) == '1.5e-07' && string(0.0001) == '0.0001' && string(-0.0) == '-0'",
        "double('1e3') == 1000.0 && uint('7') == 7u && int(-1.9) == -1 && bool('t')",
        "math.round(-2.5) == -3.0 && math.bitShiftRight(-1, 60) == 15 && math.sign(-0.0) == 0.0",
        "math.greatest([1, 2u, 1.5]) == 2u && math.least(3, 2.5) == 2.5",
        "ip('::1').isLoopback() && ip('255.255.255.255').isGlobalUnicast() == false",
        "ip('ff02::1').isLinkLocalMulticast() && !ip('ff05::1').isLinkLocalMulticast()",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && !isCIDR('10.0.0.0/08')",
        "cidr('0.0.0.0/0').containsIP('1.2.3.4') && !cidr('::/0').containsIP('1.2.3.4')",
        "{'a': 1}.transformMapEntry(k, v, {k + 'b': v + 1}) == {'ab': 2}",
        "[1, 2, 3].filter(x, x > 1).map(y, y * 2) == [4, 6]",
        "type(timestamp(0)) == google.protobuf.Timestamp && type(dyn(1)) == int",
        "edit_distance('flaw', 'lawn') == 2 && edit_distance('', '') == 0",
    ] {
        assert!(matches!(run(source), Ok(Value::Bool(true))), "{source}: {:?}", run(source));
    }
}

#[test]
fn what_has_no_answer_says_why() {
    for (source, fault) in [
        ("9223372036854775807 + 1", Fault::Range),
        ("1 / 0", Fault::Zero),
        ("1u - 2u", Fault::Range),
        ("[1][1]", Fault::Missing),
        ("{'a': 1}['b']", Fault::Missing),
        ("{'a': 1, 'a': 2}", Fault::Key),
        ("'abc'.charAt(4)", Fault::Missing),
        ("'%d'.format(['a'])", Fault::Argument),
        ("'%d'.format([])", Fault::Missing),
        ("'%y'.format([1])", Fault::Conversion),
        ("int(1e30)", Fault::Range),
        ("['a1'].map(x, int(x))", Fault::Conversion),
        ("0.0 / 0.0 < 1.0", Fault::Range),
        ("dyn(1) + dyn('a')", Fault::Argument),
        ("math.abs(-9223372036854775808)", Fault::Range),
        ("geo_km(0.0, 181.0, 0.0, 0.0)", Fault::Range),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", Fault::Range),
        ("[1].transformMapEntry(i, v, {1.0 == 1.0: v}).map(x, [1, 2][5])", Fault::Missing),
    ] {
        assert!(matches!(run(source), Err(found) if found == fault), "{source}: {:?}", run(source));
    }
}

#[test]
fn names_of_any_type_are_taken_from_outside() {
    let names = [("a.b".to_owned(), Ty::Int), ("list".to_owned(), Ty::List(Box::new(Ty::Text)))];
    let expression = FreeExpression::load("list[a.b]", &names, true).expect("it fits");
    assert_eq!(*expression.ty(), Ty::Text);
    let list = Value::List(["x", "y"].map(|text| Value::Text(text.into())).into());
    let found = expression.value(vec![Value::Int(1), list]);
    assert!(matches!(found, Ok(Value::Text(text)) if text == "y"));
}

#[test]
fn dates_are_those_of_the_calendar() {
    let mut day = date(1, 1, 1);
    // a step that is prime to weeks, months and years
    let step = jiff::Span::new().days(97);
    while let Ok(next) = day.checked_add(step) {
        let (year, month) = (i64::from(day.year()), i64::from(day.month()));
        let days = days_from_civil(year, month, i64::from(day.day()));
        let since = day.since((jiff::Unit::Day, date(1970, 1, 1))).expect("days between dates");
        assert_eq!(days, i64::from(since.get_days()), "{day}");
        let civil = Civil::of(days * 86_400 + 3_661);
        let found = (civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second);
        assert_eq!(found, (year, month, i64::from(day.day()), 1, 1, 1), "{day}");
        day = next;
    }
}

#[test]
fn distances_are_those_of_another_implementation() {
    let words =
        ["", "a", "ab", "ba", "kitten", "sitting", "\u{e9}t\u{e9}", "ete", "merchant", "merhcant"];
    for a in words {
        for b in words {
            let found = run(&format!("edit_distance('{a}', '{b}')"));
            let expected = strsim::levenshtein(a, b) as i64;
            assert!(matches!(found, Ok(Value::Int(found)) if found == expected), "{a} {b}");
        }
    }
}
