//! The serialised form of header maps: a count, the sizes of names and values, then each with a final NUL.
//!
//! Source: proxy-wasm specification v0.2.1, "Serialization".

use weir_core::Head;

/// Reads a serialised map; `None` if it is not one.
pub(crate) fn decode(bytes: &[u8], end: bool) -> Option<Head<'_>> {
    if bytes.is_empty() {
        return Some(Head::from_fields(Vec::new(), end));
    }
    let (count, rest) = split_u32(bytes)?;
    let (sizes, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut fields = Vec::with_capacity(count);
    let (pairs, _) = sizes.as_chunks::<8>();
    for pair in pairs {
        let (name_len, value_len) = split_u32(pair)?;
        let (value_len, _) = split_u32(value_len)?;
        let (name, value);
        (name, data) = split_text(data, name_len)?;
        (value, data) = split_text(data, value_len)?;
        fields.push((name, value));
    }
    Some(Head::from_fields(fields, end))
}

/// Writes a map; `None` if it is too large for the format.
pub(crate) fn encode<'a>(fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    push_u32(&mut bytes, fields.clone().count())?;
    for (name, value) in fields.clone() {
        push_u32(&mut bytes, name.len())?;
        push_u32(&mut bytes, value.len())?;
    }
    for text in fields.flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}

fn split_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn split_text(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(len)?;
    Some((text, rest.strip_prefix(b"\0")?))
}

fn push_u32(bytes: &mut Vec<u8>, number: usize) -> Option<()> {
    bytes.extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_back_as_written() {
        let fields = [(":path", "/v1"), ("empty", ""), ("x", "y")];
        let bytes = encode(fields.iter().copied()).unwrap();
        assert_eq!(decode(&bytes, true), Some(Head::new(&fields, true)));
    }

    #[test]
    fn a_map_with_wrong_sizes_is_no_map() {
        let bytes = encode([("name", "value")].into_iter()).unwrap();
        for len in 1..bytes.len() {
            assert_eq!(decode(&bytes[..len], false), None, "{len} bytes");
        }
        assert_eq!(decode(&[0xff; 12], false), None);
        assert_eq!(decode(&[], false), Some(Head::from_fields(Vec::new(), false)));
    }
}
