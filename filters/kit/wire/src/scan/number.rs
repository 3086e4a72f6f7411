use super::capture::Capture;

/// Which part of a number comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Start,
    /// After `-`.
    Minus,
    /// After a leading zero.
    Zero,
    Integer,
    /// After `.`.
    Point,
    Fraction,
    /// After `e`.
    Exponent,
    /// After the exponent's sign.
    Sign,
    Power,
}

impl Number {
    /// The state after `byte`, unless the number cannot go on with it.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Start, b'-') => Some(Self::Minus),
            (Self::Start | Self::Minus, b'0') => Some(Self::Zero),
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    /// Whether the number may end here.
    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Zero | Self::Integer | Self::Fraction | Self::Power => true,
            Self::Start | Self::Minus | Self::Point | Self::Exponent | Self::Sign => false,
        }
    }
}

/// The number as a count of tokens, never less than what it says.
pub(super) fn tokens(number: &Capture) -> Option<u64> {
    if number.is_over() {
        return Some(u64::MAX);
    }
    if let Ok(count) = serde_json::from_slice::<u64>(number.bytes()) {
        return Some(count);
    }
    match serde_json::from_slice::<f64>(number.bytes()) {
        Ok(count) if count.is_sign_negative() => None,
        Ok(count) => Some(count.ceil() as u64),
        // Its exponent is beyond an f64.
        Err(_) => (!number.bytes().starts_with(b"-")).then_some(u64::MAX),
    }
}
