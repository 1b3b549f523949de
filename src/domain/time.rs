//! Times: milliseconds since 1970, RFC 3339 UTC with milliseconds on the wire.

use std::borrow::Cow;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds since 1970-01-01T00:00:00Z. In Avro a `timestamp-millis`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// One hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// One minute in milliseconds.
pub const MINUTE_MS: i64 = 60_000;

impl Timestamp {
    /// The end of what does not end: the last millisecond that RFC 3339 can write.
    pub const FOREVER: Self = Self(253_402_300_799_999);

    /// When something ends that may not.
    pub fn end_of(until: Option<Self>) -> Self {
        until.unwrap_or(Self::FOREVER)
    }

    /// What this machine's clock says. Never used to order events: that is the broker's append time.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The time in a UUIDv7, or none if it is another version.
    /// Source: RFC 9562, section 5.7: the first 48 bits are milliseconds.
    pub fn of_uuid(id: uuid::Uuid) -> Option<Self> {
        if id.get_version_num() != 7 {
            return None;
        }
        let bytes = id.as_bytes();
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&bytes[..6]);
        Some(Self(i64::from_be_bytes(millis)))
    }

    /// Later by `millis` (earlier if negative).
    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// For Postgres; outside the years -9999 to 9999 the nearest end is taken.
    pub fn to_datetime(self) -> OffsetDateTime {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let text = self.to_datetime().format(&format).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// As the gateway writes it, not as Avro does.
impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
            "description": "RFC 3339, UTC, with milliseconds.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_795_000_000_007).to_string(), "2026-11-18T11:06:40.007Z");
    }

    #[test]
    fn a_uuid_of_version_7_knows_its_time() {
        let now = Timestamp::now();
        let of = Timestamp::of_uuid(uuid::Uuid::now_v7()).map(|t| t.0 - now.0);
        assert!(matches!(of, Some(0..=1000)), "{of:?}");
        assert_eq!(Timestamp::of_uuid(uuid::Uuid::nil()), None);
    }
}
