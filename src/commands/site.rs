//! Looks at a site: reads every source that was named, and puts together what they show.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

use super::{Failure, private_file, settings};
use crate::cli::{BrokerFrom, SiteFrom, Sources};
use crate::config::{self, Layer};
use crate::core::site::file::{self, FileError};
use crate::core::site::rabbitmqctl::Lists;
use crate::core::site::{Part, Site, api, definitions, merged};
use crate::exit_code::Exit;
use crate::management::{Client, ManagementAddress, ManagementError};
use crate::render;

/// The environment variable with the address of the management API.
pub const URL_VARIABLE: &str = "CTI_BRIDGE_MANAGEMENT_URL";

/// What the sources show, as one site. Without a file, a broker is asked.
///
/// # Errors
/// When a source cannot be read, is refused, or is not what it should be: nothing is reported by halves.
pub fn observe(from: &SiteFrom) -> Result<Site, Failure> {
    observe_with(&from.sources, &from.broker)
}

/// The same for a command that has a broker of its own.
///
/// # Errors
/// As with [`observe`].
pub fn observe_with(from: &Sources, broker: &BrokerFrom) -> Result<Site, Failure> {
    let live = match &from.management_url {
        None if from.name_files() => None,
        _ => Some(Live::of(from, broker)?),
    };
    let mut vhost = from.vhost.clone().or_else(|| Some(live.as_ref()?.vhost.clone()));
    let mut parts = Vec::new();
    for path in &from.site {
        parts.push(part(path, file::saved(&text(path)?))?);
    }
    for path in &from.definitions {
        parts.push(part(path, definitions::site(&text(path)?, vhost.as_deref(), &shown(path)))?);
    }
    vhost = vhost.or_else(|| parts.iter().find_map(|part| part.site.vhost.clone()));
    if let Some(first) = from.rabbitmqctl.first() {
        let mut lists = Lists::default();
        for path in &from.rabbitmqctl {
            lists.add(&text(path)?).map_err(|error| unusable(path, &error))?;
        }
        parts.push(part(first, lists.site(vhost.as_deref(), "rabbitmqctl"))?);
    }
    if let Some(live) = live {
        parts.push(live.part()?);
    }
    let site = merged(parts).map_err(|error| {
        Failure::new(Exit::BadInput, render::printable(&error.to_string()))
            .help("look at one virtual host at a time, with `--vhost`")
    })?;
    if let Some(path) = &from.save_site {
        save(&site, path)?;
    }
    Ok(site)
}

/// The management API of a live broker. It is shown without a password.
pub struct Live {
    address: ManagementAddress,
    user: String,
    password: SecretString,
    vhost: String,
    /// Trusted besides those of the machine, as PEM.
    authorities: Option<String>,
}

impl Live {
    /// The management API at this address, or where the environment or the settings have it. User and password are
    /// those of the address, else those of the broker's settings.
    ///
    /// # Errors
    /// When the settings are not in order.
    pub fn of(from: &Sources, broker: &BrokerFrom) -> Result<Self, Failure> {
        let environment = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        let address = from
            .management_url
            .as_deref()
            .or(environment.as_deref())
            .map(ManagementAddress::parse)
            .transpose();
        let address = address.map_err(|error| Failure::new(Exit::Usage, error))?;
        let bus = settings::read(broker, Layer::default())?.modern;
        let address = address.unwrap_or_else(|| ManagementAddress::on_host(&bus.host, bus.tls));
        let named = from.management_ca_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        let named = config::read_certificates(named, None, None).map_err(settings::cannot_use)?;
        Ok(Self {
            user: address.username.clone().unwrap_or(bus.username),
            password: address.password.clone().unwrap_or(bus.password),
            vhost: from.vhost.clone().unwrap_or(bus.vhost),
            authorities: named.or(bus.certificates).authorities,
            address,
        })
    }

    fn client(&self) -> Client<'_> {
        let Self { address, user, password, vhost, authorities } = self;
        Client::new(address, user, password, vhost, authorities.as_deref())
    }

    /// Whether it shows a queue of this name.
    ///
    /// # Errors
    /// When it does not say.
    pub fn has_queue(&self, name: &str) -> Result<bool, Failure> {
        self.client().has_queue(name).map_err(|error| not_answered(&error))
    }

    fn part(&self) -> Result<Part, Failure> {
        let source = self.address.to_string();
        let answers = self.client().ask_all().map_err(|error| not_answered(&error))?;
        let site = api::site(&self.vhost, &source, &answers).map_err(|error| {
            Failure::new(Exit::BadInput, format!("{source}: {error}"))
                .help("is there something between here and the broker, such as a proxy?")
        })?;
        Ok(Part { source, site })
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// What to tell about a management API that does not answer.
fn not_answered(error: &ManagementError) -> Failure {
    let message = render::printable(&error.to_string());
    match error {
        ManagementError::Unreachable { .. } => Failure::new(Exit::Unreachable, message).help(
            "is the plugin rabbitmq_management enabled there? name its address with `--management-url`, or look at \
             files: `--rabbitmqctl`, `--definitions`",
        ),
        ManagementError::Untrusted { what_to_do, .. } => {
            Failure::new(Exit::Unreachable, message).help(*what_to_do)
        }
        ManagementError::Failing { .. } => {
            Failure::new(Exit::Unreachable, message).help("the log of the broker tells why")
        }
        ManagementError::Refused { .. } => Failure::new(Exit::AccessRefused, message).help(
            "the account needs the tag `monitoring` and permissions on the virtual host: `rabbitmqctl set_user_tags \
             USER monitoring`",
        ),
        ManagementError::NoSuchVhost { .. } => {
            Failure::new(Exit::NoInput, message).help("name another one with `--vhost`")
        }
        ManagementError::Unexpected { .. } | ManagementError::Broken { .. } => {
            Failure::new(Exit::BadInput, message)
                .help("the management API usually listens on port 15672, not on that of AMQP")
        }
    }
}

fn part(path: &Path, site: Result<Site, FileError>) -> Result<Part, Failure> {
    let site = site.map_err(|error| unusable(path, &error))?;
    Ok(Part { source: shown(path), site })
}

/// What to tell about a file that shows no site.
fn unusable(path: &Path, error: &FileError) -> Failure {
    let exit = match error {
        FileError::NoSuchVhost { .. } => Exit::NoInput,
        _ => Exit::BadInput,
    };
    let message = format!("cannot use {}: {}", shown(path), render::printable(&error.to_string()));
    match error.help() {
        Some(help) => Failure::new(exit, message).help(help),
        None => Failure::new(exit, message),
    }
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".into()
    } else {
        render::printable(&path.display().to_string())
    }
}

fn save(site: &Site, path: &Path) -> Result<(), Failure> {
    let value = serde_json::to_value(site)
        .map_err(|error| Failure::new(Exit::Bug, format!("cannot write a site as JSON: {error}")))?;
    private_file::write(path, render::document("site", value))
        .map_err(|error| Failure::new(Exit::Unreachable, format!("cannot write {}: {error}", shown(path))))
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {}: {error}", shown(path))))?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::BadInput, format!("cannot use {}: it is not UTF-8", shown(path))))
}
