//! Our own functions over places and over numbers of cards.

use super::fuel::Fuel;
use super::overloads::Row;
use super::types::Kind::{Bool, Float, Int, Text};
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[
    Row::plain("geo_km", &[Float, Float, Float, Float], Float, geo_km),
    Row::plain("edit_distance", &[Text, Text], Int, edit_distance),
    Row::plain("luhn", &[Text], Bool, luhn),
];

/// The mean radius of the earth.
const EARTH_KM: f64 = 6_371.008_8;
/// Characters of each text whose distance is asked for: names are shorter, and the work grows with the
/// product of both.
pub(super) const DISTANCE_CHARS_MAX: usize = 256;

/// The way between two places over the surface of a sphere, by haversines, in km. Places are latitude and
/// longitude in degrees; beyond 90 and 180 there is no answer.
fn geo_km<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Float(lat1), Value::Float(lon1), Value::Float(lat2), Value::Float(lon2)] =
        arguments
    else {
        return Err(Fault::Argument);
    };
    let is_place = |lat: f64, lon: f64| lat.abs() <= 90.0 && lon.abs() <= 180.0;
    if !is_place(*lat1, *lon1) || !is_place(*lat2, *lon2) {
        return Err(Fault::Range);
    }
    // those of the system differ by release and processor, and a decision is to be the same again
    let half_sine = |degrees: f64| {
        let sine = libm::sin(degrees.to_radians() / 2.0);
        sine * sine
    };
    let cosines = libm::cos(lat1.to_radians()) * libm::cos(lat2.to_radians());
    let h = half_sine(lat2 - lat1) + cosines * half_sine(lon2 - lon1);
    // rounding may lead beyond 1 at the other end of the world
    Ok(Value::Float(2.0 * EARTH_KM * libm::asin(h.min(1.0).sqrt())))
}

/// How many characters must be put in, taken out or changed to make one text of the other.
fn edit_distance<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(left), Value::Text(right)] = arguments else { return Err(Fault::Argument) };
    let mut chars = ['\0'; DISTANCE_CHARS_MAX];
    let mut width = 0;
    for c in right.chars() {
        *chars.get_mut(width).ok_or(Fault::Cost)? = c;
        width += 1;
    }
    if left.chars().nth(DISTANCE_CHARS_MAX).is_some() {
        return Err(Fault::Cost);
    }
    fuel.spend(width * left.len() / 32)?;
    // the row of distances of what was seen of the left text, and the one before it in `diagonal`
    let mut row = [0_u16; DISTANCE_CHARS_MAX + 1];
    for (i, place) in row[..=width].iter_mut().enumerate() {
        *place = i as u16;
    }
    for (i, own) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i as u16 + 1;
        for j in 0..width {
            let changed = diagonal + u16::from(own != chars[j]);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    Ok(Value::Int(i64::from(row[width])))
}

/// Whether the last digit of a number is the check of those before it, as card numbers have it. A text of
/// anything but digits is none.
fn luhn<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    let mut sum = 0;
    for (i, byte) in text.bytes().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return Ok(Value::Bool(false));
        }
        let digit = u64::from(byte - b'0') * if i % 2 == 1 { 2 } else { 1 };
        sum += if digit > 9 { digit - 9 } else { digit };
    }
    Ok(Value::Bool(text.len() > 1 && sum % 10 == 0))
}
