//! TLS towards the broker: the certificates to use, and what the errors of a handshake mean to who has to act.
//!
//! Nothing here reads a file: who has settings reads them and gives the text.

use std::error::Error;
use std::fmt;
use std::io;

use lapin::ErrorKind;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError};
use secrecy::{ExposeSecret, SecretString};

use super::declare::SetUpError;
use super::printable::printable;

/// Whom to trust, and who we are, in a TLS handshake.
#[derive(Clone, Default)]
pub struct Certificates {
    /// Certificates of authorities to trust besides those of the machine, as PEM.
    pub authorities: Option<String>,
    /// The certificate to show to the broker.
    pub client: Option<ClientCertificate>,
}

/// A client certificate and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    chain: String,
    key: SecretString,
}

/// Why a file is of no use for TLS. Never holds anything of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableFile {
    /// No certificate in it.
    #[error(
        "there is no certificate in it: a PEM file with `-----BEGIN CERTIFICATE-----` is needed \
         (`openssl x509 -inform der -in FILE` makes one of a DER file)"
    )]
    NoCertificate,
    /// No key in it.
    #[error(
        "there is no private key in it: a PEM file with `-----BEGIN PRIVATE KEY-----` is needed, and not an \
         encrypted one (`openssl pkey -in FILE` takes the passphrase off)"
    )]
    NoKey,
    /// A key of a kind that is not supported.
    #[error(
        "the private key is of a kind that cannot be used: take RSA, ECDSA on P-256 or P-384, or Ed25519"
    )]
    UnknownKey,
    /// The key of another certificate.
    #[error(
        "the private key does not fit the client certificate: compare `openssl x509 -in CERTIFICATE -noout -pubkey` \
         with `openssl pkey -in KEY -pubout`"
    )]
    OtherKey,
}

impl Certificates {
    /// Whether nothing is said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.authorities.is_none() && self.client.is_none()
    }

    /// These, and where they say nothing the others.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self { authorities: self.authorities.or(below.authorities), client: self.client.or(below.client) }
    }

    /// Takes the text of a file of authorities.
    ///
    /// # Errors
    /// When there is no certificate in it.
    pub fn authorities(pem: String) -> Result<String, UnusableFile> {
        certificates(&pem).map(|_| pem)
    }

    pub(super) fn to_lapin(&self) -> OwnedTLSConfig {
        OwnedTLSConfig {
            identity: self.client.as_ref().map(|client| OwnedIdentity::PKCS8 {
                pem: client.chain.clone().into_bytes(),
                key: client.key.expose_secret().as_bytes().to_vec(),
            }),
            cert_chain: self.authorities.clone(),
        }
    }
}

impl PartialEq for Certificates {
    fn eq(&self, other: &Self) -> bool {
        let parts =
            |client: &ClientCertificate| (client.chain.clone(), client.key.expose_secret().to_owned());
        self.authorities == other.authorities
            && self.client.as_ref().map(parts) == other.client.as_ref().map(parts)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authorities, client } = self;
        write!(f, "Certificates({}, {})", authorities.is_some(), client.is_some())
    }
}

