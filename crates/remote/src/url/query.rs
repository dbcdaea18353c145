//! Parameters after the question mark, as redis-py reads them.

use std::path::PathBuf;

use super::percent::decode;
use super::{Invalid, Login, Secret, Tls, Verify};

/// What the parameters say; what is not given is `None`.
#[derive(Default)]
pub(super) struct Query {
    pub(super) db: Option<u32>,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    pub(super) client_name: Option<String>,
    pub(super) tls: Tls,
    /// The first parameter given that only TLS has.
    pub(super) tls_named: Option<&'static str>,
    /// The first parameter given that only Sentinel has.
    pub(super) sentinel_named: Option<&'static str>,
}

/// Parameters of redis-py's that say nothing about where the server is, or what is governed by options of ours.
const WITHOUT_EFFECT: &[&str] = &[
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_read_size",
    "retry_on_timeout",
    "retry_on_error",
    "health_check_interval",
    "max_connections",
    "timeout",
    "encoding",
    "encoding_errors",
    "decode_responses",
    "protocol",
    "lib_name",
    "lib_version",
    "single_connection_client",
];

/// Parameters that would make a connection safer or possible, and that there is no way to heed: refused, not ignored.
const UNSUPPORTED: &[&str] = &[
    "ssl_ciphers",
    "ssl_validate_ocsp",
    "ssl_validate_ocsp_stapled",
    "ssl_ocsp_context",
    "ssl_ocsp_expected_cert",
    "ssl_password",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
];

pub(super) fn read(query: &str) -> Result<Query, Invalid> {
    let mut read = Query::default();
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else { return Err(unknown()) };
        let name = decode(&name.replace('+', " "));
        // `parse_qs` decodes, and redis-py decodes once more.
        let value = decode(&decode(&value.replace('+', " ")));
        // Of one that is given twice the first counts; an empty one is not given.
        if value.is_empty() || seen.contains(&name) {
            continue;
        }
        read.set(&name, value)?;
        seen.push(name);
    }
    if !read.tls_complete() {
        return Err(Invalid { part: "ssl_keyfile", what: "needs ssl_certfile" });
    }
    Ok(read)
}

impl Query {
    fn set(&mut self, name: &str, value: String) -> Result<(), Invalid> {
        match name {
            "db" => self.db = Some(database("db", &value)?),
            "username" => self.login.username = Some(Secret::new(value)),
            "password" => self.login.password = Some(Secret::new(value)),
            "client_name" => self.client_name = Some(client_name(value)?),
            "sentinel_username" => {
                self.sentinel_login.username = Some(Secret::new(value));
                self.sentinel_named.get_or_insert("sentinel_username");
            }
            "sentinel_password" => {
                self.sentinel_login.password = Some(Secret::new(value));
                self.sentinel_named.get_or_insert("sentinel_password");
            }
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => {
                if let Some(part) = UNSUPPORTED.iter().find(|known| **known == name) {
                    return Err(Invalid { part, what: "is not supported" });
                }
                let named = self.set_tls(name, value)?;
                self.tls_named.get_or_insert(named);
            }
        }
        Ok(())
    }

    /// Sets one of the parameters for TLS and gives its name as a constant.
    fn set_tls(&mut self, name: &str, value: String) -> Result<&'static str, Invalid> {
        let tls = &mut self.tls;
        let path = |value: String| Some(PathBuf::from(value));
        Ok(match name {
            "ssl_ca_certs" => {
                tls.ca_file = path(value);
                "ssl_ca_certs"
            }
            "ssl_ca_path" => {
                tls.ca_directory = path(value);
                "ssl_ca_path"
            }
            "ssl_ca_data" => {
                tls.ca_data = Some(Secret::new(value));
                "ssl_ca_data"
            }
            "ssl_certfile" => {
                tls.certificate = path(value);
                "ssl_certfile"
            }
            "ssl_keyfile" => {
                tls.key = path(value);
                "ssl_keyfile"
            }
            "ssl_cert_reqs" => {
                let part = "ssl_cert_reqs";
                let lower = value.to_ascii_lowercase();
                match lower.strip_prefix("cert_").unwrap_or(&lower) {
                    "none" => tls.verify = Verify::Nothing,
                    // (A client that checks "optionally" checks: every server has a certificate.)
                    "optional" | "required" => {}
                    _ => return Err(Invalid { part, what: "must be none, optional or required" }),
                }
                part
            }
            "ssl_check_hostname" => {
                if !truth(&value) && tls.verify == Verify::Full {
                    tls.verify = Verify::Chain;
                }
                "ssl_check_hostname"
            }
            "ssl_min_version" => {
                let part = "ssl_min_version";
                tls.newest_only = match value.as_str() {
                    "TLSv1_2" | "TLSv1.2" | "1.2" | "771" => false,
                    "TLSv1_3" | "TLSv1.3" | "1.3" | "772" => true,
                    _ => return Err(Invalid { part, what: "must be TLSv1_2 or TLSv1_3" }),
                };
                part
            }
            _ => return Err(unknown()),
        })
    }

    /// A key without a certificate is a mistake; a certificate without a key may have the key in the same file.
    fn tls_complete(&self) -> bool {
        self.tls.key.is_none() || self.tls.certificate.is_some()
    }
}

/// The name of an unknown parameter is no name that could be shown: in an address that lacks an escape it is part of the
/// password.
fn unknown() -> Invalid {
    Invalid { part: "a parameter of the address", what: "is not known" }
}

pub(super) fn database(part: &'static str, text: &str) -> Result<u32, Invalid> {
    let sound = text.len() <= 9 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let invalid = Invalid { part, what: "must be the number of a database" };
    if sound {
        text.parse().map_err(|_| invalid)
    } else {
        Err(invalid)
    }
}

/// What `CLIENT SETNAME` accepts: printable ASCII without spaces.
fn client_name(text: String) -> Result<String, Invalid> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 128 {
        true => Ok(text),
        false => Err(Invalid { part: "client_name", what: "must be at most 128 printable characters without spaces" }),
    }
}

/// redis-py's `to_bool`.
fn truth(value: &str) -> bool {
    !["0", "F", "FALSE", "N", "NO"].contains(&value.to_ascii_uppercase().as_str())
}
