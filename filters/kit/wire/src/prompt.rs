//! About how many tokens a text is.

use core::cmp::Ordering;

/// Weighs text by its bytes: about four of ASCII a token, about two of other scripts, which write a character in
/// two to four. Long runs without a space are data, such as an image, and are weighed as [`DATA`] tokens each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    bytes: u64,
    quarters: u64,
    run: u64,
}

impl Weight {
    /// Adds the next bytes of the text.
    pub fn add(&mut self, text: &[u8]) {
        for byte in text {
            let data = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
            self.run = if data { self.run.saturating_add(1) } else { 0 };
            let quarters = match self.run.cmp(&LONGEST_WORD) {
                Ordering::Less if byte.is_ascii() => 1,
                Ordering::Less => 2,
                Ordering::Equal => DATA.saturating_mul(4),
                Ordering::Greater => 0,
            };
            self.quarters = self.quarters.saturating_add(quarters);
        }
        self.bytes = self.bytes.saturating_add(text.len() as u64);
    }

    /// How many bytes have been added.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how many tokens they are.
    pub fn tokens(&self) -> u64 {
        self.quarters.div_ceil(4)
    }

    /// About how many tokens `bytes` bytes are that go on like these.
    pub fn tokens_of(&self, bytes: u64) -> u64 {
        let tokens = u128::from(self.tokens()).saturating_mul(bytes.max(self.bytes).into());
        let tokens = tokens.checked_div(self.bytes.into()).unwrap_or(u128::from(bytes / 4));
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

/// What a long run of data is weighed as.
pub const DATA: u64 = 1000;
/// From how many bytes on a run without a space is data.
const LONGEST_WORD: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> u64 {
        let mut weight = Weight::default();
        weight.add(text.as_bytes());
        weight.tokens()
    }

    #[test]
    fn a_text_is_weighed_by_its_script() {
        assert_eq!((tokens(""), tokens("a"), tokens("a word, or two.")), (0, 1, 4));
        assert_eq!(tokens("水到渠成"), 6);
    }

    #[test]
    fn an_image_is_not_taken_for_words() {
        let image = "iVBORw0KGgo".repeat(10_000);
        assert_eq!(tokens(&image), (511 + 4 * DATA).div_ceil(4));
        assert_eq!(tokens(&format!("{image} {image}")), (511 + 4 * DATA + 1 + 511 + 4 * DATA).div_ceil(4));
    }

    #[test]
    fn what_is_not_seen_is_taken_to_go_on_like_what_is() {
        let mut weight = Weight::default();
        assert_eq!(weight.tokens_of(400), 100);
        weight.add("水到渠成".as_bytes());
        assert_eq!(
            (weight.tokens_of(1200), weight.tokens_of(0), weight.tokens_of(u64::MAX)),
            (600, 6, u64::MAX / 2)
        );
    }
}
