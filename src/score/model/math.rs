//! Exponential and logarithm from additions and multiplications alone.
//!
//! The system's own differ in the last bit between its releases and between processors. A decision
//! runs again to the same bytes wherever that happens, so its score must not.

use std::f64::consts::{LOG2_E, SQRT_2};

/// `LN_2` in two parts: the first has zeros at its end, so that its multiples are exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Beyond these the exponential is infinite, or zero for want of exponents.
const EXP_MAX: f64 = 709.78;
const EXP_MIN: f64 = -708.0;
/// Terms of the series: the next is below half a unit in the last place.
const EXP_TERMS: u32 = 13;
const LN_TERMS: u32 = 12;

/// `e` to the power of `x`. Below `e^-708` it is 0.
pub(super) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > EXP_MAX {
        return f64::INFINITY;
    }
    if x < EXP_MIN {
        return 0.0;
    }
    let halvings = (x * LOG2_E).round();
    let rest = (x - halvings * LN_2_HIGH) - halvings * LN_2_LOW;
    let mut sum = 1.0;
    for term in (1..=EXP_TERMS).rev() {
        sum = 1.0 + rest * sum / f64::from(term);
    }
    // in two steps: 2^1024 has no f64, its half has
    let half = halvings as i32 / 2;
    sum * power_of_two(half) * power_of_two(halvings as i32 - half)
}

/// Two to a power between -1022 and 1023.
fn power_of_two(power: i32) -> f64 {
    f64::from_bits(((power + 1_023) as u64) << 52)
}

/// The natural logarithm of a positive normal number; of 0 it is minus infinity, below it NaN.
pub(super) fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if !(x > 0.0 && x.is_finite()) {
        return if x == f64::INFINITY { x } else { f64::NAN };
    }
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i32) - 1_023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1_023 << 52));
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for term in (0..LN_TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    let exponent = f64::from(exponent);
    exponent * LN_2_HIGH + (exponent * LN_2_LOW + 2.0 * ratio * sum)
}

/// `ln(1 + e^x)`, exact at both ends.
pub(super) fn softplus(x: f64) -> f64 {
    match x > 36.0 {
        true => x,
        false => {
            let grown = exp(x);
            // where 1 + e^x has lost digits, the first terms of the series have not
            if grown < 1e-5 { grown - grown * grown / 2.0 } else { ln(1.0 + grown) }
        }
    }
}

/// The logistic function: 0..1, one half at 0.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// The inverse of [`sigmoid`]; probabilities of 0 and 1 count as 1e-15 from them.
pub(super) fn logit(p: f64) -> f64 {
    const NEAREST: f64 = 1e-15;
    let p = p.clamp(NEAREST, 1.0 - NEAREST);
    ln(p / (1.0 - p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::LN_2;

    fn near(ours: f64, theirs: f64) -> bool {
        (ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs().max(f64::MIN_POSITIVE)
    }

    #[test]
    fn they_agree_with_the_system() {
        for step in -70_700..70_900_i32 {
            let x = f64::from(step) / 100.0 + 0.003_7;
            assert!(near(exp(x), x.exp()), "exp({x}) is {}, expected {}", exp(x), x.exp());
            let y = x.exp();
            assert!(near(ln(y), y.ln()), "ln({y}) is {}, expected {}", ln(y), y.ln());
        }
        for step in 1..4_000_i32 {
            let y = f64::from(step) / 1_000.0;
            let off = (ln(y) - y.ln()).abs();
            assert!(off <= 1e-15 * y.ln().abs().max(1e-3), "ln({y}) is off by {off}");
        }
    }

    #[test]
    fn their_ends_are_as_they_should_be() {
        assert_eq!(exp(0.0).to_bits(), 1.0f64.to_bits());
        assert_eq!(exp(1e4), f64::INFINITY);
        assert_eq!(exp(-1e4), 0.0);
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(sigmoid(f64::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(1e9), 1.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(-1.0).is_nan());
        assert!((softplus(-40.0) - (-40f64).exp().ln_1p()).abs() < 1e-30);
        assert!((softplus(3.0) - 3f64.exp().ln_1p()).abs() < 1e-15);
        assert!((logit(sigmoid(2.5)) - 2.5).abs() < 1e-14);
        assert!((LN_2_HIGH + LN_2_LOW - LN_2).abs() < 1e-18);
    }
}