impl ClientCertificate {
    /// Takes the texts of the two files, which may be one.
    ///
    /// # Errors
    /// When there is no certificate in the one or no key in the other, or they do not belong together.
    pub fn new(chain: String, key: SecretString) -> Result<Self, UnusableFile> {
        let certificates = certificates(&chain)?;
        let private =
            PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| UnusableFile::NoKey)?;
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(certificates, private, &provider) {
            Ok(_) => Ok(Self { chain, key }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(UnusableFile::OtherKey),
            Err(rustls::Error::InvalidCertificate(_)) => Err(UnusableFile::NoCertificate),
            Err(_) => Err(UnusableFile::UnknownKey),
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, UnusableFile> {
    match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(UnusableFile::NoCertificate),
    }
}

/// Why two ends do not come together in TLS, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Signed by nobody we know.
    #[error(
        "the broker's certificate is signed by no authority that is trusted here: name the file of its own \
         authority, `tls: {{ca_file: …}}` in the configuration or `--ca-file`"
    )]
    UnknownIssuer,
    /// For other names than the one we called.
    #[error(
        "the broker's certificate is not for `{called}`, it is for {}: call the broker by such a name, or have its \
         certificate made for `{called}` too",
        names(valid)
    )]
    OtherName {
        /// The name in the address.
        called: String,
        /// Those in the certificate.
        valid: Vec<String>,
    },
    /// No longer valid.
    #[error(
        "the broker's certificate has expired{}: have a new one made for the broker; if it is valid, set the clock \
         of this machine",
        since(*days)
    )]
    Expired {
        /// Since how many days.
        days: Option<u64>,
    },
    /// Not yet valid.
    #[error(
        "the broker's certificate is not valid yet: look at the clock of this machine, and at `openssl x509 -noout \
         -dates` of the certificate"
    )]
    NotYetValid,
    /// Anything else about it.
    #[error("the broker's certificate cannot be used ({text}): have another one made for the broker")]
    Unusable {
        /// The words of the library.
        text: String,
    },
    /// The other end speaks no TLS.
    #[error(
        "no TLS is spoken on this port: write `amqp://`, or the port of the broker's TLS listener, usually 5671"
    )]
    Plain,
    /// The other end speaks something that is not AMQP, or hangs up when it is greeted.
    #[error("the greeting was not answered ({text}): if TLS is spoken on this port, write `amqps://`")]
    PerhapsTls {
        /// What happened.
        text: String,
    },
    /// It wants to see a certificate.
    #[error(
        "the broker wants a client certificate: name one, `tls: {{client_certificate_file: …, client_key_file: …}}` \
         in the configuration or `--client-certificate-file`"
    )]
    ClientCertificateWanted,
    /// It does not like ours.
    #[error(
        "the broker does not accept the client certificate ({text}): it has to be valid, and signed by an authority \
         of the broker's `ssl_options.cacertfile`"
    )]
    ClientCertificateRefused {
        /// The broker's word for it.
        text: String,
    },
    /// It says nothing and closes the connection, which it does for a certificate it does not like too.
    #[error(
        "the broker hung up while TLS was agreed on ({text}): its log says why; {}",
        if *shows_certificate {
            "the client certificate has to be valid, and signed by an authority of the broker's \
             `ssl_options.cacertfile`"
        } else {
            "if it wants a client certificate, name one with `--client-certificate-file`"
        }
    )]
    HungUp {
        /// What happened.
        text: String,
        /// Whether we have a certificate to show.
        shows_certificate: bool,
    },
    /// The machine knows no authorities at all.
    #[error(
        "this machine has no certificates of authorities ({text}): install `ca-certificates`, or set SSL_CERT_FILE"
    )]
    NoAuthorities {
        /// The words of the library.
        text: String,
    },
    /// Anything else.
    #[error("no agreement on TLS: {text}")]
    Other {
        /// The words of the library.
        text: String,
    },
}

fn names(valid: &[String]) -> String {
    match valid {
        [] => "no name at all".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

fn since(days: Option<u64>) -> String {
    match days {
        Some(0) => " today".to_owned(),
        Some(1) => " 1 day ago".to_owned(),
        Some(days) => format!(" {days} days ago"),
        None => String::new(),
    }
}

/// Why a connection could not be opened, with or without TLS.
pub(super) fn opening_failed(error: lapin::Error, tls: bool, shows_certificate: bool) -> SetUpError {
    match meaning(&error, tls, shows_certificate) {
        Some(trouble) => SetUpError::Tls(trouble),
        None => error.into(),
    }
}

fn meaning(error: &lapin::Error, tls: bool, shows_certificate: bool) -> Option<TlsError> {
    let io = match error.kind() {
        ErrorKind::IOError(io) => io,
        // What a TLS listener says to who does not speak TLS is no AMQP.
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) if !tls => {
            return Some(TlsError::PerhapsTls { text: printable(error) });
        }
        _ => return None,
    };
    if let Some(error) = of_rustls(io) {
        return Some(of_handshake(error, shows_certificate));
    }
    let text = printable(io);
    if tls && text.contains("native certificates") {
        return Some(TlsError::NoAuthorities { text });
    }
    let hung_up = matches!(
        io.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    );
    hung_up.then_some(if tls {
        TlsError::HungUp { text, shows_certificate }
    } else {
        TlsError::PerhapsTls { text }
    })
}

/// The error of rustls, however many layers of input and output are around it.
fn of_rustls(error: &io::Error) -> Option<&rustls::Error> {
    let mut inner: &(dyn Error + 'static) = error.get_ref()?;
    loop {
        if let Some(found) = inner.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        inner = match inner.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref()?,
            None => inner.source()?,
        };
    }
}

fn of_handshake(error: &rustls::Error, shows_certificate: bool) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::InvalidMessage(_) => TlsError::Plain,
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsError::ClientCertificateWanted,
            // Before TLS 1.3 there was no other word for it.
            AlertDescription::HandshakeFailure if !shows_certificate => TlsError::ClientCertificateWanted,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure
                if shows_certificate =>
            {
                TlsError::ClientCertificateRefused { text: format!("{alert:?}") }
            }
            _ => TlsError::Other { text: printable(error) },
        },
        error => TlsError::Other { text: printable(error) },
    }
}

