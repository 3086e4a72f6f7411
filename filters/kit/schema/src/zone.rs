//! Time zones, and the calendar days and months in them.

use core::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// A time zone by its name in IANA's database: `UTC`, `Asia/Shanghai`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The second at which the calendar day ends that has this second; both count from 1970.
    pub fn end_of_day(&self, second: u64) -> u64 {
        self.end(second, |now| now.tomorrow()?.start_of_day())
    }

    /// The second at which the calendar month ends that has this second; both count from 1970.
    pub fn end_of_month(&self, second: u64) -> u64 {
        self.end(second, |now| now.first_of_month()?.checked_add(1.month())?.start_of_day())
    }

    /// What is beyond the calendar never ends.
    fn end(&self, second: u64, next: impl FnOnce(Zoned) -> Result<Zoned, jiff::Error>) -> u64 {
        let second = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        let end = second.and_then(|second| next(second.to_zoned(self.zone.clone())).ok());
        end.and_then(|end| u64::try_from(end.timestamp().as_second()).ok()).unwrap_or(u64::MAX)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".into(), zone: TimeZone::UTC }
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidZone;

    fn try_from(name: String) -> Result<Self, InvalidZone> {
        if name == "UTC" {
            return Ok(Self::default());
        }
        match TimeZoneDatabase::bundled().get(&name) {
            Ok(zone) => Ok(Self { name, zone }),
            Err(_) => Err(InvalidZone),
        }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

/// The text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidZone;

impl fmt::Display for InvalidZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time zone is a name of IANA's database, such as UTC or Asia/Shanghai")
    }
}

impl core::error::Error for InvalidZone {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn seconds(text: &str) -> u64 {
        Timestamp::try_from(text.to_owned()).unwrap().unix_seconds().try_into().unwrap()
    }

    #[test]
    fn a_month_ends_where_the_zone_says() {
        for (zone, now, day, month) in [
            ("UTC", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("Asia/Shanghai", "2026-02-28T15:59:59Z", "2026-02-28T16:00:00Z", "2026-02-28T16:00:00Z"),
            ("Asia/Shanghai", "2026-02-28T16:00:00Z", "2026-03-01T16:00:00Z", "2026-03-31T16:00:00Z"),
            // Clocks go forward on March 8 there, so the month ends at another offset than it began.
            ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "2026-04-01T04:00:00Z"),
            ("UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            let at = Zone::try_from(zone.to_owned()).unwrap();
            let ends = (at.end_of_day(seconds(now)), at.end_of_month(seconds(now)));
            assert_eq!(ends, (seconds(day), seconds(month)), "{zone} {now}");
        }
        assert_eq!(Zone::default().end_of_month(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_zone_is_one_of_the_database() {
        assert_eq!(Zone::try_from("Asia/Shangai".to_owned()), Err(InvalidZone));
        assert_eq!(String::from(Zone::try_from("Europe/Berlin".to_owned()).unwrap()), "Europe/Berlin");
    }
}
