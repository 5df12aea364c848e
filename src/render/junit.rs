//! Checks as a JUnit report, which every build server reads.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The checks of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// What they have in common.
    pub name: String,
    /// The checks.
    pub cases: Vec<Case>,
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What was checked.
    pub name: String,
    /// Where what was checked is written.
    pub place: Option<String>,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub micros: Option<u64>,
    /// What else there is to say; empty where there is nothing.
    pub text: String,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed {
        /// A stable code.
        kind: String,
        /// The sentence that names it.
        message: String,
    },
    /// Not decided, and why.
    Skipped(String),
}

/// The report, or why it cannot be written.
///
/// # Errors
/// When the XML cannot be written.
pub fn report(name: &str, suites: &[Suite]) -> Result<String, String> {
    let mut report = Report::new(name);
    for suite in suites {
        let mut own = TestSuite::new(&*suite.name);
        own.add_test_cases(suite.cases.iter().map(|case| test_case(&suite.name, case)));
        report.add_test_suite(own);
    }
    report.to_string().map_err(|error| error.to_string())
}

fn test_case(suite: &str, case: &Case) -> TestCase {
    let status = match &case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed { kind, message } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(&**kind).set_message(&**message);
            if !case.text.is_empty() {
                status.set_description(&*case.text);
            }
            status
        }
        Outcome::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&**why);
            status
        }
    };
    let mut own = TestCase::new(&*case.name, status);
    if case.outcome == Outcome::Passed && !case.text.is_empty() {
        own.set_system_out(&*case.text);
    }
    own.set_classname(case.place.as_deref().unwrap_or(suite));
    if let Some(micros) = case.micros {
        own.set_time(std::time::Duration::from_micros(micros));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_what_a_build_server_shows() {
        let case = |name: &str, outcome, micros| Case {
            name: name.into(),
            place: None,
            outcome,
            micros,
            text: String::new(),
        };
        let failed = Outcome::Failed { kind: "lost".into(), message: "1 < 2 & \u{1b}[31m".into() };
        let suite = Suite {
            name: "to_legacy".into(),
            cases: vec![
                case("call_created", Outcome::Passed, Some(1500)),
                case("call_ended", failed, None),
                case("call_held", Outcome::Skipped("why".into()), None),
            ],
        };
        let text = report("verify", &[suite]).unwrap();
        assert!(text.contains(r#"tests="3" skipped="1" errors="0" failures="1""#), "{text}");
        assert!(
            text.contains(r#"<testcase name="call_created" classname="to_legacy" time="0.002"/>"#),
            "{text}"
        );
        assert!(text.contains(r#"<failure message="1 &lt; 2 &amp; " type="lost"/>"#), "{text}");
        assert!(text.contains(r#"<skipped message="why"/>"#), "{text}");
    }

    #[test]
    fn what_else_there_is_to_say_is_there() {
        let case = |outcome| Case {
            name: "n".into(),
            place: None,
            outcome,
            micros: None,
            text: "why: so\ndo: that".into(),
        };
        let failed = Outcome::Failed { kind: "k".into(), message: "m".into() };
        let suite = Suite { name: "s".into(), cases: vec![case(Outcome::Passed), case(failed)] };
        let text = report("r", &[suite]).unwrap();
        assert!(text.contains("<system-out>why: so\ndo: that</system-out>"), "{text}");
        assert!(text.contains("<failure message=\"m\" type=\"k\">why: so\ndo: that</failure>"), "{text}");
    }
}
