//! Where a broker is and who we are there.
//!
//! An address is parsed once, by hand: lapin's own URI type prints the password whenever it is shown and
//! knows no vhost but `""` for a URL that ends in `/`. Nothing here ever shows a password.

use std::fmt;
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use secrecy::{ExposeSecret, SecretString};

use super::tls::Certificates;

/// Seconds between heartbeats. lapin gives a connection up that was silent for twice this time, and looks every half of
/// it: after 16 to 20 seconds.
pub(super) const HEARTBEAT: u16 = 8;

/// What RabbitMQ, and every client library, takes for the name and the password that nobody gave.
const GUEST: &str = "guest";

/// A broker, a vhost on it, and the user to be there.
#[derive(Clone)]
pub struct BrokerAddress {
    /// Host name or address, an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Further nodes of the same cluster, as host and port: tried in turn when one is away.
    pub others: Vec<(String, u16)>,
    /// Virtual host.
    pub vhost: String,
    /// User name.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Whether somebody gave it, or it is the one that nobody gave.
    pub has_password: bool,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The certificates for it.
    pub certificates: Certificates,
}

/// Why a text is not the address of a broker. Never holds any part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `amqp://` nor `amqps://` in front.
    #[error("a broker address starts with `amqp://` or `amqps://`")]
    Scheme,
    /// Nothing where the host should be.
    #[error("the broker address names no host: write `amqp://user@host:5672/vhost`")]
    NoHost,
    /// `[` without `]`, or text between `]` and the port.
    #[error("the brackets around the IPv6 address of the broker are not in order")]
    Brackets,
    /// What follows the host is not a number from 1 to 65535.
    #[error("the port of the broker address is not a number from 1 to 65535")]
    Port,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the {part} of the broker address is not percent-encoded UTF-8: write `%25` for `%`")]
    Encoding {
        /// Which part of the address.
        part: &'static str,
    },
    /// The host, the user name or the vhost holds a control character or more than 255 bytes.
    #[error("the {part} of the broker address is longer than 255 bytes or has control characters")]
    Unusable {
        /// Which part of the address.
        part: &'static str,
    },
    /// A `/` in the user name or the password.
    #[error(
        "there is an `@` behind the `/` of the broker address: write `%2f` for a `/`, and `%40` for an `@` in a vhost"
    )]
    Slash,
    /// Options after `?`, or a fragment after `#`.
    #[error("options in the broker address are not supported: leave out what follows `?` or `#`")]
    Options,
}

impl BrokerAddress {
    /// Reads `amqp[s]://[user[:password]@]host[:port][,host[:port]…][/vhost]`.
    ///
    /// Several hosts are the nodes of one cluster.
    ///
    /// Without a vhost, or with only the `/` in front of one, it is the default vhost `/`.
    ///
    /// # Errors
    /// When the text is no such address.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (tls, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("amqp") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("amqps") => (true, rest),
            _ => return Err(AddressError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A `/` in the password ends the authority, and the rest of it would be shown as the vhost.
        if !authority.contains('@') && path.contains('@') {
            return Err(AddressError::Slash);
        }
        if path.contains(['?', '#']) {
            return Err(AddressError::Options);
        }
        // The last `@`: people forget to encode the one in their password.
        let (user_info, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let given = user_info.split_once(':');
        let (username, password) = given.unwrap_or((user_info, GUEST));
        let default_port = if tls { 5671 } else { 5672 };
        let mut nodes = Vec::new();
        for node in place.split(',') {
            let (host, port) = host_and_port(node)?;
            nodes.push((usable("host", decoded("host", host)?)?, port.unwrap_or(default_port)));
        }
        let (host, port) = nodes.remove(0);
        let vhost = match path.strip_prefix('/') {
            None | Some("") => "/".to_owned(),
            Some(vhost) => usable("vhost", decoded("vhost", vhost)?)?,
        };
        Ok(Self {
            host,
            port,
            others: nodes,
            vhost,
            username: match username {
                "" => GUEST.to_owned(),
                name => usable("user name", decoded("user name", name)?)?,
            },
            password: decoded("password", password)?.into(),
            has_password: given.is_some(),
            tls,
            certificates: Certificates::default(),
        })
    }

    /// Whether both name the same vhost of the same broker for the same user, so that one
    /// connection serves for both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { vhost, username, password, tls, certificates, .. } = self;
        let nodes = |address: &Self| {
            let mut nodes: Vec<_> =
                address.nodes().map(|(host, port)| (host.to_ascii_lowercase(), port)).collect();
            nodes.sort();
            nodes
        };
        nodes(self) == nodes(other)
            && (vhost, username, tls) == (&other.vhost, &other.username, &other.tls)
            && certificates == &other.certificates
            && self.has_password == other.has_password
            && password.expose_secret() == other.password.expose_secret()
    }

