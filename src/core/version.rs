//! Platform versions such as `19.05`, and half-open ranges of them.
//!
//! XiVO and Wazo number their releases by year and sprint. They compare as pairs of numbers, and the
//! sprint always has two digits: `16.2` is not a version, so that it is never mistaken for `16.20`.

use std::fmt;
use std::str::FromStr;

/// One release of the platform, for instance `19.05`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    year: u8,
    sprint: u8,
}

/// Why a text is not a version or a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Neither two digits, a dot and two digits, nor close to it.
    #[error("`{0}` is not a version: write the year and the two digits of the sprint, such as `19.05`")]
    Malformed(String),
    /// A range without the two dots.
    #[error("`{0}` is not a range of versions: write `16.08..19.05`, `19.05..` or `..19.05`")]
    NotARange(String),
    /// A range that holds no version at all.
    #[error("no version is in `{0}`: the end is not in the range and must be newer than the start")]
    Empty(String),
}

impl Version {
    /// The version of this year and sprint, both below 100.
    #[must_use]
    pub const fn new(year: u8, sprint: u8) -> Self {
        Self { year, sprint }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let malformed = || VersionError::Malformed(text.to_owned());
        let [y1, y2, b'.', s1, s2] = text.as_bytes() else { return Err(malformed()) };
        let pair = |tens: &u8, ones: &u8| {
            (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
        };
        match (pair(y1, y2), pair(s1, s2)) {
            (Some(year), Some(sprint)) => Ok(Self { year, sprint }),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}.{:02}", self.year, self.sprint)
    }
}

/// A half-open range of versions: the start is in it, the end is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionRange {
    start: Option<Version>,
    end: Option<Version>,
}

impl VersionRange {
    /// Every version there is.
    pub const ALL: Self = Self { start: None, end: None };

    /// From a version, or from the beginning, until before another one, or without end.
    #[must_use]
    pub const fn between(start: Option<Version>, end: Option<Version>) -> Self {
        Self { start, end }
    }

    /// The first version of the range, if it has one.
    #[must_use]
    pub const fn start(&self) -> Option<Version> {
        self.start
    }

    /// The first version after the range, if it ends.
    #[must_use]
    pub const fn end(&self) -> Option<Version> {
        self.end
    }

    /// Whether this version is in the range.
    #[must_use]
    pub fn contains(&self, version: Version) -> bool {
        self.start.is_none_or(|start| start <= version) && self.end.is_none_or(|end| version < end)
    }

    /// Whether at least one version is in both ranges.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |end: Option<Version>, start: Option<Version>| matches!((end, start), (Some(end), Some(start)) if end <= start);
        !before(self.end, other.start) && !before(other.end, self.start)
    }
}

impl FromStr for VersionRange {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (start, end) = text.split_once("..").ok_or_else(|| VersionError::NotARange(text.to_owned()))?;
        let bound = |part: &str| (!part.is_empty()).then(|| part.parse()).transpose();
        let range = Self { start: bound(start)?, end: bound(end)? };
        match (range.start, range.end) {
            (Some(start), Some(end)) if end <= start => Err(VersionError::Empty(text.to_owned())),
            _ => Ok(range),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(start) = self.start {
            write!(f, "{start}")?;
        }
        f.write_str("..")?;
        if let Some(end) = self.end {
            write!(f, "{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn compares_as_pairs_of_numbers() {
        assert!(version("16.02") < version("16.20"));
        assert!(version("09.99") < version("13.22"));
        assert!(version("17.17") < version("18.02"));
    }

    #[test]
    fn refuses_what_could_be_mistaken_for_another_version() {
        for text in ["16.2", "16", "16.020", "016.02", "", "16,02", "1a.02", "16.08.1", " 16.08"] {
            assert!(matches!(text.parse::<Version>(), Err(VersionError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_range_holds_its_start_and_not_its_end() {
        let range: VersionRange = "16.09..19.05".parse().unwrap();
        assert!(range.contains(version("16.09")));
        assert!(range.contains(version("19.04")));
        assert!(!range.contains(version("19.05")));
        assert!(!range.contains(version("16.08")));
        assert!(VersionRange::ALL.contains(version("13.22")));
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let range = |text: &str| text.parse::<VersionRange>().unwrap();
        assert!(!range("..16.09").overlaps(&range("16.09..")));
        assert!(range("..16.09").overlaps(&range("16.08..")));
        assert!(range("..").overlaps(&range("16.08..16.09")));
    }

    #[test]
    fn refuses_a_range_without_versions() {
        assert!(matches!("19.05..16.08".parse::<VersionRange>(), Err(VersionError::Empty(_))));
        assert!(matches!("19.05".parse::<VersionRange>(), Err(VersionError::NotARange(_))));
        assert!(matches!("19.5..".parse::<VersionRange>(), Err(VersionError::Malformed(_))));
    }

    #[test]
    fn prints_what_it_parsed() {
        for text in ["16.09..19.05", "19.05..", "..16.08", ".."] {
            assert_eq!(text.parse::<VersionRange>().unwrap().to_string(), text);
        }
    }
}
