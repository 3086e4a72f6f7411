use super::ScanError;

/// Which arrays and objects are open, a bit each.
#[derive(Clone, Debug, Default)]
pub(super) struct Nesting {
    /// The innermost is the lowest bit, set for an object.
    objects: u128,
    depth: u8,
}

impl Nesting {
    pub(super) fn open(&mut self, object: bool) -> Result<(), ScanError> {
        if self.depth() == LIMIT {
            return Err(ScanError::TooDeep { limit: LIMIT });
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    pub(super) fn depth(&self) -> usize {
        usize::from(self.depth)
    }
}

const LIMIT: usize = u128::BITS as usize;