    /// Whether the client certificate is the login: there is one, and no password.
    #[must_use]
    pub const fn is_external(&self) -> bool {
        self.tls && self.certificates.client.is_some() && !self.has_password
    }

    /// All nodes, as host and port.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, u16)> {
        let first = (self.host.as_str(), self.port);
        std::iter::once(first).chain(self.others.iter().map(|(host, port)| (host.as_str(), *port)))
    }

    /// The address of one node only, another one each turn.
    #[must_use]
    pub fn node(&self, turn: usize) -> Self {
        let (host, port) = self.nodes().nth(turn % (self.others.len() + 1)).unwrap_or_default();
        Self { host: host.to_owned(), port, others: Vec::new(), ..self.clone() }
    }

    /// The same as lapin wants it. Do not show the result: it prints the password.
    pub(super) fn to_uri(&self, timeout: Duration) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.username.clone(),
                    password: self.password.expose_secret().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(HEARTBEAT),
                connection_timeout: u64::try_from(timeout.as_millis()).ok(),
                auth_mechanism: self.is_external().then_some(SASLMechanism::External),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// Without the password, and never with anything that could end a line of a log.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vhost, username, tls, .. } = self;
        let scheme = if *tls { "amqps" } else { "amqp" };
        let vhost = if vhost == "/" { "%2f" } else { vhost.as_str() };
        write!(f, "{scheme}://")?;
        // The broker takes the name from the certificate.
        if !self.is_external() {
            write!(f, "{}@", username.escape_debug())?;
        }
        for (place, (host, port)) in self.nodes().enumerate() {
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{open}{}{close}:{port}", host.escape_debug())?;
        }
        write!(f, "/{}", vhost.escape_debug())
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

/// Reads `host[:port]`.
///
/// # Errors
/// When the text is nothing of the kind.
pub fn node(text: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = host_and_port(text)?;
    Ok((usable("host", host.to_owned())?, port))
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), AddressError> {
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(AddressError::Brackets)?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(AddressError::Brackets),
        }
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let number = |port: &str| match port.parse() {
        Ok(number) if number > 0 && !port.starts_with('+') => Ok(number),
        _ => Err(AddressError::Port),
    };
    Ok((host, port.map(number).transpose()?))
}

fn decoded(part: &'static str, text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = if *first == b'%' {
            let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
            let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                return Err(AddressError::Encoding { part });
            };
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| AddressError::Encoding { part })?);
            &tail[2..]
        } else {
            bytes.push(*first);
            tail
        };
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Encoding { part })
}

