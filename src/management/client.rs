//! Asks a management API.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::CertificateError;
use secrecy::{ExposeSecret, SecretString};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::ManagementAddress;
use crate::core::site::api::{Answer, Meaning, Question};

/// For the whole of one answer. A busy broker takes seconds for a thousand queues.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No site has lists as long as this; what has would take the memory of this machine.
const LONGEST_ANSWER: u64 = 256 * 1024 * 1024;
/// What is shown of the reason that a broker gives.
const REASON_LENGTH: usize = 200;

/// Why the management API has not answered everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManagementError {
    /// Nothing is there, or it does not answer.
    #[error("cannot reach the management API at {address}: {reason}")]
    Unreachable {
        /// The address, without a password.
        address: String,
        /// Why.
        reason: String,
    },
    /// Its certificate is none that can be trusted.
    #[error("the certificate of the management API at {address} cannot be trusted: {reason}")]
    Untrusted {
        /// The address, without a password.
        address: String,
        /// Why.
        reason: String,
        /// What helps.
        what_to_do: &'static str,
    },
    /// The broker is in trouble.
    #[error("the management API at {address} failed with status {status} when it was asked for {asked}")]
    Failing {
        /// The address, without a password.
        address: String,
        /// What was asked for.
        asked: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The account is not let in.
    #[error("the management API at {address} refuses `{user}`, who asked for {asked}: {reason}")]
    Refused {
        /// The address, without a password.
        address: String,
        /// The account.
        user: String,
        /// What was asked for.
        asked: String,
        /// What the broker says.
        reason: String,
    },
    /// There is no such virtual host.
    #[error("the broker at {address} has no virtual host `{vhost}`")]
    NoSuchVhost {
        /// The address, without a password.
        address: String,
        /// The virtual host.
        vhost: String,
    },
    /// Something else answers.
    #[error("what answers at {address} is no management API: asked for {asked}, {reason}")]
    Unexpected {
        /// The address, without a password.
        address: String,
        /// What was asked for.
        asked: String,
        /// What came instead.
        reason: String,
    },
    /// The answer ends in the middle, or never does.
    #[error("the management API at {address} was asked for {asked}, and the answer {reason}")]
    Broken {
        /// The address, without a password.
        address: String,
        /// What was asked for.
        asked: String,
        /// What is wrong.
        reason: String,
    },
}

/// The authorities of the machine, and these.
fn trusted(authorities: Option<&str>) -> RootCerts {
    let Some(pem) = authorities else { return RootCerts::PlatformVerifier };
    let of_machine = rustls_native_certs::load_native_certs().certs;
    let of_machine = of_machine.iter().map(|der| Certificate::from_der(der).to_owned());
    let named = parse_pem(pem.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    of_machine.chain(named).collect::<Vec<_>>().into()
}

/// Who asks a management API about one virtual host.
pub struct Client<'a> {
    agent: Agent,
    address: &'a ManagementAddress,
    user: &'a str,
    authorization: SecretString,
    vhost: &'a str,
}

