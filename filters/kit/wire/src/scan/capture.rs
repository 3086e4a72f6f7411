/// The decoded bytes of a string or number that matters, up to a limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Capture {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Capture {
    /// Forgets everything and keeps the next `limit` bytes.
    pub(super) fn begin(&mut self, limit: usize) {
        self.bytes.clear();
        self.limit = limit;
        self.over = false;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.over || bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            // A part of a key must not pass for a key.
            self.bytes.clear();
            self.over = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Whether more came than is kept; then nothing is kept.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is kept, as text; it is, where [`super::text::Text`] has read it.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