fn usable(part: &'static str, text: String) -> Result<String, AddressError> {
    if text.is_empty() || text.len() > 255 || text.contains(char::is_control) {
        return Err(AddressError::Unusable { part });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> BrokerAddress {
        BrokerAddress::parse(url).unwrap()
    }

    #[test]
    fn fills_in_what_is_not_said() {
        let bare = address("amqp://bus.example.org");
        assert_eq!(bare.to_string(), "amqp://guest@bus.example.org:5672/%2f");
        assert_eq!(bare.password.expose_secret(), "guest");
        assert_eq!(address("AMQPS://bus").port, 5671);
        for url in ["amqp://h", "amqp://h/", "amqp://h/%2f", "amqp://h/%2F", "amqp://h//"] {
            assert_eq!(address(url).vhost, "/", "{url}");
        }
    }

    #[test]
    fn reads_every_part() {
        let all = address("amqps://us%40er:p%3Ass%2F@[::1]:1234/a%20b/c");
        assert_eq!((all.host.as_str(), all.port, all.tls), ("::1", 1234, true));
        assert_eq!((all.username.as_str(), all.vhost.as_str()), ("us@er", "a b/c"));
        assert_eq!(all.password.expose_secret(), "p:ss/");
        assert_eq!(all.to_string(), "amqps://us@er@[::1]:1234/a b/c");
        assert_eq!(address("amqp://u:a@b:c@h").password.expose_secret(), "a@b:c");
        assert_eq!(address("amqp://u:@h").password.expose_secret(), "");
    }

    #[test]
    fn a_slash_in_a_password_is_refused_before_anything_of_it_is_shown() {
        for url in ["amqp://user:12/secret@host:5672/v", "amqp://user:a/b@host", "amqp://h/v@w"] {
            let error = BrokerAddress::parse(url).unwrap_err();
            assert_eq!(error, AddressError::Slash, "{url}");
        }
        assert!(BrokerAddress::parse("amqp://u:12%2fsecret@host:5672/v%40w").is_ok());
    }

    #[test]
    fn several_hosts_are_the_nodes_of_a_cluster() {
        let cluster = address("amqps://u:a,b@one,[::1]:7,Three:9/v");
        assert_eq!(cluster.to_string(), "amqps://u@one:5671,[::1]:7,Three:9/v");
        assert_eq!(cluster.password.expose_secret(), "a,b");
        let turns: Vec<_> = (0..4).map(|turn| cluster.node(turn).to_string()).collect();
        let nodes = ["amqps://u@one:5671/v", "amqps://u@[::1]:7/v", "amqps://u@Three:9/v"];
        assert_eq!(turns, [nodes[0], nodes[1], nodes[2], nodes[0]]);
        assert!(cluster.is_same(&address("amqps://u:a,b@three:9,one,[::1]:7/v")));
        assert!(!cluster.is_same(&address("amqps://u:a,b@one,[::1]:7/v")));
        assert_eq!(BrokerAddress::parse("amqp://one,,two").unwrap_err(), AddressError::NoHost);
    }

    #[test]
    fn says_what_is_wrong() {
        for (url, error) in [
            ("", AddressError::Scheme),
            ("localhost:5672", AddressError::Scheme),
            ("http://h", AddressError::Scheme),
            ("amqp://", AddressError::NoHost),
            ("amqp://u:p@/v", AddressError::NoHost),
            ("amqp://u:p@:5672", AddressError::NoHost),
            ("amqp://[::1", AddressError::Brackets),
            ("amqp://[::1]5672", AddressError::Brackets),
            ("amqp://::1", AddressError::NoHost),
            ("amqp://h:", AddressError::Port),
            ("amqp://h:0", AddressError::Port),
            ("amqp://h:+1", AddressError::Port),
            ("amqp://h:65536", AddressError::Port),
            ("amqp://u:%zz@h", AddressError::Encoding { part: "password" }),
            ("amqp://u%ff:x@h", AddressError::Encoding { part: "user name" }),
            ("amqp://h/%2", AddressError::Encoding { part: "vhost" }),
            ("amqp://h/a%0ab", AddressError::Unusable { part: "vhost" }),
            ("amqp://h?heartbeat=1", AddressError::Options),
            ("amqp://h/v#x", AddressError::Options),
        ] {
            assert_eq!(BrokerAddress::parse(url).unwrap_err(), error, "{url}");
        }
        assert_eq!(
            BrokerAddress::parse(&format!("amqp://h/{}", "v".repeat(256))).unwrap_err(),
            AddressError::Unusable { part: "vhost" }
        );
    }

    #[test]
    fn never_shows_the_password() {
        let address = address("amqp://user:hunter2@h/v");
        assert!(!format!("{address} {address:?} {address:#?}").contains("hunter2"));
        for url in ["amqp://user:hunter2@h:x", "amqp://user:hunter2%@h", "amqp//user:hunter2@h"] {
            let error = BrokerAddress::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter"), "{url}");
        }
    }

    #[test]
    fn compares_all_but_the_case_of_the_host() {
        let one = address("amqp://u:p@Bus/v");
        assert!(one.is_same(&address("amqp://u:p@bus:5672/v")));
        for other in ["amqp://u:q@bus/v", "amqp://x:p@bus/v", "amqp://u:p@bus/w", "amqps://u:p@bus:5672/v"] {
            assert!(!one.is_same(&address(other)), "{other}");
        }
    }

    #[test]
    fn hands_all_of_it_to_lapin() {
        let uri = address("amqps://u:p@[fe80::1]/v").to_uri(Duration::from_secs(10));
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("fe80::1", 5671));
        assert_eq!((uri.scheme, uri.vhost.as_str()), (AMQPScheme::AMQPS, "v"));
        let noticed_after = uri.query.heartbeat.map(|seconds| seconds * 5 / 2);
        assert!(noticed_after.is_some_and(|seconds| seconds < 21), "{noticed_after:?}");
        assert_eq!((uri.query.heartbeat, uri.query.connection_timeout), (Some(HEARTBEAT), Some(10_000)));
    }
}
