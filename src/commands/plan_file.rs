//! A saved plan: what `plan --out` writes and `apply` reads.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::amqp::BrokerAddress;
use crate::core::plan::Plan;
use crate::exit_code::Exit;
use crate::render;

const SCHEMA: &str = "cti-bridge/plan/1";

/// A plan with where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The version of this program that made it.
    pub tool_version: String,
    /// The broker that it is for, without user and password.
    pub broker: String,
    /// Whether the site was seen on the live broker, and can be again.
    pub live: bool,
    /// The plan.
    pub plan: Plan,
}

impl PlanFile {
    /// As a document, the same for a file and for `--output json`.
    ///
    /// # Errors
    /// Never, unless there is a bug.
    pub fn document(&self) -> Result<String, Failure> {
        let value = serde_json::to_value(self)
            .map_err(|error| Failure::new(Exit::Bug, format!("cannot write the plan as JSON: {error}")))?;
        Ok(render::document("plan", value))
    }

    /// Reads a saved plan.
    ///
    /// # Errors
    /// When it is not there, is no plan of this format, or would do what no plan does.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = render::printable(&path.display().to_string());
        let text = read(path)?;
        let unusable = |why: String| {
            Failure::new(Exit::BadInput, format!("{shown} is not a plan: {}", render::printable(&why)))
                .help("make one with `cti-bridge plan --out FILE`")
        };
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        let schema = value.as_object_mut().and_then(|object| object.remove("schema"));
        match schema.as_ref().and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => return Err(unusable(format!("it is a `{other}`, and `{SCHEMA}` is needed"))),
            None => return Err(unusable(format!("it does not say that it is a `{SCHEMA}`"))),
        }
        let file: Self = serde_json::from_value(value).map_err(|error| unusable(error.to_string()))?;
        file.plan.check().map_err(|error| unusable(error.to_string()))?;
        Ok(file)
    }
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::InvalidData { Exit::BadInput } else { Exit::NoInput };
        Failure::new(exit, format!("cannot read {}: {error}", render::printable(&path.display().to_string())))
    })
}

/// Where a broker is, without who is there.
#[must_use]
pub fn place(address: &BrokerAddress) -> String {
    let shown = address.to_string();
    let (scheme, rest) = shown.split_once("://").unwrap_or(("amqp", &shown));
    format!("{scheme}://{}", rest.split_once('@').map_or(rest, |(_, place)| place))
}
