//! Where the management API of a broker is, and who asks. Nothing here ever shows a password.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use ureq::http::Uri;

/// A management API, and the account to ask it with.
#[derive(Clone)]
pub struct ManagementAddress {
    /// Scheme, host, port and what the broker's administrator has put in front of `/api`, without a `/` at the end.
    base: String,
    /// The account, where the address names one.
    pub username: Option<String>,
    /// Its password, where the address has one.
    pub password: Option<SecretString>,
}

/// Why a text is not the address of a management API. Never holds any part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManagementAddressError {
    /// Neither `http://` nor `https://` in front.
    #[error("the address of a management API starts with `http://` or `https://`")]
    Scheme,
    /// Host or port are missing or wrong.
    #[error("the address of the management API is not in order: write `http://host:15672`")]
    Malformed,
    /// User name or password are not encoded.
    #[error("user and password of the management API's address are not percent-encoded: write `%25` for `%`")]
    Encoding,
}

impl ManagementAddress {
    /// Reads `http[s]://[user[:password]@]host[:port][/prefix]`. The port is 15672, with TLS 15671.
    ///
    /// # Errors
    /// When the text is no such address.
    pub fn parse(url: &str) -> Result<Self, ManagementAddressError> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            _ => return Err(ManagementAddressError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A `/` in the password ends the authority, and the rest of it would be shown as a path.
        if !authority.contains('@') && path.contains('@') {
            return Err(ManagementAddressError::Malformed);
        }
        // The last `@`: people forget to encode the one in their password.
        let (user_info, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/');
        let uri: Uri =
            format!("{scheme}://{place}{path}").parse().map_err(|_| ManagementAddressError::Malformed)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(ManagementAddressError::Malformed)?;
        let names_a_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            None if !names_a_port => {
                if scheme == "https" {
                    15671
                } else {
                    15672
                }
            }
            _ => return Err(ManagementAddressError::Malformed),
        };
        if uri.query().is_some() || url.contains('#') {
            return Err(ManagementAddressError::Malformed);
        }
        let decoded = |text: &str| {
            let text =
                percent_decode_str(text).decode_utf8().map_err(|_| ManagementAddressError::Encoding)?;
            Ok(text.into_owned())
        };
        let (username, password) = match user_info.split_once(':') {
            Some((username, password)) => (username, Some(decoded(password)?.into())),
            None => (user_info, None),
        };
        Ok(Self {
            base: format!("{scheme}://{host}:{port}{path}"),
            username: Some(decoded(username)?).filter(|name| !name.is_empty()),
            password,
        })
    }

    /// The management API on the host of a broker, at its usual port.
    #[must_use]
    pub fn on_host(host: &str, tls: bool) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let (scheme, port) = if tls { ("https", 15671) } else { ("http", 15672) };
        Self { base: format!("{scheme}://{host}:{port}"), username: None, password: None }
    }

    /// The address of a question.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/api/{path}", self.base)
    }
}

/// Without user and password.
impl fmt::Display for ManagementAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for ManagementAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManagementAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn reads_every_part() {
        for (url, base) in [
            ("http://pbx", "http://pbx:15672"),
            ("HTTPS://pbx/", "https://pbx:15671"),
            ("http://u:p@10.0.0.1:8080/rabbit/", "http://10.0.0.1:8080/rabbit"),
            ("http://pbx:15672/api/", "http://pbx:15672"),
            ("http://[::1]:15672", "http://[::1]:15672"),
            ("http://[::1]", "http://[::1]:15672"),
        ] {
            assert_eq!(ManagementAddress::parse(url).unwrap().to_string(), base, "{url}");
        }
        let address = ManagementAddress::parse("http://us%40er:p@ss%2f@pbx").unwrap();
        assert_eq!(address.username.as_deref(), Some("us@er"));
        assert_eq!(address.password.as_ref().unwrap().expose_secret(), "p@ss/");
        assert_eq!(ManagementAddress::on_host("::1", true).to_string(), "https://[::1]:15671");
        assert!(!format!("{address} {address:?}").contains("p@ss"));
    }

    #[test]
    fn names_what_is_wrong_and_never_the_password() {
        for (url, error) in [
            ("pbx:15672", ManagementAddressError::Scheme),
            ("amqp://pbx", ManagementAddressError::Scheme),
            ("http://", ManagementAddressError::Malformed),
            ("http://u:hunter2@", ManagementAddressError::Malformed),
            ("http://u:hunter2@h:x", ManagementAddressError::Malformed),
            ("http://h:0", ManagementAddressError::Malformed),
            ("http://h:70000", ManagementAddressError::Malformed),
            ("http://h:", ManagementAddressError::Malformed),
            ("http://a b", ManagementAddressError::Malformed),
            ("http://h/?x=1", ManagementAddressError::Malformed),
            ("http://h/#x", ManagementAddressError::Malformed),
            ("http://u:%ff@h", ManagementAddressError::Encoding),
        ] {
            let found = ManagementAddress::parse(url).unwrap_err();
            assert_eq!(found, error, "{url}");
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
    }
}