fn of_certificate(error: &CertificateError) -> TlsError {
    match error {
        CertificateError::UnknownIssuer => TlsError::UnknownIssuer,
        CertificateError::NotValidForNameContext { expected, presented } => TlsError::OtherName {
            called: printable(expected.to_str()),
            valid: presented.iter().map(|name| printable(plain_name(name))).collect(),
        },
        CertificateError::Expired => TlsError::Expired { days: None },
        CertificateError::ExpiredContext { time, not_after } => {
            TlsError::Expired { days: Some(time.as_secs().saturating_sub(not_after.as_secs()) / 86_400) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsError::NotYetValid,
        error => TlsError::Unusable { text: printable(error) },
    }
}

/// `DnsName("bus.example.org")` is how the library writes a name.
fn plain_name(name: &str) -> &str {
    match name.split_once('(') {
        Some((_, rest)) => rest.trim_end_matches(')').trim_matches('"'),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn told(error: rustls::Error, shows_certificate: bool) -> String {
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let error = lapin::Error::from(wrapped);
        opening_failed(error, true, shows_certificate).to_string()
    }

    #[test]
    fn each_trouble_with_the_brokers_certificate_has_its_own_advice() {
        let of = |error: CertificateError| told(error.into(), false);
        assert!(of(CertificateError::UnknownIssuer).contains("ca_file"));
        let other = of(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("localhost").unwrap(),
            presented: vec!["DnsName(\"bus.example.org\")".into(), "IpAddress(10.0.0.1)".into()],
        });
        assert!(other.contains("not for `localhost`, it is for `bus.example.org`, `10.0.0.1`"), "{other}");
        let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400));
        let expired = of(CertificateError::ExpiredContext { time: at(12), not_after: at(10) });
        assert!(expired.contains("expired 2 days ago: have a new one"), "{expired}");
        assert!(of(CertificateError::NotValidYet).contains("clock"));
        assert!(of(CertificateError::Revoked).contains("another one"));
    }

    #[test]
    fn each_alert_of_the_broker_is_told_by_what_it_asks_for() {
        let of = |alert, shows| told(rustls::Error::AlertReceived(alert), shows);
        assert!(of(AlertDescription::CertificateRequired, false).contains("wants a client certificate"));
        assert!(of(AlertDescription::HandshakeFailure, false).contains("wants a client certificate"));
        assert!(of(AlertDescription::UnknownCA, true).contains("(UnknownCA)"));
        assert!(of(AlertDescription::ProtocolVersion, true).contains("no agreement on TLS"));
    }

    #[test]
    fn a_port_of_the_other_kind_is_told_by_what_comes_back() {
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(told(plain, false).contains("write `amqp://`"));
        let reset =
            || lapin::Error::from(ErrorKind::IOError(Arc::new(io::ErrorKind::ConnectionReset.into())));
        assert!(opening_failed(reset(), false, false).to_string().contains("write `amqps://`"));
        assert!(
            opening_failed(reset(), true, false).to_string().contains("if it wants a client certificate")
        );
        assert!(opening_failed(reset(), true, true).to_string().contains("has to be valid"));
        let refused =
            lapin::Error::from(ErrorKind::IOError(Arc::new(io::ErrorKind::ConnectionRefused.into())));
        assert!(matches!(opening_failed(refused, false, false), SetUpError::Broker(_)));
    }

    #[test]
    fn a_file_that_is_no_pem_is_refused_without_a_word_of_it() {
        assert_eq!(Certificates::authorities("hunter2".into()), Err(UnusableFile::NoCertificate));
        let client = ClientCertificate::new("hunter2".into(), "".into());
        assert_eq!(client.err(), Some(UnusableFile::NoCertificate));
        let begun = "-----BEGIN CERTIFICATE-----\nhunter2\n";
        assert_eq!(Certificates::authorities(begun.into()), Err(UnusableFile::NoCertificate));
    }
}
