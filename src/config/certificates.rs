//! The files of certificates and keys.

use std::fs;
use std::path::Path;

use secrecy::SecretString;

use super::ConfigError;
use crate::amqp::{Certificates, ClientCertificate};

/// Reads the files that are named: authorities to trust, a client certificate, and its key, which stands in the file
/// of the certificate if no other one is named.
///
/// # Errors
/// When a file cannot be read, is not PEM, or the key is not that of the certificate.
pub fn read(
    authorities: Option<&Path>,
    client: Option<&Path>,
    key: Option<&Path>,
) -> Result<Certificates, ConfigError> {
    let text = |path: &Path| {
        let bytes =
            fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        // PEM is ASCII; what is not is told as not being PEM.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |why| ConfigError::Certificate { path, why }
    };
    let authorities = match authorities {
        Some(path) => Some(Certificates::authorities(text(path)?).map_err(unusable(path))?),
        None => None,
    };
    let client = match client {
        Some(path) => {
            let key = key.unwrap_or(path);
            let (chain, secret) = (text(path)?, SecretString::from(text(key)?));
            // The certificate is looked at first, so that what is said of a key is said of the key's file.
            let chain = Certificates::authorities(chain).map_err(unusable(path))?;
            Some(ClientCertificate::new(chain, secret).map_err(unusable(key))?)
        }
        None => None,
    };
    Ok(Certificates { authorities, client })
}