impl<'a> Client<'a> {
    /// Asks with this account. `authorities`, as PEM, are trusted besides those of the machine.
    #[must_use]
    pub fn new(
        address: &'a ManagementAddress,
        user: &'a str,
        password: &SecretString,
        vhost: &'a str,
        authorities: Option<&str>,
    ) -> Self {
        let tls = TlsConfig::builder().root_certs(trusted(authorities)).build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The password goes to who was named, and to nobody else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(tls)
            .user_agent(concat!("cti-bridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        Self { agent, address, user, authorization: format!("Basic {credentials}").into(), vhost }
    }

    /// Asks everything that makes the site.
    ///
    /// # Errors
    /// When a question without which nothing can be said is not answered.
    pub fn ask_all(&self) -> Result<BTreeMap<Question, Answer>, ManagementError> {
        Question::ALL.into_iter().map(|question| Ok((question, self.ask(question)?))).collect()
    }

    /// Whether there is a queue of this name.
    ///
    /// # Errors
    /// When the broker does not say.
    pub fn has_queue(&self, name: &str) -> Result<bool, ManagementError> {
        let path = format!("queues/{}/{}?columns=name", encoded(self.vhost), encoded(name));
        let (mut response, asked) = self.get(&path)?;
        match Meaning::of_queue(response.status().as_u16()) {
            Meaning::Answered => Ok(true),
            Meaning::Gap => Ok(false),
            meaning => Err(self.not_told(meaning, &mut response, asked)),
        }
    }

    fn ask(&self, question: Question) -> Result<Answer, ManagementError> {
        let (mut response, asked) = self.get(&question.path(&encoded(self.vhost)))?;
        match Meaning::of(question, response.status().as_u16()) {
            Meaning::Answered => self.body(response.body_mut(), &asked).map(Answer::Body),
            Meaning::Gap => Ok(Answer::Refused),
            meaning => Err(self.not_told(meaning, &mut response, asked)),
        }
    }

    /// The answer, and what was asked for.
    fn get(&self, path: &str) -> Result<(Response<Body>, String), ManagementError> {
        let asked = format!("/api/{}", path.split('?').next().unwrap_or_default());
        let request = self.agent.get(self.address.url(path));
        let response = request.header("Authorization", self.authorization.expose_secret()).call();
        match response {
            Ok(response) => Ok((response, asked)),
            Err(error) => Err(self.not_answered(&error, &asked)),
        }
    }

    /// Why there is neither an answer nor a gap.
    fn not_told(&self, meaning: Meaning, response: &mut Response<Body>, asked: String) -> ManagementError {
        let (address, status) = (self.address.to_string(), response.status());
        match meaning {
            Meaning::Denied => {
                let (user, reason) = (self.user.to_owned(), reason(response.body_mut(), status));
                ManagementError::Refused { address, user, asked, reason }
            }
            Meaning::NoSuchVhost => ManagementError::NoSuchVhost { address, vhost: self.vhost.to_owned() },
            Meaning::Failing => ManagementError::Failing { address, asked, status: status.as_u16() },
            Meaning::Answered | Meaning::Gap | Meaning::Unexpected => {
                let reason = format!("it answers with status {}", status.as_u16());
                ManagementError::Unexpected { address, asked, reason }
            }
        }
    }

    fn body(&self, body: &mut Body, asked: &str) -> Result<Vec<u8>, ManagementError> {
        body.with_config().limit(LONGEST_ANSWER).read_to_vec().map_err(|error| {
            let reason = match &error {
                ureq::Error::BodyExceedsLimit(bytes) => format!("is longer than {bytes} bytes"),
                ureq::Error::Timeout(_) => return self.not_answered(&error, asked),
                _ => "breaks off".into(),
            };
            ManagementError::Broken { address: self.address.to_string(), asked: asked.to_owned(), reason }
        })
    }

    fn not_answered(&self, error: &ureq::Error, asked: &str) -> ManagementError {
        let address = self.address.to_string();
        let unreachable = |reason: String| ManagementError::Unreachable { address: address.clone(), reason };
        if let Some(problem) = distrust(error) {
            let (reason, what_to_do) = (problem.to_string(), advice(problem));
            return ManagementError::Untrusted { address, reason, what_to_do };
        }
        match error {
            ureq::Error::Timeout(_) => unreachable("no answer in time".into()),
            ureq::Error::HostNotFound => unreachable("no host of this name".into()),
            ureq::Error::ConnectionFailed => unreachable("no connection".into()),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let reason = "the connection was closed".into();
                ManagementError::Unexpected { address, asked: asked.to_owned(), reason }
            }
            ureq::Error::Io(error) => unreachable(error.to_string()),
            ureq::Error::Rustls(error) => unreachable(error.to_string()),
            ureq::Error::Tls(error) => unreachable((*error).to_owned()),
            _ => {
                let reason = "it does not speak HTTP".into();
                ManagementError::Unexpected { address, asked: asked.to_owned(), reason }
            }
        }
    }
}

/// A part of a path.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// What is wrong with the certificate, however many layers of input and output are around it.
fn distrust(error: &ureq::Error) -> Option<&CertificateError> {
    let rustls = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => {
            let mut io = error;
            loop {
                let inner = io.get_ref()?;
                match inner.downcast_ref() {
                    Some(error) => break error,
                    None => io = inner.downcast_ref()?,
                }
            }
        }
        _ => return None,
    };
    match rustls {
        rustls::Error::InvalidCertificate(problem) => Some(problem),
        _ => None,
    }
}

const fn advice(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer => {
            "name the file of its own authority: `--management-ca-file`, or `ca_file` where it is that of the broker too"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "call it by a name that its certificate is for, or have one made for this name too"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "have a new certificate made for it; if it is valid, set the clock of this machine"
        }
        _ => "have another certificate made for it",
    }
}

/// What the broker gives as its reason, or the status.
fn reason(body: &mut Body, status: StatusCode) -> String {
    let body = body.with_config().limit(4096).read_to_vec().unwrap_or_default();
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let said = said.as_ref().and_then(|said| said.get("reason")?.as_str());
    said.map_or_else(
        || format!("status {}", status.as_u16()),
        |said| said.chars().take(REASON_LENGTH).collect(),
    )
}
