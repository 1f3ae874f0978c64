//! Numbers of payment cards (ISO/IEC 7812): a known prefix with its length, the check digit of Luhn, and nothing beside them that
//! would make them part of something longer. One in ten numbers of that prefix and length passes by chance.

use super::{Found, Kind};

/// Digits at most.
const LONGEST: usize = 19;
/// Fewest bytes of a number.
const SHORTEST: usize = 13;

/// Finds all. Every second place of a number, separators included, is next to a digit: looking at some places is enough to pass over
/// text without digits.
pub(super) fn find(bytes: &[u8], found: &mut Vec<Found>) {
    let mut at = 0;
    while at + SHORTEST <= bytes.len() {
        // The farthest of these that is no digit, and the one after it: no number goes over both.
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        if !digit(at + 6) && !digit(at + 7) {
            at += 7;
            continue;
        }
        if !digit(at + 2) && !digit(at + 3) {
            at += 3;
            continue;
        }
        if !digit(at) || at.checked_sub(1).is_some_and(|before| glued(bytes[before])) {
            at += 1;
            continue;
        }
        match number(&bytes[at..]) {
            Some(length) => {
                found.push(Found {
                    range: at..at + length,
                    kind: Kind::Card,
                });
                at += length;
            }
            // The rest of these digits is no start.
            None => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count()
                    .max(1)
            }
        }
    }
}

/// Whether a whole number is one of a card.
pub(super) fn is_number(number: i64) -> bool {
    let text = number.to_string();
    self::number(text.as_bytes()) == Some(text.len())
}

/// What beside a digit makes it part of something else: a name, a decimal number, a UUID, a path.
fn glued(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-/#+".contains(&byte) || byte >= 0x80
}

/// Bytes of the number at the start.
fn number(bytes: &[u8]) -> Option<usize> {
    let mut digits = [0u8; LONGEST];
    // How many digits stand before each separator.
    let mut groups = [0usize; 4];
    let (mut count, mut group, mut at, mut separator) = (0, 0, 0, None);
    loop {
        match bytes.get(at) {
            Some(byte @ b'0'..=b'9') => {
                *digits.get_mut(count)? = byte - b'0';
                count += 1;
            }
            Some(byte @ (b' ' | b'-'))
                if group < groups.len()
                    && separator.is_none_or(|known| known == *byte)
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
                    && fits(&groups, group, count) =>
            {
                separator = Some(*byte);
                groups[group] = count;
                group += 1;
            }
            _ => break,
        }
        at += 1;
    }
    // A dot or a comma may end a sentence.
    let next = bytes.get(at).copied().unwrap_or(b' ');
    let after = bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
    let inside = if b".-".contains(&next) { after } else { glued(next) };
    if inside || !known(&digits, count) || !luhn(digits.get(..count)?) {
        return None;
    }
    let grouped = match (group, groups) {
        (0, _) => true,
        (3, [4, 8, 12, _]) => (16..=19).contains(&count) && count == 16,
        (4, [4, 8, 12, 16]) => count == 19,
        (2, [4, 10, ..]) => count == 15 || count == 14,
        _ => false,
    };
    grouped.then_some(at)
}

/// Whether a separator may stand behind so many digits.
fn fits(groups: &[usize; 4], group: usize, count: usize) -> bool {
    match group {
        0 => count == 4,
        1 => count == 8 || count == 10,
        2 => groups[1] == 8 && count == 12,
        _ => count == 16,
    }
}

/// Prefixes of the networks with their lengths.
fn known(digits: &[u8; LONGEST], count: usize) -> bool {
    let prefix = digits
        .iter()
        .take(4)
        .fold(0u32, |number, digit| number * 10 + u32::from(*digit));
    match prefix {
        // Visa.
        4000..=4999 => matches!(count, 13 | 16 | 19),
        // Mastercard.
        5100..=5599 | 2221..=2720 => count == 16,
        // American Express.
        3400..=3499 | 3700..=3799 => count == 15,
        // Diners Club.
        3000..=3059 | 3600..=3699 | 3800..=3999 => count == 14,
        // JCB, Discover, UnionPay.
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&count),
        _ => false,
    }
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit) << (place & 1);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}
