//! Digits of a number in a text, for those who read millions of them.

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
