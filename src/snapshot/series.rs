//! Whose state a snapshot is.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// Whose state it is: each series has its own shards and manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// the accounts of one partition of the inputs
    Partition(u32),
    /// what a process knows of entities other than accounts
    Profiles,
}

/// How the name of a partition's series begins.
const PARTITION: &str = "partition-";
const PROFILES: &str = "profiles";

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Series::Partition(partition) => write!(f, "{PARTITION}{partition}"),
            Series::Profiles => f.write_str(PROFILES),
        }
    }
}

impl FromStr for Series {
    type Err = String;

    fn from_str(name: &str) -> Result<Series, String> {
        let partition = name.strip_prefix(PARTITION).and_then(|number| number.parse().ok());
        let series = match partition {
            Some(partition) => Series::Partition(partition),
            None => Series::Profiles,
        };
        // one name each: no leading zeros
        match series.to_string() == name {
            true => Ok(series),
            false => Err(format!("series is {name:?}, expected {PARTITION}3 or {PROFILES}")),
        }
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Series, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_one_name() {
        for series in [Series::Partition(0), Series::Partition(u32::MAX), Series::Profiles] {
            assert_eq!(series.to_string().parse(), Ok(series));
        }
        for wrong in ["", "partition-", "partition-03", "partition-+3", "Profiles", "partition--1"]
        {
            let error = wrong.parse::<Series>().unwrap_err();
            assert!(error.contains("expected partition-3 or profiles"), "{error}");
        }
    }
}
