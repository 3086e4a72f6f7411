//! Which clusters have failed of late: written by `model-compat`, which sees every attempt, read by `router`, which
//! orders them. It travels in the data that all workers of a proxy share.

/// Where the [`Cooling`] of a cluster stands in the shared data.
pub fn key(cluster: &str) -> String {
    format!("cooling/{cluster}")
}

/// How a cluster has failed of late. Published as `failures until_millis`, in decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cooling {
    /// How often in a row it has failed; 0 since its last good answer.
    pub failures: u32,
    /// Until when it stands behind every other target, in milliseconds since 1970.
    pub until_millis: u64,
}

impl Cooling {
    /// A cooling as it was written; none if it is no such thing.
    pub fn parse(bytes: &[u8]) -> Self {
        let read = || {
            let (failures, until) = core::str::from_utf8(bytes).ok()?.split_once(' ')?;
            Some(Self { failures: failures.parse().ok()?, until_millis: until.parse().ok()? })
        };
        read().unwrap_or_default()
    }

    /// The cooling as it is written.
    pub fn to_bytes(self) -> Vec<u8> {
        format!("{} {}", self.failures, self.until_millis).into_bytes()
    }

    /// Whether the cluster stands behind the others at this time.
    pub fn holds_at(self, now_millis: u64) -> bool {
        now_millis < self.until_millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooling_is_read_as_it_was_written() {
        let cooling = Cooling { failures: 3, until_millis: 1_700_000_000_000 };
        assert_eq!(Cooling::parse(&cooling.to_bytes()), cooling);
        assert!(cooling.holds_at(1_699_999_999_999) && !cooling.holds_at(1_700_000_000_000));
        assert_eq!(Cooling::parse(b"nonsense"), Cooling::default());
    }
}
