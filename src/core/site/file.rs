//! What a file that shows a site may be, so that one in the place of another is named and not misread.

use serde_json::{Map, Value as Json};

use super::Site;
use super::row::Missing;

/// The schema of a saved site.
const SCHEMA: &str = "cti-bridge/site/1";

/// The kinds of files that show a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A site that was saved.
    Site,
    /// Exported definitions.
    Definitions,
    /// Lists of `rabbitmqctl`.
    Lists,
}

impl Kind {
    /// The option that reads such a file.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Site => "--site",
            Self::Definitions => "--definitions",
            Self::Lists => "--rabbitmqctl",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Site => "a saved site",
            Self::Definitions => "exported definitions",
            Self::Lists => "a list of `rabbitmqctl`",
        }
    }
}

/// Why a file shows no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It ends in the middle.
    #[error("it breaks off in line {line}")]
    BreaksOff {
        /// Counted from 1.
        line: usize,
    },
    /// `rabbitmqctl` failed while it wrote.
    #[error("`rabbitmqctl` failed in line {line}")]
    ToolFailed {
        /// Counted from 1.
        line: usize,
    },
    /// It is no JSON.
    #[error("it is no JSON: {reason} in line {line}, column {column}")]
    NotJson {
        /// Why.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is one of the others.
    #[error("it is {}, not {}", .is.noun(), .wanted.noun())]
    OtherKind {
        /// What it is.
        is: Kind,
        /// What it should be.
        wanted: Kind,
    },
    /// It is JSON, and nothing that is known here.
    #[error("it is not {}", .wanted.noun())]
    UnknownKind {
        /// What it should be.
        wanted: Kind,
    },
    /// A saved site is of another version, or was changed.
    #[error("it is no site that this version can read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// A list has columns that no list of this site has.
    #[error("a list with the columns {columns} is not known")]
    UnknownList {
        /// The columns, with commas between them.
        columns: String,
    },
    /// A table of arguments in a form that no known version writes.
    #[error("the arguments {written} are not in a form that is known")]
    UnknownArguments {
        /// The arguments.
        written: String,
    },
    /// An object without what makes it one.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The virtual host is not in it.
    #[error("it shows no virtual host `{wanted}`, but {there}")]
    NoSuchVhost {
        /// The virtual host that was asked for.
        wanted: String,
        /// Those that are there.
        there: String,
    },
    /// It shows several virtual hosts, and none was asked for.
    #[error("it shows the virtual hosts {there}, and none of them is `/`")]
    WhichVhost {
        /// The virtual hosts.
        there: String,
    },
}

impl FileError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Empty => "did the command that should have written it fail?".into(),
            Self::BreaksOff { .. } => "was it copied as a whole? write it again".into(),
            Self::ToolFailed { .. } | Self::UnknownArguments { .. } => {
                "`rabbitmqctl` cannot write all arguments as JSON: leave out the column `arguments`, or use the management \
                 API or exported definitions"
                    .into()
            }
            Self::NotJson { .. } | Self::UnknownKind { wanted: Kind::Lists } => {
                "lists come from `rabbitmqctl list_bindings --formatter json` and the like".into()
            }
            Self::OtherKind { is, .. } => format!("`{}` reads it", is.option()),
            Self::UnknownKind { wanted: Kind::Definitions } => {
                "definitions come from `rabbitmqctl export_definitions FILE`".into()
            }
            Self::UnknownKind { wanted: Kind::Site } | Self::Unreadable { .. } => {
                "sites come from `--save-site FILE`".into()
            }
            Self::UnknownList { .. } => {
                "known are list_exchanges, list_queues, list_bindings, list_consumers, list_connections, \
                 list_channels and list_permissions, with the columns that `--help` shows"
                    .into()
            }
            Self::Missing(missing) => format!("write the list again with the column `{}`", missing.field),
            Self::NoSuchVhost { .. } | Self::WhichVhost { .. } => "name one of them with `--vhost`".into(),
        })
    }

    pub(super) fn of_json(error: &serde_json::Error, lines_before: usize) -> Self {
        let line = error.line() + lines_before;
        if error.is_eof() {
            return Self::BreaksOff { line };
        }
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self::NotJson { reason, line, column: error.column() }
    }
}

/// The site in a file that was saved.
///
/// # Errors
/// When it is something else.
pub fn saved(text: &str) -> Result<Site, FileError> {
    let mut object = object(text, Kind::Site)?;
    match object.remove("schema") {
        Some(Json::String(schema)) if schema == SCHEMA => {}
        Some(schema) => {
            return Err(FileError::Unreadable { reason: format!("its schema is {schema}, not `{SCHEMA}`") });
        }
        None => return Err(FileError::UnknownKind { wanted: Kind::Site }),
    }
    serde_json::from_value(Json::Object(object))
        .map_err(|error| FileError::Unreadable { reason: error.to_string() })
}

/// The object that is in a file of this kind.
pub(super) fn object(text: &str, wanted: Kind) -> Result<Map<String, Json>, FileError> {
    if text.trim().is_empty() {
        return Err(FileError::Empty);
    }
    let value = serde_json::from_str(text).map_err(|error| FileError::of_json(&error, 0))?;
    let is = match &value {
        Json::Object(object) => kind(object.keys()),
        Json::Array(_) => Some(Kind::Lists),
        _ => None,
    };
    match (is, value) {
        (Some(is), Json::Object(object)) if is == wanted => Ok(object),
        (Some(is), _) => Err(FileError::OtherKind { is, wanted }),
        (None, _) => Err(FileError::UnknownKind { wanted }),
    }
}

/// What an object with these fields at its top is.
pub(super) fn kind<'k>(fields: impl IntoIterator<Item = &'k String>) -> Option<Kind> {
    const DEFINITIONS: [&str; 5] = ["rabbit_version", "rabbitmq_version", "exchanges", "queues", "bindings"];
    let mut is = None;
    for field in fields {
        if field == "schema" {
            return Some(Kind::Site);
        }
        if DEFINITIONS.contains(&field.as_str()) {
            is = Some(Kind::Definitions);
        }
    }
    is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_site_is_read_and_nothing_else() {
        let site =
            saved(r#"{"schema": "cti-bridge/site/1", "vhost": "/", "broker_version": "3.10.8"}"#).unwrap();
        assert_eq!(site.broker_version.as_deref(), Some("3.10.8"));
        for (text, error) in [
            ("", FileError::Empty),
            (" \n", FileError::Empty),
            ("{\"schema\":\n", FileError::BreaksOff { line: 2 }),
            ("{}x", FileError::NotJson { reason: "trailing characters".into(), line: 1, column: 3 }),
            ("{}", FileError::UnknownKind { wanted: Kind::Site }),
            ("3", FileError::UnknownKind { wanted: Kind::Site }),
            ("[]", FileError::OtherKind { is: Kind::Lists, wanted: Kind::Site }),
            (r#"{"queues": []}"#, FileError::OtherKind { is: Kind::Definitions, wanted: Kind::Site }),
            (
                r#"{"schema": "cti-bridge/site/2"}"#,
                FileError::Unreadable {
                    reason: "its schema is \"cti-bridge/site/2\", not `cti-bridge/site/1`".into(),
                },
            ),
        ] {
            assert_eq!(saved(text).unwrap_err(), error, "{text}");
        }
        let changed = saved(r#"{"schema": "cti-bridge/site/1", "queues": [{"nmae": "q"}]}"#).unwrap_err();
        assert!(changed.to_string().contains("`nmae`"), "{changed}");
    }
}
