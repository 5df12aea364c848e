//! `audit`: what will become of every client of a site.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use super::{Failure, mappings, settings, site, sources};
use crate::cli::{Audit as Command, AuditFailOn, AuditReport};
use crate::config::Layer;
use crate::core::accepted::{self, Accepted, Date, Matter, Told};
use crate::core::audit::{self, Finding, Question};
use crate::core::changelog::Upgrade;
use crate::core::diagnostic::Place;
use crate::core::history::History;
use crate::core::site::Site;
use crate::exit_code::Exit;
use crate::render::{self, audit as written, counted};

/// The JSON schema of the report.
const SCHEMA: &str = include_str!("../render/audit.schema.json");

/// Audits the site; the report goes to standard output.
///
/// # Errors
/// When a source, a rule or the file of accepted findings cannot be read: nothing is reported by halves.
pub fn audit(command: &Command) -> Result<Exit, Failure> {
    let (Some(from), Some(to)) = (command.from, command.to) else {
        super::print(SCHEMA)?;
        return Ok(Exit::Done);
    };
    if command.schema {
        super::print(SCHEMA)?;
        return Ok(Exit::Done);
    }
    Upgrade::new(Some(from), Some(to)).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .help("`--from` is what the site has today, `--to` what it is to have")
    })?;
    let accepted = command.accepted.as_deref().map(Entries::read).transpose()?.unwrap_or_default();
    let rules = &command.rules;
    let (mappings, changelog) = mappings::load_with_changelog(!rules.no_builtin_mappings, &rules.mappings)?;
    let scanned = sources::read_programs(&command.scan)?;
    let is_scan_alone = !command.scan.is_empty() && !names_a_source(command);
    let (site, own_prefix) = if is_scan_alone {
        (Site::default(), String::from("cti-bridge"))
    } else {
        let prefix = settings::read(&command.site.broker, Layer::default())?.queue_prefix;
        (site::observe(&command.site)?, prefix)
    };
    let mut audit = audit::audit(Question {
        from,
        to,
        history: History::new(&mappings, &changelog),
        site: &site,
        programs: &scanned.programs,
        own_prefix: &own_prefix,
    });
    let today = jiff::Zoned::now().date();
    let today = Date::new(
        u16::try_from(today.year()).unwrap_or_default(),
        u8::try_from(today.month()).unwrap_or_default(),
        u8::try_from(today.day()).unwrap_or_default(),
    );
    let today = today.ok_or_else(|| Failure::new(Exit::Bug, "this machine's clock shows no day"))?;
    let told = accepted::accept(&mut audit, &accepted.entries, today);
    let told: Vec<String> = told.iter().map(|told| accepted.sentence(told)).collect();
    let failing = |finding: &Finding| {
        finding.accepted.is_none() && command.fail_on.iter().any(|what| is_hit(*what, finding))
    };
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = match command.output {
        AuditReport::Text => written::text(&audit, &told, colours),
        AuditReport::Json => written::json(&audit, &told),
        AuditReport::Junit => written::junit(&audit, &failing)
            .map_err(|error| Failure::new(Exit::Bug, format!("cannot write JUnit: {error}")))?,
        AuditReport::Github => written::github(&audit),
        AuditReport::Sarif => written::sarif(&audit),
    };
    for note in &scanned.notes {
        eprintln!("{note}");
    }
    super::print(&text)?;
    if command.output != AuditReport::Text {
        for sentence in &told {
            eprintln!("{sentence}");
        }
        eprintln!("{}", written::summary(&audit));
    }
    let failed = audit.open().any(|(_, finding)| failing(finding));
    Ok(if failed { Exit::Findings } else { Exit::Done })
}

/// Whether a source is named in so many words. The broker's own address is no such word: it stands in the environment
/// of many a machine.
fn names_a_source(command: &Command) -> bool {
    let sources = &command.site.sources;
    sources.name_files() || sources.management_url.is_some()
}

fn is_hit(what: AuditFailOn, finding: &Finding) -> bool {
    match what {
        AuditFailOn::Never => false,
        AuditFailOn::Severity(severity) => finding.severity() >= severity,
        AuditFailOn::Fate(fate) => finding.fates.contains(&fate),
    }
}

/// A file of accepted findings.
#[derive(Default)]
struct Entries {
    path: String,
    text: String,
    entries: Vec<Accepted>,
}

impl Entries {
    fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {shown}: {error}")))?;
        match accepted::read(&text) {
            Ok(entries) => Ok(Self { path: shown, text, entries }),
            Err(mistakes) => {
                let mistakes = mistakes.iter().map(|mistake| render::diagnostic(&shown, &text, mistake));
                Err(Failure::rendered(Exit::Misconfigured, mistakes.collect()))
            }
        }
    }

    fn sentence(&self, told: &Told<'_>) -> String {
        let place = Place::of(&self.text, told.entry.node)
            .map_or_else(|| self.path.clone(), |place| format!("{}:{}", self.path, place.position.line));
        let id = told.entry.kind.id();
        match told.matter {
            Matter::MatchesNothing => {
                format!("{place}: {id} is accepted here, and nothing like it was found")
            }
            Matter::Expired(count) => format!(
                "{place}: {id} was accepted until {}; {} again",
                told.entry.until,
                if count == 1 {
                    "1 finding counts".to_owned()
                } else {
                    format!("{} count", counted(count, "finding"))
                }
            ),
        }
    }
}
