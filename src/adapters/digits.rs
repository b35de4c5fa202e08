//! Digits of a number in a text, for those who read millions of them.

const POWERS: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];
/// Whole numbers up to here are exact as f64.
pub(super) const EXACT: u64 = 1 << 53;
/// So many digits fit in a u64 whatever they are.
pub(super) const FITTING: usize = 19;

/// The f64 nearest to `mantissa / 10^fraction`; `None` where that takes more than one division.
#[inline]
pub(super) fn quotient(mantissa: u64, fraction: usize) -> Option<f64> {
    // Both are exact, so their quotient is rounded once.
    POWERS.get(fraction).filter(|_| mantissa <= EXACT).map(|power| mantissa as f64 / power)
}

/// Appends the digits that `text` begins with to `into`, which wraps around; how many there were.
#[inline]
pub(super) fn digits(text: &[u8], into: &mut u64) -> usize {
    let (mut value, mut count) = (*into, 0);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    *into = value;
    count
}
